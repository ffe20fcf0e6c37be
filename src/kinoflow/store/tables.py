"""The tables that carry every dataset: their columns, reading, writing and checking.

Nothing else in the package parses CSV columns by hand. Times are seconds. Names of videos may hold any bytes that a file
system allows: text that is no UTF-8 survives as surrogate escapes.
"""

import csv
import dataclasses
import io
import operator
import os
import types
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kinoflow.errors import DataError
from kinoflow.store.files import write_text

READABLE, PARTLY, NO_VIDEO, UNREADABLE = "readable", "partly readable", "no video stream", "unreadable"
STATUSES = (READABLE, PARTLY, NO_VIDEO, UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What the probe found out about one video (or one feature file: frames are its rows, width its columns)."""

    video: str  # path below the root, suffix included
    fps: float | None = None  # mean frames per second
    frames: int | None = None
    start: float = 0.0  # seconds from the container's start, which is time zero, to the first frame
    duration: float | None = None  # seconds from the first frame on, by time stamps of the frames
    width: int | None = None  # of the stored picture, pixels; never turned
    height: int | None = None
    rotation: int = 0  # degrees that a player turns the stored picture by, counter-clockwise: 0, 90, 180, 270
    pixel_aspect: str = "1:1"  # width:height of one pixel
    bad_packets: int = 0  # packets whose decoding failed (known after check: decode only)
    corrupt_frames: int = 0  # frames that the decoder marks as damaged (the same)
    kept: bool = False  # used by the stages that follow
    status: str  # one of STATUSES
    reason: str = ""  # why it is not readable, or what is damaged
    sha256: str = ""
    quick: str = ""  # hash of size, head, middle and tail


@dataclass(frozen=True, kw_only=True)
class Video:
    """A row of videos.csv: what the probe found, and what the annotations say of the whole video."""

    video: str
    path: str  # below the dataset's root
    split: str = ""
    recording: str = ""  # videos of one recording stay on one side of a split
    fps: float | None = None
    frames: int | None = None
    start: float = 0.0
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    rotation: int = 0
    pixel_aspect: str = "1:1"
    bad_packets: int = 0
    corrupt_frames: int = 0
    task: str = ""  # what the whole video is about: a dish, a CrossTask task
    kept: bool = True
    status: str
    reason: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A row of segments.csv: an action, or (``phase`` filled in) a phase inside one."""

    segment: str
    video: str
    start: float  # seconds
    end: float
    action: str = ""
    verb: str = ""
    noun: str = ""
    phase: str = ""
    variant: str = ""  # a sub-variant that the names do not tell, where it is known
    text: str = ""
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A row of unreadable.csv: a file that is not used, and why."""

    video: str
    status: str  # one of STATUSES
    reason: str = ""


Row = TypeVar("Row", Probed, Video, Segment, Unreadable)


def columns(row: type) -> list[str]:
    """Return the column names of a table, in order."""
    return [field.name for field in dataclasses.fields(row)]


# What a network may be taught to tell of a segment.
HEADS = tuple(name for name in columns(Segment) if name not in ("segment", "video", "start", "end", "phase", "split"))


def write(path: str | Path, rows: Iterable[Row], row: type[Row]) -> None:
    """Write a table in one piece: header, then a line for each row, in the order given."""
    text = io.StringIO()
    # Only what occurs in the line terminator makes csv (before Python 3.13) put quotes around a name with "\r".
    lines = types.SimpleNamespace(write=lambda line: text.write(f"{line[:-2]}\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    names, kinds = columns(row), typing.get_type_hints(row)
    writer.writerow(names)
    for item in rows:
        writer.writerow([_text(getattr(item, name), kinds[name]) for name in names])
    write_text(path, text.getvalue())


def read(path: str | Path, row: type[Row]) -> list[Row]:
    """Read a table and check it; DataError names the file, the line and the column at fault."""
    kinds = typing.get_type_hints(row)
    with _reading(path, columns(row)) as (header, reader):
        _check_whole(path)
        return [_row(path, reader.line_num, _item(header, cells), row, kinds) for cells in reader if cells]


def _check_whole(path: str | Path) -> None:
    """Raise DataError if the last line of a table has no end."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read(1) not in (b"\n", b""):
            raise DataError(
                f"{path}: this table ends in the middle of a line, as if it was cut off; make it again, or end that line"
            )


def read_csv(path: str | Path, required: Iterable[str], delimiter: str = ",") -> list[tuple[int, dict[str, Any]]]:
    """Return (line number, {column: text}) of any CSV file with a header; DataError if a required column is not there.

    A row that is too short has None in its last columns; what a row has too much stands under the key None.
    """
    with _reading(path, required, delimiter) as (header, reader):
        return [(reader.line_num, _item(header, cells)) for cells in reader if cells]


def read_columns(path: str | Path, first: str, second: str) -> dict[str, str]:
    """Return {cell of the column ``first``: cell of ``second``}, unchecked: five times as fast as the whole table."""
    with _reading(path, (first, second)) as (header, reader):
        chosen = operator.itemgetter(header.index(first), header.index(second))
        return dict(chosen(cells) for cells in reader if len(cells) == len(header))


@contextmanager
def _reading(path: str | Path, required: Iterable[str], delimiter: str = ",") -> Iterator[tuple[list[str], Any]]:
    """Give the header of a CSV file and the reader of the rows below it; say in a sentence what is wrong with either."""
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                header = next(reader, [])
                needed = list(required)
                missing = [name for name in needed if name not in header]
                if missing:
                    found = ", ".join(header) or "none"
                    raise DataError(f"{path}: the column {missing[0]!r} is missing (columns found: {found})")
                twice = [name for name in needed if header.count(name) > 1]
                if twice:
                    raise DataError(f"{path}: the column {twice[0]!r} stands twice in the first line")
                yield header, reader
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: this is no readable CSV table: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such table") from None
    except OSError as error:
        raise DataError(f"{path}: this table cannot be read: {error.strerror}") from None


def _item(header: list[str], cells: list[str]) -> dict[Any, Any]:
    item: dict[Any, Any] = dict(zip(header, cells, strict=False))
    if len(cells) < len(header):
        return item | dict.fromkeys(header[len(cells) :])
    return item | {None: cells[len(header) :]} if len(cells) > len(header) else item


def _row(path: str | Path, line: int, item: dict[str, str], row: type[Row], kinds: dict[str, Any]) -> Row:
    if None in item or None in item.values():
        problem = "fewer" if None not in item else "more"
        raise DataError(f"{path}, line {line}: there are {problem} cells than columns")
    values = {}
    for name, kind in kinds.items():
        try:
            values[name] = _value(item[name], kind)
        except ValueError:
            raise DataError(f"{path}, line {line}: {item[name]!r} is no value for the column {name!r}") from None
    if "status" in kinds and values["status"] not in STATUSES:
        allowed = ", ".join(STATUSES)
        raise DataError(f"{path}, line {line}: the status {values['status']!r} is none of {allowed}")
    return row(**values)


def _text(value: Any, kind: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if kind is bool else str(value)


def _value(text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        if text == "":
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if kind is bool:
        return bool(("0", "1").index(text))
    return kind(text)
