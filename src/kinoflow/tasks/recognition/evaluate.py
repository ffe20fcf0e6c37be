"""The stage that tests trained networks, one or several together, on clips: a row for each clip and head, and measures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics.scores import ensemble, softmax
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import write_json, write_text
from kinoflow.store.tables import Segment, write
from kinoflow.tasks.recognition import data, sampling
from kinoflow.tasks.recognition.inputs import check_crops
from kinoflow.tasks.recognition.measures import Outcome, check_groups, measures
from kinoflow.tasks.recognition.options import ClipTestOptions
from kinoflow.tasks.recognition.score_store import Scores, write_scores
from kinoflow.tasks.recognition.scoring import Scorer, Trained, read_checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6  # of probabilities in tables


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A row of the table of predictions: what one head says of one clip."""

    segment: str
    video: str
    head: str
    label: str  # "" where none is known
    predicted: str
    probability: float
    second: str
    third: str
    fourth: str
    fifth: str  # "" where there are fewer classes


@dataclass(frozen=True, kw_only=True)
class Confused:
    """A row of the table of confusions: how many clips of one class were taken for another; only those that occur."""

    head: str
    label: str
    predicted: str
    clips: int


def recognition_evaluate(
    models: list[In],
    videos: In,
    segments: In,
    metrics: Out,
    predictions: Out,
    confusion: Out,
    options: ClipTestOptions,
    frames: list[In] | None = None,
    root: Folder | None = None,
    splits: list[str] | None = None,
    scores: Out | None = None,
    published: Out | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Test trained networks on clips; several are an ensemble. Of a split without labels every video is a clip.

    models: the checkpoints, model.safetensors of recognition runs
    videos: the table of videos
    segments: the table of labelled segments
    metrics: the measures to write, JSON
    predictions: the table of predictions to write: a row for each clip and head
    confusion: the table of confusions to write: head, label, predicted, clips
    frames: the shards of frames, or of flow, all of the dataset's; an ensemble of both is given both
    root: the folder of the videos, to decode frames from there in place of shards
    splits: the splits to test on; test if not given
    scores: all scores to write, HDF5, for `kinoflow recognition-fuse`
    published: the predictions of the main head to write, as a benchmark's server reads them
    device: cpu, cuda, or auto: CUDA where there is some
    threads: clips that are worked on at once; results do not depend on it
    """
    trained = [read_checkpoint(path) for path in models]
    heads = _checked(models, trained, options)
    rows = data.to_test(segments, videos, splits or ("test",))
    how = Arithmetic(device_of(device), threads=threads)
    found = _scores(models, trained, rows, data.Sources(frames or (), root), options, how)
    together = {head: ensemble([each[head] for each in found], options.coefficients or None) for head in heads}
    outcomes = {head: _outcome(head, rows, trained[0], together[head]) for head in heads}
    said = Scores(
        segments=[row.segment for row in rows],
        videos=[row.video for row in rows],
        heads=outcomes,
        probabilities=options.softmax or all(each.options.network.softmax_first for each in trained),
        models=len(models),
        parameters=sum(p.numel() for each in trained for p in each.network.parameters()),
        test=options,
    )
    write_results(said, metrics, predictions, confusion, published, options.published)
    if scores:
        write_scores(scores, said)


def write_results(
    said: Scores, metrics: Path, predictions: Path, confusion: Path, published: Path | None, form: str | None
) -> None:
    """Write what a test, or several together, have said: measures, tables, and the file for a server if asked for."""
    rows = [Segment(segment=s, video=v, start=0, end=0) for s, v in zip(said.segments, said.videos, strict=True)]
    write(predictions, _predictions(rows, said.heads, said.probabilities), Prediction)
    write(confusion, _confusions(said.heads), Confused)
    if published:
        _write_published(published, rows, next(iter(said.heads.values())), form or "label")
    beside = {"clips": len(rows), "models": said.models, "parameters": said.parameters}
    write_json(metrics, beside | {head: measures(each, said.test) for head, each in said.heads.items()})


# ---------------------------------------------------------------- before anything runs


def _checked(models: Sequence[Path], trained: Sequence[Trained], options: ClipTestOptions) -> list[str]:
    """Return the heads that are tested, after all checks that need no data."""
    if not models:
        raise ConfigError("models: give at least one checkpoint")
    if options.coefficients and len(options.coefficients) != len(models):
        raise ConfigError(
            f"coefficients: there are {len(options.coefficients)}, but {len(models)} models; give one for each"
        )
    for path, each in zip(models, trained, strict=True):
        check_crops(options, each.mirror)
        differing = next((head for head in trained[0].heads if each.heads.get(head) != trained[0].heads[head]), None)
        if differing or len(each.heads) != len(trained[0].heads):
            what = f"the classes of the head {differing!r}" if differing else "the heads"
            raise DataError(
                f"{path} and {models[0]} differ in {what}; test together what was trained on the same classes"
            )
    check_groups(options, trained[0].heads)
    return list(trained[0].heads)


# ---------------------------------------------------------------- scores


def _scores(
    models: Sequence[Path],
    trained: Sequence[Trained],
    rows: Sequence[Segment],
    sources: data.Sources,
    options: ClipTestOptions,
    how: Arithmetic,
) -> list[dict[str, np.ndarray]]:
    """Return what each network says of the clips."""
    clips, found = [], []
    for each in trained:  # what is wrong with clips is told before the first network has worked for hours
        source = sources.of(each.options, each.frames)
        clips.append((source, data.clips(rows, source)))
        data.check_lengths(clips[-1][1], sampling.needed(each.options.input))
    for path, each, (source, some) in zip(models, trained, clips, strict=True):
        found.append(Scorer(each, options, how).scores(some, source, f"test {run_name(path)}"))
    return found


def _outcome(head: str, rows: Sequence[Segment], trained: Trained, scores: np.ndarray) -> Outcome:
    labels, classes = [getattr(row, head) for row in rows], trained.heads[head]
    data.warn_of_unseen(labels, head, classes)
    return Outcome(scores, labels, classes, trained.training[head])


# ---------------------------------------------------------------- tables


def ranked(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of the ``count`` likeliest classes of each clip, (N, count) or as many as there are classes.

    scores: (N, K). Of equals the lower number comes first.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def probabilities(scores: np.ndarray, already: bool) -> np.ndarray:
    """Return the probabilities (N, K) of scores, which ``already`` says are so, but for what coefficients made of them."""
    if not already:
        return softmax(np.asarray(scores, np.float64))
    positive = np.asarray(scores, np.float64).clip(min=0)
    return positive / np.maximum(positive.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)


def _predictions(rows: Sequence[Segment], outcomes: dict[str, Outcome], already: bool) -> Iterator[Prediction]:
    best = {head: ranked(each.scores, 5) for head, each in outcomes.items()}
    shares = {head: probabilities(each.scores, already) for head, each in outcomes.items()}
    for i, row in enumerate(rows):
        for head, outcome in outcomes.items():
            order = best[head][i]
            names = [*(outcome.classes[k] for k in order), *[""] * (5 - len(order))]
            yield Prediction(
                segment=row.segment,
                video=row.video,
                head=head,
                label=outcome.labels[i],
                predicted=names[0],
                probability=round(float(shares[head][i, order[0]]), DIGITS),
                second=names[1],
                third=names[2],
                fourth=names[3],
                fifth=names[4],
            )


def _confusions(outcomes: dict[str, Outcome]) -> Iterator[Confused]:
    for head, outcome in outcomes.items():
        names, counts = outcome.names, outcome.counts()
        for label, predicted in zip(*np.nonzero(counts), strict=True):
            clips = int(counts[label, predicted])
            yield Confused(head=head, label=names[label], predicted=names[predicted], clips=clips)


def _write_published(path: Path, rows: Sequence[Segment], outcome: Outcome, form: str) -> None:
    """Write a line for each clip: id;label, or id and the numbers of the five likeliest classes."""
    if form == "top5" and len(outcome.classes) < 5:
        raise ConfigError(f"published: top5 needs five classes, the main head has {len(outcome.classes)}; take label")
    best, lines = ranked(outcome.scores, 5), []
    for name, order in zip(published_ids(rows), best, strict=True):
        told = [outcome.classes[order[0]]] if form == "label" else map(str, order)
        lines.append(";".join([name, *told]))
    write_text(path, "".join(f"{line}\n" for line in lines))


def published_ids(rows: Iterable[Segment]) -> list[str]:
    """Return the name under which a benchmark knows each clip: its video's, without folder and suffix, if that is one clip.

    Where a video has several clips, or two have the same name, clips have the names of their segments.
    """
    rows = list(rows)
    names = [PurePosixPath(row.video).stem for row in rows]
    if len(set(names)) == len(names):
        return names
    log.info("published: videos have several clips, or names come twice: clips are told by their segments' names")
    return [row.segment for row in rows]
