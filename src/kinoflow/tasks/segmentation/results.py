"""What segmentation runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../segmentation/<run>/seed-<k>/<file>``.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kinoflow.errors import DataError
from kinoflow.report.outcome import PLACE
from kinoflow.store import tables

if TYPE_CHECKING:
    from kinoflow.tasks.segmentation.evaluate import Found
    from kinoflow.tasks.segmentation.options import SegmentationOptions
    from kinoflow.tasks.segmentation.trained import Trained

Row = dict[str, float]  # of a history: {column: number}, those that the row has
ACCURACY = ("pooled", "mof")


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left."""

    metrics: dict[str, Any]
    history: list[Row]
    predictions: "list[Found]"


@dataclass(frozen=True)
class Run:
    """A run: one of its models, and the results of its seeds."""

    name: str
    trained: "Trained"
    model_seed: int  # of the model
    seeds: dict[int, Result]

    @property
    def options(self) -> "SegmentationOptions":
        """How it was trained."""
        return self.trained.options

    def values(self, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure, for the seeds that have it: values("nll", "per_row")."""
        found = {seed: _at(result.metrics, keys) for seed, result in self.seeds.items()}
        return {seed: float(value) for seed, value in found.items() if isinstance(value, int | float)}

    def mean(self, *keys: str) -> float | None:
        """Return the mean over seeds of a measure; None if no seed has it."""
        values = list(self.values(*keys).values())
        return sum(values) / len(values) if values else None

    def typical(self) -> int:
        """Return the seed whose accuracy is nearest to the median of all, the lowest of equals."""
        found = self.values(*ACCURACY) or self.values("nll", "per_row")
        middle = median(found.values())
        return min(found, key=lambda seed: (abs(found[seed] - middle), seed))

    @property
    def states(self) -> int:
        """States of its model."""
        return self.trained.states

    def described(self) -> str:
        """Say what its model is: ``64 states, rank 16``."""
        how, said = self.options, [f"{self.states} states"]
        said.append("dense" if how.model.rank is None else f"rank {how.model.rank}")
        said += ["geometric durations"] if how.model.duration == "geometric" else []
        said += [how.learn.replace("_", " ")] if how.learn != "unsupervised" else []
        said += [f"{name} in training" for name, known in _known(how) if known]
        said += ["a model of each task"] if how.models == "per_task" else []
        return ", ".join(said)


def _known(options: "SegmentationOptions") -> list[tuple[str, bool]]:
    constraints = options.constraints
    return [("order", constraints.ordering != "none"), ("narration", constraints.narration != "none")]


def _at(value: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# ---------------------------------------------------------------- reading


def read_runs(
    metrics: Iterable[Path], histories: Iterable[Path], predictions: Iterable[Path], models: Iterable[Path]
) -> list[Run]:
    """Return the runs by name; DataError if a seed lacks one of its files. models: one of each run is enough."""
    parts = [_placed(paths) for paths in (metrics, histories, predictions)]
    what = ("metrics", "history", "predictions")
    seeds = sorted({place for part in parts for place in part})
    for place in seeds:
        missing = [name for name, part in zip(what, parts, strict=True) if place not in part]
        if missing:
            raise DataError(f"{missing[0]}: there is no file of the run {place[0]!r}, seed {place[1]}; give it too")
    if not seeds:
        raise DataError("metrics: give the files of at least one run")
    checkpoints = _placed(models)
    found = []
    for run in sorted({run for run, _ in seeds}):
        own = {seed: _result(*(part[run, seed] for part in parts)) for of, seed in seeds if of == run}
        found.append(_run(run, checkpoints, own))
    return found


def _placed(paths: Iterable[Path]) -> dict[tuple[str, int], Path]:
    """Return files by run and seed."""
    found: dict[tuple[str, int], Path] = {}
    for path in paths:
        place = PLACE.fullmatch(path.parent.name)
        if not place:
            raise DataError(f"{path}: results lie at <run>/seed-<number>/<file>; keep them in their folders")
        found[path.parent.parent.name, int(place[1])] = path
    return found


def _run(name: str, checkpoints: dict[tuple[str, int], Path], seeds: dict[int, Result]) -> Run:
    from kinoflow.tasks.segmentation.trained import read_checkpoint

    own = sorted(seed for run, seed in checkpoints if run == name)
    if not own:
        raise DataError(f"models: there is no checkpoint of the run {name!r}; give it too")
    return Run(name, read_checkpoint(checkpoints[name, own[0]]), own[0], seeds)


def _result(metrics: Path, history: Path, predictions: Path) -> Result:
    from kinoflow.tasks.segmentation.evaluate import Found

    try:
        numbers = json.loads(metrics.read_bytes())
    except ValueError as error:
        raise DataError(f"{metrics}: this is no JSON file: {error}") from None
    return Result(numbers, _history(history), tables.read(predictions, Found))


def _history(path: Path) -> list[Row]:
    rows = []
    for line, row in tables.read_csv(path, ()):
        try:
            numbers = {name: float(text) for name, text in row.items() if name and text}
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        rows.append({name: number for name, number in numbers.items() if math.isfinite(number)})
    return rows


def best_run(runs: Iterable[Run]) -> Run | None:
    """Return the run with the highest mean accuracy, the first of equals; None if nothing is labelled."""
    means = [(run.mean(*ACCURACY), run) for run in runs]
    scored = [(mean, run) for mean, run in means if mean is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None
