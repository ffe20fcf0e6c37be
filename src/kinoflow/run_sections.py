"""What the rules of the rooms' sections in the report ask for: the results of every run on one subject."""

import functools
import json
import shlex
from collections.abc import Callable
from typing import Any

from kinoflow.layout import Layout, Run
from kinoflow.options import resolved
from kinoflow.runs import MODEL, TABLES, Runs, frames_of, table_path
from kinoflow.study import OUTSIDE, labels_seen, reads

ORDERS = {"recognition": 30, "segmentation": 40, "alignment": 50, "anticipation": 60, "abstraction": 70}  # of sections
TIMED = ("recognition", "segmentation")  # rooms that measure how long their networks take


class RunSections:
    """The sections on runs: one for each room and dataset (or table of actions), whose name is ``{name}``."""

    def __init__(self, layout: Layout, runs: Runs):
        self._layout, self._runs, self._study = layout, runs, layout.study.study

    def names(self) -> list[str]:
        """Return the names of the report's sections on runs: one for each room and dataset, and the claims."""
        shown = [run for run in self._layout.runs.values() if run.room in ORDERS]
        found = sorted({f"{ORDERS[run.room]}-{run.room}-{run.subject}" for run in shown})
        return [*found, "80-claims"] if self._runs.results() else []

    def timings(self) -> list[str]:
        """Return the files of what was measured on this machine; they are no results."""
        found = sorted({f"{run.room}-{run.subject}" for run in self._layout.runs.values() if run.room in TIMED})
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
        """Return the same of students, and which histories their teachers read."""
        runs = {run.name: run.options.teacher for run in self._of("anticipation", wildcards.name)}
        taught = {name: self._layout.study.teachers[teacher] for name, teacher in runs.items() if teacher}
        policies = {name: each.history.policy for name, each in taught.items()}
        return json.dumps({"policies": policies, "seen": self._seen("anticipation", wildcards.name)}, sort_keys=True)

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
            return json.dumps({"tests": {r.name: json.loads(resolved(r.options.test)) for r in runs}}, sort_keys=True)

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

    def _of(self, room: str, subject: str) -> list[Run]:
        return [run for run in self._layout.runs.values() if run.room == room and run.subject == subject]
