"""What runs of anticipation have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../anticipation/<run>/seed-<k>/<file>``.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kinoflow.errors import DataError
from kinoflow.report.outcome import PLACE
from kinoflow.store import tables
from kinoflow.tasks.anticipation.evaluate import Prediction
from kinoflow.tasks.anticipation.result_store import Scores, read_scores

Row = dict[str, float]  # of a history


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left."""

    metrics: dict[str, Any]
    history: list[Row]
    predictions: list[Prediction]
    scores: Scores
    model: Path


@dataclass(frozen=True)
class Run:
    """A run and the results of its seeds."""

    name: str
    seeds: dict[int, Result]

    def values(self, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure, for the seeds that have it: values("action", "top1")."""
        found = {seed: at(result.metrics, keys) for seed, result in self.seeds.items()}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def mean(self, *keys: str) -> float | None:
        """Return the mean of a measure over seeds; None if none has it."""
        values = list(self.values(*keys).values())
        return sum(values) / len(values) if values else None

    def typical(self) -> int:
        """Return the seed whose top-1 share is nearest to the median of all, the lowest of equals."""
        top1 = self.values("action", "top1")
        middle = median(top1.values())
        return min(top1, key=lambda seed: (abs(top1[seed] - middle), seed))


def at(value: Any, keys: Sequence[str]) -> Any:
    """Return what lies below ``keys`` in nested dicts; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def best_run(runs: Sequence[Run]) -> Run:
    """Return the run with the highest mean top-1 share, the first of equals."""
    return max(runs, key=lambda run: run.mean("action", "top1") or 0.0)


def read_runs(
    metrics: Iterable[Path],
    histories: Iterable[Path],
    predictions: Iterable[Path],
    scores: Iterable[Path],
    models: Iterable[Path],
) -> list[Run]:
    """Return the runs by name; DataError if a seed lacks one of its files."""
    parts = [_placed(paths) for paths in (metrics, histories, predictions, scores, models)]
    what = ("metrics", "histories", "predictions", "scores", "models")
    places = sorted({place for part in parts for place in part})
    if not places:
        raise DataError("metrics: there is no run to report on; give the files of at least one")
    for place in places:
        missing = [name for name, part in zip(what, parts, strict=True) if place not in part]
        if missing:
            raise DataError(f"{missing[0]}: there is no file of the run {place[0]!r}, seed {place[1]}; give it too")
    found: dict[str, dict[int, Result]] = {}
    for run, seed in places:
        found.setdefault(run, {})[seed] = _result(*(part[run, seed] for part in parts))
    return [Run(name, seeds) for name, seeds in found.items()]


def _placed(paths: Iterable[Path]) -> dict[tuple[str, int], Path]:
    found: dict[tuple[str, int], Path] = {}
    for path in paths:
        place = PLACE.fullmatch(path.parent.name)
        if not place:
            raise DataError(f"{path}: results lie at <run>/seed-<number>/<file>; keep them in their folders")
        found[path.parent.parent.name, int(place[1])] = path
    return found


def _result(metrics: Path, history: Path, predictions: Path, scores: Path, model: Path) -> Result:
    try:
        numbers = json.loads(metrics.read_bytes())
    except ValueError as error:
        raise DataError(f"{metrics}: this is no JSON file: {error}") from None
    return Result(numbers, _history(history), tables.read(predictions, Prediction), read_scores(scores), model)


def _history(path: Path) -> list[Row]:
    rows = []
    for line, row in tables.read_csv(path, ()):
        try:
            numbers = {name: float(text) for name, text in row.items() if name and text}
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        rows.append({name: number for name, number in numbers.items() if math.isfinite(number)})
    return rows
