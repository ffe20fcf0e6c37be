"""The stages for published datasets of long videos with many labelled segments each: CrossTask and Breakfast."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kinoflow.datasets import listing
from kinoflow.datasets.published import breakfast, crosstask
from kinoflow.datasets.published.crosstask import CrossTask, name_of
from kinoflow.datasets.published.options import VideoAnnotationsOptions, WhichFilesOptions
from kinoflow.datasets.splits import UNUSED
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out, State
from kinoflow.store import tables
from kinoflow.store.tables import Probed

UNANNOTATED = "unannotated"
OURS = re.compile(r"[0-9]+_[\w.-]+", re.ASCII)  # names of links: TASK_VIDEO.npy


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A row of the labels, and of the windows of narration: what is done (spoken of) in a stretch of a video."""

    video: str
    start: float  # seconds
    end: float
    action: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """A row of the splits."""

    video: str
    split: str
    recording: str
    task: str


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """A row of the table of steps: tasks, and what is done in them in which order."""

    task: str
    number: int  # from 1
    action: str


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A row of the report on videos that are not there, or that nobody has labelled."""

    split: str
    video: str
    task: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LinkRow:
    """A row of the table of links: the name that a file has for one of its tasks."""

    link: str
    file: str  # below the folder of the files


@dataclass
class Tables:
    """What the stage writes."""

    labels: list[Stretch]
    sides: list[Side]
    steps: list[StepRow]
    windows: list[Stretch]
    lost: list[Lost]


def video_annotations(
    annotations: Folder,
    labels: Out,
    splits: Out,
    options: VideoAnnotationsOptions,
    inventory: In | None = None,
    steps: Out | None = None,
    narration: Out | None = None,
    missing: Out | None = None,
) -> None:
    """Turn the annotation files of CrossTask or Breakfast into tables for `kinoflow index`.

    annotations: the folder of the annotation files (crosstask_release or the folder that it is in; groundTruth and the like)
    labels: the table of labels to write: video, start, end, action
    splits: the table of splits to write: video, split, recording, task
    inventory: the table of all videos (feature files) found; those that are not there are left out then
    steps: a table of the tasks' steps in their order to write: task, number, action
    narration: a table of the windows to write in which a narrator speaks of a step: video, start, end, action (CrossTask)
    missing: a table to write of videos that are not there, and of those that nobody has labelled
    """
    known = _names(inventory) if inventory else None
    if options.kind == "crosstask":
        found = _crosstask(crosstask.read(annotations), known, options.suffix)
    else:
        found = _breakfast(breakfast.read(annotations), known, options)
    if not found.sides:
        raise DataError(
            f"{inventory}: none of the videos of {options.kind} is there; give the folder of their features"
        )
    for path, rows, kind in (
        (labels, found.labels, Stretch),
        (splits, found.sides, Side),
        (steps, found.steps, StepRow),
        (narration, found.windows, Stretch),
        (missing, found.lost, Lost),
    ):
        if path:
            tables.write(path, rows, kind)
    sizes = Counter(side.split for side in found.sides)
    log.info("%s: %s", options.kind, ", ".join(f"{split} {count}" for split, count in sorted(sizes.items())))
    unlabelled = sum(row.reason == UNANNOTATED for row in found.lost)
    if found.lost:
        log.warning("%d videos are unannotated, %d are not there", unlabelled, len(found.lost) - unlabelled)


def _names(inventory: Path) -> dict[str, str]:
    """Return {name without suffix: video}."""
    return {PurePosixPath(row.video).stem: row.video for row in tables.read(inventory, Probed)}


# ---------------------------------------------------------------- CrossTask


def _crosstask(release: CrossTask, known: dict[str, str] | None, suffix: str) -> Tables:
    named, lost = _files(release, known, suffix), []
    sides, labels, windows = [], [], []
    for split, rows in release.splits.items():
        for row in rows:
            if row not in named:
                lost.append(Lost(split=split, video=name_of(row), task=row[0], reason="no file"))
                continue
            video = named[row]
            # What serves two tasks is two recordings: its splits differ by task, and none of them trains on what is tested.
            sides.append(Side(video=video, split=split, recording=name_of(row), task=row[0]))
            labels += _stretches(video, release.annotations.get(row, ()), release.tasks[row[0]].steps)
            windows += _stretches(video, release.windows.get(row, ()), release.tasks[row[0]].steps)
            if row[0] in release.primary and row not in release.annotations:
                lost.append(Lost(split=split, video=video, task=row[0], reason=UNANNOTATED))
    steps = [
        StepRow(task=task.number, number=number, action=action)
        for task in release.primary.values()
        for number, action in enumerate(task.steps, 1)
    ]
    return Tables(labels, sides, steps, windows, lost)


def _files(release: CrossTask, known: dict[str, str] | None, suffix: str) -> dict[crosstask.Row, str]:
    """Return the file of each video: TASK_VIDEO, or VIDEO where no other task has taken it."""
    if known is None:
        return {row: f"{name_of(row)}{suffix}" for row in release.videos}
    found: dict[crosstask.Row, str] = {}
    taken: set[str] = set()
    tested = set(release.test)
    for row in sorted(
        release.videos, key=lambda row: row not in tested
    ):  # where a file serves once, it serves the test
        video = known.get(name_of(row)) or known.get(row[1])
        if video and video not in taken:
            taken.add(video)
            found[row] = video
    return found


def _stretches(video: str, stretches: Iterable[crosstask.Stretch], steps: tuple[str, ...]) -> Iterator[Stretch]:
    for step, start, end in sorted(stretches, key=lambda stretch: stretch[1:]):
        if end > start:
            yield Stretch(video=video, start=start, end=end, action=steps[step])


def task_links(
    annotations: Folder, root: Folder, links: State, options: WhichFilesOptions, table: Out | None = None
) -> None:
    """Make a folder in which a video of several tasks of CrossTask has a file for each: TASK_VIDEO.npy, links to VIDEO.npy.

    annotations: the folder of crosstask_release, or one that it lies in
    root: the folder of the feature files, crosstask_features; files in its folders count, too
    links: the folder of links to make; it holds no other links of tasks afterwards, and what is no link stays
    table: a table to write of the links: link, file
    """
    files = listing.scan(root, 1, options.include, options.exclude, "names")["000"]
    videos = crosstask.read(annotations).videos
    wanted = {name for row in videos for name in (name_of(row), row[1])}
    known: dict[str, PurePosixPath] = {}
    for file in map(PurePosixPath, sorted(files)):
        if file.stem in wanted and known.setdefault(file.stem, file) != file:
            raise DataError(
                f"{root}: {str(known[file.stem])!r} and {str(file)!r} may both be the video {file.stem!r}; leave one out"
                " with include or exclude"
            )
    named = [(row, file) for row in videos if (file := known.get(name_of(row)) or known.get(row[1]))]
    if not named:
        raise DataError(f"{root}: none of the {len(videos)} videos of CrossTask is there, as {videos[0][1]}.npy")
    rows = [LinkRow(link=f"{name_of(row)}{file.suffix}", file=str(file)) for row, file in named]
    links.mkdir(parents=True, exist_ok=True)
    old = {path.name for path in links.iterdir() if path.is_symlink() and OURS.fullmatch(path.name)}
    for name in old - {row.link for row in rows}:
        (links / name).unlink()
    place, own = root.resolve(), links.parent.resolve()
    if place.is_relative_to(own):  # fetched beside the links: both move together
        place = Path(os.path.relpath(place, own / links.name))
    for row in rows:
        _link(links / row.link, place / row.file)
    if table:
        tables.write(table, rows, LinkRow)
    log.info("%d links in %s, to %d files", len(rows), links, len({row.file for row in rows}))


def _link(link: Path, file: Path) -> None:
    """Make a link; one that leads there already stays as it is. What is no link is nothing of ours."""
    if link.is_symlink() and link.readlink() == file:
        return
    if link.is_symlink():
        link.unlink()
    try:
        link.symlink_to(file)
    except FileExistsError:
        raise DataError(f"{link}: this is no link, and one of this name should stand here; move it away") from None


# ---------------------------------------------------------------- Breakfast


def _breakfast(
    found: dict[breakfast.Recording, list[breakfast.Run]],
    known: dict[str, str] | None,
    options: VideoAnnotationsOptions,
) -> Tables:
    there = None if known is None else {breakfast.recording(stem).name: video for stem, video in known.items()}
    sides, labels, lost, names = [], [], [], dict[str, set[str]]()
    for each, runs in found.items():
        video = f"{each.name}{options.suffix}" if there is None else there.get(each.name)
        split = each.split(options.split)
        if video is None:
            lost.append(Lost(split=split, video=each.name, task=each.recipe, reason="no file"))
            continue
        sides.append(Side(video=video, split=split, recording=each.person, task=each.recipe))
        for first, end, label in runs:
            names.setdefault(each.recipe, set()).add(label)
            start, stop = first / breakfast.RATE, end / breakfast.RATE
            labels.append(Stretch(video=video, start=start, end=stop, action=label))
    for name in sorted(set(there or ()) - {each.name for each in found} - breakfast.BAD):
        each = breakfast.recording(name)
        row = Side(video=there[name], split=each.split(options.split), recording=each.person, task=each.recipe)
        sides.append(row)
        lost.append(Lost(split=row.split, video=row.video, task=row.task, reason=UNANNOTATED))
    for name in sorted(set(there or ()) & breakfast.BAD):  # a file that no row told of would be drawn into a split
        each = breakfast.recording(name)
        sides.append(Side(video=there[name], split=UNUSED, recording=each.name, task=each.recipe))
    steps = [
        StepRow(task=recipe, number=number, action=label)
        for recipe in sorted(names)
        for number, label in enumerate(sorted(names[recipe] - {breakfast.BACKGROUND}), 1)
    ]
    return Tables(labels, sides, steps, [], lost)
