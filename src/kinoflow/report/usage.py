"""Where time and memory went: the benchmark files that Snakemake keeps beside a run, summed up by rule.

The one part of the report that differs between two runs of the same study.
"""

import csv
import math
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from kinoflow.errors import DataError
from kinoflow.report import style
from kinoflow.report.section import Block, Callout, Column, Figure, Section, Table, Text, printable
from kinoflow.store.files import parse_json

TITLE = "Time and memory"
LAST = 999
DRAWN = 16  # rules in the figure; the table has all
PACKAGES = ("kinoflow", "snakemake", "torch", "torchvision", "av", "numpy")


@dataclass(frozen=True)
class Job:
    """What one run of one rule took. wall, cpu: seconds; memory: MiB of resident memory at its peak; None: not measured."""

    rule: str
    wall: float
    cpu: float | None
    memory: float | None


@dataclass(frozen=True)
class Rule:
    """The jobs of one rule together. longest: seconds of the longest job; memory: MiB of the largest; None: none was measured."""

    name: str
    jobs: int
    wall: float
    cpu: float | None
    longest: float
    memory: float | None


def usage_section(folders: Iterable[Path]) -> Section:
    """Return the section on the benchmark files (.jsonl, .tsv) below ``folders``; those that are not there count as empty.

    A file's rule is its ``rule_name`` (snakemake --benchmark-extended), else the first folder below the given one, else its
    stem: ``probe/003.jsonl`` and ``render.jsonl`` are jobs of probe and render.
    """
    jobs, broken = _jobs(folders)
    blocks: list[Block] = [
        Text(
            "This section, and no other, may differ between two runs of the same study: times and memory are those of the"
            " machines that did the work. Each job counts as it last ran; what was up to date did not run again."
        )
    ]
    if jobs:
        blocks += [_table(jobs), _figure(by_rule(jobs))]
    else:
        blocks.append(Text("No job of this study has left a benchmark file."))
    if broken:
        names = ", ".join(printable(str(path)) for path in broken[:5])
        blocks.append(Callout(f"{len(broken)} benchmark files cannot be read and are left out: {names}", "warning"))
    blocks.append(Text(f"This page was put together by {_software()}."))
    summary = f"{duration(sum(job.cpu or 0 for job in jobs))} of CPU time in {len(jobs)} jobs." if jobs else ""
    return Section(TITLE, LAST, tuple(blocks), summary=summary)


def by_rule(jobs: Iterable[Job]) -> list[Rule]:
    """Sum jobs up by rule, the costliest first."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.rule, []).append(job)
    rules = [_sum(name, group) for name, group in groups.items()]
    return sorted(rules, key=lambda rule: (-(rule.cpu or 0), -rule.wall, rule.name))


def _sum(name: str, jobs: list[Job]) -> Rule:
    times = [job.cpu for job in jobs if job.cpu is not None]
    memories = [job.memory for job in jobs if job.memory is not None]
    walls = [job.wall for job in jobs]
    cpu, memory = sum(times) if times else None, max(memories, default=None)
    return Rule(name, len(jobs), sum(walls), cpu, max(walls), memory)


def duration(seconds: float) -> str:
    """Say a time span as people do: ``0.4 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(mebibytes: float) -> str:
    """Say an amount of memory: ``310 MiB``, ``1.4 GiB``."""
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def _jobs(folders: Iterable[Path]) -> tuple[list[Job], list[Path]]:
    """Return the jobs of all benchmark files, and the files that are none (a run may have been killed while writing)."""
    jobs, broken = [], []
    found = ((folder, path) for folder in folders for path in sorted(folder.rglob("*"), key=os.fsencode))
    for folder, path in found:
        if path.suffix not in (".jsonl", ".tsv") or not path.is_file():
            continue
        parts = path.relative_to(folder).parts
        try:
            jobs += list(_read(path, printable(parts[0] if len(parts) > 1 else path.stem)))
        except (DataError, ValueError, TypeError, OSError, csv.Error):
            broken.append(path)
    return jobs, broken


def _read(path: Path, rule: str) -> Iterator[Job]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = map(parse_json, file) if path.suffix == ".jsonl" else csv.DictReader(file, delimiter="\t")
        for row in rows:
            wall = _number(row.get("s")) if isinstance(row, dict) else None
            if wall is None:
                raise DataError(f"{path}: this is no benchmark file of Snakemake: it holds no seconds (s)")
            name = row.get("rule_name") or rule
            yield Job(printable(str(name)), wall, _number(row.get("cpu_time")), _number(row.get("max_rss")))


def _number(value: Any) -> float | None:
    """Return a measured value; Snakemake writes NA or - for a job that was gone before it was looked at."""
    if value in (None, "NA", "-", ""):
        return None
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is no amount")
    return number


def _table(jobs: list[Job]) -> Table:
    rows = [_row(rule) for rule in by_rule(jobs)]
    return Table(
        "Time and memory by rule, costliest first",
        (
            Column("rule", "name"),
            Column("jobs", "number"),
            Column("CPU time", "number"),
            Column("wall time", "number"),
            Column("longest job", "number"),
            Column("peak memory", "number"),
        ),
        (*rows, _row(_sum("all of these", jobs))),
        highlight=(len(rows),),
        notes=(
            "CPU and wall time are sums over jobs; jobs that ran side by side count each. Peak memory is the largest resident"
            " memory of one job. A job of less than about half a second may end before it is measured.",
            "PCA, tables of actions and sets, and the pages and figures of this report are not measured.",
        ),
    )


def _row(rule: Rule) -> tuple[str | int | None, ...]:
    cpu = None if rule.cpu is None else duration(rule.cpu)
    memory = None if rule.memory is None else size(rule.memory)
    return (rule.name, rule.jobs, cpu, duration(rule.wall), duration(rule.longest), memory)


def _figure(rules: list[Rule]) -> Figure:
    drawn = [rule for rule in rules if rule.cpu is not None or rule.memory is not None][:DRAWN]
    names = [rule.name for rule in drawn]
    times = ["" if rule.cpu is None else duration(rule.cpu) for rule in drawn]
    memories = ["" if rule.memory is None else size(rule.memory) for rule in drawn]

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        style.bars(left, names, [rule.cpu or 0 for rule in drawn], times)
        style.bars(right, names, [rule.memory or 0 for rule in drawn], memories, style.SERIES[1])
        left.set_title("CPU time")
        right.set_title("peak memory of a job")

    said = "; ".join(" ".join(part) for part in zip(names, times, memories, strict=True))
    more = " Rules that took next to nothing are in the table only." if len(rules) > len(drawn) else ""
    height = 0.7 + 0.26 * len(drawn)
    return Figure(f"Bars of each rule: {said}", f"Where time and memory went.{more}", svg=style.svg(draw, 7.5, height))


def _software() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue  # kinoflow itself need not be installed
    return f"{', '.join(found)} on {platform.system()} {platform.machine()}"
