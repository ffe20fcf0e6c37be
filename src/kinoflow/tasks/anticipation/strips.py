"""Strips of what was seen before some actions, and what teacher and students say comes next."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kinoflow.datasets.actions import Rows
from kinoflow.datasets.contact_sheet import Strip, compose, enlarged
from kinoflow.media.sample import evenly
from kinoflow.report.section import Block, Column, Figure, Heading, Table
from kinoflow.store.shards import COLOURS, Shard
from kinoflow.tasks.anticipation.evaluate import STUDENT, TEACHER, Prediction
from kinoflow.tasks.anticipation.result_store import Scores
from kinoflow.tasks.anticipation.results import Run
from kinoflow.tasks.anticipation.sources import Stored

FRAMES = 8  # of a strip


def examples(shown: Sequence[Run], rows: Rows, frames: Sequence[Path], count: int) -> list[Block]:
    """Return strips of what was seen before some actions of different videos, and the five likeliest next ones.

    shown: the runs whose students speak. frames: shards; those of flow are left out. count: actions.
    """
    results = [run.seeds[run.typical()] for run in shown]
    first = results[0].scores
    place = {str(uid): i for i, uid in enumerate(rows.uid)}
    uids = spread(first.uids, rows, place, count)
    if not uids:
        return []
    said = [{(row.uid, row.by): row for row in result.predictions} for result in results]
    lines = []
    for uid in uids:
        told_by = [("teacher", said[0].get((uid, TEACHER)))]
        told_by += [(run.name, each.get((uid, STUDENT))) for run, each in zip(shown, said, strict=True)]
        for who, row in told_by:
            if row:
                lines.append((uid, row.label, who, *_five(row)))
    names = ("likeliest", "second", "third", "fourth", "fifth")
    columns = (Column("action", "name"), Column("true next"), Column("by"), *(Column(name) for name in names))
    found: list[Block] = [Heading("What comes next?")]
    found += strips(uids, rows, place, first, frames)
    return [*found, Table("The five likeliest next actions", columns, tuple(lines))]


def spread(uids: Sequence[str], rows: Rows, place: Mapping[str, int], count: int) -> list[str]:
    """Return actions of different videos spread over all: of each the one in its middle. place: of the table's, by uid."""
    by_video: dict[str, list[str]] = {}
    for uid in (each for each in uids if each in place):
        by_video.setdefault(rows.video[place[uid]], []).append(uid)
    videos = sorted(by_video)
    chosen = [videos[i] for i in evenly(len(videos), min(count, len(videos)))] if videos and count else []
    return [by_video[video][len(by_video[video]) // 2] for video in chosen]


def _five(row: Prediction) -> tuple[str, ...]:
    return tuple(
        f"✓ {name}" if name == row.label else name
        for name in (row.predicted, row.second, row.third, row.fourth, row.fifth)
    )


def strips(
    uids: Sequence[str], rows: Rows, place: Mapping[str, int], scores: Scores, frames: Sequence[Path]
) -> list[Block]:
    """Return the picture of what was seen before actions, if shards have frames of it. place: as of `spread`."""
    shards = Stored("frame")
    for shard in map(Shard, frames):
        if shard.shape is not None and shard.channels == COLOURS:
            shards.add(shard)
    at = {uid: i for i, uid in enumerate(scores.uids)}
    drawn = []
    for uid in uids:
        video = rows.video[place[uid]]
        found = shards.find(video)
        if found is None:
            continue
        shard, stored = found
        times = shard.times(stored)
        start, end = float(scores.start[at[uid]]), float(scores.end[at[uid]])
        own = np.flatnonzero((times >= start) & (times <= end))
        if len(own):
            numbers = own[evenly(len(own), min(FRAMES, len(own)))]
            pictures = enlarged(shard.frames(stored, numbers))
            name = f"{uid}: then {scores.classes[int(scores.targets[at[uid]])]}"
            drawn.append(Strip(name, video, pictures, times[numbers], end))
    if not drawn:
        return []
    said = "; ".join(strip.name for strip in drawn)
    caption = "Frames of the window, evenly spread, and their times."
    return [Figure(f"What was seen before actions: {said}", caption, image=compose(drawn, FRAMES))]
