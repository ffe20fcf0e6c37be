"""The named runs of the rooms as a study holds them: a room's options, and what a run reads, its seeds, further tests."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from kinoflow.features.options import RunWeights
from kinoflow.options import Form, Name, Options, UserPath, option
from kinoflow.tasks.abstraction.options import (
    AbstractionOptions,
    AbstractionTestOptions,
    ReleasedOptions,
    SetsOptions,
    TaxonomyOptions,
)
from kinoflow.tasks.alignment.measuring_options import FurtherTestOptions
from kinoflow.tasks.alignment.options import AlignmentOptions
from kinoflow.tasks.anticipation.options import AnticipationOptions, AnticipationTestOptions, FusionOptions
from kinoflow.tasks.anticipation.text_options import (
    CombineOptions,
    CorpusOptions,
    PretrainOptions,
    RecordsOptions,
    SequencesOptions,
    TeacherOptions,
)
from kinoflow.tasks.recognition.options import ClipFusionOptions, ClipTestOptions, RecognitionOptions, check_test
from kinoflow.tasks.segmentation.options import SegmentationOptions, SegmentationTestOptions

DatasetName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$"),
    Form("a name of at most 64 small letters, digits and _, the first no _"),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Seeded(Options):
    """A run of which every seed is a job of its own."""

    seeds: tuple[Seed, ...] = option((0,), "seeds; each is trained and tested by itself", "", min_length=1)

    @property
    def needs_labels(self) -> str | None:
        """Say which option cannot do without labels of the videos: "" the whole run, None nothing."""
        return ""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: the same seed twice would be the same run twice")
        return self


class FurtherClipTest(ClipTestOptions):
    """A further test of a recognition run."""

    test_on: tuple[str, ...] = option((), "splits that it is of; empty: those of the run", "")


class RecognitionRun(Seeded, RecognitionOptions):
    """One named recognition run: what it reads, its seeds, and how it is trained and tested."""

    frames: Name | None = option(
        None, "the shards to read: a key of frames, or with input.kind: flow a key of flow", ""
    )
    dataset: DatasetName | None = option(
        None, "in place of frames: a key of datasets, whose videos are decoded each time a clip is read", ""
    )
    tests: dict[Name, FurtherClipTest] = option({}, "further tests of the same weights, by name", "")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.dataset is not None and (self.frames is not None or self.input.kind == "flow"):
            other = "frames" if self.frames is not None else "input.kind: flow"
            raise ValueError(f"dataset: with {other}, leave dataset out")
        return self

    @model_validator(mode="after")
    def _tests_can_be_run(self) -> Self:
        for name, test in self.tests.items():
            check_test(f"tests.{name}", test, self.network, self.sampling.segments)
        return self


def _one_each(run: "ClipFusionRun | FusionRun") -> "ClipFusionRun | FusionRun":
    if run.coefficients and len(run.coefficients) != len(run.runs):
        raise ValueError(f"coefficients: {len(run.coefficients)} for {len(run.runs)} runs; give one for each")
    return run


class ClipFusionRun(Seeded, ClipFusionOptions):
    """One named ensemble: the scores of several recognition runs added clip by clip, seed by seed."""

    runs: tuple[Name, ...] = option(
        ..., "the runs, keys of recognition: each is tested its own way (test.segments, frames)", "", min_length=2
    )
    test: Name | None = option(None, "which of the runs' further tests (tests.<name>); empty: test", "")

    _coefficients = model_validator(mode="after")(_one_each)


class SegmentationRun(Seeded, SegmentationOptions):
    """One named segmentation run: what it reads, its seeds, and how it is trained and tested."""

    features: Name = option(..., "the features to read, a key of features or of pca", "")
    steps: UserPath | None = option(
        None,
        "a table of the tasks' steps in their order: task, number, action (ordering: task); empty: that of the dataset's"
        " annotations, if they have steps",
        "",
    )
    narration: UserPath | None = option(
        None,
        "a table of windows in which a narrator speaks of a step: video, start, end, action (narration: table); empty: that"
        " of the dataset's annotations, if they have windows",
        "",
    )
    outside: UserPath | None = option(
        None,
        "predictions that others made, scored beside in each test: a folder with VIDEO.txt, VIDEO.npy or VIDEO.json for each"
        " tested and labelled video; empty: none",
        "",
    )
    texts: bool = option(
        False,
        "write also a text file of each tested video, as the published code does: texts/VIDEO.txt beside metrics",
        "",
    )
    tests: dict[Name, SegmentationTestOptions] = option(
        {}, "further tests of the same model, by name: other constraints, another way of decoding", ""
    )

    @property
    def needs_labels(self) -> str | None:
        """As of any run; states without labels need none, nor do those of a table of steps."""
        if self.learn != "unsupervised":
            return f"learn: {self.learn}"
        known = {"constraints": self.constraints, "test.constraints": self.test.constraints}
        known |= {f"tests.{name}.constraints": test.constraints for name, test in self.tests.items()}
        for key, each in known.items():
            if each.ordering == "video" or each.narration == "drawn":
                return f"{key}.{'ordering: video' if each.ordering == 'video' else 'narration: drawn'}"
        return "model.states: 0" if not self.model.states and self.steps is None else None


class AlignmentRun(Seeded, AlignmentOptions):
    """One named alignment run: what it reads, its seeds, and how it is trained and tested."""

    frames: Name | None = option(None, "the shards to read, a key of frames", "")
    features: Name | None = option(
        None, "in place of frames: the features to read (network.backbone: features), a key of features or of pca", ""
    )
    dataset: DatasetName | None = option(
        None, "in place of frames: a key of datasets, whose videos are decoded each time a clip is read", ""
    )
    weights: RunWeights | None = option(
        None, "the run whose network the backbone begins with, in place of network.weights", ""
    )
    initial: RunWeights | None = option(None, "the alignment run whose whole network this one begins with", "")
    tests: dict[Name, FurtherTestOptions] = option({}, "further tests of the same weights, by name", "")

    @property
    def needs_labels(self) -> str | None:
        """As of any run; whole videos are learnt from, and the order of their frames is tested, without labels."""
        if self.algorithm == "classification":
            return "algorithm: classification"
        if self.clips != "videos":
            return f"clips: {self.clips}"
        tested = {"test": self.test, **{f"tests.{name}": test for name, test in self.tests.items()}}
        tested |= {"validation": self.validation} if self.validate_on else {}
        unordered = (f"{key}.tasks" for key, test in tested.items() if "kendalls_tau" not in test.tasks)
        return next(unordered, None)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("frames", "features", "dataset") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: with {given[0]}, leave {given[1]} out")
        if given and (given[0] == "features") != (self.network.backbone == "features"):
            raise ValueError(f"network.backbone: with {given[0]} it cannot be {self.network.backbone!r}")
        elsewhere = [name for name, test in self.tests.items() if test.frames is not None]
        if elsewhere and self.network.backbone == "features":
            raise ValueError(
                f"tests.{elsewhere[0]}.frames: a network that reads features (network.backbone) needs none"
            )
        if self.weights and self.network.weights != "none":
            raise ValueError("weights: with network.weights, leave weights out")
        if self.weights and self.initial:
            raise ValueError("initial: an alignment run's network has a backbone; leave weights out")
        return self


# ---------------------------------------------------------------- what anticipation reads


class ActionsRun(SequencesOptions):
    """One named table of actions in their order: of a dataset's segments, or of published annotation files."""

    dataset: DatasetName | None = option(None, "kind segments: the dataset, a key of datasets", "")
    path: UserPath | None = option(None, "other kinds: the folder of the annotation files", "")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        asked, other = ("dataset", "path") if self.kind == "segments" else ("path", "dataset")
        if getattr(self, other) is not None:
            raise ValueError(f"{other}: with kind: {self.kind} give {asked}, not {other}")
        return self


class CorpusRun(CorpusOptions):
    """One named corpus of sequences of actions: of recipes of the embedded dataset, or of a file of the user."""

    dataset: DatasetName | None = option(None, "the embedded dataset whose recipes are read, a key of datasets", "")
    path: UserPath | None = option(None, "in place of a dataset: a file of recipes, or of steps (form: steps)", "")


class LanguageRun(Seeded, PretrainOptions):
    """One named language model: the corpus that it is trained on, and its seeds."""

    corpus: Name = option(..., "the corpus, a key of corpora", "")
    actions: Name | None = option(
        None, "a table of actions whose words the vocabulary is to have, a key of actions", ""
    )


class TeacherRun(Seeded, TeacherOptions):
    """One named teacher: the actions that it learns from, what it begins with, and its seeds."""

    actions: Name = option(..., "the table of actions, a key of actions", "")
    language: Name | None = option(None, "the language model to begin with, a key of language: of the same seed", "")
    recipes: Name | None = option(None, "a corpus of sequences beside the actions, a key of corpora", "")
    records: RecordsOptions = option(RecordsOptions(), "its records, and the n-gram beside it", "")
    test_on: tuple[str, ...] = option(("test",), "splits that it is tested on", "", min_length=1)


class EnsembleRun(Seeded, CombineOptions):
    """One named ensemble: several teachers of the same actions as one, seed by seed."""

    teachers: tuple[Name, ...] = option(..., "the teachers, keys of teachers", "", min_length=2)
    test_on: tuple[str, ...] = option(("test",), "splits that it is tested on", "", min_length=1)


class AnticipationRun(Seeded, AnticipationOptions):
    """One named student: what it reads, its teacher, its seeds, and how it is trained and tested."""

    actions: Name | None = option(None, "the table of actions, a key of actions", "")
    toy: Name | None = option(
        None,
        "in place of actions, features and teacher: invented ones, a key of toys; seed k reads those of seed k",
        "",
    )
    features: Name | None = option(None, "the features to read, a key of features or of pca", "")
    frames: Name | None = option(
        None, "in place of features: frame shards, a key of frames (a backbone of its own)", ""
    )
    folder: UserPath | None = option(None, "in place of features: a folder of feature files, or an LMDB", "")
    teacher: Name | tuple[Name, ...] | None = option(
        None,
        "the teacher, a key of teachers or of ensembles: each seed has that of the same seed; several for losses.ens_distill",
        "",
    )
    initial: RunWeights | None = option(None, "the anticipation run whose weights this one begins with", "")
    tests: dict[Name, AnticipationTestOptions] = option({}, "further tests of the same weights, by name", "")

    @property
    def needs_labels(self) -> None:
        """Nothing: its labels stand in its table of actions."""
        return

    @property
    def taught_by(self) -> tuple[str, ...]:
        """The teachers, none, one or several."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher or ()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("actions", "features", "frames", "folder", "teacher") if getattr(self, key)]
        if self.toy and given:
            raise ValueError(f"toy: with {given[0]}, leave toy out")
        if not self.toy and not self.actions:
            raise ValueError("actions: this key must be given (or toy)")
        return self

    @model_validator(mode="after")
    def _taught(self) -> Self:
        taught = sorted(key for key, weight in self.losses.items() if "distill" in key and weight)
        if taught and not self.teacher and not self.toy:
            raise ValueError(
                f"losses.{taught[0]}: there is no teacher to learn from: name one, or set losses without it"
            )
        return self


class FusionRun(Seeded, FusionOptions):
    """One named late fusion: the scores of several students added, seed by seed."""

    runs: tuple[Name, ...] = option(..., "the students, keys of anticipation", "", min_length=2)
    test: Name | None = option(None, "which of the students' further tests (tests.<name>); empty: test", "")

    _coefficients = model_validator(mode="after")(_one_each)


class SummaryRun(Seeded):
    """One named mean over runs, of the splits of a dataset for example, seed by seed."""

    room: Literal["teachers", "anticipation", "fusions"] = option(..., "the room of the runs", "")
    runs: tuple[Name, ...] = option(..., "the runs, keys of that room", "", min_length=1)
    test: Name | None = option(None, "which of the runs' further tests (tests.<name>); empty: test", "")


# ---------------------------------------------------------------- abstraction


class TaxonomyRun(TaxonomyOptions):
    """One named taxonomy of a dataset's classes, and the files that it is made from."""

    dataset: DatasetName = option(..., "the dataset whose classes it holds, a key of datasets", "")
    file: UserPath | None = option(None, "source: file: node-link JSON, list of edges or indented text", "")
    wordnet: UserPath | None = option(None, "source: wordnet: the folder of WordNet's files; empty: Debian's place", "")
    corpus: UserPath | None = option(None, "semantics.kind: corpus_ppmi: a text", "")
    word_vectors: UserPath | None = option(None, "semantics.kind: fasttext: a file .vec", "")


class SetsRun(SetsOptions):
    """One named draw of abstraction sets."""

    taxonomy: Name = option(..., "the taxonomy, a key of taxonomies", "")
    seed: int = option(0, "what is drawn follows from it", "", ge=0, le=2**32 - 1)


class ReleasedRun(ReleasedOptions):
    """One published release of abstraction: taxonomy, vectors, features and sets, as its authors had them."""

    metadata: UserPath = option(
        ..., "the folder of the published files, as `kinoflow abstraction-metadata` brings them", ""
    )


class AbstractionRun(Seeded, AbstractionOptions):
    """One named abstraction run: the features and sets that it reads, its seeds, and how it is trained and tested."""

    features: Name | None = option(None, "the features to read, a key of features or of pca", "")
    sets: Name | None = option(None, "the sets, a key of sets", "")
    released: Name | None = option(
        None, "in place of features and sets: the published ones of a release, a key of released", ""
    )
    validation_sets: Name | None = option(
        None,
        "a key of sets whose sets to name are named during training, which training.keep: best goes by; empty: none",
        "",
    )
    test: AbstractionTestOptions = option(AbstractionTestOptions(), "how it is tested", "")
    tests: dict[Name, AbstractionTestOptions] = option({}, "further tests of the same weights, by name", "")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        for name in ("features", "sets", "validation_sets"):
            given = getattr(self, name) is not None
            if self.released is not None and given:
                raise ValueError(f"{name}: with released, leave {name} out")
            if self.released is None and not given and name != "validation_sets":
                raise ValueError(f"{name}: this key must be given (or released)")
        return self
