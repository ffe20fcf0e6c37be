"""Figures of the report's section on segmentation: likelihood against states and rank, training curves."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kinoflow.report import style
from kinoflow.report.section import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

WIDTH = 8.5  # inches
Points = Mapping[int, Sequence[float]]  # {states: a number for each seed}
Curve = Sequence[tuple[float, float]]


def likelihoods(series: Mapping[str, Points]) -> str:
    """Draw nats of a row against states, a line for each kind of model: dots for seeds, the line through their means."""
    return style.svg(partial(_likelihoods, series=series), WIDTH, 3.2)


def _likelihoods(figure: "Canvas", series: Mapping[str, Points]) -> None:
    axes = figure.subplots()
    for number, (name, points) in enumerate(series.items()):
        look = _look(number)
        states = sorted(points)
        means = [sum(points[each]) / len(points[each]) for each in states]
        axes.plot(states, means, label=name, linestyle=style.LINES[number % len(style.LINES)], color=look)
        for each in states:
            axes.plot([each] * len(points[each]), points[each], "o", color=look, markersize=4, linestyle="none")
    style.log_axis(axes, "x")
    axes.set_xlabel("hidden states")
    axes.set_ylabel("negative log likelihood\nof a row, nats")
    axes.legend()


def curves(runs: Mapping[str, Sequence[Curve]], words: str) -> str:
    """Draw a curve for each seed of each run over epochs."""
    return style.svg(partial(_curves, runs=runs, words=words), WIDTH, 2.8)


def _curves(figure: "Canvas", runs: Mapping[str, Sequence[Curve]], words: str) -> None:
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(runs.items()):
        for k, curve in enumerate(seeds):
            x, y = zip(*curve, strict=True)
            line = style.LINES[number % len(style.LINES)]
            axes.plot(x, y, color=_look(number), linestyle=line, label=None if k else printable(name), linewidth=1.2)
    axes.set_xlabel("epoch")
    axes.set_ylabel(words)
    axes.legend(ncols=3)


def costs(series: Mapping[str, Mapping[int, float]]) -> str:
    """Draw seconds of a step against states, both logarithmic."""
    return style.svg(partial(_costs, series=series), WIDTH, 3.0)


def _costs(figure: "Canvas", series: Mapping[str, Mapping[int, float]]) -> None:
    axes = figure.subplots()
    for number, (name, points) in enumerate(series.items()):
        states = sorted(points)
        line = style.LINES[number % len(style.LINES)]
        axes.plot(states, [points[each] for each in states], "o", linestyle=line, color=_look(number), label=name)
    style.log_axis(axes, "x")
    style.log_axis(axes, "y")
    axes.set_xlabel("hidden states")
    axes.set_ylabel("seconds of a step")
    axes.legend()


def _look(number: int) -> str:
    return style.SERIES[number % len(style.SERIES)]
