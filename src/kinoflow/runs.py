"""The rooms' runs as the rules see them: what each reads, its options, its results."""

import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kinoflow.datasets.published.files import digest
from kinoflow.features.options import RunWeights
from kinoflow.layout import BEGUN, Layout, Run, Shards, frames_of, table_path
from kinoflow.options import resolved
from kinoflow.stock import said
from kinoflow.study import FeaturesRun, PcaRun
from kinoflow.study_parts import shown

MIRRORED = ("recognition", "alignment")  # rooms whose training shows mirrored pictures
UNTESTED = ("language",)
FUSED = {"fusions": "anticipation", "clip_fusions": "recognition"}  # rooms whose runs add scores, and of which room
MODEL = "model.safetensors"
# What a run reads stands in its inputs, its seed and further tests in its paths.
FILES = (
    *("frames", "features", "dataset", "seeds", "tests", "weights", "initial", "steps", "narration"),
    *("outside", "texts"),
    *("actions", "folder", "language", "recipes", "records", "sets", "released", "validation_sets"),
    *("teacher", "teachers", "toy"),
)
ELSEWHERE = ("frames", "test_on", "sets")  # of a further test: what it reads stands in its inputs and flags
RELEASED_SETS = ("train.json", "test.json", "rankings.json")  # rankings are sets with an odd one, too
TABLES = {
    "actions": "actions",
    "corpus": "corpora",
    "recipes": "corpora",
    "sets": "sets",
    "validation_sets": "sets",
}  # sections of the config


class Runs:
    """Every named run of every room. What a rule asks for is a function of its wildcards.

    main: whether this process plans; its jobs look at no folder of the user to find out what triggers them.
    """

    def __init__(self, layout: Layout, main: bool = True):
        self._main = main
        self._layout, self._runs, self._study, self._weights = layout, layout.runs, layout.study.study, layout.weights
        self._content: dict[str, str] = {}  # of folders of the user

    def options(self, room: str, *exclude: str) -> Callable[[Any], str]:
        """Return a run's resolved options as one JSON text, without what names files."""

        def text(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            values = json.loads(resolved(run.options, (*FILES, *exclude)))
            if self._start(run):
                values[BEGUN[run.room]]["weights"] = "none"
            return json.dumps(values, sort_keys=True)

        return text

    def start(self, room: str) -> Callable[[Any], str]:
        """Return what tells the weight file that a run begins with from others: its checksum."""
        return lambda wildcards: self._weights.get(self._start(self._run(room, wildcards)), "")

    def start_flag(self, room: str, name: str = "weights") -> Callable[..., str]:
        """Return the flag that names the weight file that a run begins with. Not recorded: a moved file is the same."""

        def flag(wildcards: Any, input: Any) -> str:
            path = self._start(self._run(room, wildcards))
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def _start(self, run: Run) -> str:
        path = getattr(run.options, BEGUN[run.room]).weights if run.room in BEGUN else ""
        return path if path in self._weights else ""

    def checkpoint(self, room: str, key: str) -> Callable[[Any], list[str]]:
        """Return the checkpoint of another run that a run's seed begins with, where ``key`` names one: an edge of the graph."""

        def path(wildcards: Any) -> list[str]:
            place = getattr(self._run(room, wildcards).options, key)
            return [self._layout.checkpoint(place, int(wildcards.seed))] if place else []

        return path

    def table_of(self, room: str, key: str, file: str) -> Callable[[Any], list[str]]:
        """Return a file of the table (actions, corpus, sets) that ``key`` of a run names; none where it names none."""

        def path(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            options = run.options
            if run.released and key == "sets":
                return [f"data/{run.released.folder}/{file}"] if file in RELEASED_SETS else []
            if room == "ensembles":  # what its teachers read
                options = self._layout.study.teachers[options.teachers[0]]
            elif room == "fusions":  # what its students read
                options = self._student(room, wildcards).options
            name = getattr(options, key)
            return [f"data/{getattr(self._layout, TABLES[key])[name].folder}/{file}"] if name else []

        return path

    def taxonomy(self, room: str, file: str) -> Callable[[Any], str]:
        """Return a file of the taxonomy that a run's sets are drawn from."""

        def path(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            if run.released:
                return f"data/{run.released.folder}/{file}"
            sets = self._layout.study.sets[run.options.sets]
            return f"data/{self._layout.taxonomies[sets.taxonomy].folder}/{file}"

        return path

    def other(self, room: str, key: str, its_room: str, file: str) -> Callable[[Any], list[str]]:
        """Return a file of the run of another room that ``key`` names, of the same seed; none where it names none."""

        def path(wildcards: Any) -> list[str]:
            name = getattr(self._run(room, wildcards).options, key)
            return [f"{self._runs[its_room, name].folder(self._study, int(wildcards.seed))}/{file}"] if name else []

        return path

    def records(self, room: str, key: str) -> Callable[[Any], list[str]]:
        """Return the records of the teachers, or ensembles of them, that ``key`` of a run names, of the same seed."""

        def paths(wildcards: Any) -> list[str]:
            names = getattr(self._run(room, wildcards).options, key)
            places = (("teachers", name) if ("teachers", name) in self._runs else ("ensembles", name) for name in names)
            return [f"{self._runs[place].folder(self._study, int(wildcards.seed))}/records.h5" for place in places]

        return paths

    def counted(self, wildcards: Any) -> list[str]:
        """Return the corpus that a teacher has learnt from and the n-gram beside it counts; none if only its words are known."""
        learnt = self._run("teachers", wildcards).options.corpus
        return self.table_of("teachers", "recipes", "corpus.jsonl")(wildcards) if learnt else []

    def toy(
        self, file: str, otherwise: Callable[[Any], list[str]], room: str = "anticipation"
    ) -> Callable[[Any], list[str]]:
        """Return a file of the toy that a student reads, of its seed; for a student that reads none what ``otherwise`` says."""

        def path(wildcards: Any) -> list[str]:
            name = self._student(room, wildcards).options.toy
            return (
                [f"data/{self._layout.toys[name].folder}/seed-{wildcards.seed}/{file}"]
                if name
                else otherwise(wildcards)
            )

        return path

    def fused(self, wildcards: Any, room: str = "fusions") -> list[str]:
        """Return the scores that a fusion adds."""
        options = self._run(room, wildcards).options
        file = f"scores-{options.test}.h5" if options.test else "scores.h5"
        runs = (self._runs[FUSED[room], name] for name in options.runs)
        return [f"{run.folder(self._study, int(wildcards.seed))}/{file}" for run in runs]

    def fused_clips(self, wildcards: Any) -> list[str]:
        """Return the scores of clips that an ensemble adds."""
        return self.fused(wildcards, "clip_fusions")

    def summed(self, wildcards: Any) -> list[str]:
        """Return the metrics that a summary is the mean of."""
        options = self._run("summaries", wildcards).options
        file = f"metrics-{options.test}.json" if options.test else "metrics.json"
        runs = (self._runs[options.room, name] for name in options.runs)
        return [f"{run.folder(self._study, int(wildcards.seed))}/{file}" for run in runs]

    def extractor(self, room: str) -> Callable[[Any], list[str]]:
        """Return the checkpoint whose network made the features that a run's seed reads; none where no run's did."""

        def path(wildcards: Any) -> list[str]:
            shards = self._features(room, wildcards)
            place = shards.options.weights if shards else None
            return [self._layout.checkpoint(place, shards.seed)] if isinstance(place, RunWeights) else []

        return path

    def basis(self, room: str) -> Callable[[Any], list[str]]:
        """Return the components that a run's seed reads features through; none where they are not reduced."""

        def path(wildcards: Any) -> list[str]:
            shards = self._run(room, wildcards).shards(int(wildcards.seed))
            return [f"{shards.folder}/basis.safetensors"] if shards and isinstance(shards.options, PcaRun) else []

        return path

    def frames_below(self, room: str) -> Callable[[Any], list[str]]:
        """Return a shard of the frames that the features of a run are made from; none where they are made from something else."""

        def path(wildcards: Any) -> list[str]:
            shards = self._run(room, wildcards).shards(int(wildcards.seed))
            found = frames_of(shards)
            return found.files[:1] if found and found is not shards else []

        return path

    def extractor_flag(self, room: str, name: str = "weights") -> Callable[..., str]:
        """Return the flag that names the user's file whose weights made a run's features; not recorded, as theirs is not."""

        def flag(wildcards: Any, input: Any) -> str:
            shards = self._features(room, wildcards)
            own = shards is not None and isinstance(shards.options.weights, str)
            path = self._layout.weight_file(shards.options) if own else None
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def _features(self, room: str, wildcards: Any) -> Shards | None:
        shards = self._run(room, wildcards).shards(int(wildcards.seed))
        while shards and not isinstance(shards.options, FeaturesRun):
            shards = shards.below
        return shards

    def given(self, room: str, key: str) -> Callable[[Any], list[str]]:
        """Return a table (steps, narration) that a run reads: the one that ``key`` names, or that of its dataset's annotations."""

        def path(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            found = getattr(run.options, key)
            return [found] if found else run.dataset.tables(key)

        return path

    def content(self, room: str, key: str) -> Callable[[Any], str]:
        """Return what tells a folder of the user from what stood in its place before: the names and content of its files."""

        def text(wildcards: Any) -> str:
            path = getattr(self._run(room, wildcards).options, key) if self._main else None
            if path and path not in self._content:
                self._content[path] = said(_digest, path)
            return self._content[path] if path else ""

        return text

    def texts(self, room: str) -> Callable[[Any], str]:
        """Return the flag that names the folder of a test's text files, beside its results; they are no output."""

        def flag(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            place = f"{run.folder(self._study, int(wildcards.seed))}/texts{wildcards.test}"
            return f"--texts-folder {place}" if run.options.texts else ""

        return flag

    def published(self, room: str) -> Callable[[Any], str]:
        """Return the flag that names the predictions for a server, where a test asks for them; they are no output."""

        def flag(wildcards: Any) -> str:
            run, name = self._run(room, wildcards), getattr(wildcards, "test", "")
            test = run.options if room == "clip_fusions" else run.options.tests[name[1:]] if name else run.options.test
            place = f"{run.folder(self._study, int(wildcards.seed))}/published{name}.csv"
            return f"--published {place}" if test.published else ""

        return flag

    def classes(self, room: str) -> Callable[[Any], list[str]]:
        """Return the order of classes of published annotations, where a run asks for the file's own."""

        def path(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            other = run.dataset.tables("steps") or run.dataset.options.convert
            annotated = "" if other else run.dataset.annotated
            asked = any(head.classes == "file" for head in run.options.heads.values())
            return [f"{annotated}/classes.txt"] if annotated and asked else []

        return path

    def test_flags(self, room: str) -> Callable[..., str]:
        """Return the flags of a test's files, and the one that names the file of the published code's lines about it.

        A run that asks for such lines (log_lines) has them beside those of its training; they are no output.
        """

        def text(wildcards: Any, input: Any) -> str:
            run = self._run(room, wildcards)
            folder = f"{run.folder(self._study, int(wildcards.seed))}/logs"
            lines = f" --summary {folder}/{run.name}{wildcards.test}_summary.txt" if run.options.log_lines else ""
            return flags(wildcards, input) + lines

        return text

    def test(self, room: str) -> Callable[[Any], str]:
        """Return the resolved options of a run's main test, or of the further one that ``{test}`` names."""

        def text(wildcards: Any) -> str:
            options = self._run(room, wildcards).options
            return resolved(options.tests[wildcards.test[1:]] if wildcards.test else options.test, ELSEWHERE)

        return text

    def shards(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards that a run's seed reads, in their order; none if it reads videos."""

        def paths(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            if run.released:
                return [f"data/{run.released.folder}/features.h5"]
            found = run.shards(int(wildcards.seed))
            return found.files if found else []

        return paths

    def frames(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards of frames that a run's seed reads; none if it reads features or videos."""
        return lambda wildcards: [] if self._run(room, wildcards).options.features else self.shards(room)(wildcards)

    def features(self, room: str) -> Callable[[Any], list[str]]:
        """Return the shards of features that a run's seed reads; none if it reads frames or videos."""
        return lambda wildcards: self.shards(room)(wildcards) if self._run(room, wildcards).options.features else []

    def root(self, room: str) -> Callable[..., str]:
        """Return the flag that names the folder of the videos that a run reads; not recorded: a moved folder is the same.

        What the videos hold triggers by their table, where checksums stand.
        """

        def flag(wildcards: Any, input: Any) -> str:
            run = self._run(room, wildcards)
            return "" if run.reads else f"--root {shlex.quote(run.dataset.root)}"

        return flag

    def table(self, room: str, name: str) -> Callable[[Any], str]:
        """Return a table (videos, segments) of the dataset that a run reads."""

        return lambda wildcards: table_path(self._run(room, wildcards), name)

    def data(self, room: str) -> Callable[[Any], str]:
        """Return the flags that say what is known of the dataset that a run reads, beside its tables."""

        def text(wildcards: Any) -> str:
            run = self._run(room, wildcards)
            if run.released:
                return f"--dataset {run.released.name}"
            dataset = run.dataset
            if dataset is None:
                return ""
            mirror = f" --mirror {str(dataset.options.mirror).lower()}" if room in MIRRORED else ""
            return f"--dataset {dataset.name}{mirror}"

        return text

    def part(self, room: str, key: str) -> Callable[[Any], str]:
        """Return the resolved options below one key of a run as one JSON text."""
        return lambda wildcards: resolved(getattr(self._run(room, wildcards).options, key))

    def folder(self, room: str, key: str = "folder", name: str = "root") -> Callable[..., str]:
        """Return the flag that names a folder of the user that a run reads; not recorded: a moved one is the same."""

        def flag(wildcards: Any, input: Any) -> str:
            path = getattr(self._run(room, wildcards).options, key)
            return f"--{name} {shlex.quote(path)}" if path else ""

        return flag

    def splits(self, room: str) -> Callable[[Any], str]:
        """Return the splits that a run is tested on; those of a further test, where it names its own."""

        def text(wildcards: Any) -> str:
            options = self._student(room, wildcards).options
            own = getattr(self._further(options, wildcards), "test_on", None)
            return " ".join(map(shlex.quote, own or options.test_on))

        return text

    def apart(self, room: str) -> Callable[[Any], str]:
        """Return the flag that says which clips a further test compares apart from others; none where the run says it."""

        def flag(wildcards: Any) -> str:
            sets = getattr(self._further(self._run(room, wildcards).options, wildcards), "sets", None)
            return f"--sets {sets}" if sets else ""

        return flag

    def _further(self, options: Any, wildcards: Any) -> Any:
        """Return the options of the further test that ``{test}`` names; None for the main one."""
        return getattr(options, "tests", {}).get(getattr(wildcards, "test", "")[1:])

    def threads(self, room: str) -> Callable[[Any], int]:
        """Return the threads that a run's training asks for."""
        return lambda wildcards: self._run(room, wildcards).options.training.threads

    def results(self) -> list[str]:
        """Return the metrics of every run, seed and test of every room."""
        told = shown(self._layout.study) - {*UNTESTED}
        tested = [run for run in self._runs.values() if run.room in told]
        tests = ((run, ("", *getattr(run.options, "tests", ()))) for run in tested)
        runs = ((run, f"-{name}" if name else "") for run, names in tests for name in names)
        return [path for run, test in runs for path in self.files([run], f"metrics{test}.json")]

    def files(self, runs: Iterable[Run], name: str) -> list[str]:
        """Return a file of every seed of runs."""
        return [f"{run.folder(self._study, seed)}/{name}" for run in runs for seed in run.options.seeds]

    def _student(self, room: str, wildcards: Any) -> Run:
        """Return a run; of a fusion the first of its students."""
        run = self._run(room, wildcards)
        return self._runs["anticipation", run.options.runs[0]] if room == "fusions" else run

    def _run(self, room: str, wildcards: Any) -> Run:
        run = self._runs[room, wildcards.run]
        return run.elsewhere.get(getattr(wildcards, "test", "")[1:], run)


def _digest(path: str) -> str:
    return digest(path, (file for file in Path(path).rglob("*") if file.is_file()))


def joined(*texts: Callable[..., str]) -> Callable[..., str]:
    """Return the function whose text is those of several, one after the other."""
    return lambda wildcards, input: " ".join(filter(None, (text(wildcards, input) for text in texts)))


def flags(wildcards: Any, input: Any) -> str:
    """Return a flag for each named input of a rule; one without files has none. Not recorded, as the inputs are."""
    named = ((name, [files] if isinstance(files, str) else files) for name, files in input.items())
    return " ".join(f"--{name.replace('_', '-')} {' '.join(map(shlex.quote, files))}" for name, files in named if files)


def work(wildcards: Any, output: Any) -> str:
    """Return the folder in which a training keeps what it needs to go on; it is no output."""
    return f"{Path(output[0]).parent}/.work"
