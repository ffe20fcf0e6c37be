"""The whole configuration of a study, as one model made of the stages' option models.

Paths in a config file count from the folder of that file. ``load`` reads files, resolves paths, merges, checks.
"""

from typing import Annotated, Any, Self

from pydantic import StringConstraints, model_validator

from kinoflow.datasets.options import DatasetOptions
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.media.options import FramesOptions
from kinoflow.options import Name, Options, option
from kinoflow.report.options import ReportOptions

DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]


class FeaturesRun(FeaturesOptions):
    """One named extractor of the study: what it computes, and on which dataset."""

    dataset: DatasetName = option(..., "the dataset, a key of datasets", "")
    frames: Name | None = option(None, "the frame shards to read, a key of frames (from: frames)", "")


class PcaRun(PcaOptions):
    """One named PCA of the study, and the features it reduces."""

    features: Name = option(..., "the features, a key of features", "")


class Study(Options):
    """A study: datasets, what is computed from them, and the report."""

    study: Name = option(..., "name of the study: its results go to results/<study>", "")
    datasets: dict[DatasetName, DatasetOptions] = option(..., "the datasets, by name", "", min_length=1)
    frames: dict[Name, FramesOptions] = option({}, "the frame shards, by name", "")
    features: dict[Name, FeaturesRun] = option({}, "the extractors, by name", "")
    pca: dict[Name, PcaRun] = option({}, "the PCAs, by name", "")
    report: ReportOptions = option(ReportOptions(), "the report", "")

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, run in self.features.items():
            _refer(f"features.{name}.dataset", run.dataset, self.datasets)
            content = self.datasets[run.dataset].content
            if (run.source == "files") != (content == "features"):
                raise ValueError(
                    f"features.{name}.from: {run.source!r} does not fit the dataset {run.dataset!r}, which holds {content}"
                )
            if run.source == "frames":
                _refer(f"features.{name}.frames", run.frames, self.frames)
        for name, pca in self.pca.items():
            _refer(f"pca.{name}.features", pca.features, self.features)
        return self


def _refer(key: str, value: Any, known: dict[str, Any]) -> None:
    if value not in known:
        raise ValueError(f"{key}: there is no {value!r}; known are: {', '.join(sorted(known)) or 'none'}")
