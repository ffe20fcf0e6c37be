"""What a study says of its shards: the named frames, flow, features and PCAs, and what each reads."""

from typing import Self

from pydantic import field_validator, model_validator

from kinoflow import study_checks as checks
from kinoflow.features.options import FeaturesOptions, PcaOptions, RunWeights
from kinoflow.media.options import FlowOptions, FramesOptions
from kinoflow.options import Name, option
from kinoflow.room_runs import DatasetName


class FramesRun(FramesOptions):
    """One named set of frame shards of the study: which frames, and of which dataset."""

    dataset: DatasetName = option(..., "the dataset, a key of datasets", "")


class FlowRun(FlowOptions):
    """One named set of flow shards of the study: how flow is computed, and between which frames; or published flow."""

    frames: Name | None = option(None, "the frame shards to read, a key of frames", "")
    dataset: DatasetName | None = option(
        None,
        "in place of frames: a key of datasets, whose pictures are published optical flow; method and bound are theirs",
        "",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.frames is None and self.dataset is None:
            raise ValueError("frames: this key must be given (or dataset, for published flow)")
        if self.frames is not None and self.dataset is not None:
            raise ValueError("dataset: with frames, leave dataset out")
        for key in ("method", "bound") if self.dataset else ():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: published flow is not computed, so leave {key} out")
        return self


class FeaturesRun(FeaturesOptions):
    """One named extractor of the study: what it computes, and what it reads."""

    frames: Name | None = option(None, "the frame shards to read, a key of frames (from: frames)", "")
    dataset: DatasetName | None = option(
        None, "the dataset to read, a key of datasets (from: video and from: files)", ""
    )

    @field_validator("backbone")
    @classmethod
    def _known_network(cls, name: str) -> str:
        return checks.network(name)

    @model_validator(mode="after")
    def _trained_by_a_run(self) -> Self:
        published = isinstance(self.weights, str) and (
            self.weights == "none" or self.weights.startswith("torchvision:")
        )
        if self.backbone == "trained" and (published or self.trained_by == "anticipation"):
            raise ValueError(
                "weights: `backbone: trained` needs those of a recognition run: {run: NAME}, or its checkpoint; or those of an"
                " alignment run: {room: alignment, run: NAME}"
            )
        return self

    @property
    def trained_by(self) -> str:
        """The room whose runs' network sees whole videos here; "" for other extractors."""
        if self.backbone != "trained":
            return ""
        return self.weights.room if isinstance(self.weights, RunWeights) else "recognition"


class PcaRun(PcaOptions):
    """One named PCA of the study, and the features it reduces."""

    features: Name = option(..., "the features, a key of features", "")
