"""A study as one model made of the stages' option models: what it holds, and whether its parts fit together."""

from typing import Any, Literal, Self

from pydantic import model_validator

from kinoflow import study_checks as checks
from kinoflow.datasets.options import DatasetOptions
from kinoflow.features.options import RunWeights
from kinoflow.options import Name, Options, option
from kinoflow.report.options import ClaimOptions, PublishedFigure, ReportOptions
from kinoflow.room_runs import (
    AbstractionRun,
    ActionsRun,
    AlignmentRun,
    AnticipationRun,
    ClipFusionRun,
    CorpusRun,
    DatasetName,
    EnsembleRun,
    FusionRun,
    LanguageRun,
    RecognitionRun,
    ReleasedRun,
    Seed,
    SegmentationRun,
    SetsRun,
    SummaryRun,
    TaxonomyRun,
    TeacherRun,
)
from kinoflow.shard_runs import FeaturesRun, FlowRun, FramesRun, PcaRun
from kinoflow.tasks.anticipation.options import AnticipationToyOptions

ROOMS = (
    *("recognition", "clip_fusions", "segmentation", "alignment"),
    *("language", "teachers", "ensembles", "anticipation", "fusions"),
    "summaries",
    "abstraction",
)


class Study(Options):
    """A study: datasets, what is computed from them, and the report."""

    study: Name = option(..., "name of the study: its results go to results/<study>", "")
    seeds: tuple[Seed, ...] | None = option(
        None, "seeds of the runs that name none themselves; empty: 0 alone", "", min_length=1
    )
    rooms: tuple[Literal["recognition", "segmentation", "alignment", "anticipation", "abstraction"], ...] | None = (
        option(None, "rooms whose runs are made, with what they need from others; empty: all", "", min_length=1)
    )
    datasets: dict[DatasetName, DatasetOptions] = option(
        {}, "the datasets, by name; a study of words alone needs none", ""
    )
    frames: dict[Name, FramesRun] = option({}, "the frame shards, by name", "")
    flow: dict[Name, FlowRun] = option({}, "the flow shards, by name", "")
    features: dict[Name, FeaturesRun] = option({}, "the extractors, by name", "")
    pca: dict[Name, PcaRun] = option({}, "the PCAs, by name", "")
    recognition: dict[Name, RecognitionRun] = option({}, "the recognition runs, by name", "")
    clip_fusions: dict[Name, ClipFusionRun] = option(
        {}, "ensembles of recognition runs: their scores added, by name", ""
    )
    segmentation: dict[Name, SegmentationRun] = option({}, "the segmentation runs, by name", "")
    alignment: dict[Name, AlignmentRun] = option({}, "the alignment runs, by name", "")
    actions: dict[Name, ActionsRun] = option({}, "the tables of actions that anticipation reads, by name", "")
    corpora: dict[Name, CorpusRun] = option({}, "the corpora of sequences of actions, by name", "")
    language: dict[Name, LanguageRun] = option({}, "the language models, by name", "")
    teachers: dict[Name, TeacherRun] = option({}, "the teachers of anticipation, by name", "")
    ensembles: dict[Name, EnsembleRun] = option({}, "several teachers as one, by name", "")
    toys: dict[Name, AnticipationToyOptions] = option(
        {}, "invented actions with features and a teacher, by name: no dataset is needed", ""
    )
    anticipation: dict[Name, AnticipationRun] = option({}, "the students of anticipation, by name", "")
    fusions: dict[Name, FusionRun] = option({}, "the scores of several students added (late fusion), by name", "")
    summaries: dict[Name, SummaryRun] = option({}, "means over teachers or students, by name", "")
    taxonomies: dict[Name, TaxonomyRun] = option({}, "the taxonomies, by name", "")
    sets: dict[Name, SetsRun] = option({}, "the draws of abstraction sets, by name", "")
    released: dict[Name, ReleasedRun] = option({}, "published releases of abstraction, by name", "")
    abstraction: dict[Name, AbstractionRun] = option({}, "the abstraction runs, by name", "")
    claims: dict[Name, ClaimOptions] = option({}, "what the study's runs are to show, by name", "")
    published: tuple[PublishedFigure, ...] = option(
        (), "figures that others have published, for comparison with what the runs reach", ""
    )
    report: ReportOptions = option(ReportOptions(), "the report", "")

    @model_validator(mode="after")
    def _seeds_of_all(self) -> Self:
        """Hand the study's seeds to the runs that name none."""
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: the same seed twice would be the same run twice")
        for room in ROOMS if self.seeds else ():
            runs = getattr(self, room)
            runs |= {
                n: r.model_copy(update={"seeds": self.seeds})
                for n, r in runs.items()
                if "seeds" not in r.model_fields_set
            }
        return self

    @model_validator(mode="after")
    def _references(self) -> Self:
        if not (self.datasets or self.actions or self.toys or self.released):
            raise ValueError("datasets: this key must be given")
        for name, frames in self.frames.items():
            checks.refer(f"frames.{name}.dataset", frames.dataset, self.datasets)
            checks.hold(f"frames.{name}", frames.dataset, self.datasets, "videos", "pictures")
            if self.datasets[frames.dataset].pictures.pattern_y:
                raise ValueError(
                    f"frames.{name}: {frames.dataset!r} holds optical flow (pictures.pattern_y); take flow"
                )
        for name, flow in self.flow.items():
            if flow.dataset is None:
                checks.refer(f"flow.{name}.frames", flow.frames, self.frames)
                continue
            checks.refer(f"flow.{name}.dataset", flow.dataset, self.datasets)
            checks.hold(f"flow.{name}", flow.dataset, self.datasets, "pictures")
        for name, run in self.features.items():
            asked, other = ("frames", "dataset") if run.source == "frames" else ("dataset", "frames")
            if getattr(run, other) is not None:
                raise ValueError(f"features.{name}.{other}: with `from: {run.source}` give {asked}, not {other}")
            checks.refer(
                f"features.{name}.{asked}",
                getattr(run, asked),
                getattr(self, asked if asked == "frames" else "datasets"),
            )
            if run.dataset:
                checks.hold(
                    f"features.{name}", run.dataset, self.datasets, "features" if run.source == "files" else "videos"
                )
            if isinstance(run.weights, RunWeights):
                self._checkpoint(f"features.{name}.weights", run.weights)
        for name, pca in self.pca.items():
            checks.refer(f"pca.{name}.features", pca.features, self.features)
        return self

    def _checkpoint(self, key: str, weights: RunWeights) -> None:
        """Refuse weights of a run, or of a seed of it, that this study does not have."""
        if weights.study not in (None, self.study):
            if weights.seed == "each":
                raise ValueError(f"{key}.seed: of another study's run name one seed")
            return
        runs = getattr(self, weights.room)
        checks.refer(f"{key}.run", weights.run, runs)
        seeds = runs[weights.run].seeds
        if weights.seed != "each" and weights.seed not in seeds:
            known = ", ".join(map(str, seeds))
            raise ValueError(f"{key}.seed: {weights.room}.{weights.run} has no seed {weights.seed}; it has {known}")

    @model_validator(mode="after")
    def _rooms(self) -> Self:
        for room in ("recognition", "segmentation", "alignment", "abstraction"):
            for name, run in getattr(self, room).items():
                if getattr(run, "released", None) is None:
                    self._source(room, name)
        for name, run in self.recognition.items():
            checks.heads(f"recognition.{name}", run)
            checks.crops(f"recognition.{name}", run, self.datasets[dataset_of(self, *reads(self, "recognition", name))])
        for name, run in self.clip_fusions.items():
            self._read(f"clip_fusions.{name}", "runs", run.runs, run.seeds, "recognition")
            for each in run.runs:
                checks.tested(f"clip_fusions.{name}.test", run.test, self.recognition[each])
        for name, run in self.alignment.items():
            for key, room in (("weights", "recognition"), ("initial", "alignment")):
                self._begins(f"alignment.{name}", run, key, room)
            for test, options in run.tests.items():
                if options.frames is not None:
                    checks.refer(f"alignment.{name}.tests.{test}.frames", options.frames, self.frames)
        return self

    @model_validator(mode="after")
    def _words(self) -> Self:
        for name, run in self.actions.items():
            if run.kind == "segments":
                checks.refer(f"actions.{name}.dataset", run.dataset, self.datasets)
                checks.label(f"actions.{name}", self.datasets[run.dataset])
            elif run.path is None:
                raise ValueError(f"actions.{name}.path: kind: {run.kind} needs the folder of the annotation files")
        for name, run in self.corpora.items():
            checks.written(f"corpora.{name}", run, self.datasets)
        for name, run in self.language.items():
            checks.refer(f"language.{name}.corpus", run.corpus, self.corpora)
            if run.actions is not None:
                checks.refer(f"language.{name}.actions", run.actions, self.actions)
        for name, run in self.teachers.items():
            checks.refer(f"teachers.{name}.actions", run.actions, self.actions)
            if run.recipes is not None:
                checks.refer(f"teachers.{name}.recipes", run.recipes, self.corpora)
            if run.language is not None:
                checks.refer(f"teachers.{name}.language", run.language, self.language)
                checks.has_seeds(
                    f"teachers.{name}", run.seeds, f"language.{run.language}", self.language[run.language].seeds
                )
        return self

    @model_validator(mode="after")
    def _students(self) -> Self:
        for name, run in self.ensembles.items():
            self._read(f"ensembles.{name}", "teachers", run.teachers, run.seeds, "teachers")
            if len({self.teachers[teacher].actions for teacher in run.teachers}) > 1:
                raise ValueError(f"ensembles.{name}.teachers: they are of different tables of actions")
        for name in sorted(self.teachers.keys() & self.ensembles.keys()):
            raise ValueError(f"ensembles.{name}: this name stands in teachers, too; rename one of them")
        for name, run in self.anticipation.items():
            key = f"anticipation.{name}"
            if run.toy:
                checks.refer(f"{key}.toy", run.toy, self.toys)
                continue
            checks.refer(f"{key}.actions", run.actions, self.actions)
            if run.folder is None:
                self._source("anticipation", name)
            self._read(key, "teacher", run.taught_by, run.seeds, "teachers", "ensembles")
            self._begins(key, run, "initial", "anticipation")
        for name, run in self.fusions.items():
            self._read(f"fusions.{name}", "runs", run.runs, run.seeds, "anticipation")
            if len({(self.anticipation[each].actions, self.anticipation[each].toy) for each in run.runs}) > 1:
                raise ValueError(f"fusions.{name}.runs: they are of different tables of actions")
            for each in run.runs:
                checks.tested(f"fusions.{name}.test", run.test, self.anticipation[each])
        for name, run in self.summaries.items():
            self._read(f"summaries.{name}", "runs", run.runs, run.seeds, run.room)
            for each in run.runs:
                checks.tested(f"summaries.{name}.test", run.test, getattr(self, run.room)[each])
        return self

    def _read(self, key: str, asked: str, names: tuple[str, ...], seeds: tuple[int, ...], *rooms: str) -> None:
        """Refuse runs that are not there, or lack a seed, of which each seed is read."""
        known = {name: (room, run) for room in rooms for name, run in getattr(self, room).items()}
        for name in names:
            checks.refer(f"{key}.{asked}", name, known)
            room, run = known[name]
            checks.has_seeds(key, seeds, f"{room}.{name}", run.seeds)

    @model_validator(mode="after")
    def _sets(self) -> Self:
        for name, run in self.taxonomies.items():
            checks.refer(f"taxonomies.{name}.dataset", run.dataset, self.datasets)
            if run.source == "file" and run.file is None:
                raise ValueError(f"taxonomies.{name}.file: source: file needs it")
        for name, run in self.sets.items():
            checks.refer(f"sets.{name}.taxonomy", run.taxonomy, self.taxonomies)
        if both := sorted(self.released.keys() & self.datasets.keys()):
            raise ValueError(f"released.{both[0]}: a dataset has this name too; rename one of them")
        for name, run in self.abstraction.items():
            if run.released is not None:
                checks.refer(f"abstraction.{name}.released", run.released, self.released)
                continue
            checks.refer(f"abstraction.{name}.sets", run.sets, self.sets)
            if run.validation_sets is not None:
                checks.refer(f"abstraction.{name}.validation_sets", run.validation_sets, self.sets)
                if self.sets[run.validation_sets].taxonomy != self.sets[run.sets].taxonomy:
                    raise ValueError(
                        f"abstraction.{name}.validation_sets: {run.validation_sets!r} is of another taxonomy"
                    )
            there = self.taxonomies[self.sets[run.sets].taxonomy].dataset
            here = dataset_of(self, *reads(self, "abstraction", name))
            if here != there:
                raise ValueError(
                    f"abstraction.{name}.sets: they are of the dataset {there!r}, the features of {here!r}"
                )
        return self

    def _begins(self, key: str, run: Any, place: str, room: str) -> None:
        """Refuse a run that begins with the weights of one that is not there, or of another room."""
        weights = getattr(run, place)
        if weights is None:
            return
        if weights.room != room:
            raise ValueError(f"{key}.{place}.room: {weights.room!r} is not allowed: give {room}")
        self._checkpoint(f"{key}.{place}", weights)
        self._seeds(key, run.seeds, weights)

    def _source(self, room: str, name: str) -> None:
        """Refuse a run that reads what is not there, has no labels, or lacks some of its seeds."""
        section, read = reads(self, room, name)
        run, key = getattr(self, room)[name], f"{room}.{name}"
        if section in ("features", "pca"):
            if read in self.features and read in self.pca:
                raise ValueError(f"{key}.features: {read!r} stands in features and in pca; rename one of them")
            checks.refer(f"{key}.features", read, self.features | self.pca)
            self._seeds(key, run.seeds, self.features[self.pca[read].features if section == "pca" else read].weights)
        else:
            checks.refer(f"{key}.{'dataset' if section == 'datasets' else 'frames'}", read, getattr(self, section))
        dataset = dataset_of(self, section, read)
        if section == "datasets":
            checks.hold(key, dataset, self.datasets, "videos")
        if run.needs_labels is not None:
            checks.label(key, self.datasets[dataset], run.needs_labels)

    def _seeds(self, key: str, seeds: tuple[int, ...], weights: Any) -> None:
        """Refuse a seed that the run lacks of which each seed is read."""
        if isinstance(weights, RunWeights) and weights.seed == "each":
            checks.has_seeds(
                key, seeds, f"{weights.room}.{weights.run}", getattr(self, weights.room)[weights.run].seeds
            )

    @model_validator(mode="after")
    def _claims(self) -> Self:
        for name, claim in self.claims.items():
            runs = getattr(self, claim.room)
            checks.refer(f"claims.{name}.treatment", claim.treatment, runs)
            checks.tested(f"claims.{name}.test", claim.test, runs[claim.treatment])
            baseline = (claim.baseline,) if isinstance(claim.baseline, str) else claim.baseline
            for run in baseline if isinstance(baseline, tuple) else ():
                checks.refer(f"claims.{name}.baseline", run, runs)
                checks.tested(f"claims.{name}.test", claim.test, runs[run])
        for number, figure in enumerate(self.published):
            runs = getattr(self, figure.room)
            checks.refer(f"published[{number}].run", figure.run, runs)
            checks.tested(f"published[{number}].test", figure.test, runs[figure.run])
        return self


def seeds_of(study: Study, features: str) -> tuple[int | None, ...]:
    """Return the seeds of the run whose networks make an extractor's features, where each has its own; else (None,)."""
    weights = study.features[features].weights
    each = isinstance(weights, RunWeights) and weights.seed == "each"
    return getattr(study, weights.room)[weights.run].seeds if each else (None,)


def reads(study: Study, room: str, name: str) -> tuple[str, str]:
    """Return what a run reads: the section of the config, and the key in it."""
    run = getattr(study, room)[name]
    if getattr(run, "released", None) is not None:
        return "released", run.released
    if getattr(run, "dataset", None) is not None:
        return "datasets", run.dataset
    if getattr(run, "features", None) is not None:
        return ("pca" if run.features in study.pca else "features"), run.features
    flow = room == "recognition" and run.input.kind == "flow"
    return ("flow" if flow else "frames"), run.frames


def dataset_of(study: Study, section: str, name: str) -> str:
    """Return the dataset that shards are made from."""
    if section == "datasets":
        return name
    run = getattr(study, section)[name]
    below = {"flow": "frames", "pca": "features", "features": "frames"}.get(section)
    if below and getattr(run, below) is not None:
        return dataset_of(study, below, getattr(run, below))
    return run.dataset
