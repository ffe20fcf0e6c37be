"""The rooms' runs as the rules see them: what each reads, its options, its results."""

import functools
import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kinoflow.config import FramesRun
from kinoflow.layout import Dataset, Layout, Run
from kinoflow.options import resolved

ORDERS = {"recognition": 30}  # of the rooms' sections in the report
MODEL = "model.safetensors"
FILES = ("frames", "seeds", "tests")  # what a run reads stands in its inputs, its seed and further tests in its paths


class Runs:
    """Every named run of every room. What a rule asks for is a function of its wildcards."""

    def __init__(self, layout: Layout):
        self._runs, self._study, self._weights = layout.runs, layout.study.study, layout.weights

    def options(self, room: str, *exclude: str) -> Callable[[Any], str]:
        """Return a run's resolved options as one JSON text, without what names files."""

        def text(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            values = json.loads(resolved(run.options, (*FILES, *exclude)))
            if self._start(run):
                values["network"]["weights"] = "none"
            return json.dumps(values, sort_keys=True)

        return text

    def start(self, room: str) -> Callable[[Any], str]:
        """Return what tells the weight file that a run begins with from others: its checksum."""
        return lambda wildcards: self._weights.get(self._start(self._run(room, wildcards)), "")

    def start_flag(self, room: str) -> Callable[..., str]:
        """Return the flag that names the weight file that a run begins with. Not recorded: a moved file is the same."""

        def flag(wildcards: Any, input: Any) -> str:
            path = self._start(self._run(room, wildcards))
            return f"--weights {shlex.quote(path)}" if path else ""

        return flag

    def _start(self, run: Run) -> str:
        path = run.options.network.weights
        return path if path in self._weights else ""

    def classes(self, room: str) -> Callable[[Any], list[str]]:
        """Return the order of classes of published annotations, where a run asks for the file's own."""

        def path(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            annotated = run.shards.dataset.annotated
            asked = any(head.classes == "file" for head in run.options.heads.values())
            return [f"{annotated}/classes.txt"] if annotated and asked else []

        return path

    def test(self, room: str) -> Callable[[Any], str]:
        """Return the resolved options of a run's main test, or of the further one that ``{test}`` names."""

        def text(wildcards: Any) -> str:
            options = self._run(room, wildcards).options
            return resolved(options.tests[wildcards.test[1:]] if wildcards.test else options.test)

        return text

    def shards(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards that a run reads, in their order."""
        return lambda wildcards: self._run(room, wildcards).shards.files

    def table(self, room: str, name: str) -> Callable[[Any], str]:
        """Return a table (videos, segments) of the dataset that a run reads."""

        return lambda wildcards: _table(self._run(room, wildcards).shards.dataset, name)

    def data(self, room: str) -> Callable[[Any], str]:
        """Return the flags that say what is known of the dataset that a run reads, beside its tables."""

        def text(wildcards: Any) -> str:
            dataset = self._run(room, wildcards).shards.dataset
            return f"--dataset {dataset.name} --mirror {str(dataset.options.mirror).lower()}"

        return text

    def splits(self, room: str) -> Callable[[Any], str]:
        """Return the splits that a run is tested on."""
        return lambda wildcards: " ".join(map(shlex.quote, self._run(room, wildcards).options.test_on))

    def threads(self, room: str) -> Callable[[Any], int]:
        """Return the threads that a run's training asks for."""
        return lambda wildcards: self._run(room, wildcards).options.training.threads

    def results(self) -> list[str]:
        """Return the metrics of every run, seed and test of every room."""
        runs = ((run, f"-{name}" if name else "") for run in self._runs.values() for name in ("", *run.options.tests))
        return [path for run, test in runs for path in self._files([run], f"metrics{test}.json")]

    # ------------------------------------------------------------ the report

    def sections(self) -> list[str]:
        """Return the names of the report's sections on runs: one for each room and dataset, and the claims."""
        found = sorted({f"{ORDERS[run.room]}-{run.room}-{run.shards.dataset.name}" for run in self._runs.values()})
        return [*found, "80-claims"] if found else []

    def timings(self) -> list[str]:
        """Return the files of what was measured on this machine; they are no results."""
        found = sorted({f"{run.room}-{run.shards.dataset.name}" for run in self._runs.values()})
        return [f"logs/timings/{self._study}/{name}.json" for name in found]

    def files(self, room: str, name: str) -> Callable[[Any], list[str]]:
        """Return a file of every run and seed of a room on the dataset of a section."""
        return lambda wildcards: self._files(self._of(room, wildcards.name), name)

    def models(self, room: str) -> Callable[[Any], list[str]]:
        """Return one checkpoint of every run of a room on the dataset of a section."""
        runs = functools.partial(self._of, room)
        return lambda wildcards: [f"{r.folder(self._study, r.options.seeds[0])}/{MODEL}" for r in runs(wildcards.name)]

    def section_table(self, room: str, name: str) -> Callable[[Any], str]:
        """Return a table of the dataset of a section."""
        return lambda wildcards: _table(self._of(room, wildcards.name)[0].shards.dataset, name)

    def pictures(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards of frames that a section takes its pictures from: those of the first run that reads frames."""

        def paths(wildcards: Any) -> list[str]:
            read = (run.shards for run in self._of(room, wildcards.name))
            return next((shards.files for shards in read if isinstance(shards.options, FramesRun)), [])

        return paths

    def tests(self, room: str) -> Callable[[Any], str]:
        """Return how each run on the dataset of a section was tested, as one JSON text."""

        def text(wildcards: Any) -> str:
            runs = self._of(room, wildcards.name)
            return json.dumps({"tests": {r.name: json.loads(resolved(r.options.test)) for r in runs}}, sort_keys=True)

        return text

    def _of(self, room: str, dataset: str) -> list[Run]:
        return [run for run in self._runs.values() if run.room == room and run.shards.dataset.name == dataset]

    def _files(self, runs: Iterable[Run], name: str) -> list[str]:
        return [f"{run.folder(self._study, seed)}/{name}" for run in runs for seed in run.options.seeds]

    def _run(self, room: str, wildcards: Any) -> Run:
        return self._runs[room, wildcards.run]


def _table(dataset: Dataset, name: str) -> str:
    return f"data/{dataset.folder}/index/{dataset.index}/{name}.csv"


def flags(wildcards: Any, input: Any) -> str:
    """Return a flag for each named input of a rule; one without files has none. Not recorded, as the inputs are."""
    named = ((name, [files] if isinstance(files, str) else files) for name, files in input.items())
    return " ".join(f"--{name} {' '.join(map(shlex.quote, files))}" for name, files in named if files)


def work(wildcards: Any, output: Any) -> str:
    """Return the folder in which a training keeps what it needs to go on; it is no output."""
    return f"{Path(output[0]).parent}/.work"
