"""What an option allows, in words: the one source of error messages, ``--help`` and the page of options.

It reads the models' annotations, limits and units; no name of a Python type comes out of it.
"""

import itertools
import json
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")
SCALARS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
FEW = 6  # keys that are listed one by one


@dataclass(frozen=True)
class Form:
    """What a text must look like, in words, where a pattern checks it: Annotated[str, Form("a checksum ...")]."""

    words: str


@dataclass(frozen=True)
class Kind:
    """An annotation without Annotated and None around it, and all that is said about it."""

    annotation: Any
    limits: dict[str, Any]
    marks: tuple[Any, ...]
    may_be_empty: bool

    @classmethod
    def of(cls, annotation: Any, marks: Iterable[Any] = ()) -> "Kind":
        """Look into an annotation; ``marks``: the metadata that stand beside it (a field's)."""
        found, empty = list(marks), False
        while True:
            arguments = typing.get_args(annotation)
            if typing.get_origin(annotation) is Annotated:
                annotation = arguments[0]
                found += [mark for extra in arguments[1:] for mark in _flat(extra)]
            elif is_union(annotation) and types.NoneType in arguments:
                empty = True
                rest = tuple(argument for argument in arguments if argument is not types.NoneType)
                annotation = typing.Union[rest]  # noqa: UP007 - of a tuple
            else:
                limits = {
                    name: getattr(m, name) for m in found for name in LIMITS if getattr(m, name, None) is not None
                }
                return cls(annotation, limits, tuple(found), empty)

    @classmethod
    def of_field(cls, field: FieldInfo) -> "Kind":
        """Look into a field of a model."""
        marks = [*field.metadata, field] if field.discriminator else field.metadata
        return cls.of(field.annotation, marks)

    @property
    def is_model(self) -> bool:
        """Whether it is an option model."""
        return isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel)

    @property
    def choices(self) -> list["Kind"]:
        """The members of a choice between kinds, else nothing."""
        return [Kind.of(member) for member in typing.get_args(self.annotation)] if is_union(self.annotation) else []

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping with names of the user's choice."""
        return typing.get_origin(self.annotation) is dict

    @property
    def items(self) -> list["Kind"]:
        """What the values of a mapping or the items of a list may be, else nothing."""
        arguments = typing.get_args(self.annotation)
        if self.is_mapping:
            return [Kind.of(arguments[1])]
        is_list = typing.get_origin(self.annotation) in (tuple, list)
        return [Kind.of(argument) for argument in arguments if argument is not Ellipsis] if is_list else []

    @property
    def discriminator(self) -> str | None:
        """The key that tells the members of a choice between models apart."""
        found = (mark.discriminator for mark in self.marks if isinstance(mark, FieldInfo) and mark.discriminator)
        return next((key for key in found if isinstance(key, str)), None)

    def words(self, quote: str = "") -> str:
        """Say what is allowed: ``a whole number from 16 to 2160, a multiple of 2``; ``quote`` goes around given words."""
        if self.discriminator:
            names = listed([value for choice in self.choices for value in tags(choice, self.discriminator)], quote)
            return f"a mapping with a key {quote}{self.discriminator}{quote} ({names})"
        if self.choices:
            return listed(choice.words(quote) for choice in self.choices)
        if typing.get_origin(self.annotation) is typing.Literal:
            return listed(typing.get_args(self.annotation), quote)
        if self.is_model:
            names = keys(self.annotation)
            return f"a mapping ({', '.join(names) if len(names) <= FEW else 'key: value'})"
        if self.is_mapping:
            return f"a mapping{self._length()}, each value {self.items[0].words(quote)}"
        if self.items:
            return f"a list{self._length()}, each item {self.items[0].words(quote)}"
        return self._scalar()

    def measured(self, unit: str, quote: str = "") -> str:
        """Say what is allowed, and the unit if it adds something."""
        words = self.words(quote)
        told = "path" in self.marks or any(isinstance(mark, Form) for mark in self.marks) or words.endswith(unit)
        return words if told else f"{words} ({unit})"

    def _length(self) -> str:
        if typing.get_origin(self.annotation) is tuple and Ellipsis not in typing.get_args(self.annotation):
            return f" of {len(self.items)}"
        least = self.limits.get("min_length", 0)
        return f" with at least {least} entr{'y' if least == 1 else 'ies'}" if least else ""

    def _scalar(self) -> str:
        form = next((mark.words for mark in self.marks if isinstance(mark, Form)), None)
        if form:
            return form
        if "path" in self.marks:
            return "a path"
        if "pattern" in self.limits:
            return f"a text of the form {self.limits['pattern']}"
        parts = [SCALARS.get(self.annotation, "a text") + self._range()]
        if "multiple_of" in self.limits:
            parts.append(f"a multiple of {number(self.limits['multiple_of'])}")
        return ", ".join(parts)

    def _range(self) -> str:
        if "ge" in self.limits and "le" in self.limits:
            return f" from {number(self.limits['ge'])} to {number(self.limits['le'])}"
        said = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        found = [f"{text} {number(self.limits[name])}" for name, text in said.items() if name in self.limits]
        return f" {', '.join(found)}" if found else ""


def _flat(mark: Any) -> list[Any]:
    return [*mark.metadata, mark] if isinstance(mark, FieldInfo) else [mark]


def is_union(annotation: Any) -> bool:
    """Tell whether an annotation is a choice between kinds."""
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as they are written in a config file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def field_of(model: type[BaseModel], key: Any) -> FieldInfo | None:
    """Return the field that a key stands for, None if there is none."""
    return next((f for name, f in model.model_fields.items() if key is not None and key in (f.alias, name)), None)


def tags(kind: Kind, key: str) -> tuple[Any, ...]:
    """Return the values of the key by which a model is chosen among others."""
    field = field_of(kind.annotation, key)
    return typing.get_args(field.annotation) if field else ()


def unit(field: FieldInfo) -> str:
    """Return the unit of a field, "" if it has none."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def allowed(field: FieldInfo, quote: str = "") -> str:
    """Say what a field allows, and its unit: ``a number above 0, at most 1000 (frames per second)``."""
    kind, measure = Kind.of_field(field), unit(field)
    return kind.measured(measure, quote)


def default(field: FieldInfo, quote: str = "") -> str:
    """Say the default of a field: a value as it is written in a config file, ``empty``, or ``must be given``."""
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    if value in (None, "", (), {}):
        return "empty"
    return f"{quote}{json.dumps(to_jsonable_python(value, by_alias=True), ensure_ascii=False)}{quote}"


def listed(names: Iterable[Any], quote: str = "", last: str = "or") -> str:
    """Say several words: ``keep, crop or squash``."""
    words = [f"{quote}{name}{quote}" for name in names]
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def number(value: float) -> str:
    """Say a number without an exponent or an empty fraction."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: Any) -> str:
    """Show a refused value about as it stands in a config file, in one line of at most 60 characters."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool | int | float | dict | list | tuple):
        try:
            pieces = json.JSONEncoder(default=str, ensure_ascii=False).iterencode(
                value
            )  # a long one is not written out
            text = "".join(itertools.islice(pieces, 61))
        except (TypeError, ValueError, RecursionError):  # keys that are no texts, a list inside itself
            text = "this value"
    else:
        text = repr(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def named(key: Any) -> str:
    """Write a key in one line, as it is where that can be read."""
    if key is None:
        return "(empty)"
    text = key if isinstance(key, str) else shown(key).strip("'")
    return text if text.isprintable() else repr(text)
