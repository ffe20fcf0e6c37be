"""Abstraction runs side by side, with their baselines, as tables of the report's section."""

from collections.abc import Callable, Iterable, Sequence

from kinoflow.report.section import Column, Table
from kinoflow.tasks.abstraction.results import Run
from kinoflow.tasks.abstraction.scoring import SPACES

SIZES = ("n1", "n2", "n3", "n4", "n2_4")
ODD = ("n3", "n4", "n5", "mean")
RHO = ("n1", "n2", "n3", "n4", "mean")
NAMES = {"n2_4": "mean of 2–4", "mean": "mean", "overall": "all records"}
MEANS = "The mean over seeds, and the lowest and highest of them where they differ."
MAJORITY = {"exact": "majority", "tied": "majority_tied"}
SPACE_NAMES = {
    "embedding": "semantic vectors",
    "singles": "semantic vectors, centre of single clips",
    "feature": "features of the set",
    "relation": "raw features against features of the set",
    "mean": "raw features (B1)",
}


def told(values: Iterable[float], digits: int = 1) -> str:
    """Say a share in percent, or the mean of several with the lowest and highest: ``83.1 (82.0–84.5)``."""
    found = [100 * value for value in values]
    if not found:
        return ""
    mean = f"{sum(found) / len(found):.{digits}f}"
    low, high = f"{min(found):.{digits}f}", f"{max(found):.{digits}f}"
    return mean if low == high else f"{mean} ({low}–{high})"


def rho(values: Iterable[float]) -> str:
    """Say a correlation, or the mean of several with the lowest and highest."""
    found = list(values)
    if not found:
        return ""
    mean, low, high = (_signed(f"{value:.2f}") for value in (sum(found) / len(found), min(found), max(found)))
    return mean if low == high else f"{mean} ({low}{'–' if min(found) >= 0 else ' to '}{high})"


def _signed(number: str) -> str:
    """Write a minus sign in place of a hyphen; zero has none."""
    return number.removeprefix("-") if not float(number) else number.replace("-", "−")


def runs_table(runs: Sequence[Run]) -> Table:
    """Return the table of what was trained, and how."""
    columns = (
        Column("run", "name"), Column("what it is"), Column("K", "number", "d"), Column("F", "number", "d"),
        Column("weights of losses"), Column("noise", "number", "g"), Column("trained for"), Column("seeds", "number", "d"),
        Column("parameters", "number", "d"),
    )  # fmt: skip
    rows = tuple(
        (
            run.name,
            run.kind,
            run.options.network.bottleneck,
            run.options.network.width,
            _weights(run),
            run.options.noise,
            f"{length.steps or length.epochs} {'steps' if length.steps else 'epochs'} × {length.batch}",
            len(run.seeds),
            int(next(iter(run.values("parameters").values()))),
        )
        for run in runs
        for length in (run.options.training,)
    )
    return Table("The runs", columns, rows)


def _weights(run: Run) -> str:
    options = run.options
    if options.network.kind == "classifier":
        return "classes alone"
    return f"vectors {options.embedding_weight:g}, nodes {options.node_weight:g}"


def _interval(run: Run, say: Callable[[Iterable[float]], str], *keys: str) -> str:
    """Say a bootstrap interval over sets as its table says numbers, of a run's typical seed; nothing if there is none."""
    seed = run.typical()
    low, high = (run.values(*keys, end).get(seed) for end in ("low", "high"))
    if low is None or high is None:
        return ""
    return f"{run.name}, seed {seed}: {say([low])} to {say([high])}"


def _intervals(runs: Sequence[Run], what: str, say: Callable[[Iterable[float]], str], *keys: str) -> tuple[str, ...]:
    found = [said for run in runs if (said := _interval(run, say, *keys))]
    return (f"Intervals over resampled sets, {what}: {'; '.join(found)}.",) if found else ()


def naming_table(runs: Sequence[Run], which: str, caption: str) -> Table:
    """Return the table of subsets named right, by their size; which: exact or tied."""
    keys = [key for key in SIZES if any(run.values("naming", which, key) for run in runs)]
    rows = [(run.name, run.kind, *(told(run.values("naming", which, key).values()) for key in keys)) for run in runs]
    first = runs[0]
    majority = (told(first.values("naming", MAJORITY[which], key).values()) for key in keys)
    rows.append(("majority", "the node that training has most often, by size (B0)", *majority))
    chance = told(first.values("naming", "chance").values())
    rows.append(("chance", "a node drawn at random (B0)", *(chance for _ in keys)))
    columns = (
        Column("run", "name"), Column("what it is"), *(Column(NAMES.get(key, f"of {key[1:]}"), "number") for key in keys)
    )  # fmt: skip
    strong = "Classify, then common ancestor is stronger than it looks, for one clip above all: its errors add up with the set."
    known = [strong] if any(run.options.network.kind == "classifier" for run in runs) else []
    notes = (MEANS, *known, *_intervals(runs, "mean of 2–4", told, "naming", which))
    return Table(caption, columns, tuple(rows), notes=notes, highlight=(0,))


def _spaces(runs: Sequence[Run], test: str, measure: str, keys: Sequence[str], say, caption: str) -> Table:
    lacking = [key[1:] for key in keys if not any(run.values(test, "mean", measure, key) for run in runs)]
    keys = [key for key in keys if key[1:] not in lacking]
    own = [run for run in runs if run.options.network.kind != "classifier"]
    rows: list[tuple] = [
        (run.name, run.kind, *(say(run.values(test, "own", measure, key).values()) for key in keys)) for run in own
    ]
    first = runs[0]
    rows.append(
        (
            "raw features",
            "mean of raw features (B1)",
            *(say(first.values(test, "mean", measure, k).values()) for k in keys),
        )
    )
    rows.append(("chance", "guessed (B0)", *(say(first.values(test, "chance", measure, key).values()) for key in keys)))
    columns = (
        Column("run", "name"), Column("what it is"), *(Column(NAMES.get(key, f"of {key[1:]}"), "number") for key in keys)
    )  # fmt: skip
    note = "By semantic vectors where a run has learned some, else by features of the set; a classifier of clips has neither."
    fewer = (f"There are no records of {', '.join(lacking)}.",) if lacking else ()
    notes = (MEANS, note, *fewer, *_intervals(own, "over all records", say, test, "own", measure))
    return Table(caption, columns, tuple(rows), notes=notes, highlight=(0,))


def odd_table(runs: Sequence[Run]) -> Table:
    """Return the table of odd ones found, by the size of sets."""
    caption = "Odd ones found, in percent, by the number of clips in a set"
    return _spaces(runs, "odd_one_out", "top1", ODD, told, caption)


def completion_table(runs: Sequence[Run]) -> Table:
    """Return the table of rank correlations, by the number of references."""
    caption = "Candidates ranked by how well they join a set: Spearman's rho with the true distances, by references"
    return _spaces(runs, "completion", "rho", RHO, rho, caption)


def spaces_table(run: Run) -> Table:
    """Return the table of one run in every space; of one that does not apply the reason."""
    rows = []
    for space in SPACES:
        odd, best = run.values("odd_one_out", space, "top1", "mean"), run.values("completion", space, "rho", "mean")
        metrics = next(iter(run.seeds.values())).metrics
        tests = {"odd ones": "odd_one_out", "rho": "completion"}
        reasons = {what: metrics[test][space].get("reason", "") for what, test in tests.items()}
        alike = len(set(reasons.values())) == 1
        said = [reason if alike else f"{what}: {reason}" for what, reason in reasons.items() if reason]
        rows.append((SPACE_NAMES[space], told(odd.values()), rho(best.values()), "; ".join(dict.fromkeys(said))))
    columns = (Column("space"), Column("odd ones found", "number"), Column("rho", "number"), Column("does not apply"))
    return Table(f"{run.name} in every space: means over sizes of sets", columns, tuple(rows), notes=(MEANS,))
