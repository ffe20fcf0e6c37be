"""Claims of the papers, tested: one row each, decided by an interval over seeds, drawn as a forest plot.

    scores = {"tsm": {0: 0.71, 1: 0.75, 2: 0.68}, "tsn": {0: 0.52, 1: 0.50, 2: 0.54}}
    row = claim("recognition", "Shift tells slow verbs apart", ("tsm", scores["tsm"]), ("tsn", scores["tsn"]), "slow recall")
    write_claims(path, [row])
    Section("Claims", 80, (forest([row]), claims_table([row])))

A claim says by how much a treatment is better than a baseline: its effect is the improvement, whichever way the metric
runs, paired by seed. It holds if the whole 95 % interval lies above the claim's bar (0: any improvement; below 0: not
much worse). One seed has no interval and decides nothing. "The baseline is at chance" is a claim too: chance as the
treatment, the baseline's metric to beat, and a bar below 0.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinoflow.errors import DataError
from kinoflow.metrics.intervals import paired
from kinoflow.report import style
from kinoflow.report.section import Column, Figure, Table, printable
from kinoflow.store import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

HOLDS, OPEN, MISSED, ALONE = OUTCOMES = ("holds", "undecided", "does not hold", "one seed")
COLOURS = {HOLDS: style.SERIES[0], OPEN: style.SERIES[0], MISSED: style.SERIES[1], ALONE: style.MUTED}
WRAPPED = 46  # characters of a line beside the plot
LINE = 0.16  # inches
LETTER = 4.1  # points, the mean width of a letter beside the plot

Values = Mapping[int, float]  # {seed: value of the metric}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of claims.csv. effect, low, high, bar: improvement of treatment over baseline, in ``unit``."""

    system: str  # the room, or the published system
    claim: str  # a sentence that may be false
    treatment: str  # the runs that should be better
    baseline: str  # the runs, or the number, that should be worse
    metric: str
    seeds: int  # that both have
    effect: float  # mean over seeds
    low: float | None = None  # ends of the 95 % interval; None: one seed
    high: float | None = None
    holds: str = ""  # yes: low > bar; no; empty: one seed
    bar: float = 0.0
    unit: str = "share"

    @property
    def outcome(self) -> str:
        """What is said of it: a mean above the bar with an interval that is not leaves the claim undecided."""
        if self.low is None:
            return ALONE
        return HOLDS if self.holds == "yes" else OPEN if self.effect > self.bar else MISSED


def claim(
    system: str,
    text: str,
    treatment: tuple[str, Values],
    baseline: tuple[str, Values | float],
    metric: str,
    bar: float = 0.0,
    better: Literal["higher", "lower"] = "higher",
    unit: str = "share",
) -> Claim:
    """Test a claim: compare ``treatment`` with ``baseline`` (each a name and its values by seed, or one number).

    bar: the improvement that must be exceeded, in ``unit``. better: which values of the metric are the better ones.
    DataError if they share no seed, or a value is not finite.
    """
    try:
        _, found = paired(treatment[1], baseline[1])
    except ValueError as error:
        raise DataError(f"claim {text!r}: {treatment[0]} against {baseline[0]}: {error}") from None
    effect, low, high = found.mean, found.low, found.high
    if better == "lower":
        effect, low, high = 0.0 - effect, _negative(high), _negative(low)
    return Claim(
        system=system,
        claim=text,
        treatment=treatment[0],
        baseline=baseline[0],
        metric=metric,
        seeds=found.seeds,
        effect=effect,
        low=low,
        high=high,
        holds="" if low is None else "yes" if low > bar else "no",
        bar=bar,
        unit=unit,
    )


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # never minus zero


def write_claims(path: str | Path, rows: Sequence[Claim]) -> None:
    """Write claims.csv, rows in the order given."""
    tables.write(path, rows, Claim)


def read_claims(path: str | Path) -> list[Claim]:
    """Read claims.csv; DataError names the file, the line and the column at fault."""
    rows = tables.read(path, Claim)
    for row in rows:
        if row.holds not in ("yes", "no", ""):
            raise DataError(f"{path}: {row.holds!r} is no value for the column 'holds' (yes, no or empty)")
    return rows


def claims_table(rows: Sequence[Claim]) -> Table:
    """Return all claims with their numbers as a table of the report; what they compare stands in the forest beside it."""
    columns = (
        *(Column("system"), Column("claim"), Column("outcome")),
        *(Column("effect", "number", ".3f"), Column("95 % interval", "number"), Column("bar", "number", ".3g")),
        *(Column("unit"), Column("seeds", "number", "d")),
    )
    cells = tuple(
        (row.system, row.claim, row.outcome, row.effect, _interval(row), row.bar, row.unit, row.seeds) for row in rows
    )
    note = (
        "Effect: mean improvement, paired by seed, with its 95 % interval by Student's t. A claim holds if the whole interval"
        " is above the bar, and is undecided if the effect is, but a part of the interval is not. What is compared stands in"
        " the figure."
    )
    return Table("Claims and their outcome", columns, cells, notes=(note,))


def _interval(row: Claim) -> str:
    return "" if row.low is None else f"{row.low:.3f} to {row.high:.3f}".replace("-", "\N{MINUS SIGN}")


def forest(rows: Sequence[Claim]) -> Figure:
    """Draw the effect and interval of each claim, in the order given; each unit has an axis of its own.

    A claim that does not hold, or is undecided, is drawn hollow and says so. ValueError if there is no claim.
    """
    if not rows:
        raise ValueError("there is no claim to draw")
    panels = [list(group) for group in _by_unit(rows)]
    heights = [sum(map(_lines, panel)) * LINE + 0.75 for panel in panels]
    counts = {said: sum(row.outcome == said for row in rows) for said in OUTCOMES}
    outcome = ", ".join(f"{count} {said}" for said, count in counts.items() if count)
    said = "; ".join(f"{row.claim}: {_numbers(row)}, {row.outcome}" for row in rows)
    caption = (
        "Improvement of the treatment over the baseline (paired by seed): mean and 95 % interval. The short upright line is"
        " what must be exceeded; filled: the claim holds; hollow: the mean, or a part of the interval, does not exceed it;"
        " diamond: one seed, no interval."
    )
    picture = style.svg(partial(_draw, panels=panels, heights=heights), 8, sum(heights))
    return Figure(f"Forest plot of {len(rows)} claims ({outcome}). {said}", caption, svg=picture)


def _by_unit(rows: Sequence[Claim]) -> list[list[Claim]]:
    """Return the claims of each unit together; units in the order in which they first occur."""
    first = {unit: place for place, unit in reversed(list(enumerate(row.unit for row in rows)))}
    ordered = sorted(rows, key=lambda row: first[row.unit])  # stable: claims keep their order
    return [list(group) for _, group in groupby(ordered, key=lambda row: row.unit)]


def _label(row: Claim) -> str:
    compared = f"{row.treatment} over {row.baseline}, {row.metric}"
    parts = [
        *textwrap.wrap(printable(f"{row.system}: {row.claim}"), WRAPPED),
        *textwrap.wrap(printable(compared), WRAPPED),
    ]
    return "\n".join(parts)


def _lines(row: Claim) -> int:
    return _label(row).count("\n") + 2


def _numbers(row: Claim) -> str:
    ends = "" if row.low is None else f" [{row.low:+.3g}, {row.high:+.3g}]"
    return f"{row.effect:+.3g}{ends}".replace("-", "−")


def _draw(figure: "Canvas", panels: list[list[Claim]], heights: list[float]) -> None:
    all_axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    longest = max(len(line) for panel in panels for row in panel for line in _label(row).split("\n"))
    for axes, panel in zip(all_axes, panels, strict=True):
        _panel(axes, panel)
        # From the left, for the reader's browser takes a font of its own: right edges would not stand in line.
        axes.tick_params(axis="y", length=0, labelsize=7.5, pad=longest * LETTER)
        for label in axes.get_yticklabels():
            label.set_horizontalalignment("left")


def _panel(axes: "Axes", rows: list[Claim]) -> None:
    places, top = [], 0.0
    for row in rows:
        places.append(top + _lines(row) / 2)
        top += _lines(row)
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    for place, row in zip(places, rows, strict=True):
        _mark(axes, place, row)
    axes.set_yticks(places, [_label(row) for row in rows])
    axes.set_ylim(top, 0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"improvement ({printable(rows[0].unit)})" if rows[0].unit else "improvement")
    axes.margins(x=0.08)


def _mark(axes: "Axes", place: float, row: Claim) -> None:
    colour = COLOURS[row.outcome]
    if row.low is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linestyle="-", solid_capstyle="butt")
    axes.plot([row.bar, row.bar], [place - 0.8, place + 0.8], color=style.INK, linestyle="-", linewidth=1)
    axes.plot(
        [row.effect],
        [place],
        marker="o" if row.seeds > 1 else "D",
        markersize=6,
        color=colour,
        markerfacecolor=style.PAPER if row.outcome in (OPEN, MISSED) else colour,
        linestyle="none",
    )
    axes.annotate(
        f"{_numbers(row)}\n{row.outcome}",
        (1.0, place),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=style.INK,
        annotation_clip=False,
    )
