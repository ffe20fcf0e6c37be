"""What the option models say, written down: JSON schemas for editors and checkers, one page for people."""

import json
import types
import typing
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kinoflow.config import Study
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.options import DatasetOptions, DownloadOptions, FeatureFilesOptions, IndexOptions
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.media.options import FramesOptions, ProbeOptions
from kinoflow.report.options import ReportOptions
from kinoflow.stage import State
from kinoflow.store.files import write_text

# name of the schema file: model
SCHEMAS: dict[str, type[BaseModel]] = {
    "study": Study,
    "dataset": DatasetOptions,
    "render": KitchenOptions,
    "download": DownloadOptions,
    "probe": ProbeOptions,
    "index": IndexOptions,
    "feature-files": FeatureFilesOptions,
    "frames": FramesOptions,
    "features": FeaturesOptions,
    "pca": PcaOptions,
    "report": ReportOptions,
}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}

HEAD = """# Options

Made by `kinoflow document` from the option models; do not edit. Each heading names the place in a config file, each
option also is a flag of the stage's command (`kinoflow frames --size 112`).
"""


def document(schemas: State, page: State) -> None:
    """Write the JSON schemas and the page of options.

    schemas: the folder of the schema files
    page: the Markdown page
    """
    for name, text in schema_texts().items():
        write_text(schemas / name, text)
    write_text(page, options_page())


def schema_texts() -> dict[str, str]:
    """Return {file name: JSON schema (draft 2020-12)} of every option model."""
    return {
        f"{name}.schema.json": json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"
        for name, model in SCHEMAS.items()
    }


def options_page() -> str:
    """Return the Markdown page: a table of options for each place of a config file."""
    parts = [HEAD]
    todo: list[tuple[str, type[BaseModel]]] = [("", Study)]
    while todo:
        place, model = todo.pop(0)
        rows = []
        for name, field in model.model_fields.items():
            key = field.alias or name
            inner = _models(field.annotation)
            below = [(f"{place}.{key}".lstrip(".") + _step(field, m), m) for m in inner]
            todo += below
            links = "; see " + ", ".join(f"`{where}`" for where, _ in below) if below else ""
            rows.append(f"| `{key}` | {field.description}{links} | {_default(field)} | {_allowed(field)} |")
        title = f"## `{place}`\n\n" if place else ""
        text = " ".join((model.__doc__ or "").split())
        parts.append(
            f"{title}{text}\n\n| key | what it does | default | allowed |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _step(field: FieldInfo, model: type[BaseModel]) -> str:
    kind = model.model_fields.get("kind")
    if kind is not None:
        return f" (kind: {typing.get_args(kind.annotation)[0]})"
    return ".<name>" if typing.get_origin(field.annotation) is dict else ""


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    return "empty" if value in (None, "", (), {}) else f"`{json.dumps(value)}`"


def _allowed(field: FieldInfo) -> str:
    unit = (field.json_schema_extra or {}).get("unit", "")  # type: ignore[union-attr]
    limits = [f"{LIMITS[k]} {v}" for item in field.metadata for k, v in _limits(item) if k in LIMITS]
    return ", ".join(filter(None, [_kind(field.annotation), unit, *limits]))


def _limits(item: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(item, name)) for name in LIMITS if hasattr(item, name)]


def _kind(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(filter(None, (_kind(a) for a in typing.get_args(annotation) if a is not type(None))))
    if origin is Annotated:
        return _kind(typing.get_args(annotation)[0])
    if origin in (tuple, list):
        return "list"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}.get(annotation, "")
