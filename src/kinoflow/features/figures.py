"""The stage `pca-section`: how much of the features' variance the components explain."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kinoflow.features.pca_files import Group, PcaBasis, read_basis
from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report import style
from kinoflow.report.options import ReportOptions
from kinoflow.report.section import Block, Column, Figure, Section, Table, Text, printable
from kinoflow.stage import In, Out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ORDER = 20
GROUPS = 100  # most rows of the table
NAMED = 6  # most groups with a colour of their own


def pca_section(basis: In, section: Out, name: str, options: ReportOptions) -> None:
    """Make the report's section on a PCA.

    basis: the components, written by `kinoflow pca-fit`
    section: the section file to write
    name: name of the PCA
    """
    fitted = read_basis(basis)
    shares = {group: found.explained for group, found in fitted.groups.items()}
    wanted = sorted(options.variance_shares)
    sections.write(
        section, Section(f"PCA: {name}", ORDER, tuple(_blocks(fitted, shares, wanted)), _summary(fitted, shares))
    )
    log.info("%s: %d groups", name, len(shares))


def components_for(explained: np.ndarray, share: float) -> int | None:
    """Return how many components explain ``share`` of the variance; None if all that were kept explain less.

    explained: (k,) share of the whole variance that each component explains, the largest first.
    """
    enough = np.flatnonzero(np.cumsum(explained) >= share - 1e-9)
    return int(enough[0]) + 1 if len(enough) else None


def _summary(fitted: PcaBasis, shares: dict[Group, np.ndarray]) -> str:
    kept = [float(explained.sum()) for explained in shares.values()]
    if len(kept) == 1:
        count = len(next(iter(shares.values())))
        return f"{count} of {fitted.width} dimensions keep {kept[0]:.1%} of the variance."
    return f"{len(kept)} groups; their components keep {min(kept):.1%} to {max(kept):.1%} of the variance."


def _blocks(fitted: PcaBasis, shares: dict[Group, np.ndarray], wanted: Sequence[float]) -> list[Block]:
    on = "all videos" if fitted.options["fit_on"] == "all" else "the videos of the training split"
    said = [f"Fitted to {on}, once, without approximation."]
    if fitted.options["standardise"]:
        said.append("Every column was divided by its standard deviation first.")
    if fitted.options["whiten"]:
        said.append("Components are scaled to unit variance when features are projected.")
    return [Text(" ".join(said)), _table(fitted, shares, wanted), _spectrum(shares, wanted)]


def _table(fitted: PcaBasis, shares: dict[Group, np.ndarray], wanted: Sequence[float]) -> Table:
    named = [kind for kind in ("task", "block") if any(getattr(group, kind) for group in shares)]
    rows = []
    for group, explained in list(shares.items())[:GROUPS]:
        found = fitted.groups[group]
        needed = [components_for(explained, share) or f"> {len(explained)}" for share in wanted]
        names = [getattr(group, kind) for kind in named]
        rows.append((*names, found.rows, len(found.mean), len(explained), float(explained.sum()), *needed))
    columns = (
        *(Column(kind) for kind in named),
        Column("rows fitted", "number", "d"),
        Column("columns", "number", "d"),
        Column("components kept", "number", "d"),
        Column("variance kept", "number", ".1%"),
        *(Column(f"for {100 * share:.4g}%", "number") for share in wanted),
    )
    notes = (f"The first {GROUPS} of {len(shares)} groups.",) if len(shares) > GROUPS else ()
    return Table("Components, and how many of them explain a share of the variance", columns, tuple(rows), notes=notes)


def _spectrum(shares: dict[Group, np.ndarray], wanted: Sequence[float]) -> Figure:
    first, explained = next(iter(shares.items()))
    alt = f"Explained variance by component: the first explains {explained[0]:.1%}, all {len(explained)} {explained.sum():.1%}"
    caption = "Left: the share of the variance that each component explains. Right: what the first components explain together."
    if len(shares) > 1:
        alt += f" ({first}; {len(shares)} groups are drawn)"
    if len(shares) > NAMED:
        caption += f" Each line is one of {len(shares)} groups."
    return Figure(alt, caption, svg=style.svg(partial(_draw, shares=shares, wanted=wanted), 8, 2.7))


def _draw(figure: "Canvas", shares: dict[Group, np.ndarray], wanted: Sequence[float]) -> None:
    single, together = figure.subplots(1, 2)
    for number, (group, explained) in enumerate(shares.items()):
        few = len(shares) <= NAMED
        look = {"color": style.MUTED, "linestyle": "-", "alpha": 0.5}
        if few:
            look = {"color": style.SERIES[number], "linestyle": style.LINES[number]}
        places = np.arange(1, len(explained) + 1)
        label = " · ".join(printable(part) for part in group if part) if few else ""
        if len(shares) == 1:
            single.stairs(explained, np.arange(len(explained) + 1) + 0.5, fill=True, color=style.SERIES[0])
        else:
            single.plot(places, explained, **look)
        together.plot([0, *places], [0, *np.cumsum(explained)], label=label, **look)
    _name_axes(single, together)
    _mark_shares(together, shares, wanted)
    if 1 < len(shares) <= NAMED:
        together.legend(loc="lower right")


def _name_axes(single: "Axes", together: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for axes, title in (
        (single, "Variance explained by each component"),
        (together, "by the first components together"),
    ):
        axes.set_title(title)
        axes.set_xlabel("component" if axes is single else "components")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="%"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    single.set_ylim(bottom=0)
    together.set_ylim(0, 1.02)


def _mark_shares(together: "Axes", shares: dict[Group, np.ndarray], wanted: Sequence[float]) -> None:
    """Mark where a single spectrum reaches the wanted shares."""
    if len(shares) > 1:
        return
    explained = next(iter(shares.values()))
    reached = [(components_for(explained, share), share) for share in wanted]
    for count, share in ((count, share) for count, share in reached if count):
        together.plot([count, count, 0], [0, share, share], color=style.MUTED, linestyle=":", linewidth=0.9)
        together.annotate(f"{count}", (count, 0), (2, 3), textcoords="offset points", fontsize=8, color=style.MUTED)
    together.set_xlim(left=0)
