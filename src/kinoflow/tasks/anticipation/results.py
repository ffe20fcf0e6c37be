"""What runs of anticipation have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../anticipation/<run>/seed-<k>/<file>``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinoflow.report.results import by_seed, mean_of, numbers, together, typical
from kinoflow.report.results import history as history_of
from kinoflow.store import tables
from kinoflow.tasks.anticipation.evaluate import Prediction
from kinoflow.tasks.anticipation.result_store import Scores, read_scores
from kinoflow.tasks.anticipation.rollout import Later

Row = dict[str, float]  # of a history


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left."""

    metrics: dict[str, Any]
    history: list[Row]
    predictions: list[Prediction]
    scores: Scores
    model: Path
    later: list[Later]  # of students that roll out


@dataclass(frozen=True)
class Run:
    """A run and the results of its seeds."""

    name: str
    seeds: dict[int, Result]

    def values(self, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure, for the seeds that have it: values("action", "top1")."""
        return by_seed({seed: result.metrics for seed, result in self.seeds.items()}, keys)

    def mean(self, *keys: str) -> float | None:
        """Return the mean of a measure over seeds; None if none has it."""
        return mean_of(self.values(*keys))

    def typical(self) -> int:
        """Return the seed whose top-1 share is nearest to the median of all, the lowest of equals."""
        top1 = self.values("action", "top1")
        return typical(top1)


def best_run(runs: Sequence[Run]) -> Run:
    """Return the run with the highest mean top-1 share, the first of equals."""
    return max(runs, key=lambda run: run.mean("action", "top1") or 0.0)


def read_runs(
    metrics: Iterable[Path],
    histories: Iterable[Path],
    predictions: Iterable[Path],
    scores: Iterable[Path],
    models: Iterable[Path],
    later: Iterable[Path] = (),
) -> list[Run]:
    """Return the runs by name; DataError if a seed lacks one of its files. later: for none of them, or for all."""
    files = {"metrics": metrics, "histories": histories, "predictions": predictions, "scores": scores, "models": models}
    files |= {"later": later} if (later := list(later)) else {}
    found: dict[str, dict[int, Result]] = {}
    for (run, seed), paths in together(files).items():
        found.setdefault(run, {})[seed] = _result(*paths)
    return [Run(name, seeds) for name, seeds in found.items()]


def _result(
    metrics: Path, history: Path, predictions: Path, scores: Path, model: Path, later: Path | None = None
) -> Result:
    steps = tables.read(later, Later) if later else []
    told = tables.read(predictions, Prediction)
    return Result(numbers(metrics), history_of(history), told, read_scores(scores), model, steps)
