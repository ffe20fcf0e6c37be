"""The tables that users write: labels and splits, as a person or a spreadsheet leaves them, and which video a row means.

Every error names file, line and value, and says what to write instead.
"""

import csv
import math
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kinoflow.errors import DataError
from kinoflow.store.tables import read_csv

SECONDS = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
SHOWN = 5  # examples in a log line


class Names:
    """The videos of a dataset, and which of them a name in a user's table means."""

    def __init__(self, videos: Iterable[str]):
        self.videos = sorted(videos, key=os.fsencode)
        self._exact = set(self.videos)
        self._loose: dict[str, list[str]] | None = None

    def find(self, text: str, where: str) -> str | None:
        """Return the video that ``text`` means, None if there is none; ``where`` begins the error if it may be several.

        The name as it stands counts first. Then blanks around it, backslashes, a ``./`` before it and the two ways to
        write an accented letter make no difference, and then the suffix may be missing.
        """
        if text in self._exact:
            return text
        if self._loose is None:
            self._loose = self._spellings()
        found = self._loose.get(_plain(text), [])
        if len(found) > 1:
            raise DataError(
                f"{where}: {text!r} may be {found[0]!r} or {found[1]!r};"
                " write the whole name, or leave one of them out with exclude"
            )
        return found[0] if found else None

    def _spellings(self) -> dict[str, list[str]]:
        """Return {spelling: videos}: whole names first; a name without suffix only where no whole name reads like it."""
        whole: dict[str, list[str]] = {}
        bare: dict[str, list[str]] = {}
        for video in self.videos:
            plain = _plain(video)
            whole.setdefault(plain, []).append(video)
            stem = plain.removesuffix(PurePosixPath(plain).suffix).strip()
            if stem != plain:
                bare.setdefault(stem, []).append(video)
        return bare | whole


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/").removeprefix("./"))


@dataclass(frozen=True)
class Line:
    """A row of a user's table."""

    where: str  # file and line, as errors begin
    cells: dict[str, str]  # every known column; "" where there is none

    def seconds(self, column: str) -> float | None:
        """Return the time in a cell, None if it is empty."""
        text = self.cells[column]
        if not text:
            return None
        if not SECONDS.fullmatch(text) or not math.isfinite(float(text)):
            raise DataError(f"{self.where}: {column} {text!r} is no time; {_advice(text)}")
        if float(text) < 0:
            raise DataError(f"{self.where}: {column} {text!r} is before the video begins; times count from its start")
        return float(text)


def _advice(text: str) -> str:
    if re.fullmatch(r"-?[0-9]*,[0-9]+", text):
        return f"write a point as decimal mark: {text.replace(',', '.')}"
    if ":" in text:
        return "write seconds, as in 65.3 for 1 min 5.3 s"
    return "write seconds as a number, as in 65.3, or leave the cell empty"


@dataclass(frozen=True)
class UserTable:
    """A user's table: which of the known columns it has, which others, and its rows."""

    path: str
    columns: tuple[str, ...]
    unknown: tuple[str, ...]
    lines: list[Line]


def read_user_table(path: str | os.PathLike, required: tuple[str, ...], optional: tuple[str, ...]) -> UserTable:
    """Read a CSV table with a header; commas, semicolons or tabs between cells, with or without a byte order mark.

    Column names may be written in capitals; blanks around cells do not count, except around names of videos; empty rows
    are skipped. Raises DataError for a missing or repeated column, a row of the wrong length, text that is no UTF-8.
    """
    header, delimiter = _header(path, required)
    names = [name.strip().lower() for name in header]
    for name in (*required, *optional):
        if names.count(name) > 1:
            raise DataError(f"{path}: the column {name!r} stands there twice; remove or rename one of them")
    missing = [name for name in required if name not in names]
    if missing:
        found = ", ".join(filter(None, names)) or "none"
        raise DataError(
            f"{path}: the column {missing[0]!r} is missing (columns found: {found}); add it to the first line"
        )
    known = {name: raw for raw, name in zip(header, names, strict=True) if name in (*required, *optional)}
    empty = dict.fromkeys((*required, *optional), "")
    lines = []
    for number, item in read_csv(path, (), delimiter):
        where = f"{path}, line {number}"
        if any(item.pop(None, ())):  # type: ignore[call-overload]
            raise DataError(
                f"{where}: this row has more cells than the header; put text that holds {delimiter!r} in quotes"
            )
        if any(cell and not cell.isspace() for cell in item.values()):
            cells = {name: _cell(where, name, item[raw] or "") for name, raw in known.items()}
            lines.append(Line(where, empty | cells))
    unknown = tuple(name for name in names if name and name not in known)
    return UserTable(os.fspath(path), tuple(known), unknown, lines)


def _header(path: str | os.PathLike, required: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the cells of the first line and the character between cells: that which makes the first column known."""
    try:
        with open(path, "rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{path}: this is UTF-16 text; save the table as CSV UTF-8")
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            line = file.readline()
    except OSError as error:
        raise DataError(f"{path}: this table cannot be read ({error.strerror})") from None
    try:
        for delimiter in ",;\t":
            cells = next(csv.reader([line], delimiter=delimiter), [])
            if required[0] in (cell.strip().lower() for cell in cells):
                return cells, delimiter
        return next(csv.reader([line]), []), ","
    except csv.Error as error:
        raise DataError(f"{path}, line 1: this is no readable CSV table: {error}") from None


def _cell(where: str, column: str, text: str) -> str:
    if column == "video":
        return text  # a name of a file may begin or end with a blank, and need not be UTF-8
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: {column} {text!r} is not UTF-8; save the table as CSV UTF-8") from None
    return text.strip()


def shown(items: Iterable[Any], total: int) -> str:
    """Return the first examples of ``total`` things, as they stand in a log line."""
    first = [str(item) for _, item in zip(range(SHOWN), items, strict=False)]
    return ", ".join(first) + (", ..." if total > len(first) else "")
