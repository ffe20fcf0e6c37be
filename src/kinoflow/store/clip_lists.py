"""List files of the published recognition datasets: a line for each clip, its fields one blank apart.

    abseiling/aaa111_000010 12 0       folder of the pictures below their root, number of files in it, class
    Archery/v_Archery_g01_c01.avi 2    or a video, and its class

No header, no newline at the end. Classes count from 0, in lists of videos by tradition from 1: a list does not say so
itself, so whoever reads it declares it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kinoflow.errors import DataError
from kinoflow.store.files import write_text


@dataclass(frozen=True)
class Clip:
    """A line of a list file."""

    clip: str  # folder or file below the root
    count: int | None  # files of its folder; None in a list of videos
    label: int  # class, counted from 0
    where: str = ""  # file and line, as errors begin


def write_list(path: str | os.PathLike, clips: Iterable[Clip], first_class: int = 0) -> None:
    """Write a list file; DataError for a name that no line can hold."""
    write_text(path, "\n".join(_line(clip, first_class) for clip in clips))


def _line(clip: Clip, first_class: int) -> str:
    if not clip.clip or "\n" in clip.clip or clip.clip != clip.clip.strip():
        raise DataError(f"{clip.clip!r}: a list file cannot hold a name that is empty or has a line break; rename it")
    count = "" if clip.count is None else f" {clip.count}"
    return f"{clip.clip}{count} {clip.label + first_class}"


def read_list_file(
    path: str | os.PathLike, *, counted: bool = True, first_class: int = 0, classes: int | None = None
) -> list[Clip]:
    """Read a list file strictly, in its order.

    counted: whether a line tells the number of files (pictures) or not (videos). first_class: the number that the list
    gives to the first class. classes: how many there are, if that is known. A name may hold blanks. DataError names the line
    that is no such line, leaves the root (an absolute path, ``..``), repeats a clip with another class or count, or has a
    class that cannot be.
    """
    clips: dict[str, Clip] = {}
    found = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            clip = _clip(f"{path}, line {number}", line, counted, first_class, classes)
            before = clips.setdefault(clip.clip, clip)
            if (before.label, before.count) != (clip.label, clip.count):
                raise DataError(
                    f"{clip.where}: {clip.clip!r} stands in {before.where} with other numbers; remove one line"
                )
            found.append(clip)
    if not found:
        raise DataError(f"{path}: this list names no clip; write it anew with `kinoflow list-files`")
    return found


def _lines(path: str | os.PathLike) -> list[str]:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: this list cannot be read: {error.strerror}") from None
    return [line.rstrip("\r") for line in text.split("\n")]  # names may hold what else str.splitlines breaks at


def _clip(where: str, line: str, counted: bool, first_class: int, classes: int | None) -> Clip:
    fields = line.rsplit(" ", 2 if counted else 1)
    wanted = "folder, number of pictures, class" if counted else "video, class"
    if len(fields) != (3 if counted else 2) or not all(field.isdecimal() and field.isascii() for field in fields[1:]):
        raise DataError(
            f"{where}: {line!r} is no line of such a list; write {wanted}, one blank apart, numbers as digits"
        )
    name = fields[0]
    if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise DataError(
            f"{where}: {name!r} is no name below a root folder; write it without / before it and without .."
        )
    label = int(fields[-1]) - first_class
    if label < 0 or (classes is not None and label >= classes):
        last = "" if classes is None else f" and end at {classes - 1 + first_class}"
        raise DataError(
            f"{where}: there is no class {fields[-1]}: classes begin at {first_class}{last};"
            " check which list this is and from which number it counts"
        )
    return Clip(name, int(fields[1]) if counted else None, label, where)
