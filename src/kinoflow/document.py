"""What the option models say, written down: JSON schemas for editors and checkers, one page for people."""

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kinoflow import wording
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.options import DatasetOptions, DownloadOptions, FeatureFilesOptions, IndexOptions, ScanOptions
from kinoflow.datasets.published.options import AnnotationsOptions, ListFilesOptions
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.media.options import (
    ExportOptions,
    FlowOptions,
    FolderFramesOptions,
    FramesOptions,
    NumberedOptions,
    PicturesOptions,
    ProbeOptions,
)
from kinoflow.report.options import ClaimsOptions, ReportOptions
from kinoflow.stage import State
from kinoflow.store.files import write_text
from kinoflow.study import Study
from kinoflow.tasks.abstraction.options import AbstractionOptions, NameOptions, SetsOptions, TaxonomyOptions
from kinoflow.tasks.alignment.options import AlignmentOptions, AlignOptions
from kinoflow.tasks.anticipation.options import AnticipateOptions, AnticipationOptions
from kinoflow.tasks.anticipation.text_options import CorpusOptions, PretrainOptions, SequencesOptions, TeacherOptions
from kinoflow.tasks.recognition.options import PredictOptions, RecognitionOptions, StreamOptions
from kinoflow.tasks.segmentation.options import SegmentationOptions, SegmentOptions
from kinoflow.wording import Kind

# name of the schema file: model
SCHEMAS: dict[str, type[BaseModel]] = {
    "study": Study,
    "dataset": DatasetOptions,
    "lists": ScanOptions,
    "render": KitchenOptions,
    "download": DownloadOptions,
    "probe": ProbeOptions,
    "index": IndexOptions,
    "feature-files": FeatureFilesOptions,
    "probe-pictures": NumberedOptions,
    "frames": FramesOptions,
    "picture-frames": FolderFramesOptions,
    "features": FeaturesOptions,
    "pca": PcaOptions,
    "annotations": AnnotationsOptions,
    "list-files": ListFilesOptions,
    "flow": FlowOptions,
    "pictures": PicturesOptions,
    "export-frames": ExportOptions,
    "recognition": RecognitionOptions,
    "predict": PredictOptions,
    "stream": StreamOptions,
    "segmentation": SegmentationOptions,
    "segment": SegmentOptions,
    "alignment": AlignmentOptions,
    "align": AlignOptions,
    "action-sequences": SequencesOptions,
    "text-corpus": CorpusOptions,
    "teacher-pretrain": PretrainOptions,
    "teacher": TeacherOptions,
    "anticipation": AnticipationOptions,
    "anticipate": AnticipateOptions,
    "taxonomy": TaxonomyOptions,
    "abstraction-sets": SetsOptions,
    "abstraction": AbstractionOptions,
    "name": NameOptions,
    "claims": ClaimsOptions,
    "report": ReportOptions,
}
# Commands that people give by hand: their options stand in no config file.
COMMANDS = (
    "annotations",
    "list-files",
    "pictures",
    "export-frames",
    "predict",
    "stream",
    "segment",
    "align",
    "anticipate",
    "name",
)
DESCRIPTOR = "name of a file in workflow/datasets (without .yaml) that holds the other keys; keys given here go before"

_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")

HEAD = """# Options

Made by `kinoflow document` from the option models; do not edit. Each heading is a place in a config file; most options
are also flags of the stage's command (`kinoflow frames --size 112`). `<name>` is a name of your choice. A key that is
left out has its default; *empty* is written as `null` or by leaving the key out. Options of commands that no config file
holds: {commands}.
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
        f"{name}.schema.json": json.dumps(_schema(name, model), indent=1, sort_keys=True) + "\n"
        for name, model in SCHEMAS.items()
    }


def _schema(name: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    dataset = schema["$defs"].get("DatasetOptions") if name == "study" else None
    if dataset:  # kinoflow.config fills a dataset up from its descriptor before it is checked
        dataset["properties"]["descriptor"] = {"description": DESCRIPTOR, "type": "string", "unit": ""}
        dataset["anyOf"] = [{"required": dataset.pop("required")}, {"required": ["descriptor"]}]
        schema["$defs"]["AnnotatedOptions"].pop("required")
    return schema


# ---------------------------------------------------------------- the page


def options_page() -> str:
    """Return the Markdown page: a table of options for each place of a config file, each below the one it belongs to."""
    links = [f"[`kinoflow {name}`](#{_anchor(f'kinoflow {name}')})" for name in COMMANDS]
    own = [part for name in COMMANDS for part in _tables(f"kinoflow {name}", SCHEMAS[name])]
    return "\n".join([HEAD.format(commands=wording.listed(links, last="and")), *_tables("", Study), *own])


def _tables(place: str, model: type[BaseModel]) -> list[str]:
    """Return the table of a model, then those of the models inside it."""
    rows, below = [], []
    if model is DatasetOptions:
        rows.append(f"| `descriptor` | {DESCRIPTOR} | empty | a text |")
    for key, field in _own_first(model):
        kind = Kind.of_field(field)
        inner = _inside(f"{place}.{key}".lstrip("."), kind)
        below += inner
        names = [where.partition(" (")[2].rstrip(")") if kind.discriminator else where for where, _ in inner]
        links = [f"[`{name}`](#{_anchor(where)})" for name, (where, _) in zip(names, inner, strict=True)]
        text = _plain(str(field.description)) + (f"; see {wording.listed(links)}" if links else "")
        cells = (f"`{key}`", text, wording.default(field, "`"), wording.allowed(field, "`"))
        rows.append(f"| {' | '.join(cells)} |")
    title = f"## `{place}`\n\n" if place else ""
    text = _plain(" ".join((model.__doc__ or "").split()))
    table = "\n".join(["| key | what it does | default | allowed |", "|---|---|---|---|", *rows])
    return [f"{title}{text}\n\n{table}\n", *(part for where, each in below for part in _tables(where, each))]


def _own_first(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Return (key, field) of a model: those that must be given first, then its own, then inherited ones."""
    inherited = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", ())}
    order = sorted(model.model_fields.items(), key=lambda item: (not item[1].is_required(), item[0] in inherited))
    return [(field.alias or name, field) for name, field in order]


def _inside(place: str, kind: Kind) -> list[tuple[str, type[BaseModel]]]:
    """Return (place, model) of the option models that a key may hold."""
    if kind.is_model:
        return [(place, kind.annotation)]
    if kind.discriminator:
        tagged = [(wording.tags(choice, kind.discriminator)[0], choice) for choice in kind.choices]
        return [(f"{place} ({kind.discriminator}: {tag})", choice.annotation) for tag, choice in tagged]
    if kind.choices:
        return [found for choice in kind.choices for found in _inside(place, choice)]
    step = ".<name>" if kind.is_mapping else "[]"
    return [found for item in kind.items for found in _inside(f"{place}{step}", item)]


def _plain(text: str) -> str:
    """Write text so that Markdown takes none of it for a mark but code, which stands between one or two backticks."""
    parts = _CODE.split(text)  # text, code, text, ...
    return "".join(_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _code(part: str) -> str:
    return f"`{part.strip('`')}`".replace("|", "\\|")  # a bar would end the cell of a table, even in code


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "<*|`" else c for c in text)


def _anchor(place: str) -> str:
    """Return the anchor that Markdown renderers give to the heading of a place."""
    return "".join(c for c in place.lower().replace(" ", "-") if c.isalnum() or c in "-_")
