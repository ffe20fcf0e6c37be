"""The base of all option models, and how a refused value is explained.

An option model (a module named ``options.py`` in each package) is the only list of a stage's options: default,
check, schema, command line and documentation all come from it. It holds fields and checks, nothing that computes:
what it decides reaches a stage as resolved values, so its text is no part of the stage's code fingerprint.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from kinoflow.errors import ConfigError
from kinoflow.refusal import explain
from kinoflow.wording import Form, Kind, field_of

__all__ = ["Form", "Name", "Options", "UserPath", "check", "option", "resolved", "short_hash"]


class Options(BaseModel):
    """Options of one stage; unknown names are refused, values do not change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Turn ``seed: yes`` into a text, which no number accepts: Python would take it for 1."""
        if not isinstance(values, dict):
            return values
        numbers = [key for key, value in values.items() if isinstance(value, bool) and _is_number(field_of(cls, key))]
        return values | {key: str(values[key]) for key in numbers}


def _is_number(field: FieldInfo | None) -> bool:
    return field is not None and Kind.of_field(field).annotation in (int, float)


def option(default: Any, text: str, unit: str, **limits: Any) -> Any:
    """Declare a field: its default (``...`` if it must be given), what it does, its unit ("" if it has none), limits."""
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


def _path_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


# A path on the user's side. In a config file it counts from the folder of that file (kinoflow.config resolves it).
UserPath = Annotated[str, BeforeValidator(_path_text), "path"]
# A name that may stand in a path: no separators, no shell characters.
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
    Form("a name of at most 64 letters, digits, _ and -, the first a letter or digit"),
]
# A path that stays inside the folder that it counts from, and names nothing hidden.
PathBelow = Annotated[
    str,
    Field(pattern=r"^[^/\\.\x00-\x1f][^/\\\x00-\x1f]*(/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*)*$"),
    Form("a relative path: parts separated by /, none of them beginning with a dot"),
]


def is_word(value: str) -> bool:
    """Tell whether a value that may be a path is a word with a meaning of its own."""
    return value == "none" or value.startswith(("torchvision:", "cache:"))


def resolved(options: BaseModel, exclude: tuple[str, ...] = ()) -> str:
    """Return every value in force, defaults included, as one JSON text with sorted keys."""
    values = options.model_dump(mode="json", by_alias=True, exclude=set(exclude))
    return json.dumps(values, sort_keys=True)


def short_hash(*texts: str) -> str:
    """Return 10 hexadecimal digits that stand for ``texts`` in a path."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:10]


def check(model: type[BaseModel], values: Any, source: str) -> Any:
    """Validate ``values``; raise ConfigError that names ``source``, each key's path and what is allowed there."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(model, error, source, values)) from None
