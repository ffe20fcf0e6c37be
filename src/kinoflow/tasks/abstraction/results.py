"""What abstraction runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../abstraction/<run>/seed-<k>/<file>``.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kinoflow.errors import DataError
from kinoflow.report.outcome import PLACE
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
        found = {seed: _at(result.metrics, keys) for seed, result in self.seeds.items()}
        return {seed: float(value) for seed, value in found.items() if isinstance(value, int | float)}

    def typical(self) -> int:
        """Return the seed whose share of named subsets is nearest to the median of all, the lowest of equals."""
        shares = self.values("naming", "exact", "all")
        middle = median(shares.values())
        return min(shares, key=lambda seed: (abs(shares[seed] - middle), seed))


def _at(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_runs(
    metrics: Iterable[Path], predictions: Iterable[Path], placed: Iterable[Path], models: Iterable[Path]
) -> "tuple[list[Run], Trained]":
    """Return the runs, SAM first, baselines last, and the checkpoint of the first; DataError if a seed lacks a file.

    models: one of each run is enough, for its seeds have the same network.
    """
    from kinoflow.tasks.abstraction.checkpoints import read_checkpoint

    parts = [_placed(paths) for paths in (metrics, predictions, placed)]
    seeds = sorted({place for part in parts for place in part})
    for place in seeds:
        for what, part in zip(("metrics", "predictions", "placed"), parts, strict=True):
            if place not in part:
                raise DataError(f"{what}: there is no file of the run {place[0]!r}, seed {place[1]}; give it too")
    networks: dict[str, Path] = {}
    for (run, _), path in sorted(_placed(models).items()):
        networks.setdefault(run, path)
    found = []
    for run in sorted({run for run, _ in seeds}):
        if run not in networks:
            raise DataError(f"models: there is no checkpoint of the run {run!r}; give it too")
        trained = read_checkpoint(networks[run])
        own = {seed: _result(*(part[run, seed] for part in parts)) for of, seed in seeds if of == run}
        found.append((Run(run, trained.options, trained.dataset, own), trained))
    if not found:
        raise DataError("metrics: there is no run to show; give the files of at least one")
    found.sort(key=lambda pair: _rank(pair[0]))
    return [run for run, _ in found], found[0][1]


def _rank(run: Run) -> tuple:
    """SAM of several scales with vectors first, then its ablations, then the baselines."""
    options = run.options
    plain = options.embedding_weight > 0 and len(options.network.scales) > 1 and options.network.symmetrise == "none"
    return ORDER.index(options.network.kind), not plain, run.name


def _placed(paths: Iterable[Path]) -> dict[tuple[str, int], Path]:
    """Return files by run and seed."""
    found: dict[tuple[str, int], Path] = {}
    for path in paths:
        place = PLACE.fullmatch(path.parent.name)
        if not place:
            raise DataError(f"{path}: results lie at <run>/seed-<number>/<file>; keep them in their folders")
        found[path.parent.parent.name, int(place[1])] = path
    return found


def _result(metrics: Path, predictions: Path, placed: Path) -> Result:
    try:
        return Result(json.loads(metrics.read_bytes()), predictions, placed)
    except ValueError as error:
        raise DataError(f"{metrics}: this is no JSON file: {error}") from None
