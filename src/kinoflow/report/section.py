"""A section of the report: what a stage has to show, as one JSON file. The page joins the sections by (order, title).

    write(path, Section("Recognition", 30, (
        Text("Four networks, three seeds each; `lsnet` is the paper's."),
        Table("Accuracy on the test split", (Column("network", "name"), Column("accuracy", "number", ".3f")), rows),
        Figure("Accuracy of four networks, LSNet highest", "Dots are seeds.", svg=style.svg(draw, 7, 3)),
        Callout("LSNet beats TSM on fast verbs in every seed.", "finding"),
    ), summary="LSNet tells apart what TSM cannot."))

Orders in use: 10 data, 20 features and PCA, 30 recognition, 40 segmentation, 50 alignment, 55 teachers,
60 anticipation, 70 abstraction, 80 claims; the page puts time and memory last. Every text may hold any file name: what
cannot be shown, or would change how the text around it reads (control characters, bytes that are no UTF-8, marks that
turn the direction of writing), becomes a visible escape such as ``\\xff`` here, and the page escapes everything else.
"""

import base64
import binascii
import io
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from kinoflow.errors import DataError
from kinoflow.report.svg import check_svg
from kinoflow.store.files import parse_json, write_json

MAX_VIDEO = 3_000_000  # bytes: a page of some tens of videos still opens at once
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: str) -> str:
    """Return ``text`` with a visible escape in place of every character that is not to be seen or is no text at all."""
    return _UNSEEN.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name that is no UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return _ESCAPES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def counted(number: int, noun: str) -> str:
    """Say a number of things: ``1 run``, ``2 runs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def code(text: str) -> str:
    """Return ``text`` marked as code for a Text, Callout, caption or note: a file or run name that no mark inside it can break."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value  # a NumPy scalar
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("∞" if value > 0 else "−∞")
    return value


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"this is no base64 text: {error}") from None


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


Shown = Annotated[str, BeforeValidator(_shown)]  # plain text
Filled = Annotated[Shown, Field(min_length=1)]
Cell = Annotated[int | float | Shown | None, BeforeValidator(_cell)]  # None: nothing to say, shown as a dash
Data = Annotated[
    bytes, BeforeValidator(_bytes), PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json")
]
_block = dataclass(frozen=True, config=ConfigDict(extra="forbid"))


@_block
class Text:
    """A paragraph. Inside it `code` (see ``code``) and **strong**, as in captions and notes; everything else is plain text."""

    text: Filled
    kind: Literal["text"] = "text"


@_block
class Heading:
    """A heading inside the section."""

    text: Filled
    kind: Literal["heading"] = "heading"


@_block
class Callout:
    """A paragraph that must not be missed: a finding (a claim that holds or does not) or a warning."""

    text: Filled
    tone: Literal["finding", "warning"] = "finding"
    kind: Literal["callout"] = "callout"


@_block
class Column:
    """A column of a table. Numbers stand right, in ``format`` (as of Python: .3f, .1%, d); names are set as code."""

    name: Shown
    content: Literal["text", "number", "name"] = "text"
    format: Annotated[str, Field(pattern=r"^(\.\d{1,2}[eEfFgG%]|[dg]|)$")] = ""


@_block
class Table:
    """A table: rows of cells, one for each column. ``highlight`` numbers the rows to set off, from 0; long ones scroll."""

    caption: Filled
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[Shown, ...] = ()
    highlight: tuple[int, ...] = ()
    kind: Literal["table"] = "table"

    @model_validator(mode="after")
    def _full_rows(self) -> Self:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells, the table has {len(self.columns)} columns")
        return self


@_block
class Figure:
    """A picture: ``svg`` (text, from ``report.style``) or ``image`` (bytes of a PNG or JPEG).

    alt: what it shows, for those who do not see it. caption: what to look at.
    """

    alt: Filled
    caption: Shown = ""
    svg: str = ""
    image: Data = b""
    kind: Literal["figure"] = "figure"

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if bool(self.svg) == bool(self.image):
            raise ValueError("a figure holds either svg or image")
        if self.svg:
            check_svg(self.svg)
        else:
            picture_size(self.image)
        return self


@_block
class Video:
    """An H.264 mp4 of at most 3 MB that plays in the page. poster: PNG or JPEG shown before it plays."""

    mp4: Data
    alt: Filled
    caption: Shown = ""
    poster: Data = b""
    kind: Literal["video"] = "video"

    @model_validator(mode="after")
    def _plays(self) -> Self:
        if self.mp4[4:8] != b"ftyp":
            raise ValueError("the video is no mp4 file")
        if len(self.mp4) > MAX_VIDEO:
            raise ValueError(f"the video has {len(self.mp4) / 1e6:.1f} MB, at most {MAX_VIDEO / 1e6:.0f} are allowed")
        if self.poster:
            picture_size(self.poster)
        return self


@_block
class Branch:
    """A line of a tree with what is below it. hint: shown while the pointer rests on it."""

    text: Filled
    hint: Shown = ""
    branches: tuple["Branch", ...] = ()


@_block
class Tree:
    """Nested lines that fold: the first level is open, deeper ones unfold on a click."""

    caption: Filled
    branches: Annotated[tuple[Branch, ...], Field(min_length=1)]
    kind: Literal["tree"] = "tree"


Block = Annotated[Text | Heading | Callout | Table | Figure | Video | Tree, Field(discriminator="kind")]


@_block
class Section:
    """What one stage tells. order: place on the page. summary: one sentence for the overview at the top."""

    title: Filled
    order: Annotated[int, Field(ge=0, le=999)]
    blocks: tuple[Block, ...]
    summary: Shown = ""


_SECTION = TypeAdapter(Section)


def media_type(picture: bytes) -> str:
    """Return the media type of a PNG or JPEG picture, "" of anything else."""
    return next((name for start, name in PICTURES.items() if picture.startswith(start)), "")


def picture_size(picture: bytes) -> tuple[int, int]:
    """Return width and height of a PNG or JPEG picture in pixels; ValueError if it is neither."""
    from PIL import Image

    if not media_type(picture):
        raise ValueError("the picture is neither PNG nor JPEG")
    try:
        with Image.open(io.BytesIO(picture)) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be read: {error}") from None


def write(path: str | Path, section: Section) -> None:
    """Write a section as JSON; the same section gives the same bytes."""
    write_json(path, _SECTION.dump_python(section, mode="json"))


def read(path: str | Path) -> Section:
    """Read a section and check it; DataError names the file and what is wrong in it."""
    try:
        return _SECTION.validate_python(parse_json(Path(path).read_bytes()))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such section file; the stage that writes it has not run") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(str(part) for part in fault['loc']) or 'top level'}: {fault['msg']}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise DataError(f"{path}: this is no section of the report ({reason}); delete it and run its stage again")
