"""Options of feature extraction and PCA."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Form, Name, Options, UserPath, option

Mean = Annotated[float, Field(ge=-1000, le=1000)]
Deviation = Annotated[float, Field(gt=0, le=1000)]


class RunWeights(Options):
    """The checkpoint of another run: an edge of the workflow's graph."""

    study: Name | None = option(None, "study of the run; empty: this one", "")
    room: Literal["recognition", "alignment", "anticipation"] = option("recognition", "room of the run", "")
    run: Name = option(..., "name of the run", "")
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | Literal["each"] = option(
        0,
        "seed of the run, or each: features for every seed of the run, of which another room's seed k reads those of seed k",
        "",
    )


class FeaturesOptions(Options):
    """What is computed for each video, by which network, from which pictures."""

    source: Literal["frames", "video", "files"] = option(
        "frames",
        "frames: from a frame shard; video: decoded straight into the network; files: from a dataset of feature files",
        "",
        alias="from",
    )
    backbone: str = option(
        "small",
        "small (the small network of the embedded study), resnet3d50 (the 3D ResNet-50 of Hara et al.), bn_inception, the name of any"
        " torchvision image or video classification model, or trained: the network of the recognition run that weights names,"
        " along whole videos, with its own windows of frames, or of the alignment run ({room: alignment, run: NAME}): its"
        " vector of every frame, stride frames apart",
        "",
    )
    weights: Literal["none"] | RunWeights | Annotated[UserPath, Form("torchvision:NAME or a path")] = option(
        "none",
        "none (drawn from the seed), torchvision:NAME (torchvision:DEFAULT is the best), a file (.pt, .pth or"
        " .safetensors), or {run, seed} of another run",
        "",
    )
    seed: int = option(0, "seed of weights that are drawn", "", ge=0, le=2**32 - 1)
    layer: str = option(
        "", "layer whose output is taken, as a name of the network's modules; empty: what the classifier reads", ""
    )
    clip: int | None = option(
        None,
        "frames that the network sees at once; empty: 1 for image networks, 16 for video networks",
        "frames",
        ge=1,
        le=512,
    )
    dilation: int = option(1, "distance of neighbouring frames inside a clip", "frames", ge=1, le=512)
    stride: int = option(1, "distance of neighbouring clips: one feature row each", "frames", ge=1, le=100000)
    resize: int | None = option(
        None,
        "short side before the crop (scaled up too); empty: as the weights were published, or as stored",
        "pixels",
        ge=16,
        le=2160,
    )
    crop: int | None = option(
        None,
        "centre crop, both sides; what is smaller stays whole; empty: as the weights were published, or none",
        "pixels",
        ge=16,
        le=2160,
    )
    mean: tuple[Mean, Mean, Mean] | None = option(
        None, "mean of red, green, blue that is subtracted; empty: as published, or 0.45", "share of white"
    )
    std: tuple[Deviation, Deviation, Deviation] | None = option(
        None, "divisor of red, green, blue; empty: as published, or 0.226", "share of white"
    )
    batch: int = option(
        32,
        "clips computed at once on a GPU; on a CPU always 16 pictures or 4 clips, so that features depend on the video alone",
        "clips",
        ge=1,
        le=4096,
    )
    precision: Literal["float32", "bfloat16"] = option("float32", "arithmetic of the network", "")
    dtype: Literal["float16", "float32"] = option("float16", "type in which features are stored", "")
    threads: int = option(
        1, "groups of clips computed side by side on the CPU; features do not depend on it", "threads", ge=1, le=256
    )

    @model_validator(mode="after")
    def _videos_have_a_size(self) -> Self:
        if self.source == "video" and self.backbone == "small" and self.resize is None:
            raise ValueError(
                "resize: frames decoded from videos need a size for the backbone 'small': give it in pixels"
            )
        return self

    @model_validator(mode="after")
    def _trained_says_the_rest(self) -> Self:
        if self.backbone != "trained":
            return self
        for name in ("layer", "clip", "dilation", "resize", "crop", "mean", "std", "precision"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: a trained network reads frames as it was trained; leave {name} out")
        return self


class PcaOptions(Options):
    """How features are reduced."""

    components: int = option(64, "components kept (of each block, where by_block is set)", "components", ge=1, le=4096)
    fit_on: Literal["train", "all"] = option(
        "train", "videos that decide the components: the training split, or all", ""
    )
    whiten: bool = option(False, "scale every component to unit variance on what was fitted", "")
    standardise: bool = option(False, "divide every column by its standard deviation before the fit", "")
    by_block: bool = option(False, "reduce every named block of columns by itself, in alphabetical order of names", "")
    by_task: bool = option(False, "fit every task by itself", "")
