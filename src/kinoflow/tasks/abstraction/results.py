"""What abstraction runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../abstraction/<run>/seed-<k>/<file>``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinoflow.report.results import by_seed, networks, numbers, together, typical
from kinoflow.store import tables
from kinoflow.tasks.abstraction.options import AbstractionOptions

if TYPE_CHECKING:
    from kinoflow.tasks.abstraction.checkpoints import Trained
    from kinoflow.tasks.abstraction.evaluate import Named, Placed

KINDS = {
    "sam": "SAM {scales}",
    "pooled": "pooled SAM {scales}",
    "head": "head on the mean (B2)",
    "classifier": "classify, then common ancestor (B3)",
}
ORDER = ("sam", "pooled", "head", "classifier")


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left; tables are read where they are needed."""

    metrics: dict[str, Any]
    predictions: Path
    placed: Path

    def named(self) -> "list[Named]":
        """Return the named subsets."""
        from kinoflow.tasks.abstraction.evaluate import Named

        return tables.read(self.predictions, Named)

    def places(self) -> "list[Placed]":
        """Return the candidates and members of sets with an odd one."""
        from kinoflow.tasks.abstraction.evaluate import Placed

        return tables.read(self.placed, Placed)


@dataclass(frozen=True)
class Run:
    """A run: its options, and the results of its seeds."""

    name: str
    options: AbstractionOptions  # as its checkpoint says
    dataset: str
    seeds: dict[int, Result]

    @property
    def kind(self) -> str:
        """What the run is, in words; which baseline, if it is one."""
        network, more = self.options.network, []
        text = KINDS[network.kind].format(scales="-".join(map(str, network.scales)))
        if network.kind in ("sam", "pooled") and network.scales == (1,):
            more.append("B4")
        if network.kind != "classifier" and not self.options.embedding_weight:
            more.append("without vectors, B5")
        if network.symmetrise != "none":
            more.append(network.symmetrise)
        if self.options.target != "node":
            more.append("paths")
        return f"{text} ({', '.join(more)})" if more else text

    def values(self, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure, for the seeds that have it: values("naming", "exact", "n4")."""
        return by_seed({seed: result.metrics for seed, result in self.seeds.items()}, keys)

    def typical(self) -> int:
        """Return the seed whose share of named subsets is nearest to the median of all, the lowest of equals."""
        shares = self.values("naming", "exact", "all")
        return typical(shares)


def read_runs(
    metrics: Iterable[Path], predictions: Iterable[Path], placed: Iterable[Path], models: Iterable[Path]
) -> "tuple[list[Run], Trained]":
    """Return the runs, SAM first, baselines last, and the checkpoint of the first; DataError if a seed lacks a file.

    models: one of each run is enough, for its seeds have the same network.
    """
    from kinoflow.tasks.abstraction.checkpoints import read_checkpoint

    seeds = together({"metrics": metrics, "predictions": predictions, "placed": placed})
    runs = sorted({run for run, _ in seeds})
    checkpoints, found = networks(models, runs), []
    for run in runs:
        trained = read_checkpoint(checkpoints[run])
        own = {seed: Result(numbers(tested), *paths) for (of, seed), (tested, *paths) in seeds.items() if of == run}
        found.append((Run(run, trained.options, trained.dataset, own), trained))
    found.sort(key=lambda pair: _rank(pair[0]))
    return [run for run, _ in found], found[0][1]


def _rank(run: Run) -> tuple:
    """SAM of several scales with vectors first, then its ablations, then the baselines."""
    options = run.options
    plain = options.embedding_weight > 0 and len(options.network.scales) > 1 and options.network.symmetrise == "none"
    return ORDER.index(options.network.kind), not plain, run.name
