"""The annotation files in a folder, found by the names under which they go round, and their lines."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kinoflow.datasets.listing import scan
from kinoflow.errors import DataError
from kinoflow.store.files import parse_json, quick_hash, sha256_of

PICTURES = (".jpg", ".jpeg", ".png")
MOST = 100_000  # classes: a number beyond is damage, and there would be as many names
ANNOTATIONS = r".+\.(txt|csv|json|exc)|(data|index)\..+"  # the last two are WordNet's


class Files:
    """The files of a folder and of the folders in it; hidden ones are not seen."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            top = sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=_name)
            below = [entry for place in top if place.is_dir() for entry in sorted(os.scandir(place), key=_name)]
        except OSError as error:
            raise DataError(f"{folder}: this folder cannot be listed: {error.strerror}") from None
        self._levels = [[Path(entry.path) for entry in level if entry.is_file()] for level in (top, below)]

    def all(self, pattern: str, nested: bool = False) -> list[Path]:
        """Return the files whose whole name matches a regular expression, capitals or not; those in folders if none on top.

        nested: those in folders, too
        """
        match = re.compile(pattern, re.IGNORECASE).fullmatch
        top, below = ([path for path in level if match(path.name)] for level in self._levels)
        return top + below if nested else top or below

    def find(self, pattern: str) -> Path | None:
        """Return the file whose name matches, None if there is none; DataError if there are two."""
        found = self.all(pattern)
        if len(found) > 1:
            raise DataError(
                f"{found[0]} and {found[1]} may both be the file that is looked for; move one of them to another place"
            )
        return found[0] if found else None

    def need(self, pattern: str, example: str) -> Path:
        """Return the one file whose name matches; DataError, naming ``example``, if there is none."""
        found = self.find(pattern)
        if found is None:
            raise DataError(
                f"{self.folder}: there is no {example} in this folder; put the dataset's annotation files there"
            )
        return found


def digest_of(folder: str | os.PathLike) -> str:
    """Return 16 hexadecimal digits that stand for the annotation files in a folder and in folders in it: names and content."""
    return digest(folder, Files(Path(folder)).all(ANNOTATIONS, nested=True))


def digest_below(folders: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits that stand for the annotation files in folders, however deep."""
    match = re.compile(ANNOTATIONS, re.IGNORECASE).fullmatch
    found = [digest(folder, (path for path in folder.rglob("*") if match(path.name))) for folder in folders]
    return hashlib.sha256("\0".join(found).encode()).hexdigest()[:16]


def digest(folder: str | os.PathLike, paths: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits that stand for files below a folder: their names and content."""
    lines = sorted(f"{path.relative_to(folder)}\0{sha256_of(path)}\0" for path in paths)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def digest_of_release(folder: str) -> str:
    """Return 16 hexadecimal digits that stand for all files below a folder.

    Those of pictures, of which there are many, are names and sizes; of others also three samples of the content.
    """
    sizes = {name: size for name, (size, _) in scan(folder, 1)["000"].items()}
    lines = (f"{name}\0{sizes[name]} {_samples(folder, name)}\0" for name in sorted(sizes, key=os.fsencode))
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()[:16]


def _samples(folder: str, name: str) -> str:
    """Return a hash of samples of a file; "" for pictures, and for what cannot be read: the conversion names it."""
    try:
        return "" if name.lower().endswith(PICTURES) else quick_hash(Path(folder, name))
    except OSError:
        return ""


def _name(entry: os.DirEntry) -> str:
    return entry.name


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (file and line as errors begin, text) of the lines that are not empty; ends of any system, blanks cut off."""
    text = _bytes(path).decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def read_json(path: Path, shape: type, what: str) -> Any:
    """Return the content of a JSON file; DataError if it is none, or holds no ``shape`` (list, dict), called ``what``."""
    try:
        found = parse_json(_bytes(path))
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON file ({error}); fetch it again") from None
    if not isinstance(found, shape):
        raise DataError(f"{path}: this is no {what}; check which file it is")
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: this file cannot be read: {error.strerror}") from None
