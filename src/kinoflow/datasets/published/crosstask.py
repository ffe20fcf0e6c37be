"""CrossTask (Zhukov et al. 2019): tasks with steps in an order, videos of them from a video site, and when steps are done.

    tasks_primary.txt, tasks_related.txt   cards of five lines: number, title, address, number of steps, steps with commas
    videos.csv, videos_val.csv             task, video, address: all videos; those to test on
    annotations/TASK_VIDEO.csv             step (from 1), start, end in seconds; of primary tasks alone, in no order
    crosstask_constraints/TASK_VIDEO.csv   beside the release: the same columns, windows in which the narrator speaks of a step

A video may stand under two tasks; then it is two videos here, ``TASK_VIDEO``. Names of videos hold ``_``, so files are cut at
the first one. A primary video without an annotation file is unannotated: it may be trained on, and is never tested on.
"""

import csv
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kinoflow.datasets.published.clips import safe_name
from kinoflow.datasets.splits import RELATED, TEST, TRAIN, UNUSED, VALIDATION
from kinoflow.errors import DataError

RELEASE, WINDOWS = "crosstask_release", "crosstask_constraints"  # folders, as their archives have them
VIDEOS = "videos.csv"
HELD_OUT, SEED = 0.1, 1234  # of each task's training videos; of their shuffle, the same for every task

Row = tuple[str, str]  # task and video
Stretch = tuple[int, float, float]  # step (from 0 here), start and end in seconds


@dataclass(frozen=True)
class Task:
    """A card: what a task is called and the steps it takes, in order."""

    number: str
    title: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class CrossTask:
    """The release as its files tell it; tasks and videos are in the order of the files."""

    primary: dict[str, Task]
    related: dict[str, Task]
    videos: list[Row]
    test: list[Row]
    annotations: dict[Row, list[Stretch]]
    windows: dict[Row, list[Stretch]] = field(default_factory=dict)

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks, the primary ones first."""
        return self.primary | self.related

    @cached_property
    def pool(self) -> list[Row]:
        """The videos that may be trained on: none whose name stands in the test, under whatever task."""
        tested = {video for _, video in self.test}
        return [row for row in self.videos if row[1] not in tested]

    @cached_property
    def splits(self) -> dict[str, list[Row]]:
        """The videos by split: train, validation (held out of train), test, related, and unused ones (tested as another task's)."""
        found: dict[str, list[Row]] = {TRAIN: [], VALIDATION: [], TEST: list(self.test)}
        for task in self.primary:
            held, others = held_out([row for row in self.pool if row[0] == task])
            found[VALIDATION] += held
            found[TRAIN] += others
        found[RELATED] = [row for row in self.pool if row[0] in self.related]
        used = {row for rows in found.values() for row in rows}
        found[UNUSED] = [row for row in self.videos if row not in used]
        return found

    @property
    def unannotated(self) -> list[Row]:
        """The videos of primary tasks that have no annotation file."""
        return [row for row in self.videos if row[0] in self.primary and row not in self.annotations]


def name_of(row: Row) -> str:
    """Return the name of a video here and of its annotation file.

    >>> name_of(("105222", "-YtYoSwdUf8"))
    '105222_-YtYoSwdUf8'
    """
    return f"{row[0]}_{row[1]}"


def row_of(name: str) -> Row:
    """Return task and video of such a name: cut at the first underscore, for names of videos may hold more.

    >>> row_of("105222_6_svWUZ3hBA")
    ('105222', '6_svWUZ3hBA')
    """
    task, _, video = name.partition("_")
    return task, video


def held_out(rows: Sequence[Row], share: float = HELD_OUT, seed: int = SEED) -> tuple[list[Row], list[Row]]:
    """Part the training videos of one task, in the file's order, into those held out and the others."""
    mixed = list(rows)
    random.Random(seed).shuffle(mixed)
    count = int(share * len(mixed))
    return mixed[:count], mixed[count:]


# ---------------------------------------------------------------- reading


def read(folder: Path) -> CrossTask:
    """Read the release: a folder crosstask_release or one that it lies in; the windows are read where they lie beside it.

    Raises DataError that names the file and the line that does not fit.
    """
    release, spoken = places(folder)
    primary, related = (_tasks(release / f"tasks_{kind}.txt") for kind in ("primary", "related"))
    known = primary | related
    videos, test = (_videos(release / name, known) for name in (VIDEOS, "videos_val.csv"))
    if not test:
        raise DataError(f"{release / 'videos_val.csv'}: it names no video; take it from a newer release")
    done = _stretches(release / "annotations", known, set(videos))
    windows = _stretches(spoken, known, set(videos)) if spoken else {}
    return CrossTask(primary, related, videos, test, done, windows)


def places(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder of the release, and that of the windows of narration if it is there.

    folder: of the release itself, or one in which it lies or its archives were unpacked, each into a folder of its name
    """
    releases = (folder, folder / RELEASE, folder / RELEASE / RELEASE)
    release = next((place for place in releases if (place / VIDEOS).is_file()), None)
    if release is None:
        raise DataError(f"{folder}: there is no videos.csv of CrossTask; unpack crosstask_release.zip there")
    beside = [above / WINDOWS for above in (folder, release.parent, release.parent.parent)]
    spoken = (place for around in beside for place in (around / WINDOWS, around) if place.is_dir())
    return release, next(spoken, None)


def _tasks(path: Path) -> dict[str, Task]:
    cards: list[list[str]] = [[]]
    for line in _text(path).splitlines():
        if line.strip():
            cards[-1].append(line.strip())
        elif cards[-1]:
            cards.append([])
    return {task.number: task for card in cards if card for task in [_task(path, card)]}


def _task(path: Path, card: Sequence[str]) -> Task:
    steps = tuple(card[4].split(",")) if len(card) == 5 else ()
    number = card[0].isascii() and card[0].isdigit()  # files are named after it
    if len(card) != 5 or not number or card[3] != str(len(steps)) or not all(steps):
        raise DataError(
            f"{path}: the card of the task {card[0]!r} should be number (digits), title, address, number of steps and as many steps"
            " with commas between them; fetch the file again"
        )
    return Task(card[0], card[1], steps)


def _videos(path: Path, tasks: dict[str, Task]) -> list[Row]:
    found = []
    try:
        rows = list(csv.reader(_text(path).splitlines()))
    except csv.Error as error:
        raise DataError(f"{path}: this is no readable CSV table: {error}") from None
    for number, cells in enumerate(rows, 1):
        if not cells:
            continue
        if len(cells) < 2 or cells[0] not in tasks or not cells[1]:
            raise DataError(f"{path}, line {number}: {','.join(cells)!r} should be a task, a video and its address")
        found.append((cells[0], safe_name(cells[1], f"{path}, line {number}")))
    return list(dict.fromkeys(found))


def _stretches(folder: Path, tasks: dict[str, Task], videos: set[Row]) -> dict[Row, list[Stretch]]:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; unpack crosstask_release.zip again")
    found = {}
    for path in sorted(folder.glob("*.csv")):
        row = row_of(path.stem)
        if row in videos:  # older copies have files of videos that the list has no more
            found[row] = list(_read_stretches(path, len(tasks[row[0]].steps)))
    return found


def _read_stretches(path: Path, steps: int) -> Iterable[Stretch]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            step, start, end = line.split(",")
            stretch = int(step) - 1, float(start), float(end)
        except ValueError:
            stretch = (-1, 0.0, 0.0)
        if not 0 <= stretch[0] < steps or not 0 <= stretch[1] <= stretch[2] < float("inf"):
            raise DataError(f"{path}, line {number}: {line!r} should be a step (1 to {steps}), its start and its end")
        yield stretch


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this file cannot be read: {error}") from None
