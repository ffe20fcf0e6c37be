"""The stage `claims`: the metrics of all runs in one table, what they say of the study's claims, and what others published.

A file ``.../<room>/<run>/seed-<k>/metrics.json`` says by its place whose it is; ``metrics-<test>.json`` beside it is that of
a further test. Inside, numbers hang below texts:
``{"verb": {"top1": 0.91, "groups": {"slow": 0.9}}}`` is ``verb.top1`` and ``verb.groups.slow`` here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinoflow.errors import ConfigError, DataError
from kinoflow.report import section as sections
from kinoflow.report.claims import (
    ALONE,
    HOLDS,
    MISSED,
    OPEN,
    OUTCOMES,
    Claim,
    Values,
    claim,
    claims_table,
    forest,
    write_claims,
)
from kinoflow.report.options import ClaimOptions, ClaimsOptions, PublishedFigure
from kinoflow.report.section import Block, Callout, Column, Section, Table, Text
from kinoflow.stage import In, Out
from kinoflow.store import tables
from kinoflow.store.files import parse_json

ORDER = 80
PLACE = re.compile(r"seed-(\d+)")
FILE = re.compile(r"metrics(?:-(.+))?\.json")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A row of metrics.csv."""

    room: str
    run: str
    seed: int
    test: str = ""  # "": the run's main test
    metric: str
    value: float


def claims(metrics: list[In], overview: Out, table: Out, section: Out, options: ClaimsOptions) -> None:
    """Join the metrics of all runs, decide the study's claims by them, and lay published figures beside them.

    metrics: the files metrics.json (and metrics-<test>.json) of all runs and seeds
    overview: the table of all metrics to write
    table: the table of claims to write
    section: the section file of the report to write
    """
    rows = [row for path in metrics for row in _metrics(path)]
    tables.write(overview, rows, Metric)
    found = [_decided(name, options.claims[name], rows) for name in sorted(options.claims)]
    write_claims(table, found)
    beside = [compared(options.published, rows)] if options.published else []
    sections.write(section, Section("Claims", ORDER, (*_blocks(found), *beside), _summary(found)))


def _metrics(path: Path) -> list[Metric]:
    place, file = PLACE.fullmatch(path.parent.name), FILE.fullmatch(path.name)
    try:
        values = parse_json(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON file: {error}") from None
    if not place or not file or not isinstance(values, dict):
        raise DataError(f"{path}: metrics lie at <room>/<run>/seed-<number>/metrics.json and are a mapping of numbers")
    room, run = path.parts[-4:-2]
    whose = {"room": room, "run": run, "seed": int(place[1]), "test": file[1] or ""}
    return [Metric(**whose, metric=k, value=v) for k, v in sorted(_flat(values))]


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Yield (dotted name, number) of every number below ``values``; texts, lists and empty values are left out."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{key}", float(value)


def _decided(name: str, options: ClaimOptions, rows: list[Metric]) -> Claim:
    name = f"claims.{name}"
    treatment = _values(name, options, options.treatment, rows)
    baseline: tuple[str, Values | float]
    if isinstance(options.baseline, float):
        baseline = (f"{options.baseline:g}", options.baseline)
    else:
        runs = (options.baseline,) if isinstance(options.baseline, str) else options.baseline
        said = f" ({options.against})" if options.against else ""
        baseline = (
            " or ".join(runs) + said,
            _best([_values(name, options, run, rows, options.against) for run in runs], options.better),
        )
    return claim(
        options.room,
        options.claim,
        (options.treatment, treatment),
        baseline,
        options.metric,
        options.bar,
        options.better,
        options.unit,
    )


def _best(values: list[dict[int, float]], better: str) -> dict[int, float]:
    """Return the best value of each seed that all have."""
    best = max if better == "higher" else min
    return {seed: best(of[seed] for of in values) for seed in sorted(set.intersection(*map(set, values)))}


def compared(figures: Sequence[PublishedFigure], rows: list[Metric]) -> Table:
    """Return the table of what runs reached, means over seeds, beside what was published; ConfigError for unknown metrics."""
    cells = []
    for number, figure in enumerate(figures):
        values = _values(f"published[{number}]", figure, figure.run, rows)
        measured = (100 if figure.unit == "%" else 1) * sum(values.values()) / len(values)
        beside = (figure.value, None if figure.value is None else measured - figure.value)
        said = " (recalled)" if figure.recalled else " (not verified)" if figure.value is None else ""
        whose = (figure.run, figure.test or "", figure.metric, len(values))
        cells.append((*whose, figure.unit, measured, *beside, f"{figure.source}{said}"))
    columns = (
        Column("run", "name"),
        Column("test"),
        Column("metric", "name"),
        Column("seeds", "number", "d"),
        Column("unit"),
        Column("measured", "number", ".1f"),
        Column("published", "number", ".1f"),
        Column("difference", "number", ".1f"),
        Column("source"),
    )
    notes = {
        "recalled: quoted from memory, not looked up again": any(figure.recalled for figure in figures),
        "not verified: no source that tells the figure could be looked up": any(f.value is None for f in figures),
    }
    return Table(
        "Measured against published", columns, tuple(cells), tuple(note for note, told in notes.items() if told)
    )


def _values(
    name: str, options: ClaimOptions | PublishedFigure, run: str, rows: list[Metric], against: str = ""
) -> dict[int, float]:
    """Return {seed: value} of a run's metric, or of ``against`` in its place; ConfigError if it has no such metric."""
    metric = against or options.metric
    own = [row for row in rows if (row.room, row.run, row.test) == (options.room, run, options.test or "")]
    found = {row.seed: row.value for row in own if row.metric == metric}
    if not found:
        known = ", ".join(sorted({row.metric for row in own})[:40]) or "none"
        raise ConfigError(f"{name}: {options.room} {run!r} has no metric {metric!r}; it has: {known}")
    return found


def _blocks(found: list[Claim]) -> list[Block]:
    if not found:
        return [Text("This study states no claims.")]
    failed = [row for row in found if row.outcome == MISSED]
    said = [Callout(f"Does not hold here: {row.system}: {row.claim}", "finding") for row in failed]
    return [*said, forest(found), claims_table(found)]


def _summary(found: list[Claim]) -> str:
    if not found:
        return ""
    count = {said: sum(row.outcome == said for row in found) for said in OUTCOMES}
    words = (
        (MISSED, "{} missed"),
        (OPEN, "{} undecided by the interval over seeds"),
        (ALONE, "{} undecided with one seed"),
    )
    rest = "".join(f"; {text.format(count[said])}" for said, text in words if count[said])
    return f"{count[HOLDS]} of {len(found)} claims hold{rest}."
