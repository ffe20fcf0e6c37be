"""Timelines: lanes of coloured bars over seconds, the same name in the same colour in every lane, frames below bars."""

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
SHADES = (1.0, 0.6, 0.3)  # opacities that tell names of one colour apart
LANE, STRIP = 0.42, 0.5  # inches of height of a lane, of the frames below it
PIXELS = 90  # of an inch of frames


@dataclass(frozen=True)
class Bar:
    """A segment: seconds, what it is, and how sure that is (0 to 1)."""

    start: float
    end: float
    name: str  # "": a pause, left white
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Lane:
    """A row of bars. frames: of each bar, a frame (H, W, 3) uint8 that is shown below it; empty: none are shown."""

    title: str
    bars: tuple[Bar, ...]
    frames: Sequence[np.ndarray] = ()


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


def timeline(lanes: Sequence[Lane]) -> str:
    """Draw lanes above each other as SVG, each with its frames below it, cut to the width of their bars."""
    height = 0.75 + LANE * len(lanes) + STRIP * sum(bool(len(lane.frames)) for lane in lanes)
    return style.svg(partial(_draw, lanes=lanes, looks=colours(lanes)), WIDTH, height)


def _draw(figure: "Canvas", lanes: Sequence[Lane], looks: Mapping[str, tuple[str, float]]) -> None:
    end = max((bar.end for lane in lanes for bar in lane.bars), default=1.0)
    axes, top, places = figure.subplots(), 0.0, []
    for lane in lanes:
        places.append(top + LANE / 2)
        for bar in lane.bars:
            _bar(axes, places[-1], bar, looks, end)
        top += LANE
        if len(lane.frames):
            picture = strip(lane.bars, lane.frames, end)
            axes.imshow(picture, extent=(0, end, top + 0.92 * STRIP, top), aspect="auto", interpolation="none")
            top += STRIP
    axes.set_ylim(max(top, LANE), 0)
    axes.set_xlim(0, end)
    axes.set_yticks(places, [_short(lane.title, 24) for lane in lanes])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.set_xlabel("seconds")


def strip(bars: Sequence[Bar], frames: Sequence[np.ndarray], end: float) -> np.ndarray:
    """Return one picture (H, W, 4) uint8 of ``end`` seconds: the middle of each bar's frame as wide as the bar, else clear."""
    from PIL import Image

    high, wide = round(0.92 * STRIP * PIXELS), round((WIDTH - 1) * PIXELS)
    out = Image.new("RGBA", (wide, high))
    for bar, frame in zip(bars, frames, strict=True):
        first, last = round(bar.start / end * wide), round(bar.end / end * wide) - 1  # a pixel of room between two
        across = max(1, round(high * frame.shape[1] / frame.shape[0]))
        scaled = Image.fromarray(frame).resize((across, high), Image.Resampling.BICUBIC)
        room = min(across, last - first)
        if room > 0:
            left = (across - room) // 2
            out.paste(scaled.crop((left, 0, left + room, high)), ((first + last - room) // 2, 0))
    return np.asarray(out)


def _bar(axes: "Axes", place: float, bar: Bar, looks: Mapping[str, tuple[str, float]], end: float) -> None:
    length = bar.end - bar.start
    if not bar.name:
        return
    colour, opacity = looks[bar.name]
    axes.barh(
        place,
        length,
        left=bar.start,
        height=0.8 * LANE,
        color=colour,
        alpha=opacity,
        edgecolor=style.PAPER,
        linewidth=0.6,
    )
    fits = int(length / end * (WIDTH - 1.6) / PER_LETTER)
    text = _short(bar.name, min(LETTERS, fits)) if fits >= 3 else ""
    if text:
        ink = style.PAPER if opacity == 1 else style.INK
        axes.text(bar.start + length / 2, place, text, ha="center", va="center", fontsize=6, color=ink)


def _short(name: str, letters: int) -> str:
    shown = printable(name)
    return shown if len(shown) <= letters else f"{shown[: letters - 1]}…"
