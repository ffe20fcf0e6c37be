"""What of a dataset was not read and why, as blocks of the report."""

import os
from collections import defaultdict
from collections.abc import Sequence

from kinoflow.report.section import Block, Callout, Column, Heading, Table, Text
from kinoflow.store.tables import PARTLY, Unreadable, Video

NAMES, REASONS = 50, 30  # most rows of the tables


def losses(kept: Sequence[Video], lost: Sequence[Unreadable]) -> list[Block]:
    """Return what the report says of files that are not used, and of those that are used although damaged.

    kept: the videos in use, sorted. lost: the files that are not.
    """
    blocks: list[Block] = [Heading("What was not read")]
    if not lost:
        blocks.append(Text("Every file was read."))
    else:
        blocks.append(Callout(f"{len(lost)} of {len(kept) + len(lost)} files are not used.", "warning"))
        blocks += _lost_tables(lost)
    partly = [video for video in kept if video.status == PARTLY]
    if partly:
        blocks.append(_partly_table(partly))
    return blocks


def _lost_tables(lost: Sequence[Unreadable]) -> list[Block]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in lost:
        groups[row.reason or row.status, row.status].append(row.video)
    ranked = sorted(groups, key=lambda key: (-len(groups[key]), key))
    reasons = tuple((*key, len(groups[key])) for key in ranked[:REASONS])
    names = [(video, key[0]) for key in ranked for video in sorted(groups[key], key=os.fsencode)]
    notes = (f"The first {NAMES} of {len(names)}; unreadable.csv lists them all.",) if len(names) > NAMES else ()
    return [
        Table(
            "Why files are not used",
            (Column("reason"), Column("state"), Column("files", "number", "d")),
            reasons,
            notes=(f"The {REASONS} most frequent of {len(ranked)}.",) if len(ranked) > REASONS else (),
        ),
        Table("Files that are not used", (Column("file", "name"), Column("reason")), tuple(names[:NAMES]), notes=notes),
    ]


def _partly_table(partly: Sequence[Video]) -> Table:
    rows = tuple((v.video, v.frames, v.bad_packets, v.corrupt_frames, v.reason) for v in partly[:NAMES])
    columns = (
        Column("file", "name"),
        Column("frames", "number", "d"),
        Column("bad packets", "number", "d"),
        Column("corrupt frames", "number", "d"),
        Column("what is damaged"),
    )
    notes = (f"The first {NAMES} of {len(partly)}.",) if len(partly) > NAMES else ()
    return Table("Files that are used although a part of them is damaged", columns, rows, notes=notes)
