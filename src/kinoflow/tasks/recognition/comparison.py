"""Runs side by side: tables of their networks and of the clips that they tell right, and how their training went."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kinoflow.report.results import at, numbers, placed, told
from kinoflow.report.section import Block, Column, Figure, Heading, Table, Text, code, counted
from kinoflow.tasks.recognition import drawing, results
from kinoflow.tasks.recognition.options import ClipTestOptions
from kinoflow.tasks.recognition.recall import CHANCE
from kinoflow.tasks.recognition.results import Run

MAJORITY = "majority"
VIEWS = {"one": 1, "twice": 2, "dense": 10}  # draws of segments
TOGETHER = 3  # most heads whose losses have a panel each
ENSEMBLES = (
    *(Column("ensemble", "name"), Column("scores of"), Column("seeds", "number", "d")),
    *(Column("top-1", "number"), Column("top-5", "number"), Column("mean recall of classes", "number")),
)
SCALES = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def span(numbers: Iterable[int]) -> str:
    """Say a number, or the lowest and the highest of several that differ: ``17``, ``17–41``."""
    found = sorted(set(numbers))
    return "–".join(map(str, (found[0], found[-1])[: len(found)])) if found else "0"


def clips(runs: Sequence[Run], head: str) -> str:
    """Say how many labelled clips were tested."""
    return span(int(number) for run in runs for number in run.values(head, "clips").values())


def heads(runs: Sequence[Run], head: str) -> list[str]:
    """Return all heads, the main one first."""
    return list(dict.fromkeys([head, *(of for run in runs for of in run.heads)]))


def networks(runs: Sequence[Run]) -> Table:
    """Return the table of networks: what they are, what they read, what they cost."""
    columns = (
        Column("run", "name"),
        Column("network"),
        Column("reads"),
        Column("backbone"),
        Column("parameters", "number"),
        Column("multiply-adds", "number"),
        Column("trained for", "number"),
    )
    rows = tuple(
        (
            run.name,
            results.described(run.options),
            results.seen(run.options),
            run.options.network.backbone,
            _large(run.parameters),
            _large(run.work),
            _length(run),
        )
        for run in runs
    )
    notes = [
        "Reads: segments of a clip × what is read of each, and the sides of the picture. Multiply-adds: of one view of a clip"
        " (k thousand, M million, G thousand million). Trained for: length × clips of a step.",
    ]
    views = {run.name: _views(run.test) for run in runs if run.test}
    if views:
        alike = len(set(views.values())) == 1 and len(views) == len(runs)
        each = counted(max(views.values()), "view") if alike else ", ".join(f"{n} by {v}" for n, v in views.items())
        notes.append(f"A test clip is told by {each}." if alike else f"Views by which a test clip is told: {each}.")
    return Table("The networks", columns, rows, notes=tuple(notes))


def _large(number: int) -> str:
    scale, sign = next((scale for scale in SCALES if number >= scale[0]), (1, ""))
    return f"{number / scale:.1f} {sign}".strip()


def _views(test: ClipTestOptions) -> int:
    return test.crops * VIEWS[test.clips]


def _length(run: Run) -> str:
    training = run.options.training
    length = counted(training.steps, "step") if training.steps else counted(training.epochs or 0, "epoch")
    return f"{length} × {training.batch}"


def accuracies(runs: Sequence[Run], head: str) -> list[Block]:
    """Return a table for each head, ``head`` first: shares of clips told right, beside what needs no network."""
    found: list[Block] = [Heading("Clips told right")]
    for of in heads(runs, head):
        having = [run for run in runs if run.values(of, "top1")]
        found.append(_accuracy(having, of) if having else Text(f"No tested clip has a label of {code(of)}."))
    return found


def _accuracy(runs: Sequence[Run], head: str) -> Table:
    plain = [run for run in runs if results.described(run.options) == "TSN"]
    base = plain[0] if len(plain) == 1 and len(runs) > 1 else None
    best = results.best_run(runs, head)
    kinds = (("top1",), ("top5",), ("class_accuracy",))
    rows = []
    for run in runs:
        over = () if base is None else (_gain(run, base, head),)
        rows.append((run.name, len(run.seeds), *(told(run.values(head, *keys).values()) for keys in kinds), *over))
    for name in (CHANCE, MAJORITY):
        cells = [_baseline(runs, head, name, keys[0]) for keys in kinds[:2]]
        mean = cells[0] if name == CHANCE else ""  # in expectation the same for every class
        rows.append((name, None, *cells, mean, *(() if base is None else ("",))))
    columns = (
        Column("run", "name"),
        Column("seeds", "number", "d"),
        Column("top-1", "number"),
        Column("top-5", "number"),
        Column("mean recall of classes", "number"),
        *(() if base is None else (Column(f"top-1 over {base.name}", "number"),)),
    )
    counts = span(len(run.heads[head]) for run in runs)
    several = (
        "The mean over seeds, and the lowest and highest of them. " if any(len(run.seeds) > 1 for run in runs) else ""
    )
    note = f"{several}Chance: a class drawn at random. Majority: always the classes that training has most clips of."
    highlight = (runs.index(best),) if best and len(runs) > 1 else ()
    number = clips(runs, head)
    caption = f"{head}: {number} test {'clip' if number == '1' else 'clips'}, {counts} classes"
    return Table(caption, columns, tuple(rows), notes=(note,), highlight=highlight)


def ensembles(fusions: Sequence[Path], made: Mapping[str, str], runs: Sequence[Run], head: str) -> list[Block]:
    """Return a table of ensembles for each head that they tell, ``head`` first. made: of which runs each is the sum."""
    seeds: dict[str, list[dict[str, Any]]] = {}
    for (name, _), path in placed(fusions).items():
        seeds.setdefault(name, []).append(numbers(path))
    found: list[Block] = []
    for of in heads(runs, head):
        told_of = {name: [at(each, (of,)) for each in its] for name, its in seeds.items() if of in its[0]}
        if told_of:
            rows = tuple(_ensemble(name, made.get(name, ""), each) for name, each in told_of.items())
            found.append(
                Table(f"{of}: runs together", ENSEMBLES, rows, notes=("The mean over seeds, and their range.",))
            )
    return found


def _ensemble(name: str, made: str, seeds: Sequence[Any]) -> tuple:
    keys = ("top1", "top5", "class_accuracy")
    values = ([value for each in seeds if (value := at(each, (key,))) is not None] for key in keys)
    return (name, made, len(seeds), *(told(each) for each in values))


def _gain(run: Run, base: Run, head: str) -> str:
    """Say how much better a run is than another, in the mean over the seeds that both have."""
    own, other = run.values(head, "top1"), base.values(head, "top1")
    both = sorted(own.keys() & other.keys())
    if run is base or not both:
        return ""
    return f"{100 * sum(own[seed] - other[seed] for seed in both) / len(both):+.1f} points".replace("-", "−")


def _baseline(runs: Sequence[Run], head: str, name: str, key: str) -> str:
    """Say what a trivial baseline reaches; a range where it differs, for runs may know different classes."""
    return told(sorted({value for run in runs for value in run.values(head, name, key).values()}))


# ---------------------------------------------------------------- training


def curves(runs: Sequence[Run]) -> list[Block]:
    """Return the figure of training curves; nothing if no run has recorded any."""
    histories = {run.name: [result.history for result in run.seeds.values()] for run in runs}
    columns = dict.fromkeys(name for seeds in histories.values() for rows in seeds for row in rows for name in row)
    trained = [head for head in heads(runs, results.main_head(runs)) if f"train/{head}" in columns]
    if not trained:
        return []
    panels = {f"loss: {head}": (f"train/{head}",) for head in trained}
    if len(trained) > TOGETHER:
        panels = {"loss: sum over heads": tuple(panel[0] for panel in panels.values())}
    checked = [head for head in trained if f"validation/{head}_top1" in columns][:1]
    panels |= {f"validation: {head}": (f"validation/{head}_top1",) for head in checked}
    panels |= {"learning rate": ("learning_rate",)}
    caption = "Losses by optimisation step, times their weights, as means over the steps since the row before. "
    caption += "Thick: mean over seeds; thin: each seed. " if any(len(run.seeds) > 1 for run in runs) else ""
    caption += "Validation: share of clips told right (top-1). " if checked else ""
    empty = [run.name for run in runs if not any(result.history for result in run.seeds.values())]
    caption += f"Nothing was recorded of {', '.join(empty)}." if empty else ""
    last = [f"{run}: {_last(seeds, panels)}" for run, seeds in histories.items() if any(seeds)]
    picture = drawing.curves(histories, panels)
    return [Heading("Training"), Figure(f"Training curves. {'; '.join(last)}", caption.strip(), svg=picture)]


def _last(seeds: Sequence[Sequence[results.Row]], panels: dict[str, tuple[str, ...]]) -> str:
    """Say where the curves of a run end."""
    row = next(rows for rows in seeds if rows)[-1]
    return ", ".join(f"{title} {sum(row.get(name, 0.0) for name in names):.3g}" for title, names in panels.items())
