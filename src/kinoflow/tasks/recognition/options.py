"""Options of clip recognition: which network reads which frames, how it is trained and tested."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kinoflow.media.options import begins_before_it_ends
from kinoflow.options import Form, Name, Options, UserPath, option
from kinoflow.training.options import TrainingOptions

Scale = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(gt=0, le=1000)]
Coefficient = Annotated[float, Field(ge=-1000, le=1000)]


class NetworkOptions(Options):
    """The network: a backbone for pictures, applied to every segment, with or without operators along time."""

    backbone: Literal[
        "small",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "mobilenet_v2",
        "bn_inception",
    ] = option("resnet50", "the network for pictures", "")
    weights: Literal["none"] | Annotated[UserPath, Form("torchvision:NAME or a path")] = option(
        "none",
        "weights to begin with: none (drawn from the seed), torchvision:NAME (torchvision:DEFAULT is the best), or a file",
        "",
    )
    shift: int | None = option(
        8, "one in so many channels is shifted to each side along time (TSM); empty: no shift (TSN)", "", ge=2, le=64
    )
    shift_place: Literal["blockres", "block"] = option(
        "blockres", "what is shifted: blockres: the residual branch's input; block: the whole block's input", ""
    )
    one_sided: bool = option(False, "shift from the past only, so that frames can be streamed", "")
    temporal_pool: bool = option(False, "halve the number of segments before the second stage (ResNets with shift)", "")
    non_local: bool = option(False, "insert non-local blocks (resnet50 only)", "")
    fuse: bool = option(
        False, "give the gray frames of all segments to the first convolution at once (no shift then)", ""
    )
    dropout: float = option(0.5, "dropout before the last layer", "share", ge=0, lt=1)
    consensus: Literal["average", "none"] = option(
        "average", "average the segments' scores, or keep a row of scores for every segment", ""
    )
    softmax_first: bool = option(False, "average the segments' probabilities in place of their logits", "")
    partial_norm: bool = option(
        False, "train the first batch normalisation only, keep the others as they are (for small batches)", ""
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        residual = self.backbone.startswith(("resnet", "resnext"))
        if self.non_local and self.backbone != "resnet50":
            raise ValueError(f"non_local: its places are defined for resnet50, not for {self.backbone}")
        if self.temporal_pool and not (residual and self.shift):
            raise ValueError("temporal_pool: it needs a ResNet or ResNeXt with shift")
        if self.backbone == "bn_inception" and self.shift and self.shift_place == "blockres":
            raise ValueError("shift_place: bn_inception has no residual branches: take block")
        if self.fuse and (self.shift or self.temporal_pool or self.non_local):
            raise ValueError("fuse: there are no segments left to shift, pool or relate: switch these off")
        if self.fuse and not residual:
            raise ValueError(f"fuse: it is defined for ResNets, not for {self.backbone}")
        if self.softmax_first and self.consensus != "average":
            raise ValueError("softmax_first: there is nothing to average with consensus: none")
        if self.one_sided and not self.shift:
            raise ValueError("one_sided: there is no shift to make one-sided")
        return self


class InputOptions(Options):
    """What the network sees of each segment."""

    kind: Literal["rgb", "gray", "flow", "difference"] = option(
        "rgb",
        "rgb: one picture; gray: neighbouring gray frames as channels (LSNet's short-term window); flow: optical flow"
        " fields, x and y in turn; difference: differences of neighbouring pictures",
        "",
    )
    frames: int = option(
        1,
        "frames, flow fields or differences of one segment; 1 for rgb, usually 3 for gray, 5 for the others",
        "frames",
        ge=1,
        le=64,
    )
    interval: int = option(0, "frames left out between neighbours of a gray window", "frames", ge=0, le=1000)
    border: Literal["clamp", "original"] = option(
        "clamp",
        "gray windows that reach over the clip's ends: clamp moves them inside by as little as needed, original by half"
        " their length as the published code does",
        "",
    )
    size: int = option(224, "sides of the network's input", "pixels", ge=16, le=1024)
    normalise: Literal["plain", "original"] = option(
        "plain",
        "gray: plain scales all planes alike; original treats planes in turn as red, green and blue, and leaves the last"
        " ones alone, as the published code does",
        "",
    )

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if self.kind == "rgb" and self.frames != 1:
            raise ValueError(f"frames: a segment of rgb is 1 picture, not {self.frames}: take kind: gray for windows")
        if self.kind != "gray" and self.interval:
            raise ValueError("interval: it is for windows of kind: gray")
        return self


class SamplingOptions(Options):
    """Which moments of a clip become segments."""

    segments: int = option(8, "segments of a clip", "segments", ge=1, le=512)
    scheme: Literal["uniform", "dense"] = option(
        "uniform", "uniform: spread over the clip; dense: inside a stretch of 64 frames at a random place (I3D)", ""
    )
    cover: Literal["exact", "original"] = option(
        "exact",
        "exact: equal parts that cover the clip to its end, validation without chance; original: as the published code,"
        " which never draws the last frames",
        "",
    )


class AugmentOptions(Options):
    """How training clips are varied; every frame of a clip gets the same draw."""

    crop: Literal["multi_scale", "shift", "none"] = option(
        "multi_scale",
        "multi_scale: a crop of random size at one of 13 places, scaled to the input (TSN); shift: moved by a few pixels,"
        " edges repeated; none: the centre. Tests scale the short side to 256/224 of the input with multi_scale, else to it",
        "",
    )
    scales: tuple[Scale, ...] | None = option(
        None,
        "sides of multi_scale crops, as shares of the short side; empty: 1, 0.875, 0.75 and, of rgb and gray, 0.66",
        "share",
        min_length=1,
    )
    shift: int = option(3, "largest move of crop: shift", "pixels", ge=0, le=256)
    flip: bool = option(True, "mirror half of the clips, where the dataset allows it (its option mirror)", "")
    contrast: float = option(0.0, "largest relative change of contrast (not of flow)", "share", ge=0, lt=1)
    brightness: float = option(0.0, "largest change of brightness (not of flow)", "share of white", ge=0, lt=1)
    gain: float = option(0.0, "largest relative change of each colour (rgb only)", "share", ge=0, lt=1)


# Names under which tests are published: what they stand for. Dense clips and full pictures are those of non-local networks.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "one_crop": {"crops": 1, "clips": "one", "full_resolution": False},
    "ten_crop": {"crops": 10, "clips": "one", "full_resolution": False},
    "non_local": {"crops": 3, "clips": "dense", "full_resolution": True},
    "efficient": {"crops": 1, "clips": "one", "full_resolution": False},
    "accurate": {"crops": 3, "clips": "twice", "full_resolution": True},
}


class ClipTestOptions(Options):
    """How clips are tested: the mean over crops and over draws of segments."""

    protocol: Literal["one_crop", "ten_crop", "non_local", "efficient", "accurate"] | None = option(
        None,
        "a published test by its name, which says crops, clips and full_resolution: one_crop, ten_crop (Kinetics); non_local:"
        " 10 dense clips, 3 full crops; efficient: one centre crop, accurate: 2 clips, 3 full crops (Something-Something)",
        "",
    )
    segments: int | None = option(
        None, "segments of a clip where it is tested; empty: as many as in training", "segments", ge=1, le=512
    )
    crops: Literal[1, 3, 5, 10] = option(
        1, "crops of each picture: centre; left, right, centre; four corners and centre; these and mirrored", ""
    )
    clips: Literal["one", "twice", "dense"] = option(
        "one", "draws of segments: one; twice: a second one half a segment earlier; dense: 10 stretches", ""
    )
    full_resolution: bool = option(False, "crop the square of the scaled short side in place of the input's size", "")
    softmax: bool = option(False, "turn scores into probabilities before models are combined", "")
    coefficients: tuple[Coefficient, ...] = option(
        (), "what each model's scores are multiplied by where several are tested together; empty: 1 each", ""
    )
    groups: dict[Name, tuple[str, ...]] = option(
        {},
        "groups of classes of one head whose mean recall is told, all classes being candidates: {slow: [push, pull]}",
        "",
    )
    bits: dict[Name, tuple[tuple[str, ...], ...]] = option(
        {},
        "properties of classes whose recall is told, where only these classes are candidates; a list for each value of"
        " the property: {direction: [[roll, sweep], [drag, scrub]]}",
        "",
    )
    published: Literal["label", "top5"] | None = option(
        None,
        "form of the file of predictions for a benchmark's server: label: id;label (Something-Something V1, Jester);"
        " top5: id and the numbers of five classes (Something-Something V2); empty: a study writes none",
        "",
    )

    @model_validator(mode="before")
    @classmethod
    def _protocol_says_the_rest(cls, values: Any) -> Any:
        """Fill in what a protocol stands for; beside it only the same may be said."""
        name = values.get("protocol") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in PROTOCOLS:
            return values
        for key, value in PROTOCOLS[name].items():
            if values.get(key, value) != value:
                raise ValueError(f"protocol: {name} says {key}: {value}; leave {key} out, or leave out the protocol")
        return values | PROTOCOLS[name]

    @model_validator(mode="after")
    def _groups_tell_something(self) -> Self:
        for name, classes in self.groups.items():
            if not classes or len(set(classes)) < len(classes):
                raise ValueError(f"groups.{name}: give one class or more, each once")
        for name, values in self.bits.items():
            classes = [each for value in values for each in value]
            if len(values) < 2 or not all(values) or len(set(classes)) < len(classes):
                raise ValueError(f"bits.{name}: give two lists of classes or more, none empty, each class once")
        return self


class HeadOptions(Options):
    """What is predicted: a column of the segments' labels."""

    weight: Weight = option(1.0, "weight of its loss", "")
    classes: Literal["sorted", "file"] | tuple[str, ...] = option(
        "sorted",
        "order of the classes: sorted by name; file: that of the dataset's annotation files, without such as they come in"
        " segments.csv; or a list of names",
        "",
    )


class PredictOptions(Options):
    """Which files are read, which part of a video is one clip, and how much is told of it."""

    crops: Literal[1, 3, 5, 10] = option(1, "crops of each picture whose scores are averaged", "")
    clips: Literal["one", "twice", "dense"] = option("one", "draws of segments whose scores are averaged", "")
    full_resolution: bool = option(False, "crop the square of the scaled short side in place of the input's size", "")
    start: float = option(0.0, "where the clip begins in each video", "seconds", ge=0, le=1e7)
    end: float | None = option(None, "where it ends; empty: with the video", "seconds", gt=0, le=1e7)
    top: int = option(5, "likeliest classes of each head that are told", "classes", ge=1, le=1000)
    include: tuple[str, ...] = option(
        ("*",),
        "of a folder: globs on paths below it (* also matches /) of the files that are taken",
        "globs",
        min_length=1,
    )
    exclude: tuple[str, ...] = option(
        (),
        "of a folder: globs of files that are left out (folder/* for whole folders); hidden files always are",
        "globs",
    )
    timeout: float = option(
        300.0, "time that reading one video may take before it is told as unreadable", "seconds", gt=0, le=86400
    )
    memory: int = option(
        2048, "memory that reading one video may take before it is told as unreadable", "MB", ge=128, le=1048576
    )
    max_pixels: int = option(
        35_389_440, "largest picture that is accepted (default: 8192 x 4320)", "pixels", ge=256, le=4_000_000_000
    )

    _order = model_validator(mode="after")(begins_before_it_ends)


class StreamOptions(Options):
    """How labels are told while a video runs."""

    rate: float | None = option(
        None,
        "frames taken per second, by time stamps; empty: as many as of the training videos",
        "frames per second",
        gt=0,
        le=1000,
    )
    every: int = option(
        2, "frames from one answer to the next; gray windows hold neighbours all the same", "frames", ge=1, le=1000
    )
    average: int = option(12, "answers whose scores are averaged; 1: none", "answers", ge=1, le=10000)
    threshold: float = option(0.0, "the last label stays while no class has this probability", "share", ge=0, lt=1)
    settle: bool = option(
        True, "change the label only where the last two agree, so that one does not flicker back and forth", ""
    )
    start: str = option("", "the label before the first answer; empty: none, the first answer counts", "")
    hidden: tuple[str, ...] = option((), "classes that are never told: the last label stays", "")
    alike: dict[str, str] = option({}, "classes told as another one, for example two classes without an action", "")
    threads: int = option(1, "threads that compute, on a CPU", "threads", ge=1, le=256)


class RecognitionOptions(Options):
    """A recognition run: what is read, by which network, how it is trained and tested."""

    heads: dict[Name, HeadOptions] = option(
        {"action": HeadOptions()},
        "what is predicted: columns of segments.csv (action, verb, noun, ...); the one with the largest weight (of equals the"
        " first by name) is the main one, whose recall decides which weights are best",
        "",
        min_length=1,
    )
    input: InputOptions = option(InputOptions(), "what the network sees of each segment", "")
    sampling: SamplingOptions = option(SamplingOptions(), "which moments of a clip become segments", "")
    network: NetworkOptions = option(NetworkOptions(), "the network", "")
    augment: AugmentOptions = option(AugmentOptions(), "how training clips are varied", "")
    training: TrainingOptions = option(TrainingOptions(), "how the network is trained", "")
    policy: Literal["tsn", "even"] = option(
        "tsn",
        "multiples of learning rate and weight decay: tsn: TSN's (biases learn twice as fast, heads five times, biases and"
        " norms do not decay), meant for sgd; even: all weights alike",
        "",
    )
    test: ClipTestOptions = option(ClipTestOptions(), "how clips are tested", "")
    train_on: tuple[str, ...] = option(("train",), "splits that are trained on", "", min_length=1)
    validate_on: tuple[str, ...] = option((), "splits that are scored during training; empty: none", "")
    hold_out: tuple[str, ...] = option(
        (),
        "recordings of the training splits that are not trained on but scored during training: to choose settings by",
        "",
    )
    test_on: tuple[str, ...] = option(("test",), "splits that are tested on", "", min_length=1)

    @model_validator(mode="after")
    def _window_is_for_gray(self) -> Self:
        if self.network.fuse and self.input.kind != "gray":
            raise ValueError("network.fuse: it is for input.kind: gray")
        if self.network.temporal_pool and self.sampling.segments % 2:
            raise ValueError(f"sampling.segments: {self.sampling.segments} cannot be halved by network.temporal_pool")
        check_test("test", self.test, self.network, self.sampling.segments)
        return self


def check_test(key: str, test: ClipTestOptions, network: NetworkOptions, trained: int) -> None:
    """Raise ValueError, one sentence that begins with ``key``, if a network cannot read a test's segments.

    trained: segments of a clip in training.
    """
    segments = test.segments or trained
    if network.temporal_pool and segments % 2:
        raise ValueError(f"{key}.segments: {segments} cannot be halved by network.temporal_pool")
    if network.fuse and segments != trained:
        text = f"network.fuse reads clips of the {trained} segments that it is trained with, not of {segments}"
        raise ValueError(f"{key}.segments: {text}")


class ClipFusionOptions(Options):
    """How the scores of several tests are added."""

    coefficients: tuple[Coefficient, ...] = option(
        (),
        "what the scores of each test are multiplied by; empty: 1 each; the sum is divided by the number of tests",
        "",
    )
    published: Literal["label", "top5"] | None = option(
        None, "form of the file of predictions for a benchmark's server, as in the options of a test", ""
    )


class SectionOptions(Options):
    """What the report's section says of the runs beside their results."""

    tests: dict[Name, ClipTestOptions] = option({}, "how each run was tested, by name", "")
    together: dict[Name, str] = option({}, "of what each sum of runs is made, by name", "")
