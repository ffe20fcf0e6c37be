"""Figures: one look, colours that every reader tells apart on light and on dark paper, the same bytes every time.

    picture = style.svg(draw, 7, 3)          # draw(figure) gets a matplotlib Figure of 7 x 3 inches and fills it

Text stays text: it is a tenth of the size of outlines, is found by a search and read aloud. Colours of the palette leave as
CSS variables, so that the page decides between its light and its dark shade; a file opened alone shows the light one.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from kinoflow.report.section import printable
from kinoflow.report.svg import SVG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# name: (on light paper, on dark paper). The series keep a distance of 8 or more in OKLab x 100 for normal, red-blind,
# green-blind and blue-blind eyes, and a contrast of 3 or more against the paper (tests/report/test_style.py).
PALETTE = {
    "series-1": ("#0065b0", "#4f92f5"),  # blue
    "series-2": ("#d0710e", "#e0602a"),  # orange
    "series-3": ("#129e8f", "#a8efc4"),  # green
    "series-4": ("#85307a", "#b065a8"),  # purple
    "series-5": ("#5f4300", "#eda93a"),  # ochre
    "series-6": ("#31206f", "#c9b6e8"),  # violet
    "ink": ("#1c2127", "#e4e7eb"),
    "muted": ("#5b6570", "#9fa9b5"),
    "rule": ("#d9dde2", "#343b44"),
    "paper": ("#fefefe", "#15191e"),
    "tint": ("#eef3f8", "#1f262e"),
}
SERIES = tuple(light for name, (light, _) in PALETTE.items() if name.startswith("series"))
INK, MUTED, RULE, PAPER = (PALETTE[name][0] for name in ("ink", "muted", "rule", "paper"))
LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)))

_FONT = "'DejaVu Sans'"  # comes with matplotlib: the layout is the same on every machine
LETTERS = 28  # of a name that are drawn
_LONG = re.compile(r"-?\d+\.\d{3,}")


def svg(draw: Callable[["Figure"], None], width: float, height: float) -> str:
    """Return the figure that ``draw`` fills as SVG text; width and height in inches, text is 9 points high.

    Texts are taken as they stand (no mathematics between dollar signs); names of files go through ``section.printable``.
    """
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    text = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's browser has it
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        matplotlib.rcParams.update(_settings())
        figure = Figure((width, height), layout="constrained")
        draw(figure)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _tidy(text.getvalue())


def look(number: int) -> dict[str, Any]:
    """Return colour and line style of a run by its number, the same in every figure."""
    again, colour = divmod(number, len(SERIES))
    return {"color": SERIES[colour], "linestyle": LINES[(number + again) % len(LINES)]}


def short(name: str) -> str:
    """Return a name as it is drawn: printable, its middle left out if it is long."""
    shown = printable(name)
    return shown if len(shown) <= LETTERS else f"{shown[: LETTERS - 9]}…{shown[-8:]}"


def log_axis(axes: "Axes", which: str) -> None:
    """Make the axis x or y logarithmic, with plain numbers at its powers of ten; what is drawn must be drawn before.

    Where fewer than three powers are to be seen, at their multiples too, and if that is too few at any round numbers.
    """
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullFormatter

    axis = getattr(axes, f"{which}axis")
    getattr(axes, f"set_{which}scale")("log")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    ways = [LogLocator(subs=(1,)), LogLocator(subs=(1, 2, 5)), LogLocator(subs=range(1, 10)), AutoLocator()]
    seen = ([place for place in way.tick_values(low, high) if low <= place <= high] for way in ways)
    axis.set_major_locator(next((way for way, places in zip(ways, seen, strict=True) if len(places) > 2), ways[-1]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", " ")))
    axis.set_minor_formatter(NullFormatter())


def bars(axes: "Axes", names: list[str], values: list[float], labels: list[str], colour: str = SERIES[0]) -> None:
    """Draw horizontal bars from top to bottom, each with its label at its end."""
    places = range(len(names))
    axes.barh(places, values, height=0.72, color=colour)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, (max(values, default=0) or 1) * 1.25)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.grid(False)
    for place, value, label in zip(places, values, labels, strict=True):
        axes.annotate(label, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=8, color=MUTED)


def font_file() -> Path:
    """Return the font of figures, for pictures that are drawn otherwise."""
    return Path(_matplotlib().get_data_path(), "fonts/ttf/DejaVuSans.ttf")


def _matplotlib() -> Any:
    # Where it may not write beside the user's settings it keeps its list of fonts in a temporary folder; no need to warn.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib

    return matplotlib


def _settings() -> dict[str, Any]:
    from cycler import cycler

    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "kinoflow",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.use_mathtext": False,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "axes.prop_cycle": cycler(color=SERIES) + cycler(linestyle=LINES),
    }


def _tidy(text: str) -> str:
    """Return matplotlib's SVG as the page wants it: no document type, metadata, styles or idle names; themed colours."""
    root = ElementTree.fromstring(text[text.index("<svg") :])
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    root.attrib.update({"stroke-linejoin": "round"})  # what matplotlib's style element said
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    for element in root.iter():
        if element.get("id", "") not in used:
            element.attrib.pop("id", None)
        for key in ("d", "x", "y", "points"):
            if key in element.attrib:
                element.set(key, " ".join(_LONG.sub(_rounded, element.attrib[key]).split()))
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
        element.text, element.tail = (part if part and part.strip() else None for part in (element.text, element.tail))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _rounded(number: re.Match) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _themed(css: str) -> str:
    for name, (light, _) in PALETTE.items():
        css = css.replace(light, f"var(--{name}, {light})")
    return css.replace(f"font-family: {_FONT}", "font-family: var(--sans, sans-serif)")
