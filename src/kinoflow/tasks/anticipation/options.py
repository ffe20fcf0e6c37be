"""Options of the student of anticipation: what it sees of a video, the network, what it learns from, how it is tested."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Form, Name, Options, UserPath, option
from kinoflow.tasks.anticipation.windows import OBSERVED
from kinoflow.training.options import TrainingOptions

Weight = Annotated[float, Field(ge=0, le=100000)]
Coefficient = Annotated[float, Field(ge=-1000, le=1000)]
Gap = Annotated[float, Field(gt=0, le=600)]
Ratio = Annotated[float, Field(ge=-999, le=1000)]
Side = Annotated[int, Field(ge=16, le=4096)]
Target = Literal["action", "verb", "noun"]
LossKey = Literal[
    "cls_action", "cls_verb", "cls_noun", "past_cls_action", "past_cls_verb", "past_cls_noun", "feat", "distill", "ens_distill",
    "distill_feat", "distill_feat_mse", "nce", "quantised", "gap",
]  # fmt: skip


class SamplingOptions(Options):
    """What is seen of a video before an action: a window of time, as a sequence of steps."""

    gap: float | None = option(
        1.0,
        "window: gap: the window ends so long before the action starts (tau_a); empty: the window is the action itself"
        " (recognition)",
        "seconds",
        ge=0,
        le=600,
    )
    observed: float = option(48.0, "length of the window (tau_o), at most", "seconds", gt=0, le=100000)
    drop: Literal["correct", "full_context", "action_banks"] = option(
        "correct",
        "actions that are left out: correct: whose window would end before the video's first frame; full_context: whose window"
        " would begin before it; action_banks: whose window would end in the first two seconds",
        "",
    )
    skip: int = option(
        0, "first actions of every video that are left out: what they begin with is not to be known", "", ge=0, le=1000
    )
    read: Literal["mean", "frames"] = option(
        "mean",
        "mean: a step is the mean of the features of step_seconds, counted back from the window's end; frames: a step is one"
        " frame, rate of them a second",
        "",
    )
    steps: int = option(24, "steps of the sequence, at most", "steps", ge=1, le=4096)
    step_seconds: float = option(2.0, "read: mean: length of a step", "seconds", gt=0, le=600)
    rate: float = option(1.0, "read: frames: steps per second", "per second", gt=0, le=1000)
    fps: float = option(
        30.0, "read: frames: frames per second by which frames are numbered", "per second", gt=0, le=1000
    )
    strategy: Literal["last_clip", "center_clip", "first_clip", "random_clip"] = option(
        "last_clip", "read: frames: the part of the window that is taken where it is longer than the steps reach", ""
    )
    lookback: int = option(
        9,
        "read: frames: a frame that is not stored is replaced by one at most so many before it (or by the row of features, where"
        " rows are further apart), else by zeros",
        "frames",
        ge=0,
        le=1000,
    )
    past_label: Literal["midpoint", "half_duration"] = option(
        "midpoint",
        "which of several actions at once a step shows: midpoint: the one whose middle is nearest; half_duration: as published"
        " (the time from the start of the video is compared with half the action's length)",
        "",
    )


class StudentOptions(Options):
    """The network: features of steps, what comes next, classes."""

    backbone: Literal["identity", "vit_b_16", "bn_inception", "csn_152"] = option(
        "identity",
        "identity: steps are features; vit_b_16 and bn_inception read a frame for each, csn_152 a clip; weights come from a file",
        "",
    )
    weights: Literal["none"] | Annotated[UserPath, Form("a path")] = option(
        "none", "weights of the backbone: none (drawn from the seed), or a file", ""
    )
    clip: int = option(1, "csn_152: frames of a clip, the step's own is the last one", "frames", ge=1, le=128)
    size: int = option(224, "sides of the pictures that a backbone reads", "pixels", ge=16, le=1024)
    train_backbone: bool = option(False, "train the backbone too", "")
    aggregator: Literal["identity", "mean", "transformer", "rulstm"] = option(
        "identity", "how steps are joined before the head: not at all, or groups of them into one each", ""
    )
    group: int | None = option(
        None, "steps that mean and transformer join into one; empty: all of them", "steps", ge=1, le=4096
    )
    unroll: int = option(1, "rulstm: steps that the second LSTM runs ahead", "steps", ge=1, le=64)
    head: Literal["avt_h", "mlp", "identity"] = option(
        "avt_h",
        "what predicts the features that come next: a causal transformer, a perceptron, or nothing (the last step)",
        "",
    )
    width: int = option(64, "avt_h: width of the transformer; mlp: of the hidden layer", "", ge=1, le=8192)
    heads: int = option(4, "avt_h: heads of attention", "", ge=1, le=128)
    layers: int = option(2, "avt_h: layers", "", ge=1, le=96)
    positions: int = option(1024, "avt_h: most steps of a sequence", "steps", ge=1, le=65536)
    ahead: int = option(1, "avt_h: steps that are predicted, those after the first by roll-out", "steps", ge=1, le=64)
    average: int = option(
        1, "avt_h: last predicted steps that are averaged before they are classified", "", ge=1, le=64
    )
    initial: Literal["scaled", "published"] = option(
        "scaled",
        "first weights of linear layers: scaled: by their inputs, which small networks learn from at once; published: a"
        " deviation of .01 everywhere",
        "",
    )
    head_dropout: float = option(0.1, "dropout inside the head and the aggregator", "share", ge=0, lt=1)
    dropout: float = option(0.2, "dropout before the classifier", "share", ge=0, lt=1)
    classifier: Literal["linear", "mlp"] = option("linear", "the classifier of features", "")
    targets: tuple[Target, ...] = option(
        ("action",),
        "what has a classifier of its own; verbs and nouns are always told from actions too",
        "",
        min_length=1,
    )
    summed: bool = option(
        False, "verb and noun are the sums of the actions' scores before any softmax, as one published head does", ""
    )
    regression: bool = option(False, "tell the time until the action starts as well (loss: gap)", "")
    codes: int = option(0, "loss quantised: classes of features, drawn at random", "", ge=0, le=65536)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.head == "avt_h" and self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide the width {self.width}")
        if self.summed and "action" not in self.targets:
            raise ValueError("summed: verbs and nouns are sums over actions, so targets must have action")
        if self.summed and len(self.targets) > 1:
            raise ValueError("summed: leave verb and noun out of targets; they are sums of the actions' scores then")
        return self


class PicturesOptions(Options):
    """How frames become the square pictures that a backbone reads (network.size)."""

    short: int | None = option(
        None,
        "short side to which frames are scaled before the square in their middle is cut out; empty: network.size",
        "pixels",
        ge=16,
        le=4096,
    )
    drawn: tuple[Side, Side] | None = option(
        None,
        "in training: between which the short side is drawn, and the square's place at random; empty: as in tests",
        "pixels",
    )
    flip: float = option(0.0, "training samples that are mirrored", "share", ge=0, le=1)

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.drawn and self.drawn[0] > self.drawn[1]:
            raise ValueError(f"drawn: {self.drawn[0]} comes before {self.drawn[1]}; the smaller side goes first")
        return self


class DistillOptions(Options):
    """How the student learns from the teacher's scores."""

    kind: Literal["full", "topk", "topmidbottom"] = option(
        "full",
        "classes compared: all; the teacher's k best; or its k best, k in the middle and k worst",
        "",
    )
    k: int = option(50, "classes of topk and of each part of topmidbottom", "classes", ge=1, le=100000)
    temperature: float = option(2.0, "divisor of the scores of both", "", gt=0, le=1000)
    reduction: Literal["batchmean", "elementmean"] = option(
        "batchmean",
        "batchmean: the mean over rows; elementmean: over rows and classes, as published, so that a weight depends on the"
        " number of classes (weight w there is w / classes here)",
        "",
    )
    heads: int = option(
        4, "ens_distill: heads of the attention that weighs the teachers; they divide its width", "", ge=1, le=128
    )
    shuffle: bool = option(False, "give every row another row's teacher: a control that must not help", "")


class StudentTraining(TrainingOptions):
    """How the student is trained."""

    epochs: int | None = option(
        30, "length: passes over the training samples; give this or steps", "epochs", ge=1, le=100000
    )
    batch: int = option(32, "samples of one step, over all processes and micro batches", "samples", ge=1, le=65536)
    drop_last: bool = option(False, "leave out the last samples of an epoch where they do not fill a step", "")
    optimiser: Literal["sgd", "adam", "adamw"] = option(
        "adamw", "the optimiser; weight decay is part of the gradient with sgd and adam, decoupled with adamw", ""
    )
    learning_rate: float = option(2e-3, "the learning rate", "", gt=0, le=1000)
    weight_decay: float = option(0.05, "weight decay", "", ge=0, le=10)
    clip: float | None = option(
        5.0, "largest L2 norm of a step's gradient, over all parameters; empty: any", "", gt=0, le=1e9
    )
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "one_cycle",
        "how the rate changes: step: times gamma at the milestones; linear, cosine: down to final_rate; one_cycle: up over the"
        " first 30 %, then down by cosines; plateau: times gamma when an epoch's loss has not fallen for long",
        "",
    )
    per: Literal["epoch", "step"] = option("step", "when step, linear, cosine and one_cycle change the rate", "")


class FusionOptions(Options):
    """How the scores of several students are added (late fusion)."""

    coefficients: tuple[Coefficient, ...] = option(
        (), "weights of several models whose scores are added (late fusion); empty: all alike", ""
    )
    norm: float | None = option(
        None, "divide each row of scores by its norm of this order before the fusion; empty: do not", "", gt=0, le=100
    )
    correlated: int = option(10, "pairs of classes whose scores go together that are told", "pairs", ge=0, le=1000)
    challenge: Literal["ek55", "ek100"] = option("ek100", "the form of a challenge file, where one is written", "")


class AnticipationTestOptions(FusionOptions):
    """How students are tested."""

    crops: Literal[1, 3] = option(
        1, "squares of frames whose scores are averaged: in the middle, or at both ends of the longer side too", ""
    )
    mirrored: bool = option(False, "average with the scores of mirrored frames", "")
    gaps: tuple[Gap, ...] = option(
        (), "also test at these gaps before the action (seconds), and tell the time to action; empty: do not", "seconds"
    )
    ratios: tuple[Ratio, ...] = option(
        (1.0,),
        "students that roll out: windows whose true labels stand in the table of later steps, each as long as the one that is"
        " seen and so many gaps after its end: 1 begins with the action; -999: what is seen",
        "gaps",
    )

    @model_validator(mode="after")
    def _after(self) -> Self:
        wrong = [ratio for ratio in self.ratios if ratio < 0 and ratio != OBSERVED]
        if wrong:
            raise ValueError(
                f"ratios: {wrong[0]:g} gaps lie before the window's end; give 0 or more, or -999 for what is seen"
            )
        return self


class AnticipationOptions(Options):
    """A run of anticipation: what the student sees, the network, its losses, how it is trained and tested."""

    window: Literal["gap", "previous_end"] = option(
        "previous_end",
        "where the window ends: gap: a fixed time before the action (sampling.gap); previous_end: with the action before it",
        "",
    )
    sampling: SamplingOptions = option(SamplingOptions(), "what is seen before an action, as steps", "")
    source: Literal["features", "labels"] = option(
        "features", "what a step is made of: features; labels: the true actions, one-hot (an oracle)", ""
    )
    network: StudentOptions = option(StudentOptions(), "the network", "")
    pictures: PicturesOptions = option(PicturesOptions(), "how frames are cut for a backbone of its own", "")
    losses: dict[LossKey, Weight] = option(
        {"cls_action": 1.0, "past_cls_action": 0.5, "distill": 1.5},
        "weights of the losses; those with weight 0 are left out",
        "",
        min_length=1,
    )
    parity: bool = option(
        False,
        "steps without a label stay in the mean of the losses past_cls_*, as published; else past_mean says what it runs over",
        "",
    )
    past_mean: Literal["labelled", "samples"] = option(
        "labelled",
        "losses past_cls_*: labelled: the mean over the steps with a label; samples: of each sample's steps with a label, then"
        " over samples, so that short sequences weigh as much as long ones",
        "",
    )
    detach: bool = option(False, "loss feat: no gradient into the features that are predicted", "")
    distill: DistillOptions = option(DistillOptions(), "how it learns from the teacher's scores", "")
    max_missing_records: float = option(
        0.05, "largest share of training actions that the teacher's records may lack", "share", ge=0, le=1
    )
    noise: float = option(0.3, "deviation of the noise added to features in training", "", ge=0, le=100)
    balance: Literal["none", "samples", "loss"] = option(
        "none", "samples: classes are drawn alike often; loss: rare classes weigh more, so that all weigh alike", ""
    )
    repeat: int = option(1, "how often an epoch has each sample", "", ge=1, le=1000)
    only: tuple[str, ...] = option((), "uids of the training actions that are used; empty: all", "")
    schedule: Literal["training", "kd"] = option(
        "training",
        "training: as training.schedule says; kd: the published one, whatever training.schedule says: warm-up from 1e-7, a cosine"
        " to eta_min, its tail",
        "",
    )
    eta_min: float = option(0.0, "schedule: kd: the lowest learning rate", "", ge=0, le=1)
    training: StudentTraining = option(StudentTraining(), "how the student is trained", "")
    test: AnticipationTestOptions = option(AnticipationTestOptions(), "how it is tested", "")
    train_on: tuple[str, ...] = option(("train",), "splits that are trained on", "", min_length=1)
    validate_on: tuple[str, ...] = option((), "splits that are scored during training; empty: none", "")
    hold_out: tuple[str, ...] = option(
        (), "recordings of the training splits that are not trained on but scored: to choose settings by", ""
    )
    test_on: tuple[str, ...] = option(("test",), "splits that are tested on", "", min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        used = {key for key, weight in self.losses.items() if weight}
        if not used:
            raise ValueError("losses: give at least one a weight above 0")
        for key in sorted(used):
            _check_loss(key, self.network)
        if self.window == "previous_end" and self.sampling.gap is None:
            raise ValueError("sampling.gap: it is empty (recognition), which is for window: gap")
        sides = (self.pictures.short, *(self.pictures.drawn or ()))
        if any(side is not None and side < self.network.size for side in sides):
            raise ValueError(f"pictures: no square of network.size {self.network.size} fits into a shorter side")
        return self


def _check_loss(key: str, network: StudentOptions) -> None:
    kind, _, target = key.rpartition("_")
    told = {*network.targets, *(("verb", "noun") if network.summed else ())}
    if kind in ("cls", "past_cls") and target not in told:
        raise ValueError(f"losses.{key}: network.targets has no {target}")
    if key == "gap" and not network.regression:
        raise ValueError("losses.gap: it needs network.regression")
    if key == "quantised" and not network.codes:
        raise ValueError("losses.quantised: it needs network.codes")
    if key in ("feat", "nce", "quantised") and network.head == "identity":
        raise ValueError(f"losses.{key}: head: identity predicts no features")


class AnticipateOptions(Options):
    """What is told of what comes next in a video."""

    at: float | None = option(
        None, "the moment before which it is looked; empty: the end of the video", "seconds", ge=0, le=1e7
    )
    top: int = option(5, "likeliest classes that are told", "classes", ge=1, le=1000)
    dense: bool = option(
        False,
        "tell it after every step of the video: by one pass where the student's sequences are as long, else each step by the"
        " window that ends with it",
        "",
    )


class AnticipationFeaturesOptions(Options):
    """How a student's own features of whole videos are written."""

    what: Literal["future", "hidden", "backbone"] = option(
        "future",
        "future: the features that are predicted; hidden: the state of the transformer; backbone: what the head reads",
        "",
    )
    every: float = option(
        1.0,
        "distance of rows, for students that read frames (others have a row for each step)",
        "seconds",
        gt=0,
        le=3600,
    )
    dtype: Literal["float16", "float32"] = option("float32", "type in which features are stored", "")


class AnticipationToyOptions(Options):
    """Invented sequences of actions with features: distillation can be seen within a minute."""

    classes: int = option(40, "actions", "classes", ge=4, le=10000)
    text: int = option(3000, "sequences of text, which the teacher alone reads", "sequences", ge=1, le=10**6)
    length: int = option(12, "actions of a sequence of text", "actions", ge=3, le=1000)
    train: int = option(600, "training videos", "videos", ge=2, le=10**6)
    test: int = option(1500, "test videos", "videos", ge=1, le=10**6)
    observed: int = option(6, "actions seen before the one that is told", "actions", ge=2, le=100)
    width: int = option(32, "columns of features", "columns", ge=1, le=4096)
    noise: float = option(1.0, "deviation of the noise of features", "", ge=0, le=100)
    sparsity: float = option(
        0.05, "Dirichlet parameter of what follows an action: small ones leave few choices", "", gt=0, le=100
    )


class AnticipationSectionOptions(Options):
    """What the report's section says of the runs beside their results."""

    seen: dict[Name, str] = option({}, "what labels the networks had seen that made each run's features, by run", "")
    teachers: dict[Name, str] = option({}, "the teacher of each run that has one, by name", "")
    policies: dict[Name, str] = option({}, "history policy of each run's teacher, by name", "")
    pairs: dict[Name, Name] = option({}, "runs with a teacher, and the same run without one: {with: without}", "")
    together: dict[str, str] = option(
        {}, "of what each sum (fusions) and mean (summaries) of runs is made, by name", ""
    )
    videos: int = option(3, "test videos that are shown", "videos", ge=0, le=50)
