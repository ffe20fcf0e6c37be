"""What alignment runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../alignment/<run>/seed-<k>/<file>``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from kinoflow.errors import DataError
from kinoflow.options import check
from kinoflow.report.results import at, by_seed, history, networks, numbers, placed, together, typical
from kinoflow.tasks.alignment.options import AlignmentOptions

Row = dict[str, float]  # of a history: {column: number}, those that the row has
ALGORITHMS = {"scl": "SCL", "tcc": "TCC", "tcn": "TCN", "classification": "supervised"}
MEASURES = {  # {name in the report: keys in the metrics}; the last share stands for those that are measured at several
    "tau": ("tau", "test"),
    "AP": ("retrieval",),
    "phases": ("classification",),
    "progress": ("progression",),
    "probe": ("probe",),
}


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left."""

    metrics: dict[str, Any]
    history: list[Row]
    embeddings: Path | None


@dataclass(frozen=True)
class Run:
    """A run: its network, and the results of its seeds."""

    name: str
    options: AlignmentOptions  # as its checkpoint says; how it was tested stands elsewhere
    seen: str  # what labels its backbone had seen
    dataset: str
    mirror: bool  # whether mirrored clips are the same
    clips: int  # that it was trained on
    seeds: dict[int, Result]

    def values(self, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure, for the seeds that have it: values("tau", "test"), values("clock", "tau", "test")."""
        return by_seed({seed: result.metrics for seed, result in self.seeds.items()}, keys)

    def typical(self) -> int:
        """Return the seed whose retrieval is nearest to the median of all, the lowest of equals."""
        found = self.values(*key_of("AP", self)) or self.values("tau", "test")
        if not found:
            return min(self.seeds)
        return typical(found)


def key_of(measure: str, run: Run) -> tuple[str, ...]:
    """Return the keys of a measure as a run's metrics have them: of AP the first K, of others the largest share, tested."""
    keys, metrics = MEASURES[measure], next(iter(run.seeds.values())).metrics
    if measure == "tau":
        return keys
    below = at(metrics, keys)
    if not isinstance(below, dict) or not below:
        return keys
    if measure == "AP":
        return (*keys, min(below, key=float))
    return (*keys, max(below, key=_share), "test")


def _share(percent: str) -> float:
    return float(percent.replace("_", "."))


def shares(run: Run, measure: str) -> list[str]:
    """Return the shares of labelled clips (percent) at which a measure was taken, smallest first."""
    below = at(next(iter(run.seeds.values())).metrics, MEASURES[measure])
    return sorted(below, key=_share) if isinstance(below, dict) else []


# ---------------------------------------------------------------- reading


def read_runs(
    metrics: Iterable[Path], histories: Iterable[Path], models: Iterable[Path], embeddings: Iterable[Path]
) -> list[Run]:
    """Return the runs, SCL first, by name; DataError if a seed lacks one of its files.

    models and embeddings: of some seeds is enough.
    """
    seeds, vectors = together({"metrics": metrics, "histories": histories}), placed(embeddings)
    runs = sorted({run for run, _ in seeds})
    checkpoints, found = networks(models, runs), []
    for run in runs:
        own = {
            seed: Result(numbers(tested), history(told), vectors.get((of, seed)))
            for (of, seed), (tested, told) in seeds.items()
            if of == run
        }
        found.append(_run(run, checkpoints[run], own))
    return sorted(found, key=lambda run: (list(ALGORITHMS).index(run.options.algorithm), run.name))


def _run(name: str, model: Path, seeds: dict[int, Result]) -> Run:
    from kinoflow.training import checkpoint

    _, about = checkpoint.read(model)
    if about.get("room") != "alignment":
        raise DataError(f"{model}: this is no checkpoint of an alignment run")
    options = check(AlignmentOptions, about["options"], str(model))
    return Run(name, options, about["seen"], about["dataset"], about["mirror"], about["clips"], seeds)


# ---------------------------------------------------------------- in words


def described(run: Run) -> str:
    """Say what a run's network is: ``SCL, transformer of 1 layer, no positions``."""
    network, said = run.options.network, [ALGORITHMS[run.options.algorithm]]
    if network.encoder == "transformer":
        said.append(f"transformer of {network.layers} layer{'' if network.layers == 1 else 's'}")
        said += ["no positions"] if network.positions == "none" else []
    else:
        said.append(network.encoder)
    return ", ".join(said)


def best_run(runs: Sequence[Run]) -> Run:
    """Return the run with the highest mean retrieval (tau, where there is none), the first of equals."""
    return max(runs, key=_worth)


def _worth(run: Run) -> float:
    found = run.values(*key_of("AP", run)) or run.values("tau", "test")
    return mean(found.values()) if found else -math.inf


def differing(run: Run, other: Run) -> list[str]:
    """Say in which options a run differs from another: ``scl.variance: 0.01``; lengths and what is tested do not count."""
    own, theirs = (
        dict(_flat(each.options.model_dump(mode="json", exclude={"test", "test_on", "validation", "validate_on"})))
        for each in (run, other)
    )
    return [f"{key}: {own[key]}" for key in own if own[key] != theirs.get(key)]


def _flat(values: dict[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
