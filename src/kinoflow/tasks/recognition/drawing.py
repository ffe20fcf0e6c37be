"""Figures of the report's section: recall by group, confusions, training curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kinoflow.report import style
from kinoflow.tasks.recognition.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 8.5  # inches
ACROSS = 5  # panels side by side
COUNTED = 24  # most classes of a confusion matrix whose cells hold numbers
POINTS = 200  # most points of a curve
RATE = "learning_rate"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DASHED = (0, (2, 1.5))


@dataclass(frozen=True)
class Panel:
    """Shares of some runs. values: {run: one for each seed}; chance: {run: what guessing reaches}."""

    title: str
    values: Mapping[str, Sequence[float]]
    chance: Mapping[str, float]


# ---------------------------------------------------------------- shares of clips told right


def recalls(panels: Sequence[Panel], runs: Sequence[str]) -> str:
    """Draw a panel for each group: dots for seeds, a line for their mean, a dashed line for guessing."""
    lines = -(-len(panels) // ACROSS)
    return style.svg(partial(_recalls, panels=panels, runs=runs), WIDTH, lines * (0.75 + 0.27 * len(runs)))


def _recalls(figure: "Canvas", panels: Sequence[Panel], runs: Sequence[str]) -> None:
    columns = min(len(panels), ACROSS)
    grid = figure.subplots(-(-len(panels) // columns), columns, sharey=True, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, panel, runs)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[::columns]:
        axes.set_yticks(range(len(runs)), [style.short(name) for name in runs])
        axes.set_ylim(len(runs) - 0.4, -0.6)


def _panel(axes: "Axes", panel: Panel, runs: Sequence[str]) -> None:
    for place, run in enumerate(runs):
        colour, values = style.look(place)["color"], list(panel.values.get(run, ()))
        if run in panel.chance:
            guess = panel.chance[run]
            axes.plot([guess, guess], [place - 0.5, place + 0.5], color=style.INK, linestyle=DASHED, linewidth=1)
        if not values:
            continue
        mean = sum(values) / len(values)
        axes.plot([0, mean], [place, place], color=colour, linestyle="-", linewidth=1, alpha=0.6)
        axes.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, linestyle="-", linewidth=2.4)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=4.5, alpha=0.75, markeredgewidth=0)
    axes.set_title(style.short(panel.title))
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)


# ---------------------------------------------------------------- what is taken for what


def matrix(names: Sequence[str], counts: np.ndarray, breaks: Sequence[int]) -> str:
    """Draw confusions (K, K): rows are the truth, colours the share of the row. breaks: rows before which a line stands."""
    side = min(8.5, 2.2 + max(2.0, 0.3 * len(names) if len(names) <= COUNTED else 0.165 * len(names)))
    return style.svg(partial(_matrix, names=names, counts=counts, breaks=breaks), side, side)


def _matrix(figure: "Canvas", names: Sequence[str], counts: np.ndarray, breaks: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 7 if len(names) <= COUNTED else 6.2
    for row, column in zip(*np.nonzero(counts), strict=True):
        share = float(shares[row, column])
        colour = style.SERIES[0] if row == column else style.SERIES[1]
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, alpha=0.12 + 0.88 * share, linewidth=0))
        if len(names) <= COUNTED:
            ink = style.PAPER if share > 0.55 else style.INK
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=6.5, color=ink)
    for place in breaks:
        for line in (axes.axhline, axes.axvline):
            line(place - 0.5, color=style.MUTED, linewidth=0.8, linestyle="-")
    shown = [style.short(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), shown, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xlabel("told")
    axes.set_ylabel("true")


# ---------------------------------------------------------------- how training went


def curves(histories: Mapping[str, Sequence[Sequence[Row]]], panels: Mapping[str, Sequence[str]]) -> str:
    """Draw a panel for each title: the sum of its columns by step, thick the mean over seeds, thin each seed.

    histories: {run: rows of each seed}. panels: {title: columns}.
    """
    return style.svg(partial(_curves, histories=histories, panels=panels), WIDTH, 2.7 + 0.2 * -(-len(histories) // 4))


def _curves(
    figure: "Canvas", histories: Mapping[str, Sequence[Sequence[Row]]], panels: Mapping[str, Sequence[str]]
) -> None:
    ratios = [0.7 if RATE in wanted else 1.0 for wanted in panels.values()]
    grid = figure.subplots(1, len(panels), width_ratios=ratios, squeeze=False)[0]
    handles = []
    for axes, (title, wanted) in zip(grid, panels.items(), strict=True):
        power = _power(histories, wanted[0]) if RATE in wanted else 0
        drawn = [
            _curve(axes, rows, wanted, style.look(number), power) for number, rows in enumerate(histories.values())
        ]
        handles = handles or [line for line in drawn if line]
        axes.set_title(style.short(title) + (f" × 10{str(-power).translate(RAISED)}" if power else ""))
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.locator_params(nbins=4)
        if all(name.startswith("validation/") for name in wanted):
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    names = [style.short(run) for run, seeds in histories.items() if any(seeds)]
    figure.legend(handles, names, loc="outside lower center", ncols=4)


def _power(histories: Mapping[str, Sequence[Sequence[Row]]], column: str) -> int:
    """Return the power of ten that is left out at an axis of small numbers: 3 for 0.002."""
    largest = max((row.get(column, 0.0) for seeds in histories.values() for rows in seeds for row in rows), default=0.0)
    power = -math.floor(math.log10(largest)) if largest > 0 else 0
    return power if power > 1 else 0


def _curve(axes: "Axes", seeds: Sequence[Sequence[Row]], wanted: Sequence[str], how: dict[str, Any], power: int) -> Any:
    """Draw the curves of a run times 10 ** power; return the line of their mean, None if there is nothing to draw."""
    found = [_thinned(rows, wanted) * (1, 10**power) for rows in seeds]
    found = [each for each in found if len(each)]
    if not found:
        return axes.plot([], [], **how)[0] if any(seeds) else None
    rate = RATE in wanted
    if len({tuple(each[:, 0]) for each in found}) > 1:  # no common steps, no mean
        lines = [axes.plot(*each.T, **how, linewidth=1)[0] for each in found]
        return lines[0]
    for each in found if len(found) > 1 and not rate else ():
        axes.plot(*each.T, color=how["color"], linestyle="-", linewidth=0.7, alpha=0.35)
    mean = np.mean(found, axis=0)
    marker = "o" if len(mean) == 1 else ""
    return axes.plot(*mean.T, **how, linewidth=0.9 if rate else 1.8, marker=marker, markersize=4)[0]


def _thinned(rows: Sequence[Row], wanted: Sequence[str]) -> np.ndarray:
    """Return step and sum of the columns of the rows that have them all, (N, 2); neighbours averaged if they are many."""
    points = [[row["step"], sum(row[name] for name in wanted)] for row in rows if {"step", *wanted} <= row.keys()]
    parts = np.array_split(np.array(points, float).reshape(-1, 2), min(len(points), POINTS) or 1)
    return np.array([part.mean(axis=0) for part in parts if len(part)]).reshape(-1, 2)
