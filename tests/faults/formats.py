"""A format of files: a small good one, and who reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Read = Callable[[Path], Any]


@dataclass(frozen=True)
class Reader:
    """name: of the format. write: makes the good files in a folder. target: the one to damage. read: reads it."""

    name: str
    write: Callable[[Path], Any]
    target: str
    read: Read

    def __str__(self) -> str:
        return self.name


def named(files: dict[str, str | bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def one(name: str, file: str, content: str | bytes, read: Read) -> Reader:
    return Reader(name, named({file: content}), file, read)
