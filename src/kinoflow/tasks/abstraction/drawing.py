"""Drawings of a taxonomy for the report: columns by depth from left to right, concepts before what they cover.

Up to LABELLED nodes every node has its label beside it, and no two labels overlap: each class has a row of its own, a concept
stands at the middle of its classes' rows, and columns are as wide as their widest label. Of larger ones the drawing shows
dots, with labels where there is room and on hover, and a tree beside it folds.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from kinoflow.report.section import Block, Branch, Column, Figure, Table, Tree, printable
from kinoflow.report.style import PALETTE
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

LABELLED = 120  # nodes up to which all have a label
SIZE, ROW, DENSE_ROW, GAP = 10.0, 15.0, 3.4, 46.0  # pixels: text, rows with labels and without, between columns
MARGIN, DOT = 8.0, 2.6
SERIES = tuple(name for name in PALETTE if name.startswith("series"))


@dataclass(frozen=True)
class Box:
    """The label of a node: where it is drawn, pixels; its middle is at y."""

    label: int
    text: str
    x: float
    y: float
    width: float

    def overlaps(self, other: "Box") -> bool:
        """Tell whether two labels cover a common place."""
        apart = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not apart and abs(self.y - other.y) < SIZE * 1.25


@dataclass(frozen=True)
class Layout:
    """Where everything stands, pixels. x, y: (C,) dots; over: the parent under which a node is drawn, -1 of one on top."""

    x: np.ndarray
    y: np.ndarray
    over: list[int]
    boxes: tuple[Box, ...]
    width: float
    height: float


def layout(taxonomy: Taxonomy) -> Layout:
    """Place the nodes of a taxonomy and the labels that there is room for."""
    texts = [printable(taxonomy.category(label)) for label in range(len(taxonomy))]
    columns, over = _columns(taxonomy)
    rows = _rows(taxonomy, over, columns)
    every = len(taxonomy) <= LABELLED
    step = ROW if every else DENSE_ROW
    widths = [_width(text, bold=label >= taxonomy.num_class) for label, text in enumerate(texts)]
    starts, start = [], MARGIN
    for column in range(max(columns) + 1):
        # Where classes have no labels, concepts alone decide how wide a column is.
        first = 0 if every else taxonomy.num_class
        starts.append(start)
        start += (
            max((widths[label] for label in range(first, len(texts)) if columns[label] == column), default=0.0) + GAP
        )
    x = np.array([starts[column] for column in columns])
    y = MARGIN + SIZE / 2 + np.array(rows) * step
    boxes = [Box(label, text, x[label] + 2 * DOT, y[label], widths[label]) for label, text in enumerate(texts)]
    kept = boxes if every else _that_fit(taxonomy, boxes)
    right = max(box.x + box.width for box in kept) if kept else 0.0
    return Layout(x, y, over, tuple(kept), max(right, x.max()) + MARGIN, float(y.max()) + MARGIN + SIZE / 2)


def _columns(taxonomy: Taxonomy) -> tuple[list[int], list[int]]:
    """Return each node's column, its steps from the top, and the parent it is drawn under."""
    columns, over = [-1] * len(taxonomy), [-1] * len(taxonomy)
    tops = [label for label in range(len(taxonomy)) if not taxonomy.parents[label] and label != taxonomy.root]
    columns[taxonomy.root] = 0
    for label in tops:
        columns[label] = 1  # beside what is below the root
    waiting = [taxonomy.root, *tops]
    for label in waiting:  # it grows while it is read
        for child in taxonomy.children[label]:
            if columns[child] < 0:
                columns[child], over[child] = columns[label] + 1, label
                waiting.append(child)
    return columns, over


def _rows(taxonomy: Taxonomy, over: list[int], columns: list[int]) -> list[float]:
    """Return each node's row: leaves one after the other, others in the middle of what is drawn under them."""
    under: list[list[int]] = [[] for _ in over]
    for label, parent in enumerate(over):
        if parent >= 0:
            under[parent].append(label)
    rows, count = [0.0] * len(over), 0
    tops = sorted((label for label, parent in enumerate(over) if parent < 0), key=lambda label: columns[label])
    waiting = [(label, False) for label in reversed(tops)]
    while waiting:
        label, seen = waiting.pop()
        if not under[label]:
            rows[label], count = float(count), count + 1
        elif seen:
            rows[label] = (rows[under[label][0]] + rows[under[label][-1]]) / 2
        else:
            waiting.append((label, True))
            # Leaves first: a concept between two leaves would stand in one of their rows.
            under[label].sort(key=lambda child: (bool(under[child]), taxonomy.category(child)))
            waiting += [(child, False) for child in reversed(under[label])]
    return rows


def _that_fit(taxonomy: Taxonomy, boxes: list[Box]) -> list[Box]:
    """Return labels that do not overlap, those of nodes with most below them first."""
    kept: list[Box] = []
    for label in sorted(
        range(taxonomy.num_class, len(taxonomy)), key=lambda label: (-taxonomy.reach[label].sum(), label)
    ):
        if not any(boxes[label].overlaps(other) for other in kept):
            kept.append(boxes[label])
    return kept


def _width(text: str, bold: bool) -> float:
    """Return how wide a label is in the figures' font, pixels; a little more, as another font may be wider."""
    return (1.2 if bold else 1.06) * _font().getlength(text) * SIZE / 20


@cache
def _font() -> Any:
    from PIL import ImageFont

    from kinoflow.report.style import font_file

    return ImageFont.truetype(str(font_file()), 20)


# ---------------------------------------------------------------- SVG


def tree_svg(taxonomy: Taxonomy, marked: Iterable[int] = ()) -> str:
    """Return the drawing as SVG text. marked: labels of nodes, and edges between them, that are drawn strong."""
    placed, strong = layout(taxonomy), set(marked)
    parts = [
        _edge(taxonomy, placed, *pair, strong) for pair in sorted(taxonomy.edges.tolist(), key=_drawn_first(placed))
    ]
    labelled = {box.label: box for box in placed.boxes}
    parts += [_node(taxonomy, placed, label, labelled.get(label), strong) for label in range(len(taxonomy))]
    size = f'width="{placed.width:.0f}" height="{placed.height:.0f}"'
    look = f'font-size="{SIZE:g}" style="font-family: var(--sans, sans-serif)"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>\n' + "\n".join(parts) + "\n</svg>\n"


def _drawn_first(placed: Layout) -> Callable[[list[int]], tuple]:
    """Sort edges to a second parent before the others, so that they lie below them."""
    return lambda pair: (placed.over[pair[1]] == pair[0], pair)


def _colour(taxonomy: Taxonomy, placed: Layout, label: int) -> str:
    """Return the colour of the part that a node is in: one for each child of the root."""
    while placed.over[label] not in (-1, taxonomy.root):
        label = placed.over[label]
    if label == taxonomy.root:
        return "ink"
    first = [child for child in taxonomy.children[taxonomy.root] if child >= taxonomy.num_class]
    return SERIES[first.index(label) % len(SERIES)] if label in first else "muted"


def _paint(name: str) -> str:
    return f"var(--{name}, {PALETTE[name][0]})"


def _edge(taxonomy: Taxonomy, placed: Layout, parent: int, child: int, strong: set[int]) -> str:
    texts = {box.label: box.x + box.width + 3 for box in placed.boxes}
    x0, y0 = texts.get(parent, placed.x[parent] + DOT), placed.y[parent]
    x1, y1 = placed.x[child] - DOT, placed.y[child]
    x0 = min(x0, x1 - 8)
    middle = max((x0 + x1) / 2, x1 - GAP / 2)
    own, both = placed.over[child] == parent, {parent, child} <= strong
    colour = _colour(taxonomy, placed, child) if own else _colour(taxonomy, placed, parent)
    width, opacity, dash = (2.4, 1, "") if both else (1.1, 0.85, "") if own else (0.7, 0.5, "; stroke-dasharray: 3 2")
    curve = f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    look = f"fill: none; stroke: {_paint(colour)}; stroke-width: {width}; stroke-opacity: {opacity}{dash}"
    return f'<path d="{curve}" style="{look}"/>'


def _node(taxonomy: Taxonomy, placed: Layout, label: int, box: Box | None, strong: set[int]) -> str:
    x, y, colour = placed.x[label], placed.y[label], _paint(_colour(taxonomy, placed, label))
    fill = colour if label >= taxonomy.num_class or label in strong else _paint("paper")
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT:g}" style="fill: {fill}; stroke: {colour}; stroke-width: 1.2"/>'
    text = ""
    if box:
        weight = "; font-weight: 700" if label in strong or label >= taxonomy.num_class else ""
        look = f"fill: {_paint('ink')}{weight}"
        text = f'<text x="{box.x:.1f}" y="{y + 0.35 * SIZE:.1f}" style="{look}">{escape(box.text)}</text>'
    return f"<g><title>{escape(hint(taxonomy, label))}</title>{dot}{text}</g>"


def hint(taxonomy: Taxonomy, label: int) -> str:
    """Say what a node is: its name, the way to it from the root, its gloss, how many classes it covers."""
    way = " › ".join(taxonomy.category(node) for node in reversed(taxonomy.path(label)))
    gloss = (taxonomy.about.get("glosses") or {}).get(taxonomy.nodes[label], "")
    count = int(taxonomy.reach[label, : taxonomy.num_class].sum())
    covered = f"{count} class{'es' if count != 1 else ''}" if label >= taxonomy.num_class else ""
    return printable("; ".join(part for part in (way, gloss, covered) if part))


# ---------------------------------------------------------------- blocks of the report


def blocks(taxonomy: Taxonomy) -> list[Block]:
    """Return the taxonomy as blocks of a section: the drawing and, where its labels do not all fit, a tree that folds."""
    covered = f"{taxonomy.num_class} classes below {len(taxonomy) - taxonomy.num_class} concepts"
    several = sum(len(above) > 1 for above in taxonomy.parents)
    text = f"{covered}; dashed lines lead to the second parent of {several} nodes." if several else f"{covered}."
    if len(taxonomy) > LABELLED:
        text += " Names appear on hover; the tree below has all of them."
    found: list[Block] = [Figure(f"Taxonomy of {covered}", f"The taxonomy: {text}", svg=tree_svg(taxonomy))]
    if len(taxonomy) > LABELLED:
        found.append(tree(taxonomy))
    return found


def tree(taxonomy: Taxonomy) -> Tree:
    """Return the taxonomy as a tree that folds. A node with several parents is unfolded below one and named below the others."""
    _, over = _columns(taxonomy)

    def branch(label: int, parent: int) -> Branch:
        name, note = taxonomy.category(label), hint(taxonomy, label)
        if over[label] != parent and taxonomy.children[label]:
            return Branch(f"{name} (see below {taxonomy.category(over[label])})", note)
        children = sorted(
            taxonomy.children[label], key=lambda child: (child < taxonomy.num_class, taxonomy.category(child))
        )
        return Branch(name, note, tuple(branch(child, label) for child in children))

    tops = [
        label
        for label, parent in enumerate(over)
        if parent < 0 and (label == taxonomy.root or taxonomy.children[label])
    ]
    return Tree("The taxonomy; click a concept to unfold it.", tuple(branch(label, -1) for label in tops))


def vectors_table(comparison: Mapping[str, Any]) -> Table:
    """Return the table of a comparison that `kinoflow taxonomy` wrote: how alike nodes are by their distance, kind by kind."""
    kinds = comparison["kinds"]
    steps = sorted({step for kind in kinds.values() for step in kind["distance"]})
    columns = (
        Column("vectors", "name"),
        *(Column(f"{step} step{'s' if step > 1 else ''}", "number", ".2f") for step in steps),
        Column("correlation", "number", ".2f"),
        Column("falls", "text"),
    )
    rows = []
    for name in sorted(kinds):
        cosines = dict(zip(kinds[name]["distance"], kinds[name]["cosine"], strict=True))
        means = [cosines.get(step) for step in steps]
        rows.append((name, *means, kinds[name]["correlation"], "yes" if kinds[name]["falls"] else "no"))
    used = tuple(number for number, name in enumerate(sorted(kinds)) if name == comparison["used"])
    note = "falls: the mean falls with every step, among distances that at least 1 % of all pairs have."
    caption = "Mean cosine of two nodes' semantic vectors by their distance in the taxonomy; the kind in use is set off"
    return Table(caption, columns, tuple(rows), (note,), used)
