"""The stage that trains a network to embed frames, so that the same moment of an action has the same vector everywhere."""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out, State
from kinoflow.tasks.alignment import data, rates
from kinoflow.tasks.alignment.augment import prepare, vary, vary_rows
from kinoflow.tasks.alignment.data import Clip, Sources
from kinoflow.tasks.alignment.embed import Embedder, Trained
from kinoflow.tasks.alignment.evaluate import Comparison
from kinoflow.tasks.alignment.loss import accuracy, batch_losses
from kinoflow.tasks.alignment.measures import Numbers, mean
from kinoflow.tasks.alignment.model import Aligner, build
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.alignment.sampling import View, views
from kinoflow.tasks.alignment.weights import begin
from kinoflow.training import checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of
from kinoflow.training.distributed import is_first
from kinoflow.training.gather import gathered
from kinoflow.training.groups import one_group
from kinoflow.training.kept import checkpoints
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.options import TESTING
from kinoflow.training.schedule import Plan as Steps
from kinoflow.training.workplace import workplace

LEARNED = {"classification", "progression", "probe"}  # measures that learn from labelled training clips
SETS = 3  # first word of what seeds the order of sets: no two uses share their numbers


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


@dataclass(frozen=True)
class Plan:
    """What is trained on, after all checks."""

    clips: list[Clip]
    classes: tuple[str, ...]
    validation: list[Clip]


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


# ---------------------------------------------------------------- what the training loop asks for


class ViewTraining(Trainee):
    """Views of clips, and the network that learns from them."""

    def __init__(self, trained: Trained, plan: Plan, source: Sources, how: Arithmetic):
        self.trained, self.plan, self.source, self.how = trained, plan, source, how
        self.options, self.model = trained.options, trained.network
        self.groups, self.samples = one_group(self.model), len(plan.clips)
        self.labels = [clip.numbers(plan.classes) for clip in plan.clips]
        flip = self.options.augment.flip and trained.mirror
        self.augment = self.options.augment.model_copy(update={"flip": flip})
        self.said: Tensor | None = None  # scores of phases of the last forward pass

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        """Return views x (B, V, T*c, 3, S, S) float32, and of their frames steps, masks, labels (B, V, T); lengths (B, V)."""
        return self._batch([self._views(draw.sample, draw.rng()) for draw in draws])

    def weigh(self, draws: list[Draw]) -> dict[str, float]:
        """Return the number of labelled frames, where phases are learnt: their mean runs over these."""
        if self.options.algorithm != "classification":
            return {}
        count = 0.0
        for draw in draws:
            clip, labels = self.plan.clips[draw.sample], self.labels[draw.sample]
            for view in views(clip.frames, self.options.sampling, draw.rng()):
                count += float((view.mask * (labels[view.chosen] != data.NONE)).sum())
        return {"classification": count, "accuracy": count}

    def _views(self, sample: int, rng: np.random.Generator, plain: bool = False) -> list[dict[str, Tensor]]:
        """Return the views of a clip as one draw varies them; plain: as tests see them."""
        clip = self.plan.clips[sample]
        return [
            self._view(clip, self.labels[sample], view, rng, plain)
            for view in views(clip.frames, self.options.sampling, rng)
        ]

    def _view(
        self, clip: Clip, labels: np.ndarray, view: View, rng: np.random.Generator, plain: bool
    ) -> dict[str, Tensor]:
        items = torch.from_numpy(np.ascontiguousarray(self.source.read.frames(clip.video, clip.first + view.load)))
        if self.source.made is None:
            x = items if plain else vary_rows(items, self.augment, rng)
        else:
            x = prepare(items, self.augment) if plain else vary(items, self.augment, rng)
        return {
            "x": x,
            "steps": torch.from_numpy(view.chosen),
            "masks": torch.from_numpy(view.mask),
            "labels": torch.from_numpy(np.where(view.mask > 0, labels[view.chosen], data.NONE)),
            "lengths": torch.tensor(clip.frames),
        }

    def _batch(self, found: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Any]:
        return {
            name: torch.stack([torch.stack([view[name] for view in each]) for each in found]) for name in found[0][0]
        }

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the loss of the algorithm; where it compares clips with each other, of those of all processes."""
        x = batch["x"]
        z = self.model(x.flatten(0, 1), batch["masks"].flatten(0, 1)).unflatten(0, x.shape[:2])  # (B, V, T, D)
        self.said = self.model.classify(z) if self.options.algorithm == "classification" else None
        if self.said is None and self.model.training:
            z, batch = gathered(z), {name: gathered(batch[name]) for name in ("steps", "masks", "lengths")}
        return batch_losses(self.options, z, batch, self.said)

    def scores(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the share of labelled frames told right, where phases are learnt."""
        return {} if self.said is None else {"accuracy": accuracy(self.said, batch["labels"])}

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return an order in which every batch is of one set, drawn evenly (tcc with sets); None: a permutation."""
        if self.options.algorithm != "tcc" or self.options.sets == "none":
            return None
        sets: dict[str, list[int]] = {}
        for number, clip in enumerate(self.plan.clips):
            sets.setdefault(clip.set, []).append(number)
        members, rng = [sets[name] for name in sorted(sets)], np.random.default_rng((SETS, seed, epoch))
        found: list[int] = []
        while len(found) < self.samples:
            own = members[rng.integers(len(members))]
            found += rng.choice(
                own, self.options.training.batch, replace=len(own) < self.options.training.batch
            ).tolist()
        return found[: self.samples]

    def rate(self, step: int, plan: Steps) -> float | None:
        """Return the published learning rate, where the options ask for it."""
        return rates.rate(step, plan, self.options.training)

    def validate(self) -> dict[str, float] | None:
        """Return how well validation clips are aligned, their loss, and (where phases are learnt) the share told right."""
        wanted = self.options.validation
        clips = data.some(self.plan.validation, wanted.most)
        if not clips:
            return None
        train = data.some(self.plan.clips, wanted.most) if LEARNED & set(wanted.tasks) else []
        embedder = Embedder(self.trained, wanted, self.source, self.how, "validation")
        with self.how.settled(), threadpool_limits(1):
            vectors = {clip.name: embedder.embedding(clip) for clip in (*train, *clips)}
            sets = Comparison(train, clips, wanted).numbers(lambda clip: vectors[clip.name])
            losses = self._validation_losses(clips)
        found = _named(mean(list(sets.values())))
        if not found and self.options.training.keep == "best":
            raise ConfigError(
                "validation.tasks: nothing of it can be measured on these clips, so none is best; take keep: last"
            )
        return found | losses

    def _validation_losses(self, clips: Sequence[Clip]) -> dict[str, float]:
        """Return the mean losses and scores of clips, in batches as large as those of training but the last.

        Views are drawn, the same every time.
        """
        other = ViewTraining(self.trained, Plan(list(clips), self.plan.classes, []), self.source, self.how)
        sums: dict[str, float] = {}
        count = 0
        for part in self._validation_batches(clips):
            found = [other._views(i, _rng(clips[i]), plain=True) for i in part]
            batch = {name: value.to(self.how.device) for name, value in other._batch(found).items()}
            losses = {f"{name}_loss": value for name, value in other.losses(batch).items()}
            for name, value in (losses | other.scores(batch)).items():
                sums[name] = sums.get(name, 0.0) + len(part) * float(value)
            count += len(part)
        return {name: total / count for name, total in sums.items()}

    def _validation_batches(self, clips: Sequence[Clip]) -> list[list[int]]:
        """Return numbers of clips, batch by batch; those of tcc are of one set each, as in training."""
        size, cycles = self.options.training.batch, self.options.algorithm == "tcc"
        sets: dict[str, list[int]] = {}
        for number, clip in enumerate(clips):
            sets.setdefault(clip.set if cycles else "", []).append(number)
        found = [own[first : first + size] for own in sets.values() for first in range(0, len(own), size)]
        if not cycles:
            return found
        # a sequence alone has nothing to go to and come back from
        return [part for part in found if len(part) * self.options.sampling.views > 1] or found[:1]


def _named(found: Numbers) -> dict[str, float]:
    """Return the measures of validation clips under a name each, retrieval first, then those of the training clips."""
    names = {f"retrieval_{k}": value for k, value in found.get("retrieval", {}).items()}
    tables = {name: found.get(name, {}) for name in ("classification", "progression", "probe")}
    sides = [(f"{name}_{share}", values) for name, shares in tables.items() for share, values in shares.items()]
    sides.append(("kendalls_tau", found.get("tau", {})))
    names |= {name: values["test"] for name, values in sides if "test" in values}
    return names | {f"train_{name}": values["train"] for name, values in sides if "train" in values}


def _rng(clip: Clip) -> np.random.Generator:
    return np.random.default_rng((zlib.crc32(os.fsencode(clip.name)), SETS))
