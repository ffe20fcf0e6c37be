"""Hashes of a folder of files, as if it were one file: for clips that are folders of pictures."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from kinoflow.store.files import sha256_of


def visible_files(folder: str | os.PathLike) -> list[str]:
    """Return the names of the files in a folder, but hidden ones and folders, sorted by their bytes."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    return sorted(names, key=os.fsencode)


def content_hash(folder: str | os.PathLike) -> str:
    """Return the SHA-256 of the names and bytes of a folder's files, in hexadecimal."""
    return _hash(f"{name}\0{sha256_of(os.path.join(folder, name))}\0" for name in visible_files(folder))


def quick_content_hash(folder: str | os.PathLike) -> str:
    """Return the SHA-256 of the names and sizes of a folder's files; misses an edit that keeps both."""
    return _hash(f"{name}\0{Path(folder, name).stat().st_size}\0" for name in visible_files(folder))


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(os.fsencode(line))
    return digest.hexdigest()
