"""Pictures of how two videos match: the similarity of their frames with the path over it, and lines of matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.report import style
from kinoflow.report.section import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3  # panels in a row


def matches(names: Sequence[str], times: Sequence[np.ndarray], keys: Sequence[np.ndarray]) -> str:
    """Return SVG text: for the first video's frames the time of the frame that each other video shows with it.

    names: V. times: (L,) seconds of each video. keys: V - 1 arrays (n,), the frame of each other video for every frame of the
    first.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for name, own, key in zip(names[1:], times[1:], keys, strict=True):
            axes.plot(times[0] - times[0][0], own[key] - own[0], label=printable(name))
        longest = max(float(own[-1] - own[0]) for own in times)
        axes.plot([0, longest], [0, longest], color=style.MUTED, linewidth=0.8, linestyle=":", label="not aligned")
        axes.set_xlabel(f"time in {printable(names[0])} (s)")
        axes.set_ylabel("time of its match (s)")
        axes.legend()

    return style.svg(draw, 6.5, 3.4)


def similarity(
    picture: np.ndarray,
    names: tuple[str, str],
    times: tuple[np.ndarray, np.ndarray],
    path: tuple[np.ndarray, np.ndarray],
) -> str:
    """Return SVG text: how near frames of two videos are, and the path that aligns them over it.

    picture: (m, n), columns sum to 1: frames of the second video down, of the first across. path: frames of both, (p,) each.
    """

    return similarities([Likeness(picture, names, times, path)])


@dataclass(frozen=True)
class Likeness:
    """How near frames of two videos are, and the path that aligns them; see `similarity`."""

    picture: np.ndarray
    names: tuple[str, str]
    times: tuple[np.ndarray, np.ndarray]
    path: tuple[np.ndarray, np.ndarray]
    label: str = "cheapest path"


def similarities(pairs: Sequence[Likeness]) -> str:
    """Return SVG text: a panel for each pair of videos, at most three in a row."""
    columns = min(len(pairs), ACROSS)
    rows = -(-len(pairs) // ACROSS)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, pair in zip(panels, pairs, strict=False):
            _panel(axes, pair)
        for axes in panels[len(pairs) :]:
            axes.set_visible(False)

    return style.svg(draw, 4.6 * columns, 3.8 * rows)


def _panel(axes: "Axes", pair: Likeness) -> None:
    x, y = (own - own[0] for own in pair.times)
    axes.imshow(
        pair.picture,
        origin="lower",
        aspect="auto",
        cmap="Blues",
        interpolation="nearest",
        extent=(x[0], _end(x), y[0], _end(y)),
    )
    axes.plot(x[pair.path[0]], y[pair.path[1]], color=style.SERIES[1], label=pair.label)
    axes.set_xlabel(f"{printable(pair.names[0])} (s)")
    axes.set_ylabel(f"{printable(pair.names[1])} (s)")
    axes.grid(False)
    axes.legend(loc="upper left")


def _end(times: np.ndarray) -> float:
    """Return when the last frame goes."""
    return float(times[-1] + (np.diff(times).mean() if len(times) > 1 else 1.0))
