"""What the rules of the rooms' sections in the report ask for: the results of every run on one subject."""

import functools
import json
import shlex
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kinoflow.labels_seen import OUTSIDE, labels_seen
from kinoflow.layout import Layout, Run, frames_of, table_path
from kinoflow.options import resolved
from kinoflow.run_files import TABLES
from kinoflow.runs import MODEL, Runs
from kinoflow.study import reads
from kinoflow.study_parts import shown

ORDERS = {"recognition": 30, "segmentation": 40, "alignment": 50, "anticipation": 60, "abstraction": 70}  # of sections
TIMED = ("recognition", "segmentation")  # rooms that measure how long their networks take


class RunSections:
    """The sections on runs: one for each room and dataset (or table of actions), whose name is ``{name}``."""

    def __init__(self, layout: Layout, runs: Runs):
        self._layout, self._runs, self._study = layout, runs, layout.study.study

    def names(self) -> list[str]:
        """Return the names of the report's sections on runs: one for each room and dataset, and the claims."""
        found = sorted({f"{ORDERS[run.room]}-{run.room}-{run.subject}" for run in self._told(ORDERS) if run.subject})
        found += ["55-teachers"] if self.words("teachers", "metrics.json") else []
        return [*sorted(found), "80-claims"] if self._runs.results() else []

    def _told(self, rooms: Collection[str]) -> list[Run]:
        """Return the runs of ``rooms`` that the report tells of."""
        told = shown(self._layout.study)
        return [run for run in self._layout.runs.values() if run.room in rooms and run.room in told]

    def words(self, room: str, name: str) -> list[str]:
        """Return a file of every teacher (room teachers), or of every mean over teachers (summaries)."""
        runs = [run for run in self._layout.runs.values() if run.room == room]
        return self._runs.files([run for run in runs if self._student(run).room == "teachers"], name)

    def timings(self) -> list[str]:
        """Return the files of what was measured on this machine; they are no results."""
        found = sorted({f"{run.room}-{run.subject}" for run in self._told(TIMED)})
        return [f"logs/timings/{self._study}/{name}.json" for name in found]

    def files(self, room: str, name: str) -> Callable[[Any], list[str]]:
        """Return a file of every run and seed of a room on the dataset of a section."""
        return lambda wildcards: self._runs.files(self._of(room, wildcards.name), name)

    def models(self, room: str) -> Callable[[Any], list[str]]:
        """Return one checkpoint of every run of a room on the dataset of a section."""
        runs = functools.partial(self._of, room)
        return lambda wildcards: [f"{r.folder(self._study, r.options.seeds[0])}/{MODEL}" for r in runs(wildcards.name)]

    def table(self, room: str, name: str) -> Callable[[Any], str]:
        """Return a table of the dataset of a section."""
        return lambda wildcards: table_path(self._of(room, wildcards.name)[0], name)

    def table_of(self, room: str, key: str, file: str) -> Callable[[Any], str]:
        """Return a file of the table (actions, sets) that the first run of a section names."""

        def path(wildcards: Any) -> str:
            run = self._of(room, wildcards.name)[0]
            table = run.released or getattr(self._layout, TABLES[key])[getattr(run.options, key)]
            return f"data/{table.folder}/{file}"

        return path

    def taxonomy(self, room: str, file: str) -> Callable[[Any], list[str]]:
        """Return a file of the taxonomy that the first run of a section names; none where a release has it."""

        def path(wildcards: Any) -> list[str]:
            run = self._of(room, wildcards.name)[0]
            if run.released:
                return []
            sets = self._layout.sets[run.options.sets]
            return [f"data/{self._layout.taxonomies[sets.options.taxonomy].folder}/{file}"]

        return path

    def shards(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards that the first run of a section reads with its first seed; none if it reads none."""

        def paths(wildcards: Any) -> list[str]:
            run = self._of(room, wildcards.name)[0]
            found = run.shards(run.options.seeds[0])
            return found.files if found else []

        return paths

    def splits(self, room: str) -> Callable[[Any], str]:
        """Return the splits that some run of a section is tested on."""

        def text(wildcards: Any) -> str:
            found = (split for run in self._of(room, wildcards.name) for split in run.options.test_on)
            return " ".join(map(shlex.quote, dict.fromkeys(found)))

        return text

    def seen(self, room: str) -> Callable[[Any], str]:
        """Return what labels the networks had seen that made each run's features, as one JSON text."""
        return lambda wildcards: json.dumps({"seen": self._seen(room, wildcards.name)}, sort_keys=True)

    def students(self, wildcards: Any) -> str:
        """Return the same of students, who taught them from which histories, and which differ in a teacher alone."""
        study, policies, runs = self._layout.study, {}, self._of("anticipation", wildcards.name)
        teachers = {run.name: ", ".join(run.options.taught_by) for run in runs if run.options.taught_by}
        for run in runs:
            single = (
                t for name in run.options.taught_by for t in getattr(study.ensembles.get(name), "teachers", (name,))
            )
            found = dict.fromkeys(study.teachers[teacher].history.policy for teacher in single)
            policies |= {run.name: ", ".join(found)} if found else {}
        seen = self._seen("anticipation", wildcards.name)
        found = {
            f"{run.room}.{run.name}": _made_of(run) for run in self._over(("fusions", "summaries"), wildcards.name)
        }
        told = {"pairs": _pairs(runs), "teachers": teachers, "policies": policies, "seen": seen, "together": found}
        return json.dumps(told)  # pairs in their order

    def together(self, room: str) -> Callable[[Any], list[str]]:
        """Return the measures of sums (fusions) or means (summaries) of the students of a section."""
        return lambda wildcards: self._runs.files(self._over((room,), wildcards.name), "metrics.json")

    def pictures(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards of frames that a section takes its pictures from: what the first of its runs is made from."""

        def paths(wildcards: Any) -> list[str]:
            read = (run.shards(run.options.seeds[0]) for run in self._of(room, wildcards.name))
            return next((found.files for shards in read if (found := frames_of(shards))), [])

        return paths

    def tests(self, room: str) -> Callable[[Any], str]:
        """Return how each run on the dataset of a section was tested, as one JSON text."""

        def text(wildcards: Any) -> str:
            runs = self._of(room, wildcards.name)
            told = {"tests": {r.name: json.loads(resolved(r.options.test)) for r in runs}}
            if room == "recognition":
                told |= {"together": {r.name: _made_of(r) for r in self._of("clip_fusions", wildcards.name)}}
            return json.dumps(told, sort_keys=True)

        return text

    def _seen(self, room: str, subject: str) -> dict[str, str]:
        study, read = self._layout.study, {}
        for run in self._of(room, subject):
            section, name = reads(study, room, run.name)
            features = study.pca[name].features if section == "pca" else name
            if section in ("features", "pca"):
                read[run.name] = labels_seen(study, features)
            elif section == "released":
                read[run.name] = OUTSIDE
        return read

    def _over(self, rooms: Sequence[str], subject: str) -> list[Run]:
        """Return the sums and means of students on one subject."""
        runs = [run for run in self._layout.runs.values() if run.room in rooms]
        return [
            run for run in runs if self._student(run).room == "anticipation" and self._student(run).subject == subject
        ]

    def _student(self, run: Run) -> Run:
        """Return the first of the runs that a sum or mean is made of, down to one that is neither: itself of any other."""
        while run.room in ("fusions", "summaries"):
            room = run.options.room if run.room == "summaries" else "anticipation"
            run = self._layout.runs[room, run.options.runs[0]]
        return run

    def _of(self, room: str, subject: str) -> list[Run]:
        return [run for run in self._layout.runs.values() if run.room == room and run.subject == subject]


def _made_of(run: Run) -> str:
    """Say of what a sum or mean of students is made: ``colours + 0.5 flow``, ``mean of split1, split2``."""
    options, test = run.options, f" ({run.options.test})" if run.options.test else ""
    if run.room == "summaries":
        return f"mean of {', '.join(options.runs)}{test}"
    weights = options.coefficients or (1,) * len(options.runs)
    parts = (name if weight == 1 else f"{weight:g} {name}" for name, weight in zip(options.runs, weights, strict=True))
    return f"{' + '.join(parts)}{test}"


TEACHING = ("seeds", "tests", "teacher", "distill", "losses", "max_missing_records")  # options that tell of a teacher


def _pairs(runs: Sequence[Run]) -> dict[str, str]:
    """Return {student with a teacher: the same without one}: for each without the first that has one, controls apart.

    What most students are compared with comes first.
    """

    def otherwise(run: Run) -> str:
        losses = {key: weight for key, weight in run.options.losses.items() if weight and "distill" not in key}
        return resolved(run.options, TEACHING) + json.dumps(losses, sort_keys=True)

    plain = {otherwise(run): run.name for run in reversed(runs) if not run.options.taught_by}
    found: dict[str, list[str]] = {}
    for run in runs:
        without = plain.get(otherwise(run))
        if without and run.options.taught_by and not run.options.distill.shuffle:
            found.setdefault(without, []).append(run.name)
    ordered = sorted(found.items(), key=lambda pair: -len(pair[1]))
    return {taught[0]: without for without, taught in ordered}
