"""The stage that adds the scores of several tests clip by clip: an ensemble of which each network was tested its own way."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.scores import ensemble
from kinoflow.stage import In, Out
from kinoflow.tasks.recognition.evaluate import write_results
from kinoflow.tasks.recognition.options import ClipFusionOptions
from kinoflow.tasks.recognition.score_store import Scores, read_scores, write_scores


def recognition_fuse(
    tests: list[In],
    metrics: Out,
    predictions: Out,
    confusion: Out,
    options: ClipFusionOptions,
    scores: Out | None = None,
    published: Out | None = None,
) -> None:
    """Add what several tests have said of the same clips: coefficient times scores, by the number of tests.

    Each network was tested by itself, with its own input, segments and crops. What is measured is that of the first test.

    tests: the scores of each test, of `kinoflow recognition-evaluate`
    metrics: the measures to write, JSON
    predictions: the table of predictions to write: a row for each clip and head
    confusion: the table of confusions to write: head, label, predicted, clips
    scores: the sums to write, HDF5
    published: the predictions of the main head to write, as a benchmark's server reads them
    """
    found = fused(tests, [read_scores(path) for path in tests], options.coefficients)
    write_results(found, metrics, predictions, confusion, published, options.published)
    if scores:
        write_scores(scores, found)


def fused(paths: Sequence[Path], every: Sequence[Scores], coefficients: Sequence[float] = ()) -> Scores:
    """Return the sums of scores, clips in the order of the first test.

    Raises ConfigError for more or fewer coefficients than tests, DataError for tests of other clips, labels or classes.
    """
    if not every:
        raise ConfigError("tests: give at least one file of scores")
    if coefficients and len(coefficients) != len(every):
        raise ConfigError(f"coefficients: there are {len(coefficients)}, but {len(every)} tests; give one for each")
    first, columns = every[0], []
    for path, each in zip(paths, every, strict=True):
        order = _order(path, each, paths[0], first)
        _check_heads(path, each, paths[0], first, order)
        columns.append(order)
    heads = {}
    for head, outcome in first.heads.items():
        aligned = [each.heads[head].scores[order] for each, order in zip(every, columns, strict=True)]
        heads[head] = replace(outcome, scores=ensemble(aligned, coefficients or None))
    return replace(
        first,
        heads=heads,
        probabilities=all(each.probabilities for each in every),
        models=sum(each.models for each in every),
        parameters=sum(each.parameters for each in every),
    )


def _order(path: Path, each: Scores, first_path: Path, first: Scores) -> np.ndarray:
    """Return where the clips of the first test stand in another one, (N,)."""
    own, wanted = each.segments, first.segments
    short = _short(each), _short(first)
    if sorted(own) != sorted(wanted) and sorted(short[0]) == sorted(short[1]) and len(set(short[0])) == len(own):
        own, wanted = short
    for here, there, lost in (
        (path, first_path, sorted(set(wanted) - set(own))),
        (first_path, path, sorted(set(own) - set(wanted))),
    ):
        if lost:
            raise DataError(
                f"{here}: the clip {lost[0]!r} of {there} is not in it ({len(lost)} are not); test both on the same splits"
            )
    place = {name: i for i, name in enumerate(own)}
    return np.array([place[name] for name in wanted], np.int64)


def _short(found: Scores) -> list[str]:
    """Return the names of clips without folder and suffix: the same in videos and in folders of pictures or flow."""
    pairs = zip(found.segments, found.videos, strict=True)
    return [
        f"{PurePosixPath(video).stem}{name.removeprefix(video)}" if name.startswith(video) else name
        for name, video in pairs
    ]


def _check_heads(path: Path, each: Scores, first_path: Path, first: Scores, order: np.ndarray) -> None:
    if each.heads.keys() != first.heads.keys():
        raise DataError(f"{path} and {first_path} differ in the heads; add tests of the same heads")
    for head, outcome in first.heads.items():
        own = each.heads[head]
        if tuple(own.classes) != tuple(outcome.classes):
            raise DataError(
                f"{path} and {first_path} differ in the classes of the head {head!r}; add what was trained on the same ones"
            )
        if [own.labels[i] for i in order] != list(outcome.labels):
            raise DataError(f"{path} and {first_path} differ in labels of the head {head!r}; test both again")
