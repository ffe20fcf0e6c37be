"""The stage that tests a trained network on clips: the paper's measures, beside a clock, raw pixels and the untrained network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics import alignment as metrics_of
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import sha256_of, write_json
from kinoflow.store.shards import Shard
from kinoflow.store.tables import write
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment.data import Clip, Sources
from kinoflow.tasks.alignment.embed import Embedder, read_checkpoint, untrained, write_embeddings
from kinoflow.tasks.alignment.measures import Numbers, Side, mean, measures, over, tau_by_clip
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions, MeasuringOptions
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6  # of numbers in tables
EMBEDDING = (
    "tasks",
    "distance",
    "stride",
    "neighbours",
    "fractions",
    "classifier",
    "probe",
    "most",
    "pixels",
)  # change no vector


@dataclass(frozen=True, kw_only=True)
class ClipResult:
    """A row of the table of test clips."""

    clip: str
    video: str
    set: str
    frames: int
    labelled: int  # frames of a phase
    tau: float | None  # mean over all pairs with other clips of its set


def alignment_evaluate(
    model: In,
    videos: In,
    segments: In,
    metrics: Out,
    predictions: Out,
    embeddings: Out,
    first: Out,
    options: AlignmentTestOptions,
    frames: list[In] | None = None,
    features: list[In] | None = None,
    root: Folder | None = None,
    weights: In | None = None,
    splits: list[str] | None = None,
    sets: str = "",
    device: str = "auto",
    code: str = "",
) -> None:
    """Test a trained network. Clips that are embedded already are not embedded again when the stage was killed.

    model: the checkpoint, model.safetensors of an alignment run
    videos: the table of videos
    segments: the table of labelled segments
    metrics: the measures to write, JSON: of the network, and below clock, pixels and untrained of these
    predictions: the table of test clips to write: clip, video, set, frames, labelled, tau
    embeddings: the feature shard to write of all training and test clips' vectors
    first: the same to write of the network before its training
    frames: the shards of frames, all of the dataset's
    features: the shards of features, for a network that reads rows
    root: the folder of the videos, to decode frames from there in place of shards
    weights: the file of weights that the training began with, if one was given to it
    splits: the splits to test on; test if not given
    sets: the clips that are tested apart from others: task (those of one task of the video) or none; as trained if not given
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    trained = read_checkpoint(model)
    inputs = [*(frames or ()), *(features or ())]
    source = data.sources(trained.options, frames or (), features or (), root, trained.frames)
    by_split = data.clips(segments, videos, source.read, _apart(trained.options, sets))
    train = data.some(data.chosen(by_split, trained.options.train_on, "train_on"), options.most)
    test = data.some(data.chosen(by_split, splits or ("test",), "splits"), options.most)
    how, both = Arithmetic(device_of(device)), {clip.name: clip for clip in (*train, *test)}
    identity = (resolved(options, EMBEDDING), sha256_of(model), code, str(root or ""))
    for path, state, network in ((embeddings, "trained", trained), (first, "first", untrained(trained, weights))):
        began = sha256_of(weights) if weights and state == "first" else ""
        embedder = Embedder(network, options, source, how, run_name(model))
        write_embeddings(path, both.values(), embedder, (*identity, state, began), inputs, root)
    vectors = {"": Shard(embeddings).rows, "untrained": Shard(first).rows}
    tested = Comparison(train, test, options)
    tested.say_incomplete()
    import sklearn.linear_model  # noqa: F401 - what is loaded after the limit is set does not keep it

    with threadpool_limits(1):  # products of matrices round by the number of threads
        own = tested.numbers(lambda clip: vectors[""](clip.name))
        baselines = {
            "clock": tested.mean(lambda clip: metrics_of.clock(clip.frames)[:: options.every]),
            "pixels": tested.mean(_pixels(source, options)),
            "untrained": tested.mean(lambda clip: vectors["untrained"](clip.name)),
        }
        rows = _rows(tested, lambda clip: vectors[""](clip.name))
    whole = mean(list(own.values()))
    counts = {"clips": len(test), "train_clips": len(train), "frames": sum(clip.frames for clip in test)}
    size = {"parameters": sum(p.numel() for p in trained.network.parameters() if p.requires_grad)}
    sets = {"sets": {name: numbers for name, numbers in own.items() if name}}
    write(predictions, rows, ClipResult)
    write_json(metrics, counts | size | whole | baselines | {"over": over(whole, baselines)} | sets)


def _apart(options: AlignmentOptions, sets: str) -> AlignmentOptions:
    """Return the options with which clips are made, their sets those of a test where it names them."""
    if sets not in ("", "none", "task"):
        raise ConfigError(f"--sets: {sets!r} is not allowed: give task or none")
    return options.model_copy(update={"sets": sets}) if sets else options


def _pixels(source: Sources, options: AlignmentTestOptions) -> Callable[[Clip], np.ndarray]:
    """Return the function that gives a clip's raw pixels (feature rows), (n, F) float32; each clip is read once."""
    kept: dict[str, np.ndarray] = {}

    def read(clip: Clip) -> np.ndarray:
        if clip.name not in kept:
            items = source.read.frames(clip.video, clip.first + np.arange(0, clip.frames, options.every))
            kept[clip.name] = items if source.made is None else metrics_of.pixels(items, options.pixels)
        return kept[clip.name]

    return read


class Comparison:
    """Training and test clips, set by set, for embeddings of any kind."""

    def __init__(self, train: Sequence[Clip], test: Sequence[Clip], options: MeasuringOptions):
        self.options = options
        self.sets = data.by_set(test)
        training = data.by_set(train)
        self.train = {name: training.get(name, []) for name in self.sets}
        self.classes = {name: data.classes_of([*self.train[name], *self.sets[name]]) for name in self.sets}

    def say_incomplete(self) -> None:
        """Say which clips lack a phase, and so have no progress."""
        if "progression" not in self.options.tasks:
            return
        lacking = [
            clip.name
            for name, classes in self.classes.items()
            for clip in (*self.train[name], *self.sets[name])
            if any(clip.labels) and not metrics_of.complete(clip.numbers(classes)[:: self.options.every], len(classes))
        ]
        if lacking:
            log.warning("%d clips lack a phase and do not count in progress, %r for example", len(lacking), lacking[0])

    def numbers(self, vectors: Callable[[Clip], np.ndarray]) -> dict[str, Numbers]:
        """Return the measures of each set. vectors: gives the embeddings (n, D) of a clip."""
        found = {}
        for name, classes in self.classes.items():
            sides = (self.side(clips, vectors, classes) for clips in (self.train[name], self.sets[name]))
            found[name] = measures(*sides, len(classes), self.options)
        return found

    def mean(self, vectors: Callable[[Clip], np.ndarray]) -> Numbers:
        """Return the mean of the measures over sets."""
        return mean(list(self.numbers(vectors).values()))

    def side(self, clips: Sequence[Clip], vectors: Callable[[Clip], np.ndarray], classes: Sequence[str]) -> Side:
        """Return the embeddings and labels of clips, of every so-manieth frame as the options say."""
        return Side(
            [np.asarray(vectors(clip), np.float64) for clip in clips],
            [clip.numbers(classes)[:: self.options.every] for clip in clips],
        )


def _rows(tested: Comparison, vectors: Callable[[Clip], np.ndarray]) -> list[ClipResult]:
    """Return the row of each test clip. No method: what training validates by does not hang on how tables are written."""
    found = []
    for name, clips in tested.sets.items():
        side = tested.side(clips, vectors, tested.classes[name]).known()  # the frames that the set's tau is of
        by_clip = tau_by_clip(side.vectors, tested.options)
        for clip, tau in zip(clips, by_clip, strict=True):
            labelled = sum(label != "" for label in clip.labels)
            known = None if tau is None else round(tau, DIGITS)
            about = {"clip": clip.name, "video": clip.video, "set": clip.set}
            found.append(ClipResult(**about, frames=clip.frames, labelled=labelled, tau=known))
    return found
