"""Sequences of actions with times, and the table of classes they come from: what anticipation reads of any dataset.

N rows (segments), C actions, V verbs, M nouns. Times are seconds; where two are compared, both are rounded to whole
frames of the dataset first, since thousandths of a frame would decide otherwise.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store import tables
from kinoflow.store.files import key_of, parse_json, write_json

HEADS = ("action", "verb", "noun")


@dataclass(frozen=True, kw_only=True)
class Action:
    """A row of actions.csv: one segment of a video."""

    uid: str  # a whole number without leading zeros where the dataset counts so
    video: str
    start: float  # seconds
    end: float
    action: int  # number in the table of classes
    verb: int = -1  # -1 where the dataset has none
    noun: int = -1
    split: str
    recording: str = ""  # who was filmed, or where: what a held-out part of the training must not share
    subsets: str = ""  # parts of the validation that are measured by themselves, blanks between


@dataclass(frozen=True)
class Classes:
    """The actions of a dataset, and the verb and noun of each."""

    dataset: str
    rate: float  # frames per second in which times are compared
    names: tuple[str, ...]  # C
    texts: tuple[str, ...]  # C, as a language model reads them: "take <v> pan"
    verb: tuple[int, ...] = ()  # C, or none at all
    noun: tuple[int, ...] = ()
    verbs: tuple[str, ...] = ()  # V
    nouns: tuple[str, ...] = ()  # M
    many_shot: dict[str, tuple[int, ...]] = field(default_factory=dict)  # {verb, noun, action: numbers}, where listed

    @property
    def key(self) -> str:
        """Return what stands for dataset and classes in records and checkpoints: other classes, another key."""
        return key_of(self.dataset, self.names)

    @property
    def heads(self) -> dict[str, int]:
        """Return the number of classes of each kind of label that there is."""
        return {"action": len(self.names)} | ({"verb": len(self.verbs), "noun": len(self.nouns)} if self.verb else {})


@dataclass(frozen=True)
class Rows:
    """The rows of actions.csv as arrays, sorted by video, start, end and uid (as a number)."""

    uid: np.ndarray  # (N,) str
    video: np.ndarray
    start: np.ndarray  # (N,) float64
    end: np.ndarray
    action: np.ndarray  # (N,) int64
    verb: np.ndarray
    noun: np.ndarray
    split: np.ndarray
    recording: np.ndarray
    subsets: np.ndarray

    @classmethod
    def of(cls, actions: Iterable[Action]) -> Self:
        """Return the arrays of ``actions``, in their order."""
        listed = list(actions)
        return cls(*(_array([getattr(row, name) for row in listed], kind) for name, kind in _KINDS.items()))

    def __len__(self) -> int:
        return len(self.uid)

    def labels(self, head: str) -> np.ndarray:
        """Return the numbers of a kind of label: action, verb or noun."""
        return getattr(self, head)

    def take(self, chosen: np.ndarray) -> Self:
        """Return the rows at ``chosen`` places, or where it is true."""
        return type(self)(*(getattr(self, name)[chosen] for name in _KINDS))


_KINDS: dict[str, Any] = dict.fromkeys(("uid", "video"), str) | dict.fromkeys(("start", "end"), np.float64)
_KINDS |= dict.fromkeys(HEADS, np.int64) | dict.fromkeys(("split", "recording", "subsets"), str)


def _array(values: list, kind: Any) -> np.ndarray:
    return np.array(values, dtype=object if kind is str else kind)


# ---------------------------------------------------------------- order and checks


def in_order(actions: Iterable[Action]) -> list[Action]:
    """Return the actions sorted by video, start, end and uid, digits in it counted as numbers."""
    ordered = sorted(actions, key=_time)
    for i, row in enumerate(ordered):  # few have neighbours at the same time: only those need the slow key
        if i and _time(ordered[i - 1]) == _time(row):
            first = next(k for k in range(i, -1, -1) if k == 0 or _time(ordered[k - 1]) != _time(row))
            ordered[first : i + 1] = sorted(ordered[first : i + 1], key=lambda each: natural(each.uid))
    return ordered


def _time(row: Action) -> tuple[str, float, float]:
    return row.video, row.start, row.end


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts texts with numbers in them by the numbers: P01_2 before P01_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def checked(actions: Sequence[Action], classes: Classes, where: Callable[[int], str]) -> list[Action]:
    """Return the actions in order, after saying how many overlap.

    ``where`` gives the file and line of row number i, for errors. Raises DataError for an end that is not after its start,
    a uid that comes twice, numbers that the table of classes does not have.
    """
    seen: dict[str, int] = {}
    limits = classes.heads
    for i, row in enumerate(actions):
        if not row.end > row.start:
            raise DataError(
                f"{where(i)}: the segment {row.uid} ends at {row.end:g} s, not after its start at {row.start:g} s"
            )
        if row.uid in seen:
            raise DataError(
                f"{where(i)}: the uid {row.uid} was there before ({where(seen[row.uid])}); each needs its own"
            )
        seen[row.uid] = i
        for head in HEADS:
            number = getattr(row, head)
            if (head in limits or number != -1) and not 0 <= number < limits.get(head, 0):
                raise DataError(
                    f"{where(i)}: the segment {row.uid} has the {head} {number}, and the table of classes has"
                    f" {limits.get(head, 0)}; take both files from the same release"
                )
    rows = in_order(actions)
    text = "%s: %d segments, %d (%.0f %%) start before an earlier one of their video has ended"
    count = overlapping(rows)
    log.info(text, classes.dataset, len(rows), count, 100 * count / max(1, len(rows)))
    return rows


def overlapping(rows: Sequence[Action]) -> int:
    """Count the rows (in order) that start before an earlier one of their video has ended."""
    count, video, latest = 0, None, 0.0
    for row in rows:
        if row.video != video:
            video, latest = row.video, row.end
            continue
        count += row.start < latest
        latest = max(latest, row.end)
    return count


# ---------------------------------------------------------------- files


def write_actions(path: Path, actions: Iterable[Action]) -> None:
    """Write actions.csv, in order."""
    tables.write(path, in_order(actions), Action)  # type: ignore[type-var] - any dataclass of plain values


def read_rows(path: Path, classes: Classes) -> Rows:
    """Return the rows of actions.csv as arrays; DataError if they are not of these classes."""
    actions = tables.read(path, Action)  # type: ignore[type-var]
    checked(actions, classes, lambda i: f"{path}, row {i + 1}")
    return Rows.of(in_order(actions))


def write_classes(path: Path, classes: Classes) -> None:
    """Write classes.json."""
    write_json(path, dataclasses.asdict(classes))


def read_classes(path: Path) -> Classes:
    """Return the table of classes; DataError if the file is none."""
    try:
        return classes_of(parse_json(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path}: this table of classes cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path}: this is no table of classes that `kinoflow action-sequences` wrote") from None


def classes_of(values: dict[str, Any]) -> Classes:
    """Return the table of classes of JSON values, as ``dataclasses.asdict`` makes them."""
    many = {name: tuple(numbers) for name, numbers in values["many_shot"].items()}
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name != "many_shot"}
    return Classes(**plain, many_shot=many)
