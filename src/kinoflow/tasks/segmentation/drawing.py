"""Figures of the report's section on segmentation: likelihood against states and rank, training curves, cost, durations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kinoflow.report import style
from kinoflow.report.section import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

WIDTH = 8.5  # inches
BARS = 60  # of durations; those that are longer share the last one
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
    return style.svg(partial(_curves, runs=runs, words=words), WIDTH, 3.2)


def _curves(figure: "Canvas", runs: Mapping[str, Sequence[Curve]], words: str) -> None:
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(runs.items()):
        for k, curve in enumerate(seeds):
            x, y = zip(*curve, strict=True)
            line = style.LINES[number % len(style.LINES)]
            axes.plot(x, y, color=_look(number), linestyle=line, label=None if k else printable(name), linewidth=1.2)
    axes.set_xlabel("epoch")
    axes.set_ylabel(words)
    figure.legend(loc="outside lower center", ncols=4)


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


def durations(found: Sequence[float], model: Curve, seconds: float) -> str:
    """Draw how long a state's segments last: shares of those found, and (seconds, share) of the model's own, if known.

    found: seconds of each. seconds: of a row, the width of a bar.
    """
    return style.svg(partial(_durations, found=found, model=model, seconds=seconds), WIDTH, 1.5)


def _durations(figure: "Canvas", found: Sequence[float], model: Curve, seconds: float) -> None:
    axes, counts = figure.subplots(), Counter(max(1, round(each / seconds)) for each in found)
    bins = min(max(counts, default=1), BARS)
    shares = [sum(n for rows, n in counts.items() if min(rows, bins) == k) / len(found) for k in range(1, bins + 1)]
    axes.bar([k * seconds for k in range(1, bins + 1)], shares, width=0.8 * seconds, color=_look(0))
    if model:
        axes.plot(*zip(*model, strict=True), color=_look(1), linestyle=style.LINES[1])
    axes.set_xlabel(f"seconds{' (the last bar: and longer)' if bins == BARS else ''}")
    axes.set_ylabel("share")


def _look(number: int) -> str:
    return style.SERIES[number % len(style.SERIES)]
