"""The base of all option models, and how a refused value is explained.

An option model (a module named ``options.py`` in each package) is the only list of a stage's options: default,
check, schema, command line and documentation all come from it. It holds fields and checks, nothing that computes:
what it decides reaches a stage as resolved values, so its text is no part of the stage's code fingerprint.
"""

import difflib
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kinoflow.errors import ConfigError


class Options(BaseModel):
    """Options of one stage; unknown names are refused, values do not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def option(default: Any, text: str, unit: str, **limits: Any) -> Any:
    """Declare a field: its default (``...`` if it must be given), what it does, its unit ("" if it has none), limits."""
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


def _path_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


# A path on the user's side. In a config file it counts from the folder of that file (kinoflow.config resolves it).
UserPath = Annotated[str, BeforeValidator(_path_text), "path"]
# A name that may stand in a path: no separators, no shell characters.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


def resolved(options: BaseModel, exclude: tuple[str, ...] = ()) -> str:
    """Return every value in force, defaults included, as one JSON text with sorted keys."""
    values = options.model_dump(mode="json", by_alias=True, exclude=set(exclude))
    return json.dumps(values, sort_keys=True)


def short_hash(*texts: str) -> str:
    """Return 10 hexadecimal digits that stand for ``texts`` in a path."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:10]


def check(model: type[BaseModel], values: Any, source: str) -> Any:
    """Validate ``values``; raise ConfigError that names ``source``, each key's path and what is allowed there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(model, error, source)) from None


def explain(model: type[BaseModel], error: ValidationError, source: str) -> str:
    """Return one line for each refused key, without the repeats that a choice between models brings."""
    lines = [f"{source}: {_problem(model, item)}" for item in error.errors(include_url=False)]
    return "\n".join(dict.fromkeys(lines))


def _problem(model: type[BaseModel], item: Any) -> str:
    names = [str(part) for part in item["loc"] if not _is_tag(part)]
    where, given = ".".join(names) or "(top level)", _shown(item["input"])
    if item["type"] == "extra_forbidden":
        known = _known(model, item["loc"][:-1])
        close = difflib.get_close_matches(names[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
        return f"{where}: there is no such key; {hint}"
    if item["type"] == "missing":
        return f"{where}: this key is missing"
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}"
    return f"{where}: {given} is not allowed: {item['msg'][0].lower()}{item['msg'][1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_tag(part: Any) -> bool:
    """Choices between models put the tried model or type into the path: no key of the user's."""
    return isinstance(part, str) and (
        part.endswith("Options") or "[" in part or part in ("str", "int", "float", "bool")
    )


def _known(model: Any, location: tuple) -> list[str]:
    """Return the names that are allowed at a place of a model."""
    models = [model]
    for part in location:
        models = [inner for outer in models for inner in _inside(outer, part)]
    names = [field.alias or name for m in models for name, field in m.model_fields.items()]
    return list(dict.fromkeys(names))


def _inside(model: type[BaseModel], part: Any) -> list[type[BaseModel]]:
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return _models(field.annotation)
    return [model]  # an index, a dictionary's key or a choice's tag: the models are those found already


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (Annotated, dict, list, tuple, typing.Union, types.UnionType):
        return [inner for argument in typing.get_args(annotation) for inner in _models(argument)]
    return []
