"""The stage that trains a network to embed frames, so that the same moment of an action has the same vector everywhere."""

from pathlib import Path

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out, State
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment.data import Sources
from kinoflow.tasks.alignment.embed import Trained
from kinoflow.tasks.alignment.model import Aligner, build
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.alignment.trainee import Plan, ViewTraining
from kinoflow.tasks.alignment.weights import begin
from kinoflow.training import checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of
from kinoflow.training.distributed import is_first
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import fit
from kinoflow.training.options import TESTING
from kinoflow.training.workplace import workplace


def alignment_train(
    videos: In,
    segments: In,
    model: Out,
    history: Out,
    place: State,
    options: AlignmentOptions,
    seed: int = 0,
    frames: list[In] | None = None,
    features: list[In] | None = None,
    root: Folder | None = None,
    weights: In | None = None,
    initial: In | None = None,
    dataset: str = "",
    mirror: bool = True,
    device: str = "auto",
    code: str = "",
) -> None:
    """Train a network to embed frames. The same command continues a killed one.

    videos: the table of videos
    segments: the table of labelled segments, which say what clips are; labels are used by algorithm: classification alone
    model: the checkpoint to write, which says all that is needed to use it
    history: the table of losses and scores to write
    place: the folder for the state of the training; gone when it is done
    seed: of the first weights, the order of clips, their views and variations
    frames: the shards of frames, all of the dataset's
    features: the shards of features, for network.backbone: features
    root: the folder of the videos, to decode frames from there in place of shards
    weights: a file of weights for the backbone to begin with, in place of those of the options
    initial: the checkpoint of an alignment run to begin with
    dataset: its name
    mirror: whether mirrored clips are the same; false: they are never mirrored
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    if weights and initial:
        raise ConfigError("weights and initial exclude each other: the checkpoint of an alignment run has a backbone")
    source = data.sources(options, frames or (), features or (), root)
    plan = planned(options, segments, videos, source)
    network = build(options, len(plan.classes), source.width, seed)
    first = str(weights) if weights else options.network.weights
    if initial:
        seen = initialise(network, initial)
    else:
        if first != "none":
            begin(network, first)
        seen = labels_seen(first)
    seen = _with_phases(seen, options)
    trained = Trained(network, options, plan.classes, source.made, mirror, dataset, seen, len(plan.clips), seed)
    optional = (*(frames or ()), *(features or ()), *([initial] if initial else ()))
    known = [videos, segments, *optional, *([first] if Path(first).is_file() else ())]
    with workplace(place, known, resolved(options, TESTING), seed, dataset, mirror, code) as mine:
        name = f"train {run_name(model)}"
        told = ViewTraining(trained, plan, source, Arithmetic(device_of(device)))
        rows = fit(told, options.training, seed, mine, name, device=device, events=model.parent / "events")
        if is_first():
            rows.write_csv(history)
            for path in checkpoints(model, [(told.model, mine)], options.training.keep):
                checkpoint.save(path, network, trained.about())


# ---------------------------------------------------------------- before anything runs


def planned(options: AlignmentOptions, segments: Path, videos: Path, source: Sources) -> Plan:
    """Check all that can be known before a training, and return what it needs.

    Raises ConfigError or DataError that names the option or the clip at fault.
    """
    by_split = data.clips(segments, videos, source.read, options)
    found = data.chosen(by_split, options.train_on, "train_on")
    validation = data.chosen(by_split, options.validate_on, "validate_on") if options.validate_on else []
    classes = data.classes_of(found)
    if options.algorithm == "classification":
        found = data.labelled_share(found, options.fraction)
        if len(classes) < 2:
            raise DataError(
                f"algorithm: classification needs two phases, and the training clips have {len(classes)}; label them, or take scl"
            )
        if not any(any(clip.labels) for clip in found):
            raise DataError("fraction: none of these training clips has a labelled frame; raise it")
    short = [clip.name for clip in found if clip.frames < 2]
    if len(short) == len(found):
        raise DataError(f"train_on: every clip has one frame only, {short[0]!r} for example; decode at a higher rate")
    return Plan([clip for clip in found if clip.frames > 1], classes, validation)


def initialise(network: Aligner, path: Path) -> str:
    """Copy backbone and encoder of an alignment run's checkpoint; return what labels its backbone had seen.

    Projection and classifier are copied where they have the same shapes. Raises DataError if the networks differ.
    """
    tensors, about = checkpoint.read(path)
    if about.get("room") != "alignment":
        raise DataError(f"{path}: this is no checkpoint of an alignment run; give it as weights, or give another file")
    for name in ("backbone", "embedder", "head", "classifier"):
        part = getattr(network, name)
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if part is None:
            continue
        shapes = {key: value.shape for key, value in part.state_dict().items()}
        if name in ("head", "classifier") and shapes != {key: value.shape for key, value in own.items()}:
            continue
        checkpoint.load_into(part, own, path)
    return str(about["seen"])


def labels_seen(weights: str) -> str:
    """Say what labels a backbone with these first weights has seen."""
    if weights == "none":
        return "none"
    if weights.startswith("torchvision:"):
        return "classes of ImageNet (or what these weights of torchvision are of)"
    try:
        _, about = checkpoint.read(Path(weights))
    except DataError:
        return "not known: a file of weights"
    if about.get("room") == "recognition":
        heads = ", ".join(sorted(about["heads"]))
        return f"{heads} of the clips of {about['dataset'] or 'a dataset'}, by a recognition run; no phases"
    return str(about.get("seen", "not known: a file of weights"))


def _with_phases(seen: str, options: AlignmentOptions) -> str:
    if options.algorithm != "classification":
        return seen
    return f"{seen}; and phases, of {options.fraction:.0%} of the training clips"
