"""The files of the rooms' runs: what each reads, of which other run, and its results."""

from collections.abc import Callable, Iterable
from typing import Any

from kinoflow.features.options import RunWeights
from kinoflow.layout import Layout, Run, Shards, frames_of, table_path
from kinoflow.shard_runs import FeaturesRun, PcaRun
from kinoflow.study_parts import shown

UNTESTED = ("language",)
FUSED = {"fusions": "anticipation", "clip_fusions": "recognition"}  # rooms whose runs add scores, and of which room
RELEASED_SETS = ("train.json", "test.json", "rankings.json")  # rankings are sets with an odd one, too
TABLES = {
    "actions": "actions",
    "corpus": "corpora",
    "recipes": "corpora",
    "sets": "sets",
    "validation_sets": "sets",
}  # sections of the config


class RunFiles:
    """The files of every named run of every room. What a rule asks for is a function of its wildcards."""

    def __init__(self, layout: Layout):
        self._layout, self._runs, self._study = layout, layout.runs, layout.study.study

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

    def classes(self, room: str) -> Callable[[Any], list[str]]:
        """Return the order of classes of published annotations, where a run asks for the file's own."""

        def path(wildcards: Any) -> list[str]:
            run = self._run(room, wildcards)
            other = run.dataset.tables("steps") or run.dataset.options.convert
            annotated = "" if other else run.dataset.annotated
            asked = any(head.classes == "file" for head in run.options.heads.values())
            return [f"{annotated}/classes.txt"] if annotated and asked else []

        return path

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

    def table(self, room: str, name: str) -> Callable[[Any], str]:
        """Return a table (videos, segments) of the dataset that a run reads."""

        return lambda wildcards: table_path(self._run(room, wildcards), name)

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
