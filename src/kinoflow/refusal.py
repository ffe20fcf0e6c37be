"""Why values were refused, for people: one line for each key, with its path as the user wrote it and what is allowed."""

import difflib
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from kinoflow import wording
from kinoflow.wording import Kind

SAID = ("value_error", "assertion_error")  # a check of our own has found the words


def explain(model: type[BaseModel], error: ValidationError, source: str, values: Any = None) -> str:
    """Return one line for each refused key of ``values``, each beginning with ``source`` (a file's name)."""
    return "\n".join(dict.fromkeys(f"{source}: {line}" for line in _lines(Kind.of(model), error, values, "")))


def _lines(kind: Kind, error: ValidationError, values: Any, path: str) -> Iterator[str]:
    for item in error.errors(include_url=False):
        place = _find(_Place(kind, None, values, path), list(item["loc"]))
        yield from _said(place, item)


@dataclass(frozen=True)
class _Place:
    """A place among the values: what is allowed there, the field it belongs to, what stands there, its path."""

    kind: Kind
    field: FieldInfo | None
    value: Any
    path: str
    unknown: tuple[Any, ...] = ()  # a key below that there is not
    is_name: bool = False  # the key itself is meant, not its value
    choice: Kind | None = None  # the choice between models that led here

    def below(self, key: Any, kind: Kind, field: FieldInfo | None = None) -> "_Place":
        """Return the place of a key or number of an item."""
        try:
            value = self.value[key]
        except (TypeError, KeyError, IndexError):
            value = None  # a missing key, or an object in place of a mapping
        path = f"{self.path}[{key}]" if isinstance(self.value, list | tuple) else self.path_of(key)
        return _Place(kind, field or self.field, value, path)

    def path_of(self, key: Any) -> str:
        """Return the path of a key below."""
        return f"{self.path}.{wording.named(key)}" if self.path else wording.named(key)


def _find(place: _Place, parts: list[Any]) -> _Place:
    """Follow the location of an error from ``place``; stop at a choice between kinds, whose members were all tried."""
    if not parts:
        return place
    kind, key, rest = place.kind, _key(place.value, parts[0]), parts[1:]
    if kind.is_model:
        field = wording.field_of(kind.annotation, key)
        if field is None:
            return replace(place, unknown=(key,))
        return _find(place.below(key, Kind.of_field(field), field), rest)
    if kind.is_mapping and rest == ["[key]"]:
        name = place.below(key, Kind.of(typing.get_args(kind.annotation)[0]))
        return replace(name, field=None, value=key, is_name=True)
    if kind.is_mapping:
        return _find(place.below(key, kind.items[0]), rest)
    if kind.items and isinstance(key, int) and isinstance(place.value, list | tuple) and key < len(place.value):
        return _find(place.below(key, kind.items[min(key, len(kind.items) - 1)]), rest)
    if kind.discriminator:
        chosen = next(choice for choice in kind.choices if key in wording.tags(choice, kind.discriminator))
        return _find(replace(place, kind=chosen, choice=kind), rest)
    return place


def _key(value: Any, part: Any) -> Any:
    """Return the key that a part of a location stands for: pydantic writes a date, say, as Python does."""
    if isinstance(value, dict) and part not in value:
        return next((key for key in value if part in (repr(key), str(key))), part)
    return part


def _said(place: _Place, item: Any) -> Iterator[str]:
    where = f"{place.path}: " if place.path else ""
    if place.unknown:
        yield _no_such_key(place)
    elif isinstance(place.value, dict) and any(choice.is_model for choice in place.kind.choices):
        yield from _of_choice(place)
    elif item["type"] in SAID:
        yield f"{where}{item['ctx']['error']}"
    elif item["type"] == "missing" and isinstance(item["loc"][-1], str):
        yield f"{where}this key must be given: {place.field.description if place.field else place.kind.words()}"
    else:
        name = " as a name" if place.is_name else ""
        optional = place.field is not None and not place.field.is_required() and place.value is None
        without = ", or leave the key out" if optional else ""
        yield f"{where}{wording.shown(place.value)} is not allowed{name}: give {_allowed(place)}{without}"


def _allowed(place: _Place) -> str:
    """Say what is allowed at a place; the unit of a field also is that of the items in its list."""
    measure = wording.unit(place.field) if place.field else ""
    return place.kind.measured(measure)


def _no_such_key(place: _Place) -> str:
    (name,), known = place.unknown, wording.keys(place.kind.annotation)
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    key = place.choice.discriminator if place.choice else None
    if place.choice and key:
        others = [choice for choice in place.choice.choices if name in wording.keys(choice.annotation)]
        if others:
            tags = wording.listed(tag for other in others for tag in wording.tags(other, key))
            hint = f"it belongs to {key}: {tags}"
    return f"{place.path_of(name)}: there is no such key; {hint}"


def _of_choice(place: _Place) -> Iterator[str]:
    """Speak of a mapping that fits none of several kinds: of the key that tells them apart, or of the one model."""
    key = place.kind.discriminator
    models = [choice for choice in place.kind.choices if choice.is_model]
    if key:
        names = wording.listed(tag for model in models for tag in wording.tags(model, key))
        wrong = (
            f"{wording.shown(place.value[key])} is not allowed: give"
            if key in place.value
            else "this key must be given:"
        )
        yield f"{place.path_of(key)}: {wrong} {names}"
        return
    try:
        models[0].annotation.model_validate(place.value)
    except ValidationError as error:
        yield from _lines(models[0], error, place.value, place.path)
