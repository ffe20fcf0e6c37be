"""What segmentation runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../segmentation/<run>/seed-<k>/<file>``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinoflow.report.results import by_seed, mean_of, networks, numbers, together, typical
from kinoflow.report.results import history as history_of
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
        return by_seed({seed: result.metrics for seed, result in self.seeds.items()}, keys)

    def mean(self, *keys: str) -> float | None:
        """Return the mean over seeds of a measure; None if no seed has it."""
        return mean_of(self.values(*keys))

    def typical(self) -> int:
        """Return the seed whose accuracy is nearest to the median of all, the lowest of equals."""
        found = self.values(*ACCURACY) or self.values("nll", "per_row")
        return typical(found)

    @property
    def states(self) -> int:
        """States of its model."""
        return self.trained.states

    def rows_read(self) -> str:
        """Return what tells the rows of its model's seed from those of other features, as one JSON text."""
        how = self.options
        read = {"rows": how.rows.model_dump(mode="json"), "background": how.labels.background == "removed"}
        return json.dumps(read | {"origin": self.trained.origin.about()}, sort_keys=True)

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


# ---------------------------------------------------------------- reading


def read_runs(
    metrics: Iterable[Path], histories: Iterable[Path], predictions: Iterable[Path], models: Iterable[Path]
) -> list[Run]:
    """Return the runs by name; DataError if a seed lacks one of its files. models: one of each run is enough."""
    seeds = together({"metrics": metrics, "history": histories, "predictions": predictions})
    runs = sorted({run for run, _ in seeds})
    checkpoints, found = networks(models, runs), []
    for run in runs:
        own = {seed: _result(*paths) for (of, seed), paths in seeds.items() if of == run}
        found.append(_run(run, checkpoints[run], own))
    return found


def _run(name: str, model: Path, seeds: dict[int, Result]) -> Run:
    from kinoflow.tasks.segmentation.trained import read_checkpoint

    return Run(name, read_checkpoint(model), int(model.parent.name.removeprefix("seed-")), seeds)


def _result(metrics: Path, history: Path, predictions: Path) -> Result:
    from kinoflow.tasks.segmentation.evaluate import Found

    return Result(numbers(metrics), history_of(history), tables.read(predictions, Found))


def best_run(runs: Iterable[Run]) -> Run | None:
    """Return the run with the highest mean accuracy, the first of equals; None if nothing is labelled."""
    means = [(run.mean(*ACCURACY), run) for run in runs]
    scored = [(mean, run) for mean, run in means if mean is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None
