"""The stage `teachers-section`: how well teachers of words foresee the next action, beside guesses without a network."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from kinoflow.progress import log
from kinoflow.report import section as sections
from kinoflow.report.results import at, numbers, placed, told
from kinoflow.report.section import Block, Column, Figure, Section, Table, Text
from kinoflow.stage import In, Out
from kinoflow.tasks.anticipation import drawing

ORDER = 55
WAYS = {  # what foresees, by its key in the measures
    "teacher": "teacher",
    "ngram_text": "n-gram + corpus",
    "ngram": "n-gram",
    "majority": "majority",
}
MEASURES = {"top-1": "top1", "top-5": "top5", "class mean": "class_mean"}
RECALLS = {"all classes": "recall5", "many-shot, official": "recall5_ms_official", "many-shot, or": "recall5_ms_or"}
READINGS = ("own", "marginal", "decomposed")  # of verbs and nouns
SUBSETS = {
    "tail verbs": ("tail", "verb", "marginal"),
    "tail nouns": ("tail", "noun", "marginal"),
    "tail actions": ("tail", "action"),
    "unseen people": ("unseen", "action"),
}
LENGTHS = 3  # runs that differ in the length of their histories alone: so many make a curve

Values = dict[int, dict[str, Any]]  # measures by seed
Runs = dict[str, Values]


def teachers_section(metrics: list[In], section: Out, summaries: list[In] | None = None) -> None:
    """Make the report's section on teachers.

    metrics: the measures of every teacher and seed, at .../<run>/seed-<number>/metrics.json
    section: the section file to write
    summaries: the means over several of them, at places alike
    """
    runs, means = _by_run(metrics), _by_run(summaries or ())
    blocks: list[Block] = [
        Text(
            "What is done next, told from the labels of what was done before. The policy says what was read: `order` all earlier"
            " actions, `started` those begun, `ended` those over a gap before the action."
        ),
        *_actions(runs),
        *_parts(runs),
        *_subsets(runs),
        *_means(means),
        *_lengths(runs),
    ]
    sections.write(section, Section("Teachers", ORDER, tuple(blocks), _summary(runs)))
    log.info("teachers: %d runs", len(runs))


def _by_run(paths: Sequence[Path]) -> Runs:
    found: Runs = {}
    for (run, seed), path in placed(paths).items():
        found.setdefault(run, {})[seed] = numbers(path)
    return found


def over(seeds: Values, *keys: str) -> str:
    """Say a share over seeds, mean and range; "" where it is not measured."""
    return told(value for each in seeds.values() if (value := at(each, keys)) is not None)


def history(seeds: Values) -> str:
    """Say what was read: ``ended 1 s before, last 5``."""
    some = next(iter(seeds.values()))
    gap = "" if some["policy"] == "order" else f" {some['gap']:g} s before"
    last = f", last {some['last']}" if some.get("last") else ", all"
    return f"{some['policy']}{gap}{last}"


def _summary(runs: Runs) -> str:
    def top5(run: str) -> float:
        return fmean(at(each, ("teacher", "action", "top5")) or 0.0 for each in runs[run].values())

    best = max(runs, key=top5)
    shares = " / ".join(over(runs[best], "teacher", "action", key) for key in ("top1", "top5"))
    rival = next(way for way in ("ngram_text", "ngram") if way in next(iter(runs[best].values())))
    grams = " / ".join(over(runs[best], rival, "action", key) for key in ("top1", "top5"))
    return f"{best} ({history(runs[best])}) foresees {shares} (top-1 / top-5), the {WAYS[rival]} {grams}."


# ---------------------------------------------------------------- tables


def _actions(runs: Runs) -> list[Block]:
    notes = (
        "Mean over seeds, and the lowest and highest. Class mean: mean recall of the classes present. Guesses without a network"
        " have learnt from the same rows (+ corpus: and from its recipes), and read histories by the same policy.",
    )
    recalls = (
        "Means over the classes: of those present, and of those with many training segments by two definitions.",
    )
    return [
        _of_actions("Next actions foreseen from words", runs, MEASURES, notes),
        _of_actions("Mean top-5 recall from words", runs, RECALLS, recalls),
    ]


def _of_actions(caption: str, runs: Runs, measures: dict[str, str], notes: tuple[str, ...]) -> Table:
    shown = {
        title: key for title, key in measures.items() if any(over(s, "teacher", "action", key) for s in runs.values())
    }
    columns = (
        *(Column("run", "name"), Column("history"), Column("what"), Column("seeds", "number", "d")),
        *(Column(title, "number") for title in shown),
    )
    rows, best = [], []
    for run, seeds in runs.items():
        for way, name in WAYS.items():
            cells = [over(seeds, way, "action", key) for key in shown.values()]
            if any(cells):
                best += [len(rows)] if way == "teacher" else []
                rows.append((run, history(seeds), name, len(seeds), *cells))
    return Table(caption, columns, tuple(rows), notes=notes, highlight=tuple(best))


def _parts(runs: Runs) -> list[Block]:
    rows = []
    for run, seeds in runs.items():
        for head, reading, way in itertools.product(("verb", "noun"), READINGS, ("teacher", "ngram")):
            cells = [over(seeds, way, head, reading, key) for key in ("top1", "top5")]
            if any(cells):
                rows.append((run, history(seeds), f"{head}, {reading}", WAYS[way], *cells))
    if not rows:
        return []
    columns = (
        *(Column("run", "name"), Column("history"), Column("part"), Column("what")),
        *(Column(title, "number") for title in ("top-1", "top-5")),
    )
    notes = (
        "Own: by heads of their own; marginal: sums of the probabilities of their actions; decomposed: of the likeliest actions.",
    )
    return [Table("Verbs and nouns", columns, tuple(rows), notes=notes)]


def _subsets(runs: Runs) -> list[Block]:
    rows = []
    for run, seeds in runs.items():
        for title, keys in SUBSETS.items():
            for way in ("teacher", "ngram"):
                cells = [over(seeds, way, "subsets", *keys, k) for k in ("top1", "top5", "recall5")]
                if any(cells):
                    rows.append((run, history(seeds), title, WAYS[way], *cells))
    if not rows:
        return []
    columns = (
        *(Column("run", "name"), Column("history"), Column("part of the validation"), Column("what")),
        *(Column(title, "number") for title in ("top-1", "top-5", "mean top-5 recall")),
    )
    return [Table("Parts of the validation", columns, tuple(rows))]


def _means(means: Runs) -> list[Block]:
    if not means:
        return []
    columns = (
        *(
            Column("mean of runs", "name"),
            Column("runs", "number", "d"),
            Column("what"),
            Column("seeds", "number", "d"),
        ),
        *(Column(title, "number") for title in ("top-1", "top-5", "class mean")),
    )
    rows = []
    for name, seeds in means.items():
        for way, what in WAYS.items():
            cells = [over(seeds, way, "action", k, "mean") for k in ("top1", "top5", "class_mean")]
            if any(cells):
                rows.append((name, next(iter(seeds.values()))["files"], what, len(seeds), *cells))
    return [Table("Means over splits", columns, tuple(rows), notes=("Mean over the runs first, then over seeds.",))]


# ---------------------------------------------------------------- how far back


def _lengths(runs: Runs) -> list[Block]:
    curves: dict[str, dict[int, float]] = {}
    for seeds in runs.values():
        some = next(iter(seeds.values()))
        if some.get("last"):
            for way in ("teacher", "ngram"):
                values = [at(each, (way, "action", "top5")) for each in seeds.values()]
                if None not in values:
                    curves.setdefault(f"{WAYS[way]}, {some['policy']}", {})[some["last"]] = fmean(values)
    curves = {name: curve for name, curve in curves.items() if len(curve) >= LENGTHS}
    if not curves:
        return []
    alt = "; ".join(
        f"{name}: " + ", ".join(f"{last} actions {100 * value:.1f}%" for last, value in sorted(curve.items()))
        for name, curve in curves.items()
    )
    caption = "Top-5 by the number of actions that a history keeps, mean over seeds."
    return [Figure(f"Top-5 by the length of histories; {alt}", caption, svg=drawing.lengths(curves))]
