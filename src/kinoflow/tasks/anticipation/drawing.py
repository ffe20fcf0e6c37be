"""Figures of the report's section on anticipation: gains of classes, curves, where attention looks."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 8.5  # inches
POINTS = 200  # most points of a curve


def gains(rows: Sequence[tuple[str, float]]) -> str:
    """Draw gains as bars to the right, losses to the left: (class, difference of shares), from top to bottom."""
    return style.svg(partial(_gains, rows=rows), WIDTH, 0.6 + 0.22 * len(rows))


def _gains(figure: "Canvas", rows: Sequence[tuple[str, float]]) -> None:
    axes = figure.subplots()
    values = [value for _, value in rows]
    colours = [style.SERIES[0] if value >= 0 else style.SERIES[1] for value in values]
    axes.barh(range(len(rows)), values, height=0.7, color=colours)
    axes.set_yticks(range(len(rows)), [style.short(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(0, color=style.MUTED, linewidth=0.8, linestyle="-")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:+.0f}".replace("-", "−"))
    axes.set_xlabel("points of recall")
    axes.grid(axis="y", visible=False)


def curves(histories: Mapping[str, Sequence[Sequence[dict[str, float]]]], panels: Mapping[str, str]) -> str:
    """Draw a panel for each title: its column by step, thick the mean over seeds, thin each seed. {run: rows of each seed}."""
    return style.svg(partial(_curves, histories=histories, panels=panels), WIDTH, 2.6 + 0.2 * -(-len(histories) // 4))


def _curves(
    figure: "Canvas", histories: Mapping[str, Sequence[Sequence[dict[str, float]]]], panels: Mapping[str, str]
) -> None:
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, column) in zip(grid, panels.items(), strict=True):
        for number, seeds in enumerate(histories.values()):
            found = [_points(rows, column) for rows in seeds]
            found = [each for each in found if len(each)]
            if found and len({len(each) for each in found}) == 1:
                for each in found if len(found) > 1 else ():
                    axes.plot(*each.T, color=style.look(number)["color"], linestyle="-", linewidth=0.7, alpha=0.35)
                marker = "o" if len(found[0]) == 1 else ""  # of one point there is no line
                axes.plot(*np.mean(found, axis=0).T, **style.look(number), marker=marker, markersize=4)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_xlim(left=0)
        axes.locator_params(nbins=4)
        if column.endswith(("top1", "top5")):
            _percent(axes)
    handles = [grid[0].plot([], [], **style.look(number))[0] for number in range(len(histories))]
    figure.legend(handles, [style.short(run) for run in histories], loc="outside lower center", ncols=4)


def _percent(axes: "Axes") -> None:
    """Write the shares of the y axis as percents, with decimals where its ticks lie closer than one."""
    step = float(np.diff(axes.get_yticks()).min(initial=1))
    digits = max(0, math.ceil(-math.log10(step) - 2 - 1e-6))
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.{digits}%}")


def _points(rows: Sequence[dict[str, float]], column: str) -> np.ndarray:
    points = [[row["step"], row[column]] for row in rows if {"step", column} <= row.keys()]
    parts = np.array_split(np.array(points, float).reshape(-1, 2), min(len(points), POINTS) or 1)
    return np.array([part.mean(axis=0) for part in parts if len(part)]).reshape(-1, 2)


def lengths(found: Mapping[str, Mapping[int, float]]) -> str:
    """Draw a line for each name: shares by the length of histories, {name: {actions: share}}."""
    return style.svg(partial(_lengths, found=found), WIDTH, 3.2)


def _lengths(figure: "Canvas", found: Mapping[str, Mapping[int, float]]) -> None:
    axes = figure.subplots()
    for number, (name, curve) in enumerate(found.items()):
        places = sorted(curve)
        axes.plot(
            places, [curve[place] for place in places], marker="o", markersize=4, label=name, **style.look(number)
        )
    axes.set_xlabel("actions of a history, at most")
    axes.set_ylabel("top-5")
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    figure.legend(loc="outside lower center", ncols=3)


def attention(maps: Sequence[np.ndarray], times: np.ndarray, labels: Sequence[str]) -> str:
    """Draw where each layer looks: weights (T, T) of attention, rows look at columns.

    times: (T,) seconds of the steps. labels: T names of what is done in them.
    """
    return style.svg(partial(_attention, maps=maps, times=times, labels=labels), WIDTH, 1.1 + 2.8)


def _attention(figure: "Canvas", maps: Sequence[np.ndarray], times: np.ndarray, labels: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    grid = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
    for layer, (axes, weights) in enumerate(zip(grid, maps, strict=True)):
        for row, column in zip(*np.nonzero(weights > 0.005), strict=True):
            share = float(min(1.0, weights[row, column]))
            axes.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=style.SERIES[0], alpha=share**0.5, linewidth=0)
            )
        axes.set_xlim(-0.5, len(times) - 0.5)
        axes.set_ylim(len(times) - 0.5, -0.5)
        axes.set_xticks(range(len(times)), [f"{time:.0f}" for time in times], fontsize=7)
        axes.set_title(f"layer {layer + 1}")
        axes.set_xlabel("looked at (s)")
        axes.grid(False)
        axes.tick_params(length=0)
    grid[0].set_yticks(
        range(len(times)), [f"{style.short(name)} {time:.0f}" for name, time in zip(labels, times, strict=True)]
    )
    grid[0].tick_params(axis="y", labelsize=7)
