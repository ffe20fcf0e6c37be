"""The whole configuration of a study, as one model made of the stages' option models.

Paths in a config file count from the folder of that file. ``load`` reads files, resolves paths, merges, checks.
"""

import typing
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, Field, StringConstraints, model_validator

from kinoflow.datasets.options import DatasetOptions
from kinoflow.errors import ConfigError
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.media.options import FlowOptions, FramesOptions
from kinoflow.options import Form, Name, Options, check, option
from kinoflow.report.options import ClaimOptions, PublishedFigure, ReportOptions
from kinoflow.tasks.recognition.options import ClipTestOptions, RecognitionOptions

DatasetName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$"),
    Form("a name of at most 64 small letters, digits and _, the first no _"),
]


class FramesRun(FramesOptions):
    """One named set of frame shards of the study: which frames, and of which dataset."""

    dataset: DatasetName = option(..., "the dataset, a key of datasets", "")


class FlowRun(FlowOptions):
    """One named set of flow shards of the study: how flow is computed, and between which frames."""

    frames: Name = option(..., "the frame shards to read, a key of frames", "")


class FeaturesRun(FeaturesOptions):
    """One named extractor of the study: what it computes, and what it reads."""

    frames: Name | None = option(None, "the frame shards to read, a key of frames (from: frames)", "")
    dataset: DatasetName | None = option(
        None, "the dataset to read, a key of datasets (from: video and from: files)", ""
    )


class PcaRun(PcaOptions):
    """One named PCA of the study, and the features it reduces."""

    features: Name = option(..., "the features, a key of features", "")


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class RecognitionRun(RecognitionOptions):
    """One named recognition run: what it reads, its seeds, and how it is trained and tested."""

    frames: Name = option(..., "the shards to read: a key of frames, or with input.kind: flow a key of flow", "")
    seeds: tuple[Seed, ...] = option((0,), "seeds; each is trained and tested by itself", "", min_length=1)
    tests: dict[Name, ClipTestOptions] = option({}, "further tests of the same weights, by name", "")

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: the same seed twice would be the same run twice")
        return self


class Study(Options):
    """A study: datasets, what is computed from them, and the report."""

    study: Name = option(..., "name of the study: its results go to results/<study>", "")
    datasets: dict[DatasetName, DatasetOptions] = option(..., "the datasets, by name", "", min_length=1)
    frames: dict[Name, FramesRun] = option({}, "the frame shards, by name", "")
    flow: dict[Name, FlowRun] = option({}, "the flow shards, by name", "")
    features: dict[Name, FeaturesRun] = option({}, "the extractors, by name", "")
    pca: dict[Name, PcaRun] = option({}, "the PCAs, by name", "")
    recognition: dict[Name, RecognitionRun] = option({}, "the recognition runs, by name", "")
    claims: dict[Name, ClaimOptions] = option({}, "what the study's runs are to show, by name", "")
    published: tuple[PublishedFigure, ...] = option(
        (), "figures that others have published, for comparison with what the runs reach", ""
    )
    report: ReportOptions = option(ReportOptions(), "the report", "")

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, frames in self.frames.items():
            _refer(f"frames.{name}.dataset", frames.dataset, self.datasets)
            _hold(f"frames.{name}", frames.dataset, self.datasets, "videos", "pictures")
        for name, flow in self.flow.items():
            _refer(f"flow.{name}.frames", flow.frames, self.frames)
        for name, run in self.features.items():
            asked, other = ("frames", "dataset") if run.source == "frames" else ("dataset", "frames")
            if getattr(run, other) is not None:
                raise ValueError(f"features.{name}.{other}: with `from: {run.source}` give {asked}, not {other}")
            _refer(
                f"features.{name}.{asked}",
                getattr(run, asked),
                getattr(self, asked if asked == "frames" else "datasets"),
            )
            if run.dataset:
                _hold(f"features.{name}", run.dataset, self.datasets, "features" if run.source == "files" else "videos")
        for name, pca in self.pca.items():
            _refer(f"pca.{name}.features", pca.features, self.features)
        return self

    @model_validator(mode="after")
    def _rooms(self) -> Self:
        for name, run in self.recognition.items():
            is_flow = run.input.kind == "flow"
            _refer(f"recognition.{name}.frames", run.frames, self.flow if is_flow else self.frames)
            frames = self.flow[run.frames].frames if is_flow else run.frames
            dataset = self.datasets[self.frames[frames].dataset]
            _label(f"recognition.{name}", dataset)
            for place, test in {"test": run.test, **{f"tests.{key}": each for key, each in run.tests.items()}}.items():
                if test.crops == 10 and not dataset.mirror:
                    raise ValueError(
                        f"recognition.{name}.{place}: 10 crops mirror the pictures, which the dataset forbids (mirror: false)"
                    )
        for name, claim in self.claims.items():
            runs = getattr(self, claim.room)
            _refer(f"claims.{name}.treatment", claim.treatment, runs)
            _tested(f"claims.{name}.test", claim.test, runs[claim.treatment])
            baseline = (claim.baseline,) if isinstance(claim.baseline, str) else claim.baseline
            for run in baseline if isinstance(baseline, tuple) else ():
                _refer(f"claims.{name}.baseline", run, runs)
                _tested(f"claims.{name}.test", claim.test, runs[run])
        for number, figure in enumerate(self.published):
            runs = getattr(self, figure.room)
            _refer(f"published[{number}].run", figure.run, runs)
            _tested(f"published[{number}].test", figure.test, runs[figure.run])
        return self


def _tested(key: str, test: str | None, run: Any) -> None:
    """Refuse the name of a test that a run does not have."""
    if test is not None:
        _refer(key, test, run.tests)


def _label(key: str, dataset: DatasetOptions) -> None:
    """Refuse a dataset that can have no labels: neither annotations nor classes by folder."""
    index = dataset.index
    if dataset.source.kind != "kitchen" and not (index.labels or index.class_per_folder or dataset.annotated):
        raise ValueError(
            f"{key}: the dataset has no labels: give annotations.path, index.labels or index.class_per_folder"
        )


def _hold(key: str, name: str, datasets: dict[str, DatasetOptions], *contents: str) -> None:
    if datasets[name].content not in contents:
        raise ValueError(f"{key}: the dataset {name!r} holds {datasets[name].content}, not {' or '.join(contents)}")


def _refer(key: str, value: Any, known: dict[str, Any]) -> None:
    if value is None:
        raise ValueError(f"{key}: this key must be given; known are: {', '.join(sorted(known)) or 'none'}")
    if value not in known:
        raise ValueError(f"{key}: there is no {value!r}; known are: {', '.join(sorted(known)) or 'none'}")


# ---------------------------------------------------------------- reading files


def load(files: list[Path], given: dict[str, Any], descriptors: Path) -> Study:
    """Read config files, later ones over earlier ones, then the values ``given`` on the command line; check them all.

    Relative paths count from the folder of the file that holds them (those of the command line from the working folder).
    ``descriptors``: the folder of the datasets' descriptors.
    """
    values: dict[str, Any] = {}
    for file in files:
        values = merge(values, _with_paths(Study, (), _read(file), file.parent))
    values = merge(values, _with_paths(Study, (), given, Path.cwd()))
    values = _with_descriptors(values, descriptors)
    return check(Study, values, ", ".join(file.name for file in files) or "--config")


def merge(below: Any, above: Any) -> Any:
    """Lay the mapping ``above`` over ``below``, key by key; what is no mapping is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merge(below.get(key), value) for key, value in above.items()}


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice: one of the two would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":  # << takes over what another mapping says
                continue
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise ConfigError(
                    f"{key.start_mark.name}, line {key.start_mark.line + 1}: the key {name!r} is given twice"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> dict[str, Any]:
    try:
        with open(file, encoding="utf-8") as stream:
            values = yaml.load(stream, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: this config file cannot be read: {error}") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise ConfigError(f"{file}{line}: this is no valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: a config file is a mapping (key: value); this one is empty or holds something else")
    return values


def _with_descriptors(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Fill datasets up from the descriptors that they name."""
    datasets = values.get("datasets")
    if not isinstance(datasets, dict):
        return values
    filled = {}
    for name, dataset in datasets.items():
        if isinstance(dataset, dict) and "descriptor" in dataset:
            own = {key: value for key, value in dataset.items() if key != "descriptor"}
            filled[name] = merge(_without_source(_descriptor(name, str(dataset["descriptor"]), folder), own), own)
        else:
            filled[name] = dataset
    return values | {"datasets": filled}


def _without_source(described: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Leave the described source out where the study gives one of another kind: a folder in place of a download."""
    kinds = [source.get("kind") for v in (described, own) if isinstance(source := v.get("source", {}), dict)]
    replaced = len(kinds) == 2 and kinds[1] not in (None, kinds[0])
    return {key: value for key, value in described.items() if not (replaced and key == "source")}


def _descriptor(dataset: str, name: str, folder: Path) -> dict[str, Any]:
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise ConfigError(f"datasets.{dataset}.descriptor: there is no {name!r}; known are: {known}")
    return _with_paths(DatasetOptions, (), _read(file), file.parent)


def _with_paths(annotation: Any, metadata: Any, value: Any, folder: Path) -> Any:
    """Make the relative paths inside ``value`` count from ``folder``; which values are paths, the models tell."""
    if isinstance(value, str) and "path" in metadata:
        return value if _is_word(value) else str(folder.joinpath(Path(value).expanduser()).resolve())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return {
            key: _with_paths(fields[key].annotation, fields[key].metadata, item, folder) if key in fields else item
            for key, item in value.items()
        }
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated:
        return _with_paths(arguments[0], arguments[1:], value, folder)
    if typing.get_origin(annotation) is dict and isinstance(value, dict):
        return {key: _with_paths(arguments[1], (), item, folder) for key, item in value.items()}
    if typing.get_origin(annotation) in (list, tuple) and isinstance(value, list):
        return [_with_paths(arguments[0], (), item, folder) for item in value]
    for argument in (
        arguments if not isinstance(value, dict | list) or typing.get_origin(annotation) is not dict else ()
    ):
        value = _with_paths(argument, (), value, folder)
    return value


def _is_word(value: str) -> bool:
    """Some values may be a path or a word with a meaning of its own."""
    return value == "none" or value.startswith("torchvision:")
