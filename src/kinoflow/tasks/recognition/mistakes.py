"""What is taken for what: the confusion matrix of one run's seed, or where classes are many the pairs that are confused most."""

import numpy as np

from kinoflow.report.section import Block, Column, Figure, Heading, Table
from kinoflow.tasks.recognition import drawing
from kinoflow.tasks.recognition.results import Run

DRAWN = 60  # most classes of a matrix that can be read
PAIRS = 20  # confusions that are listed where classes are more


def confusions(run: Run, head: str, seed: int) -> list[Block]:
    """Return the confusions of a run's head: a figure, or a table of the most frequent ones."""
    rows = [row for row in run.seeds[seed].confusions if row.head == head]
    counts = {(row.label, row.predicted): row.clips for row in rows}
    names, breaks = _order(run, head, {name for pair in counts for name in pair})
    if not counts:
        return []
    clips = sum(counts.values())
    right = sum(number for (label, predicted), number in counts.items() if label == predicted)
    who = f"{run.name}, seed {seed}"
    said = f"{right} of {clips} clips of {len(names)} classes are told right"
    title = Heading(f"What is taken for what: {run.name}, {head}")
    if len(names) > DRAWN:
        return [title, _pairs(counts, f"The confusions with the most clips ({who}): {said}")]
    table = np.zeros((len(names), len(names)), np.int64)
    place = {name: i for i, name in enumerate(names)}
    for (label, predicted), number in counts.items():
        table[place[label], place[predicted]] = number
    worst = "; ".join(f"{number} of {label} taken for {predicted}" for number, label, predicted in _worst(counts)[:3])
    caption = (
        f"The head {head} of {who}: {said}. Each row is a true class: the deeper the colour, the larger the"
        f" share of its clips (blue: right, orange: wrong)"
    )
    caption += "; numbers count clips." if len(names) <= drawing.COUNTED else "."
    caption += " Lines part the groups of classes." if breaks else ""
    picture = drawing.matrix(names, table, breaks)
    return [title, Figure(f"Confusion matrix: {said}. {worst}", caption, svg=picture)]


def _order(run: Run, head: str, there: set[str]) -> tuple[list[str], list[int]]:
    """Return the classes that occur, those of a group side by side, and the places where groups begin."""
    known = run.heads[head]
    groups = [group for group in (run.test.groups if run.test else {}).values() if set(group) <= set(known)]
    parts = [*groups, known, sorted(there)]
    names: list[str] = []
    breaks: list[int] = []
    for part in parts:
        added = [name for name in dict.fromkeys(part) if name in there and name not in names]
        if added and names and groups:
            breaks.append(len(names))
        names += added
    return names, breaks


def _worst(counts: dict[tuple[str, str], int]) -> list[tuple[int, str, str]]:
    wrong = [(number, *pair) for pair, number in counts.items() if pair[0] != pair[1]]
    return sorted(wrong, key=lambda row: (-row[0], row[1:]))


def _pairs(counts: dict[tuple[str, str], int], caption: str) -> Table:
    totals: dict[str, int] = {}
    for (label, _), number in counts.items():
        totals[label] = totals.get(label, 0) + number
    worst = _worst(counts)
    rows = tuple((label, other, number, number / totals[label]) for number, label, other in worst[:PAIRS])
    columns = (
        Column("true"),
        Column("told"),
        Column("clips", "number", "d"),
        Column("of the true class's clips", "number", ".1%"),
    )
    notes = (f"The first {PAIRS} of {len(worst)} confusions.",) if len(worst) > PAIRS else ()
    return Table(caption, columns, rows, notes=notes)
