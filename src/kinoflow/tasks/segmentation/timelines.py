"""Timelines: lanes of coloured bars over seconds, the same name in the same colour in every lane."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.report import style
from kinoflow.report.section import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 8.5  # inches
LETTERS = 18  # of a name in a bar
PER_LETTER = 0.06  # inches that a letter takes
NAMED = 24  # names that the key holds
SHADES = (1.0, 0.6, 0.3)  # opacities that tell names of one colour apart


@dataclass(frozen=True)
class Bar:
    """A segment: seconds, what it is, and how sure that is (0 to 1)."""

    start: float
    end: float
    name: str  # "": a pause, left white
    share: float = 1.0


@dataclass(frozen=True)
class Lane:
    """A row of bars."""

    title: str
    bars: tuple[Bar, ...]


def colours(lanes: Sequence[Lane]) -> dict[str, tuple[str, float]]:
    """Return colour and opacity of each name, the longest in sum first."""
    seconds: Counter[str] = Counter()
    for lane in lanes:
        for bar in lane.bars:
            if bar.name:
                seconds[bar.name] += bar.end - bar.start
    ranked = sorted(seconds, key=lambda name: (-seconds[name], name))
    count = len(style.SERIES)
    return {name: (style.SERIES[k % count], SHADES[k // count % len(SHADES)]) for k, name in enumerate(ranked)}


def timeline(lanes: Sequence[Lane], pictures: Sequence[tuple[float, np.ndarray]] = ()) -> str:
    """Draw lanes above each other, and below them pictures at their times, as SVG.

    pictures: (seconds, (H, W, 3) uint8).
    """
    height = 0.75 + 0.42 * len(lanes) + (0.75 if pictures else 0)
    return style.svg(partial(_draw, lanes=lanes, pictures=pictures, looks=colours(lanes)), WIDTH, height)


def _draw(
    figure: "Canvas",
    lanes: Sequence[Lane],
    pictures: Sequence[tuple[float, np.ndarray]],
    looks: Mapping[str, tuple[str, float]],
) -> None:
    end = max((bar.end for lane in lanes for bar in lane.bars), default=1.0)
    ratios = [0.42 * len(lanes) + 0.45, *([0.75] if pictures else [])]
    grid = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios).ravel()
    axes = grid[0]
    for place, lane in enumerate(lanes):
        for bar in lane.bars:
            _bar(axes, place, bar, looks, end)
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_xlim(0, end)
    axes.set_yticks(range(len(lanes)), [_short(lane.title, 24) for lane in lanes])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.set_xlabel("seconds")
    if pictures:
        _pictures(grid[1], pictures, end)


def _bar(axes: "Axes", place: int, bar: Bar, looks: Mapping[str, tuple[str, float]], end: float) -> None:
    length = bar.end - bar.start
    if not bar.name:
        return
    colour, opacity = looks[bar.name]
    axes.barh(
        place, length, left=bar.start, height=0.8, color=colour, alpha=opacity, edgecolor=style.PAPER, linewidth=0.6
    )
    fits = int(length / end * (WIDTH - 1.6) / PER_LETTER)
    text = _short(bar.name, min(LETTERS, fits)) if fits >= 3 else ""
    if text:
        ink = style.PAPER if opacity == 1 else style.INK
        axes.text(bar.start + length / 2, place, text, ha="center", va="center", fontsize=6, color=ink)


def _pictures(axes: "Axes", pictures: Sequence[tuple[float, np.ndarray]], end: float) -> None:
    wide = end / max(1, len(pictures))
    for time, picture in pictures:
        axes.imshow(
            picture, extent=(time - 0.46 * wide, time + 0.46 * wide, 0, 1), aspect="auto", interpolation="nearest"
        )
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1)
    axes.set_axis_off()


def _short(name: str, letters: int) -> str:
    shown = printable(name)
    return shown if len(shown) <= letters else f"{shown[: letters - 1]}…"
