"""What recognition runs have left behind, put together by run and seed, as the report's section wants it.

A file says by its place whose it is: ``.../recognition/<run>/seed-<k>/<file>``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinoflow.report.results import by_seed, networks, numbers, together, typical
from kinoflow.report.results import history as history_of
from kinoflow.store import tables
from kinoflow.tasks.recognition.inputs import channels
from kinoflow.tasks.recognition.options import ClipTestOptions, RecognitionOptions

if TYPE_CHECKING:
    from kinoflow.tasks.recognition.evaluate import Confused, Prediction

Row = dict[str, float]  # of a history: {column: number}, those that the row has
FAMILIES = ("TSN", "TSM", "short windows only", "LSNet")  # in the order of the report
PLANES = {"rgb": "RGB", "gray": "gray", "flow": "flow", "difference": "differences"}


@dataclass(frozen=True)
class Result:
    """What one seed of a run has left."""

    metrics: dict[str, Any]
    history: list[Row]
    predictions: "list[Prediction]"
    confusions: "list[Confused]"


@dataclass(frozen=True)
class Run:
    """A run: its network, and the results of its seeds."""

    name: str
    options: RecognitionOptions  # as its checkpoint says; how it was tested stands in ``test``
    test: ClipTestOptions | None  # None: not known
    heads: dict[str, tuple[str, ...]]  # classes that the network knows
    training: dict[str, tuple[int, ...]]  # training clips of each class
    parameters: int
    work: int  # multiply-adds of one view of a clip
    dataset: str
    seeds: dict[int, Result]

    def values(self, head: str, *keys: str) -> dict[int, float]:
        """Return {seed: number} of a measure of a head, for the seeds that have it: values("verb", "groups", "slow")."""
        return by_seed({seed: result.metrics for seed, result in self.seeds.items()}, (head, *keys))

    def typical(self, head: str) -> int | None:
        """Return the seed whose top-1 share is nearest to the median of all, the lowest of equals; None without labels."""
        top1 = self.values(head, "top1")
        if not top1:
            return None
        return typical(top1)

    def unseen(self, head: str) -> Counter[str]:
        """Count the tested clips of each class of which no training clip was."""
        known = {name for name, count in zip(self.heads[head], self.training[head], strict=True) if count}
        rows = next(iter(self.seeds.values())).predictions
        return Counter(row.label for row in rows if row.head == head and row.label and row.label not in known)

    @property
    def tested(self) -> list[str]:
        """The tested clips, by the names of their segments."""
        return list(dict.fromkeys(row.segment for row in next(iter(self.seeds.values())).predictions))


# ---------------------------------------------------------------- reading


def read_runs(
    metrics: Iterable[Path],
    histories: Iterable[Path],
    predictions: Iterable[Path],
    confusions: Iterable[Path],
    models: Iterable[Path],
    tests: Mapping[str, ClipTestOptions],
) -> list[Run]:
    """Return the runs, TSN first, LSNet last; DataError if a seed lacks one of its files.

    models: one of each run is enough, for its seeds have the same network.
    """
    files = {"metrics": metrics, "history": histories, "predictions": predictions, "confusion": confusions}
    seeds = together(files)
    runs = sorted({run for run, _ in seeds})
    checkpoints, found = networks(models, runs), []
    for run in runs:
        own = {seed: _result(*paths) for (of, seed), paths in seeds.items() if of == run}
        found.append(_run(run, checkpoints[run], tests.get(run), own))
    return sorted(found, key=lambda run: (FAMILIES.index(family(run.options)), run.name))


def _result(metrics: Path, history: Path, predictions: Path, confusion: Path) -> Result:
    from kinoflow.tasks.recognition.evaluate import Confused, Prediction

    return Result(
        numbers(metrics), history_of(history), tables.read(predictions, Prediction), tables.read(confusion, Confused)
    )


def _run(name: str, model: Path, test: ClipTestOptions | None, seeds: dict[int, Result]) -> Run:
    from kinoflow.tasks.recognition.model import cost
    from kinoflow.tasks.recognition.scoring import read_checkpoint

    trained = read_checkpoint(model)
    parameters, work = cost(trained.network, view(trained.options))
    known = (trained.options, test, trained.heads, trained.training, parameters, work, trained.dataset)
    return Run(name, *known, seeds)


def view(options: RecognitionOptions) -> tuple[int, int, int, int]:
    """Return the shape (T, c, H, W) of what a network sees of a clip at once."""
    return options.sampling.segments, channels(options.input), options.input.size, options.input.size


# ---------------------------------------------------------------- in words


def family(options: RecognitionOptions) -> str:
    """Return which of the published networks these options make; they differ in window and shift alone."""
    window = options.input.kind == "gray" and options.input.frames > 1
    if options.network.shift or options.network.fuse:
        return "LSNet" if window else "TSM"
    return "short windows only" if window else "TSN"


def described(options: RecognitionOptions) -> str:
    """Say what a network is: ``LSNet``, ``TSM, one-sided``, ``TSN on optical flow``."""
    of, network = options.input, options.network
    on = {"flow": " on optical flow", "difference": " on differences", "gray": " on gray frames"}
    said = [family(options) + (on.get(of.kind, "") if of.kind != "gray" or of.frames == 1 else "")]
    for name, word in (("one_sided", "one-sided"), ("fuse", "early fusion"), ("non_local", "non-local")):
        said += [word] if getattr(network, name) else []
    return ", ".join([*said, *(["temporal pool"] if network.temporal_pool else [])])


def seen(options: RecognitionOptions) -> str:
    """Say what a network reads of a clip: ``8 × 3 gray, 40 px``."""
    of = options.input
    each = f"{of.frames} {PLANES[of.kind]}" if of.frames > 1 else PLANES[of.kind]
    return f"{options.sampling.segments} × {each}, {of.size} px".replace(" ", "\u00a0").replace(",\u00a0", ", ")


def main_head(runs: Sequence[Run]) -> str:
    """Return the head that the most runs have as their main one: that with the largest weight, the first of equals."""
    mains = (max(run.heads, key=lambda head: run.options.heads[head].weight) for run in runs)
    return Counter(mains).most_common(1)[0][0]


def best_run(runs: Sequence[Run], head: str) -> Run | None:
    """Return the run with the highest mean top-1 share, the first of equals; None if no tested clip has a label."""
    means = {run.name: sum(top1.values()) / len(top1) for run in runs if (top1 := run.values(head, "top1"))}
    return max((run for run in runs if run.name in means), key=lambda run: means[run.name], default=None)
