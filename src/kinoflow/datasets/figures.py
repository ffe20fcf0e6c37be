"""The stage `data-section`: what a dataset holds, what of it was not read and why, and how it looks."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.contact_sheet import Strip, clock, compose
from kinoflow.datasets.losses import losses
from kinoflow.datasets.splits import SPLITS
from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.media.sample import evenly
from kinoflow.progress import Progress, log
from kinoflow.report import section as sections
from kinoflow.report import style
from kinoflow.report.options import ReportOptions
from kinoflow.report.section import Block, Callout, Column, Figure, Heading, Section, Table, Text, counted
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import write_bytes
from kinoflow.store.tables import PARTLY, Segment, Unreadable, Video, read

ORDER = 10
TASKS, FORMATS, ACTIONS = 50, 8, 200  # most rows of each table
NAMED = 60  # most actions whose names stand under their bars


def data_section(
    videos: In,
    segments: In,
    unreadable: In,
    section: Out,
    options: ReportOptions,
    name: str,
    root: Folder | None = None,
    sheet: Out | None = None,
) -> None:
    """Make the report's section on a dataset.

    videos: the dataset's table of videos
    segments: the dataset's table of labelled segments
    unreadable: the table of files that are not used
    section: the section file to write
    name: name of the dataset
    root: folder of the videos; without it the dataset holds features alone and has no pictures
    sheet: the contact sheet as a picture of its own (JPEG) to write
    """
    rows, labels, lost = read(videos, Video), read(segments, Segment), read(unreadable, Unreadable)
    kept = sorted((row for row in rows if row.kept), key=lambda row: os.fsencode(row.video))
    actions = [label for label in labels if label.action and not label.phase]
    picture = _contact_sheet(kept, actions, root, options, name) if root else b""
    if sheet:
        if not picture:
            raise DataError(
                f"--sheet: the dataset {name!r} has no picture to show (features alone, no video, or sheet_videos 0)"
            )
        write_bytes(sheet, picture)
    blocks = [
        *_sizes(kept, actions),
        *_pictures(picture, kept, options, root),
        *_labels(actions, [split for split in SPLITS if any(row.split == split for row in kept)]),
        *_kinds(kept),
        *losses(kept, lost),
    ]
    sections.write(section, Section(f"Data: {name}", ORDER, tuple(blocks), _summary(kept, actions, lost)))
    log.info("%s: %d videos, %d files not used", name, len(kept), len(lost))


def _summary(kept: Sequence[Video], actions: Sequence[Segment], lost: Sequence[Unreadable]) -> str:
    said = [f"{counted(len(kept), 'video')}, {_hours(kept)} of footage"]
    if actions:
        said.append(f"{counted(len(actions), 'segment')} of {counted(len({a.action for a in actions}), 'action')}")
    files = len(kept) + len(lost)
    said.append(f"{len(lost)} of {counted(files, 'file')} not used" if lost else "every file was read")
    return "; ".join(said) + "."


def _hours(videos: Iterable[Video]) -> str:
    seconds = sum(video.duration or 0.0 for video in videos)
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


# ---------------------------------------------------------------- what there is


def _sizes(kept: Sequence[Video], actions: Sequence[Segment]) -> list[Block]:
    if not kept:
        return [Callout("This dataset holds no video that can be used.", "warning")]
    by_split = defaultdict(list)
    for video in kept:
        by_split[video.split].append(video)
    splits = [split for split in (*SPLITS, "") if split in by_split] + sorted(set(by_split) - {*SPLITS, ""})
    rows = [_size(split or "none given", by_split[split], actions) for split in splits]
    highlight: tuple[int, ...] = ()
    if len(rows) > 1:
        highlight = (len(rows),)
        rows.append(_size("all", kept, actions))
    columns = (
        Column("split"),
        Column("videos", "number", "d"),
        Column("hours", "number", ".2f"),
        Column("recordings", "number", "d"),
        Column("labelled videos", "number", "d"),
        Column("segments", "number", "d"),
        Column("actions", "number", "d"),
    )
    return [Table("What is used, by split", columns, tuple(rows), highlight=highlight)]


def _size(split: str, videos: Sequence[Video], actions: Sequence[Segment]) -> tuple[Any, ...]:
    names = {video.video for video in videos}
    inside = [action for action in actions if action.video in names]
    return (
        split,
        len(videos),
        sum(video.duration or 0.0 for video in videos) / 3600,
        len({video.recording for video in videos if video.recording}) or None,
        len({action.video for action in inside}),
        len(inside),
        len({action.action for action in inside}),
    )


def _kinds(kept: Sequence[Video]) -> list[Block]:
    tasks = _tasks(kept)
    heading = Heading("Tasks and formats" if tasks else "Formats")
    return [heading, *tasks, _formats(kept)] if kept else []


def _tasks(kept: Sequence[Video]) -> list[Block]:
    found = Counter(video.task for video in kept if video.task)
    if not found:
        return []
    seconds: Counter[str] = Counter()
    for video in kept:
        seconds[video.task] += video.duration or 0.0
    ranked = sorted(found, key=lambda task: (-found[task], task))
    rows = tuple((task, found[task], seconds[task] / 3600) for task in ranked[:TASKS])
    columns = (Column("task"), Column("videos", "number", "d"), Column("hours", "number", ".2f"))
    return [Table("Tasks: what whole videos are about", columns, rows, notes=_left_out(len(ranked), TASKS, "tasks"))]


def _formats(kept: Sequence[Video]) -> Table:
    found = Counter((_picture(video), _rate(video)) for video in kept)
    ranked = sorted(found, key=lambda item: (-found[item], item))
    rows = tuple((*key, found[key]) for key in ranked[:FORMATS])
    columns = (Column("picture"), Column("frames per second", "number"), Column("videos", "number", "d"))
    return Table("Formats", columns, rows, notes=_left_out(len(ranked), FORMATS, "formats"))


def _picture(video: Video) -> str:
    if not video.width or not video.height:
        return f"{video.width} values a row" if video.width else ""
    turned = f", turned by {video.rotation}°" if video.rotation else ""
    return f"{video.width} × {video.height}{turned}{'' if video.pixel_aspect == '1:1' else f', pixels {video.pixel_aspect}'}"


def _rate(video: Video) -> str:
    return f"{video.fps:.2f}" if video.fps else ""


def _left_out(found: int, shown: int, what: str) -> tuple[str, ...]:
    return (f"The {shown} most frequent of {found} {what}.",) if found > shown else ()


# ---------------------------------------------------------------- how it looks


def _pictures(picture: bytes, kept: Sequence[Video], options: ReportOptions, root: Path | None) -> list[Block]:
    if root is None:
        return [Text("This dataset holds features alone, so there are no frames to show.")] if kept else []
    if not picture:
        return []
    names = [video.video for video in _picked(kept, options)]
    alt = f"Contact sheet of {counted(len(names), 'video')}: {', '.join(names)}"
    caption = (
        f"Frames as the files hold them: {len(names)} of {len(kept)} videos, picked evenly from the list by name,"
        f" {counted(options.sheet_frames, 'frame')} of each, spread evenly; below them what is done when."
    )
    return [Figure(alt, caption, image=picture)]


def _picked(kept: Sequence[Video], options: ReportOptions) -> list[Video]:
    count = min(options.sheet_videos, len(kept))
    return [kept[i] for i in evenly(len(kept), count)] if count else []


def _contact_sheet(
    kept: Sequence[Video], actions: Sequence[Segment], root: Path, options: ReportOptions, name: str
) -> bytes:
    """Return the contact sheet as JPEG; nothing if there is no video to show."""
    picked, strips = _picked(kept, options), []
    with Progress(f"contact sheet of {name}", total=len(picked), items="videos") as progress:
        for video in picked:
            labels = [action for action in actions if action.video == video.video]
            strips.append(_strip(video, root, labels, options.sheet_frames))
            progress.step()
    return compose(strips, options.sheet_frames) if strips else b""


def _strip(video: Video, root: Path, labels: Sequence[Segment], count: int) -> Strip:
    from kinoflow.media.decode import decode_video

    duration = video.duration or 0.0
    facts = [video.split, video.task, clock(duration)] + ([PARTLY] if video.status == PARTLY else [])
    said = " · ".join(filter(None, facts))
    try:
        blocks = list(decode_video(root / video.path, FramesOptions(size=96, count=count)))
    except DataError as error:  # found readable, yet no frame comes out: the sheet says so in its place
        log.info("contact sheet: %s", error)
        return Strip(
            video.video,
            said,
            np.zeros((0, 1, 1, 3), np.uint8),
            np.zeros(0),
            duration,
            labels,
            "no frame can be decoded",
        )
    frames, times = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Strip(video.video, said, frames, times, duration, labels)


# ---------------------------------------------------------------- labels


def _labels(actions: Sequence[Segment], splits: Sequence[str]) -> list[Block]:
    if not actions:
        return [Text("No segment of this dataset is labelled with an action.")]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    for action in actions:
        counts[action.action][action.split] += 1
        seconds[action.action] += action.end - action.start
    ranked = sorted(counts, key=lambda name: (-counts[name].total(), name))
    rows = tuple(
        (name, counts[name].total(), *(counts[name][split] for split in splits), seconds[name] / counts[name].total())
        for name in ranked[:ACTIONS]
    )
    columns = (
        Column("action"),
        Column("segments", "number", "d"),
        *(Column(split, "number", "d") for split in splits),
        Column("mean seconds", "number", ".1f"),
    )
    most, least = (counts[ranked[i]].total() for i in (0, -1))
    alt = f"Segments of each of {counted(len(ranked), 'action')}, from {most} of {ranked[0]} to {least} of {ranked[-1]}"
    table = Table("Segments by action", columns, rows, notes=_left_out(len(ranked), ACTIONS, "actions"))
    drawing = style.svg(partial(_draw_actions, counts=counts, ranked=ranked, splits=splits), 8.5, 2.6)
    return [Heading("Labels"), Figure(alt, "Segments by action, the most frequent first.", svg=drawing), table]


def _draw_actions(figure: Any, counts: dict[str, Counter[str]], ranked: Sequence[str], splits: Sequence[str]) -> None:
    axes = figure.subplots()
    edges = np.arange(len(ranked) + 1) - 0.5
    base = np.zeros(len(ranked))
    for split, colour in zip([*splits, ""], style.SERIES, strict=False):
        known = set(splits)
        part = [
            counts[name][split] if split else sum(n for s, n in counts[name].items() if s not in known)
            for name in ranked
        ]
        top = base + np.array(part, float)
        if any(part):
            axes.stairs(top, edges, baseline=base, fill=True, color=colour, label=split or "no split")
        base = top
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(False, axis="x")
    axes.set_ylabel("segments")
    axes.legend(reverse=True)
    if len(ranked) <= NAMED:
        axes.set_xticks(range(len(ranked)), [sections.printable(name) for name in ranked], rotation=90, fontsize=7)
        axes.tick_params(axis="x", length=0)
    else:
        axes.set_xlabel("rank of the action")
