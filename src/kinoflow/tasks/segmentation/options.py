"""Options of segmentation: which rows and labels are read, the model of steps, how it is trained, tested and used."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Name, Options, option
from kinoflow.training.options import TrainingOptions

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class RowsOptions(Options):
    """Which rows and columns of the features are read."""

    blocks: tuple[Name, ...] = option(
        (), "named blocks of columns that are read, in alphabetical order of names; empty: all columns", ""
    )
    components: int | None = option(
        None,
        "first columns that are read (of each block, where the features have blocks); empty: all",
        "columns",
        ge=1,
        le=1_000_000,
    )
    subsample: int = option(1, "every so manyth row is read", "rows", ge=1, le=10000)
    downscale: float = option(1.0, "what features are divided by", "", gt=0, le=1e6)
    permute: Seed | None = option(
        None, "seed of an order in which columns are shuffled (results must not depend on it); empty: as they are", ""
    )


class LabelsOptions(Options):
    """Which label each row has."""

    column: Literal["action", "verb", "noun", "variant", "text"] = option(
        "action", "the column of segments.csv that names the steps", ""
    )
    rule: Literal["middle", "overlap"] = option(
        "middle",
        "rows of a step: middle: the row's time lies in it; overlap: the row has any time in common with it, so that a row"
        " may have several steps (CrossTask)",
        "",
    )
    task_specific: bool = option(False, "steps of the same name are different steps in different tasks", "")
    background: Literal["one", "previous", "removed"] = option(
        "one",
        "rows without a step: one: a class of their own (of each task, where labels are task_specific); previous: a class for"
        " each step that came last before; removed: left out, of tests too",
        "",
    )
    background_names: tuple[str, ...] = option((), "steps that are no steps but background (Breakfast: SIL)", "")
    merged: bool = option(
        True,
        "background: previous: all background classes of a task look and last alike, only what follows differs",
        "",
    )
    max_difference: int | None = option(
        None,
        "leave out videos whose labels and features differ by more rows than this in length, cut others to the shorter"
        " (Breakfast: 50); empty: labels may end anywhere, what lies behind the features is cut",
        "rows",
        ge=0,
        le=10**9,
    )


class ModelOptions(Options):
    """The hidden semi-Markov model."""

    states: int = option(0, "hidden states; 0: one for each label", "states", ge=0, le=65536)
    rank: int | None = option(
        16,
        "rank of the matrix of transitions; empty: a dense matrix, whose cost grows with the square of the states",
        "",
        ge=1,
        le=65536,
    )
    longest: int = option(
        20,
        "a segment has fewer rows than this; longer steps are runs of segments of one state. Take about twice the usual"
        " length of a step: time grows with it, memory does not",
        "rows",
        ge=2,
        le=10000,
    )
    duration: Literal["poisson", "geometric"] = option(
        "poisson",
        "how long segments last: poisson, or geometric: a plain hidden Markov model (longest does not count)",
        "",
    )
    normalise_durations: bool = option(
        False, "make durations a distribution over 1 .. longest - 1; the published code cuts Poisson's off as it is", ""
    )
    log_deviation: bool = option(
        False, "train the logarithm of the standard deviations, not themselves as the published code does", ""
    )
    kernel: Literal["plain", "triton"] = option(
        "plain", "implementation of the low-rank recursion: plain, or triton (CUDA)", ""
    )


class ConstraintOptions(Options):
    """What is known of a video's steps while it is trained on or decoded."""

    ordering: Literal["none", "task", "video"] = option(
        "none",
        "order of the steps: none; task: the task's list of steps, each once; video: the video's own list of steps as"
        " labelled (without times), one element for each",
        "",
    )
    narration: Literal["none", "table", "drawn"] = option(
        "none",
        "where a step may be: none: anywhere; table: inside the windows of the table `narration`, in which a narrator speaks"
        " of it; drawn: inside windows around true steps, drawn from narration_seed: a stand-in for narration",
        "",
    )
    narration_weight: float = option(
        -1e4,
        "what a row outside of a step's windows adds to its log likelihood under that step",
        "nats",
        ge=-1e9,
        le=0,
    )
    narration_share: float = option(0.6, "drawn: share of true steps that have a window", "share", ge=0, le=1)
    narration_margin: float = option(
        2.0, "drawn: largest time that a window begins before or ends after its step", "seconds", ge=0, le=1e6
    )
    narration_seed: int = option(0, "drawn: seed of the windows (that of the data)", "", ge=0, le=2**32 - 1)

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return self.ordering != "none" or self.narration != "none"


class BatchOptions(Options):
    """Which videos are worked on together."""

    videos: int = option(5, "videos of a mini-batch", "videos", ge=1, le=65536)
    by_task: bool = option(True, "a mini-batch holds videos of one task alone", "")
    how: Literal["names", "length", "drawn"] = option(
        "names",
        "names: cut from the sorted names, the same in every epoch (published); length: neighbours in length, which saves"
        " time; drawn: anew in every epoch",
        "",
    )
    order: Literal["seed", "original"] = option(
        "seed", "order of mini-batches: drawn from the run's seed, or as the published code draws it in every run", ""
    )
    carry: bool = option(
        False,
        "mini-batches that do not fill a step at the end of an epoch join the first step of the next one (published code);"
        " otherwise they are a smaller step",
        "",
    )


class BeginOptions(Options):
    """The Gaussians that a model begins with."""

    means: Literal["mean", "sample", "kmeans"] | None = option(
        None,
        "mean: that of all rows for every state (published: slow to begin); sample: random rows; kmeans: their centres; empty:"
        " sample, but mean where states stand for labels: random rows would be of other steps than what they stand for",
        "",
    )
    rows: Literal["all", "original"] = option(
        "all", "rows that they come from: of all training videos; original: of the first 100 videos of one task", ""
    )


class CrossValidationOptions(Options):
    """A split drawn anew: so many videos of each task for training, the others for testing."""

    seed: int = option(0, "seed of the draw", "", ge=0, le=2**32 - 1)
    videos: int = option(30, "training videos of each task", "videos", ge=1, le=10**6)


class SegmentationTraining(TrainingOptions):
    """How the model is trained; a sample is a mini-batch here, and a step takes ``batch`` of them (gradient accumulation)."""

    epochs: int | None = option(
        60, "length: passes over the training videos; give this or steps", "epochs", ge=1, le=100000
    )
    batch: int = option(1, "mini-batches whose gradients make one step", "mini-batches", ge=1, le=65536)
    drop_last: bool = option(False, "leave out the last mini-batches of an epoch where they do not fill a step", "")
    optimiser: Literal["sgd", "adam", "adamw"] = option("adam", "the optimiser", "")
    learning_rate: float = option(5e-3, "the learning rate", "", gt=0, le=1000)
    weight_decay: float = option(0.0, "weight decay", "", ge=0, le=10)
    clip: float | None = option(10.0, "largest L2 norm of a step's gradient; empty: any", "", gt=0, le=1e9)
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "plateau", "how the rate changes", ""
    )
    gamma: float = option(0.2, "factor of schedule: step and plateau", "", gt=0, le=1)
    final_rate: float = option(
        0.02,
        "where linear and cosine end and what plateau does not go below, as a share of the rate",
        "share",
        ge=0,
        le=1,
    )


class SegmentationTestOptions(Options):
    """How videos are cut, and how that is scored."""

    decode: Literal["viterbi", "posterior"] = option(
        "viterbi", "viterbi: the likeliest segmentation; posterior: the likeliest state of each row by itself", ""
    )
    constraints: ConstraintOptions = option(ConstraintOptions(), "what is known of the test videos", "")
    assignment: Literal["auto", "identity", "hungarian"] = option(
        "auto",
        "which state stands for which label: identity: its own; hungarian: that which makes the most rows right (an oracle"
        " where states have labels); auto: identity where states have learnt labels, else hungarian",
        "",
    )
    by_task: bool = option(
        True, "score each task by itself, with an assignment of its own; false: all videos as one task", ""
    )
    valid: bool = option(
        True, "where states have labels, a video has the states of its own task alone; false: all states", ""
    )
    videos: int = option(16, "videos decoded at once; results depend on it by rounding alone", "videos", ge=1, le=65536)
    average_recall: bool = option(
        False, "measure also the recall of steps where one row is shown of each (CrossTask), if states have labels", ""
    )
    background_share: float = option(
        0.0,
        "share of background of the baseline canonical: the task's steps in order, all as long",
        "share",
        ge=0,
        lt=1,
    )
    baseline_seed: int = option(0, "seed of the baselines that draw", "", ge=0, le=2**32 - 1)
    passes: int = option(
        50, "most passes of k-means and of the Gaussian mixture among the baselines", "passes", ge=1, le=10000
    )
    classifiers: int = option(
        0,
        "passes over the labelled training videos in which the baselines linear, mlp and tagger (classifiers of rows) are"
        " trained; 0: they are left out",
        "epochs",
        ge=0,
        le=100000,
    )


class SegmentationOptions(Options):
    """A segmentation run: what is read, the model, how it is trained and tested."""

    rows: RowsOptions = option(RowsOptions(), "which features are read", "")
    labels: LabelsOptions = option(LabelsOptions(), "which label each row has", "")
    model: ModelOptions = option(ModelOptions(), "the hidden semi-Markov model", "")
    learn: Literal["unsupervised", "closed_form", "gradient", "discriminative", "closed_then_gradient"] = option(
        "unsupervised",
        "unsupervised: likelihood of the features alone; with labels: closed_form: by counting (dense models); gradient:"
        " likelihood of features and labels; discriminative: of labels given features; closed_then_gradient: one after the"
        " other",
        "",
    )
    models: Literal["mixed", "per_task"] = option("mixed", "one model of all tasks, or one for each", "")
    constraints: ConstraintOptions = option(ConstraintOptions(), "what is known of the training videos", "")
    begin: BeginOptions = option(BeginOptions(), "the Gaussians that the model begins with", "")
    batches: BatchOptions = option(BatchOptions(), "which videos are worked on together", "")
    training: SegmentationTraining = option(SegmentationTraining(), "how the model is trained", "")
    state_smoothing: float = option(1e-2, "closed_form: what is added to counts of states", "", gt=0, le=1e6)
    length_smoothing: float = option(1e-1, "closed_form: what is added to counts of lengths", "", gt=0, le=1e6)
    limit: int | None = option(
        None, "train on so many videos of each task at most; empty: all", "videos", ge=1, le=10**9
    )
    train_on: tuple[str, ...] = option(("train",), "splits that are trained on", "", min_length=1)
    related: tuple[str, ...] = option(
        (), "splits of videos of other tasks that are trained on too, without labels (CrossTask: related)", ""
    )
    validate_on: tuple[str, ...] = option(
        (), "splits whose likelihood is measured during training; never those of the test", ""
    )
    follow_on: tuple[str, ...] = option(
        (),
        "splits whose likelihood is written down, too, after each epoch, of videos that are neither trained on nor validated"
        " on (published logs: the test); it chooses nothing",
        "",
    )
    hold_out: tuple[str, ...] = option(
        (), "recordings of the training splits that are not trained on but validated on", ""
    )
    hold_out_share: float = option(
        0.1,
        "share of each task's training videos that are not trained on but validated on, where neither validate_on nor"
        " hold_out names any",
        "share",
        ge=0,
        lt=1,
    )
    cross_validation: CrossValidationOptions | None = option(
        None, "draw training and test videos anew from the training splits; empty: as the dataset says", ""
    )
    test: SegmentationTestOptions = option(SegmentationTestOptions(), "how videos are cut and scored", "")
    test_on: tuple[str, ...] = option(("test",), "splits that are tested on", "", min_length=1)

    @property
    def labelled(self) -> bool:
        """Whether states stand for labels from the beginning."""
        return self.learn != "unsupervised" or self.constraints.known

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.labelled and self.model.states:
            raise ValueError("model.states: with labels or constraints there is a state for each label: set 0")
        if self.learn in ("closed_form", "closed_then_gradient") and self.model.rank is not None:
            raise ValueError(f"learn: {self.learn} is for dense models: leave model.rank empty, or take gradient")
        if self.related and (self.labelled or self.models == "per_task"):
            raise ValueError(
                "related: videos of other tasks have no labels: take learn: unsupervised and models: mixed"
            )
        if self.learn != "unsupervised" and self.constraints.ordering != "none":
            raise ValueError(
                "constraints.ordering: labels say the order already: leave it out, or take learn: unsupervised"
            )
        if self.training.precision != "float32":
            raise ValueError("training.precision: sums of logarithms over a whole video need float32")
        _check_ordering(self.constraints, self.labels, "constraints")
        _check_ordering(self.test.constraints, self.labels, "test.constraints")
        both = sorted(set(self.validate_on) & set(self.test_on))
        if both and self.cross_validation is None:
            raise ValueError(f"validate_on: {both[0]!r} is tested on, too; what is tested must choose nothing")
        return self


def _check_ordering(constraints: ConstraintOptions, labels: LabelsOptions, name: str) -> None:
    if constraints.ordering == "task" and labels.background == "one":
        raise ValueError(
            f"{name}.ordering: task needs a background class after each step (labels.background: previous), or none"
            " (removed)"
        )


class SegmentOptions(Options):
    """How one video is cut."""

    decode: Literal["viterbi", "posterior"] = option(
        "viterbi", "viterbi: the likeliest segmentation; posterior: the likeliest state of each row by itself", ""
    )
    task: str = option("", "the task, for checkpoints with a model or labels of each; empty: any", "")
    rate: float | None = option(
        None,
        "rows per second of a file that does not tell its times (npy); empty: as in the training",
        "rows per second",
        gt=0,
        le=1e6,
    )
    key: str = option(
        "", "name of the array inside npz and HDF5 files that are no shards; empty if they hold just one", ""
    )
    item: str = option("", "the video, of a feature shard that holds several", "")


class SegmentationSectionOptions(Options):
    """What the report's section shows beside the results."""

    seen: dict[Name, str] = option({}, "what labels the networks had seen that made each run's features, by run", "")
    timelines: int = option(4, "videos whose true and found steps are drawn", "videos", ge=0, le=100)
    states: int = option(12, "states that are described, the most frequent ones first", "states", ge=0, le=1000)
    nearest: int = option(4, "frames nearest to a state's mean that are shown", "frames", ge=0, le=20)
