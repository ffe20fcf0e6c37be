"""Reading the configuration of a study from files. Paths in a config file count from the folder of that file."""

import errno
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel

from kinoflow.datasets.options import DatasetOptions
from kinoflow.errors import ConfigError
from kinoflow.options import check, is_word
from kinoflow.plain_yaml import PlainLoader
from kinoflow.study import Study
from kinoflow.study_parts import chosen, refuse_circles
from kinoflow.wording import shown


def load(files: list[Path], given: dict[str, Any], descriptors: Path) -> Study:
    """Read config files, later ones over earlier ones, then the values ``given`` on the command line; check them all.

    Relative paths count from the folder of the file that holds them (those of the command line from the working folder).
    ``descriptors``: the folder of the datasets' descriptors. Where ``rooms`` names some, the study is cut down to them.
    """
    values: dict[str, Any] = {}
    for file in files:
        values = merge(values, _placed(Study, _read(file), file))
    values = merge(values, _placed(Study, given, Path.cwd() / "--config"))
    values = _with_descriptors(values, descriptors)
    study = check(Study, values, ", ".join(file.name for file in files) or "--config")
    refuse_circles(study)
    return chosen(study)


def merge(below: Any, above: Any) -> Any:
    """Lay the mapping ``above`` over ``below``, key by key; what is no mapping is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merge(below.get(key), value) for key, value in above.items()}


LARGEST = 1 << 24  # bytes of a config file: reading YAML takes a second for a few hundred kB


class _Loader(PlainLoader):
    """YAML that refuses a key given twice: one of the two would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":  # << takes over what another mapping says
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise ConfigError(
                    f"{key.start_mark.name}, line {key.start_mark.line + 1}: a list or a mapping is no key"
                )
            if name in seen:
                raise ConfigError(
                    f"{key.start_mark.name}, line {key.start_mark.line + 1}: the key {name!r} is given twice"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"{file}: a config file has at most {LARGEST >> 20} MiB; check which file it is")
        with open(file, encoding="utf-8") as stream:
            values = yaml.load(stream, _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: this config file cannot be read: {error}") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(f"{file}{line}: this is no valid YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{file}: this is no config file: it is nested too deeply") from None
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
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"datasets.{dataset}.descriptor: there is no {shown(name)}; known are: {', '.join(known)}")
    file = folder / f"{name}.yaml"
    return _placed(DatasetOptions, _read(file), file)


def _placed(model: type[BaseModel], values: dict[str, Any], file: Path) -> dict[str, Any]:
    """Make the relative paths inside a file's values count from its folder."""
    try:
        return _with_paths(model, (), values, file.parent)
    except ConfigError as error:
        raise ConfigError(f"{file.name}: {error}") from None


def _path(value: str, folder: Path) -> str:
    try:
        found = folder.joinpath(Path(value).expanduser()).resolve()
        found.is_symlink()  # the system looks at it
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, a NUL, a user that there is not
        if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
            return str(found)
        raise ConfigError(f"{shown(value)} is no path: {getattr(error, 'strerror', None) or error}") from None
    return str(found)


def _with_paths(annotation: Any, metadata: Any, value: Any, folder: Path) -> Any:
    """Make the relative paths inside ``value`` count from ``folder``; which values are paths, the models tell."""
    if isinstance(value, str) and "path" in metadata:
        return value if is_word(value) else _path(value, folder)
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
