"""Segments in RULSTM's form, which EPIC-KITCHENS and EGTEA Gaze+ share: seven columns, frames at 30 a second."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from kinoflow.datasets.actions import Action, Classes
from kinoflow.datasets.published.files import MOST
from kinoflow.errors import DataError

RATE = 30.0  # frames per second
COLUMNS = 7  # uid, video, first frame, last frame, verb, noun, action


def read_segments(path: Path, split: str) -> list[tuple[str, Action]]:
    """Return (file and line, segment) of each line; DataError for a line that is none.

    Blanks and leading zeros do not count: "00330" is the uid 330.
    """
    return [(where, _segment(cells, split, where)) for where, cells in cells_of(path)]


def _segment(cells: list[str], split: str, where: str) -> Action:
    if len(cells) != COLUMNS:
        raise DataError(
            f"{where}: there are {len(cells)} columns, and a segment has {COLUMNS}; check which file this is"
        )
    uid, video, *texts = cells
    try:
        first, last, verb, noun, action = map(int, texts)
    except ValueError:
        raise DataError(f"{where}: frames and classes of a segment are whole numbers, not {texts}") from None
    return Action(
        uid=plain_uid(uid),
        video=video,
        start=first / RATE,
        end=last / RATE,
        action=action,
        verb=verb,
        noun=noun,
        split=split,
        recording=video.split("_")[0] if "_" in video else video.split("-")[0],
    )


def check_parts(found: Sequence[tuple[str, Action]], classes: Classes) -> None:
    """Raise DataError, naming file and line, for a segment whose verb or noun is not that of its action."""
    for where, row in found:
        if (row.verb, row.noun) != (classes.verb[row.action], classes.noun[row.action]):
            raise DataError(
                f"{where}: the segment {row.uid} has the verb {row.verb} and the noun {row.noun}, and its action"
                f" {classes.names[row.action]!r} has others; take all files from the same release"
            )


def check_numbers(where: str, *numbers: int) -> None:
    """Raise DataError if the number of a verb or noun is none that any list has; there would be as many names."""
    if not all(0 <= number < MOST for number in numbers):
        raise DataError(f"{where}: verbs and nouns have numbers from 0 to {MOST - 1}; fetch the file again")


def cells_of(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (file and line, cells) of a CSV file without header; blanks around cells do not count."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), 1):
                if cells:
                    yield f"{path}, line {number}", [cell.strip() for cell in cells]
    except OSError as error:
        raise DataError(f"{path}: this file cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise DataError(f"{path}: this is no CSV file") from None


def plain_uid(text: str) -> str:
    """Return a uid without the zeros that some files put in front of numbers."""
    return str(int(text)) if text.isdecimal() else text


def frame_of(timestamp: str) -> int:
    """Return the frame of "HH:MM:SS.cc" at 30 a second, from 1: without any guard against rounding, as RULSTM has it.

    >>> frame_of("00:01:06.10"), frame_of("00:00:00.01")
    (1982, 1)
    """
    hours, minutes, seconds = timestamp.split(":")
    return max(1, math.floor(RATE * (3600 * int(hours) + 60 * int(minutes) + float(seconds))))
