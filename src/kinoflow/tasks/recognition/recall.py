"""How well groups of classes, and properties of classes, are told: a figure and tables of the report's section."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from kinoflow.report.results import told
from kinoflow.report.section import Block, Column, Figure, Heading, Table
from kinoflow.store.tables import Segment
from kinoflow.tasks.recognition import drawing
from kinoflow.tasks.recognition.drawing import Panel
from kinoflow.tasks.recognition.options import ClipTestOptions
from kinoflow.tasks.recognition.results import Run

OBJECTS = {"verb": "noun", "noun": "verb"}  # what may give a class away, by the head that tells it
CHANCE = "chance"


def guessed(head: str, group: Sequence[str], training: Iterable[Segment], tested: Iterable[Segment]) -> float | None:
    """Return the mean recall, over the classes of a group, of one who guesses among those that it could be.

    He knows that a clip is of the group, and what it is done to (of a noun: what is done): its class is one of those of the
    group that a training clip has with this object. None if no tested clip is of the group.
    """
    objects: dict[str, set[str]] = defaultdict(set)  # of each object, the classes of the group in training
    for row in training:
        if getattr(row, head) in group:
            objects[_object(row, head)].add(getattr(row, head))
    shares: dict[str, list[float]] = defaultdict(list)
    for row in tested:
        label = getattr(row, head)
        if label in group:
            could = objects[_object(row, head)] or set(group)
            shares[label].append(1 / len(could) if label in could else 0.0)
    means = [sum(each) / len(each) for each in shares.values()]
    return sum(means) / len(means) if means else None


def _object(row: Segment, head: str) -> str:
    return getattr(row, OBJECTS[head]) if head in OBJECTS else ""


def groups(
    runs: Sequence[Run],
    head: str,
    clips_of: Callable[[Run], tuple[Sequence[Segment], Sequence[Segment]]],
) -> list[Block]:
    """Return the figure of recall inside each group, and its table; of the main head's top-1 share if there are no groups.

    clips_of: the training clips of a run, and its tested ones.
    """
    whole = Panel(
        f"all {head}s" if head in OBJECTS else "all classes",
        {run.name: list(run.values(head, "top1").values()) for run in runs},
        _chances(runs, lambda run: run.values(head, "chance", "top1").values()),
    )
    panels = [_group(runs, of, name, head, clips_of) for of, name in _named(runs, "groups")]
    shown = [panel for panel in (whole, *panels) if any(panel.values.values())]
    if not shown:
        return []
    picture = drawing.recalls(shown, [run.name for run in runs])
    spoken = "; ".join(
        f"{panel.title}: " + ", ".join(f"{run} {told(values)}" for run, values in panel.values.items() if values)
        for panel in shown
    )
    found: list[Block] = [Heading("Recall inside groups" if panels else "Clips told right")]
    found.append(Figure(f"Shares of clips told right by each run. {spoken}", _caption(shown, panels), svg=picture))
    if panels:
        caption = "Mean recall of the classes of each group, all classes being candidates"
        found.append(_table(caption, runs, panels))
    return found


def _group(
    runs: Sequence[Run],
    of: str,
    name: str,
    head: str,
    clips_of: Callable[[Run], tuple[Sequence[Segment], Sequence[Segment]]],
) -> Panel:
    values = {run.name: list(run.values(of, "groups", name).values()) for run in runs}

    def guess(run: Run) -> list[float]:
        group = run.test.groups.get(name) if run.test else None
        found = guessed(of, group, *clips_of(run)) if group and values[run.name] else None
        return [] if found is None else [found]

    return Panel(_title(of, name, head), values, _chances(runs, guess))


def bits(runs: Sequence[Run], head: str) -> list[Block]:
    """Return the table of properties told, nothing if there are none."""

    def chance(name: str) -> Mapping[str, float]:
        return _chances(runs, lambda run: [1 / len(run.test.bits[name])] if _has_bit(run.test, name) else [])

    panels = [
        Panel(
            _title(of, name, head),
            {run.name: list(run.values(of, "bits", name).values()) for run in runs},
            chance(name),
        )
        for of, name in _named(runs, "bits")
    ]
    caption = "Properties of classes told right, only the classes that have them being candidates"
    return [_table(caption, runs, panels)] if panels else []


def _has_bit(test: ClipTestOptions | None, name: str) -> bool:
    return test is not None and name in test.bits


def _named(runs: Sequence[Run], kind: str) -> list[tuple[str, str]]:
    """Return (head, name) of the groups or bits that were measured, in the order of the tests' options."""
    order = [name for run in runs if run.test for name in getattr(run.test, kind)]
    found: dict[tuple[str, str], None] = {}
    for run in runs:
        for of in run.heads:
            measured = [name for result in run.seeds.values() for name in result.metrics.get(of, {}).get(kind, ())]
            found |= dict.fromkeys((of, name) for name in (*order, *sorted(measured)) if name in measured)
    return list(found)


def _title(of: str, name: str, head: str) -> str:
    return name if of == head else f"{of}: {name}"


def _chances(runs: Sequence[Run], chance: Callable[[Run], Iterable[float]]) -> dict[str, float]:
    return {run.name: found[0] for run in runs if (found := list(chance(run)))}


def _caption(shown: Sequence[Panel], panels: Sequence[Panel]) -> str:
    seeds = max(len(values) for panel in shown for values in panel.values.values())
    dots = "Dots: seeds; upright line: their mean" if seeds > 1 else "Dots: the run's only seed"
    whole = "the first panel shows the share of all clips told right (top-1)" if panels else "share of clips (top-1)"
    guess = "Dashed: chance, a class drawn at random"
    if panels:
        guess += (
            "; inside a group, one of those of its classes that training has with the clip's object (of all, where objects"
            " are not labelled): what is reached without seeing any motion"
        )
    return f"{dots}; {whole}. {guess}."


def _table(caption: str, runs: Sequence[Run], panels: Sequence[Panel]) -> Table:
    rows = [(run.name, *(told(panel.values[run.name]) for panel in panels)) for run in runs]
    guess = [_same(panel.chance) for panel in panels]
    if any(guess):
        rows.append((CHANCE, *guess))
    note = "The mean over seeds, and the lowest and highest of them."
    several = any(len(values) > 1 for panel in panels for values in panel.values.values())
    columns = (Column("run", "name"), *(Column(panel.title, "number") for panel in panels))
    return Table(caption, columns, tuple(rows), notes=(note,) if several else ())


def _same(chance: Mapping[str, float]) -> str:
    """Say what guessing reaches, a range where it differs between runs."""
    found = sorted({f"{100 * value:.1f}" for value in chance.values()}, key=float)
    return f"{'–'.join((found[0], found[-1])[: len(found)])}%" if found else ""
