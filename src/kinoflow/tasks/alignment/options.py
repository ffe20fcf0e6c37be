"""Options of alignment: which network embeds frames, what it learns from, how embeddings are used; see measuring_options."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from kinoflow.options import Form, Name, Options, UserPath, option
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions, ValidationOptions
from kinoflow.training.options import TrainingOptions


class EncoderOptions(Options):
    """The network: a backbone for pictures, partly frozen, and an encoder that turns its maps into one vector a frame."""

    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "small", "tiny", "features"] = (
        option(
            "resnet50",
            "the network for pictures; small: that of the embedded study, tiny: three convolutions; features: none, rows of a"
            " feature set are read in place of pictures (not what the paper does)",
            "",
        )
    )
    weights: Literal["none"] | Annotated[UserPath, Form("torchvision:NAME or a path")] = option(
        "none",
        "weights of the backbone to begin with: none (drawn from the seed), torchvision:NAME, or a file of BYOL, SimCLR,"
        " MoCo v2, torchvision or a recognition run",
        "",
    )
    frozen: int = option(
        3,
        "stages of the backbone that stay as they are, the stem with the first; 0: none, 4: all",
        "stages",
        ge=0,
        le=4,
    )
    only_norm: bool = option(False, "of the backbone's other stages, train batch normalisations only", "")
    chunk: int = option(
        40,
        "frames of each view that pass the backbone at once: the rows of its batch statistics",
        "frames",
        ge=1,
        le=10000,
    )
    pool: int = option(
        1, "the backbone's maps are reduced to so many rows and columns, by their maxima (transformer)", "", ge=1, le=7
    )
    encoder: Literal["transformer", "conv", "vanilla"] = option(
        "transformer",
        "transformer: sees the whole view; conv: convolutions over the frame's contexts, on the third stage's maps (TCC);"
        " vanilla: the same without convolutions, on the fourth stage's",
        "",
    )
    hidden: int = option(512, "width of the two layers behind the backbone", "", ge=1, le=65536)
    width: int = option(256, "width of the transformer", "", ge=1, le=65536)
    layers: int = option(3, "layers of the transformer; 0: every frame for itself", "", ge=0, le=64)
    heads: int = option(8, "heads of each layer", "", ge=1, le=256)
    feed_forward: int = option(1024, "width inside each layer", "", ge=1, le=65536)
    conv_width: int = option(512, "channels of the two convolutions (conv)", "", ge=1, le=65536)
    positions: Literal["sine", "none"] = option(
        "sine",
        "sine: the transformer is told the share of the video that has passed, which is a clock; none: it is not",
        "",
    )
    dropout: float = option(0.1, "dropout in the encoder", "share", ge=0, lt=1)
    embedding: int = option(128, "length of a frame's vector", "", ge=1, le=65536)
    normalise: bool = option(True, "scale embeddings to length 1", "")
    projection: bool = option(
        True, "let the loss read a projection of the embeddings, that is dropped afterwards (scl only)", ""
    )
    projection_hidden: int = option(128, "width inside the projection", "", ge=1, le=65536)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.encoder == "transformer" and self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width: {self.width}")
        if self.encoder != "transformer" and self.pool > 1:
            raise ValueError("pool: it is for encoder: transformer")
        if self.backbone == "features" and (self.encoder == "conv" or self.pool > 1 or self.weights != "none"):
            raise ValueError(
                "backbone: features are rows, no maps: take encoder: transformer or vanilla, without pool or weights"
            )
        if self.backbone == "tiny" and self.encoder == "conv":
            raise ValueError("encoder: conv needs the larger maps of another backbone than tiny")
        return self


class ViewOptions(Options):
    """Which frames of a video a network sees at once."""

    scheme: Literal["time_augment", "uniform", "tcn"] = option(
        "time_augment",
        "time_augment: frames drawn from a stretch of random length; uniform: frames drawn from the whole video; tcn: pairs"
        " of an anchor and a frame shortly before it",
        "",
    )
    frames: int = option(80, "frames of a view", "frames", ge=2, le=10000)
    views: Literal[1, 2] = option(2, "views of each video in a step", "")
    region: float = option(
        1.5, "time_augment: the stretch is at most so many times the length that its rule names", "", ge=1, le=100
    )
    rule: Literal["video", "window"] = option(
        "video",
        "time_augment: what the stretch is measured by: the video's length (frames past its end are padding), or the"
        " view's number of frames",
        "",
    )
    clip: bool = option(False, "time_augment: cut the stretch off at the video's end, so that nothing is padding", "")
    overlap: float = option(
        0.2, "time_augment: least share of the second view that lies in the first; 0: any", "share", ge=0, le=1
    )
    anchors: Literal["uniform", "time_augment"] = option("uniform", "tcn: how anchors are drawn", "")
    window: int = option(5, "tcn: the other frame is at most so long before its anchor", "frames", ge=1, le=10000)
    contexts: int = option(
        1, "frames that are read for each one, the last of which it is (conv, vanilla)", "frames", ge=1, le=64
    )
    context_stride: int = option(15, "distance of contexts", "frames", ge=1, le=10000)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.scheme == "tcn" and self.frames % 2:
            raise ValueError(f"frames: {self.frames} are no pairs of anchor and positive: give an even number")
        return self


class VaryOptions(Options):
    """How pictures are varied in training, all frames of a view alike; and how they are made ready for the network."""

    size: int = option(224, "sides of the network's input", "pixels", ge=16, le=1024)
    crop: bool = option(True, "cut out a part of random place, size and shape", "")
    least: float = option(0.8, "least share of the picture's area that is cut out", "share", gt=0, le=1)
    flip: bool = option(True, "mirror half of the views", "")
    strength: float = option(1.0, "factor of all that follows about colours", "", ge=0, le=1)
    jitter: float = option(0.8, "share of views whose colours vary", "share", ge=0, le=1)
    brightness: float = option(0.8, "largest relative change of brightness", "share", ge=0, le=1)
    contrast: float = option(0.8, "largest relative change of contrast", "share", ge=0, le=1)
    saturation: float = option(0.8, "largest relative change of saturation", "share", ge=0, le=1)
    hue: float = option(0.2, "largest change of hue, as a share of the colour circle", "share", ge=0, le=0.5)
    order: Literal["random", "fixed"] = option(
        "random", "of the changes: random, or brightness, contrast, hue, saturation", ""
    )
    blur: Literal["once", "original", "none"] = option(
        "once",
        "of views whose colours vary, half (times strength) are blurred: once; original: after each change of colour, as"
        " the published code does",
        "",
    )
    grey: float = option(0.2, "share of views without colour", "share", ge=0, le=1)
    values: Literal["imagenet", "plain"] = option(
        "imagenet", "mean and deviation of colours: of published weights, or .45 and .226 (small and tiny networks)", ""
    )
    evaluate: Literal["crop", "resize", "resize_crop"] = option(
        "crop",
        "tests: crop: the centre in the network's size as it is (published with crop: true); resize: the whole picture,"
        " squeezed (published without); resize_crop: scaled by its short side, then the centre",
        "",
    )
    noise: float = option(
        0.0, "backbone: features: deviation of what is added to rows, as a share of theirs", "share", ge=0, le=10
    )
    drop: float = option(0.0, "backbone: features: share of columns that are zero in a view", "share", ge=0, lt=1)


class SclOptions(Options):
    """Sequence contrastive learning (CARL)."""

    temperature: float = option(0.1, "temperature of the softmax", "", gt=0, le=100)
    variance: float = option(
        10.0, "variance of the Gaussian prior; .01 is as good as one-hot", "frames squared", gt=0, le=1e9
    )
    negatives: Literal["single_noself", "single", "batch_noself", "batch"] = option(
        "single_noself",
        "frames that a frame is told apart from: single: those of its video, batch: of all; noself: not of its own view",
        "",
    )
    positives: Literal["gauss", "none"] = option("gauss", "the prior; none gives a loss of 0", "")
    masked: Literal["original", "zero"] = option(
        "original", "weight of padding among the negatives: 1e-6, as the published code has it, or zero", ""
    )


class TccOptions(Options):
    """Temporal cycle consistency."""

    kind: Literal["mse_var", "mse", "huber", "classification"] = option(
        "mse_var",
        "regression of the time at which a cycle ends, by its error over its variance, its square, or Huber's; or"
        " classification of the frame",
        "",
    )
    similarity: Literal["l2", "cosine"] = option("l2", "minus the squared distance, or the inner product", "")
    temperature: float = option(0.1, "temperature of the softmax", "", gt=0, le=100)
    smoothing: float = option(0.1, "share of the label that is spread over other frames", "share", ge=0, lt=1)
    variance_weight: float = option(0.001, "mse_var: weight of the logarithm of the variance", "", ge=0, le=1000)
    huber: float = option(1.0, "huber: where the square ends", "", gt=0, le=1e6)
    normalise_time: bool = option(True, "count time in shares of the video", "")
    original: bool = option(
        False, "classification: the published code's divergence from raw logits in place of cross-entropy", ""
    )


class TcnOptions(Options):
    """Time-contrastive networks, by n-pairs."""

    regularise: float = option(0.002, "weight of the embeddings' squared lengths (times a quarter)", "", ge=0, le=1000)


class AlignmentTraining(TrainingOptions):
    """How the network is trained; rates are used as written, there is no scaling with the batch."""

    epochs: int | None = option(
        300, "length: passes over the training videos; give this or steps", "epochs", ge=1, le=100000
    )
    batch: int = option(4, "videos of one step, over all processes and micro batches", "videos", ge=1, le=65536)
    optimiser: Literal["sgd", "adam", "adamw"] = option(
        "adam", "the optimiser; weight decay is part of the gradient with sgd and adam, decoupled with adamw", ""
    )
    learning_rate: float = option(1e-4, "the learning rate", "", gt=0, le=1000)
    weight_decay: float = option(1e-5, "weight decay", "", ge=0, le=10)
    clip: float | None = option(
        10.0, "largest L2 norm of a step's gradient, over all parameters; empty: any", "", gt=0, le=1e9
    )
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "cosine",
        "how the rate changes: step: times gamma at the milestones; linear, cosine: down to final_rate; one_cycle: up over the"
        " first 30 %, then down by cosines; plateau: times gamma when an epoch's loss has not fallen for long",
        "",
    )
    warm_from: float | None = option(
        None,
        "with warm_up and schedule: cosine, the first epoch's rate as a share of learning_rate; it grows evenly from epoch to"
        " epoch; empty: from step to step",
        "share",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _warms_up(self) -> Self:
        if self.warm_from is not None and not (self.warm_up and self.epochs and self.schedule == "cosine"):
            raise ValueError("warm_from: it needs warm_up, epochs and schedule: cosine")
        return self


class AlignOptions(Options):
    """How videos are aligned with a network."""

    how: Literal["dtw", "nearest"] = option(
        "dtw", "dtw: in order, by dynamic time warping; nearest: each frame for itself", ""
    )
    distance: Literal["sqeuclidean", "cosine"] = option("sqeuclidean", "distance of embeddings", "")
    chunk: int = option(1000, "frames of a video that are embedded at once", "frames", ge=1, le=10**6)
    rate: float | None = option(
        None, "frames taken per second, by time stamps; empty: all", "frames per second", gt=0, le=1000
    )
    retrieve: int = option(4, "nearest frames of other videos that are shown beside each frame", "frames", ge=1, le=16)
    height: int = option(160, "height of each video in what is shown", "pixels", ge=16, le=1080, multiple_of=2)


class AlignmentOptions(Options):
    """An alignment run: what is read, by which network, how it is trained and tested."""

    algorithm: Literal["scl", "tcc", "tcn", "classification"] = option(
        "scl",
        "what is learned: scl: which frames of two views are the same moment (CARL); tcc: to come back from another video to"
        " the same frame; tcn: frames close in time; classification: phases, from labels",
        "",
    )
    network: EncoderOptions = option(EncoderOptions(), "the network", "")
    sampling: ViewOptions = option(ViewOptions(), "which frames are seen at once", "")
    augment: VaryOptions = option(VaryOptions(), "how pictures are varied and made ready", "")
    scl: SclOptions = option(SclOptions(), "the loss of algorithm: scl", "")
    tcc: TccOptions = option(TccOptions(), "the loss of algorithm: tcc", "")
    tcn: TcnOptions = option(TcnOptions(), "the loss of algorithm: tcn", "")
    training: AlignmentTraining = option(AlignmentTraining(), "how the network is trained", "")
    label: Name = option(
        "phase",
        "what frames are labelled by: phase: the rows of segments.csv that are phases; or a column of the others (action,"
        " verb, noun)",
        "",
    )
    clips: Literal["videos", "action", "verb", "noun"] = option(
        "videos",
        "what a clip is: videos: a whole video; else a segment that is no phase, which `only` chooses by this column",
        "",
    )
    only: tuple[str, ...] = option(
        (), "the clips that are read, by their names in the column of `clips`; empty: all", ""
    )
    sets: Literal["none", "task", "action", "verb", "noun"] = option(
        "none",
        "clips that are tested apart from others, their results averaged: of one task of the video (Penn Action), or of one"
        " name in a column",
        "",
    )
    cut: float = option(
        0.0,
        "largest share of its first and last phase that is cut off a clip, by chance but once for all: so that time alone tells"
        " nothing",
        "share",
        ge=0,
        le=1,
    )
    fraction: float = option(
        1.0, "algorithm: classification: share of the training videos whose labels are used", "share", gt=0, le=1
    )
    test: AlignmentTestOptions = option(AlignmentTestOptions(), "how embeddings are tested", "")
    train_on: tuple[str, ...] = option(("train",), "splits that are trained on", "", min_length=1)
    validate_on: tuple[str, ...] = option((), "splits that are scored during training; empty: none", "")
    validation: ValidationOptions = option(ValidationOptions(), "what is measured of validate_on", "")
    test_on: tuple[str, ...] = option(("test",), "splits that are tested on", "", min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.sampling.contexts > 1 and self.network.encoder == "transformer":
            raise ValueError("sampling.contexts: the transformer sees all frames anyway; take 1, or another encoder")
        if self.clips == "videos" and (self.only or self.sets not in ("none", "task")):
            raise ValueError(
                "clips: whole videos have no names in a column: leave out only, and take sets: task or none"
            )
        if self.label != "phase" and self.clips != "videos":
            raise ValueError("label: clips that are segments are labelled by their phases: take label: phase")
        if self.algorithm == "scl" and self.sampling.views != 2:
            raise ValueError("sampling.views: scl compares two views")
        if self.algorithm == "tcn" and self.sampling.scheme != "tcn":
            raise ValueError("sampling.scheme: algorithm: tcn needs pairs: take tcn")
        if self.algorithm == "tcc" and self.sampling.views * self.training.batch < 2:
            raise ValueError("training.batch: tcc goes from one sequence to another: give two views or two videos")
        return self


class AlignmentSectionOptions(Options):
    """What the report's section shows beside the results."""

    seen: dict[Name, str] = option({}, "what labels the networks had seen that made each run's features, by run", "")


class ReleasedOptions(Options):
    """How a released checkpoint is read."""

    frames: int | None = option(
        None, "frames of a view in its training, where its configuration does not tell them", "frames", ge=2, le=10000
    )
    dataset: str = option("", "what it was trained on, for people", "")
    sets: Literal["none", "task"] | None = option(
        None,
        "clips that are tested apart from others: those of one task of the video, or none; empty: task for actions of Penn Action",
        "",
    )
