"""Which split, task and recording each video belongs to: by its name and the user's tables, never by its pixels.

So the workflow's main process can tell, shard by shard, whether a change of the user's tables matters to a stage that
asks for the training videos only.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kinoflow.datasets.labels import Line, Names, UserTable, read_user_table
from kinoflow.datasets.listing import read_list
from kinoflow.datasets.options import IndexOptions
from kinoflow.datasets.splits import draw, split_name
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.stage import In, State
from kinoflow.store.files import parse_json, write_text

LABEL_COLUMNS = ("video", "start", "end", "action")
LABEL_EXTRAS = ("verb", "noun", "phase", "variant", "text", "split", "recording", "task")
SPLIT_COLUMNS = ("video", "split")
SPLIT_EXTRAS = ("recording", "task")


class Role(NamedTuple):
    """What is known of a whole video."""

    split: str  # train, validation or test
    task: str  # "" if nobody told
    recording: str  # the video itself if nobody told


def read_labels(path: str | os.PathLike) -> UserTable:
    """Read a user's table of labelled segments."""
    return read_user_table(path, LABEL_COLUMNS, LABEL_EXTRAS)


def read_splits(path: str | os.PathLike) -> UserTable:
    """Read a user's table of splits, a row for each video."""
    return read_user_table(path, SPLIT_COLUMNS, SPLIT_EXTRAS)


def roles_of(
    videos: Iterable[str], options: IndexOptions, labels: Path | None = None, splits: Path | None = None
) -> dict[str, Role]:
    """Return {video: role} for all ``videos`` of a dataset (all of them: recordings and short names reach across shards).

    labels, splits: the user's tables, where there are any (``options.labels`` and ``options.splits`` are not looked at).
    Videos that only the tables know are passed over: the index counts them. Raises DataError where tables contradict
    themselves or name no video clearly.
    """
    files = [read_splits(splits)] if splits else []
    return assign(Names(videos), options, files + ([read_labels(labels)] if labels else []))[0]


def assign(names: Names, options: IndexOptions, user_tables: list[UserTable]) -> tuple[dict[str, Role], int]:
    """Return {video: role} and how many videos' splits were drawn; of several tables the first that tells something counts.

    The given split of one video is that of its whole recording.
    """
    told = [_told(table, names) for table in user_tables]
    known = {
        video: {k: v for facts in reversed(told) for k, v in facts.get(video, {}).items()} for video in names.videos
    }
    pattern = re.compile(options.recording) if options.recording else None
    recordings = {video: known[video].get("recording") or _recording(video, pattern) for video in names.videos}
    sides: dict[str, tuple[str, str]] = {}  # recording: (given split, a video that gives it)
    for video in names.videos:
        split, recording = known[video].get("split"), recordings[video]
        if split and sides.setdefault(recording, (split, video))[0] != split:
            raise _two_sides(recording, sides[recording], (split, video))
    drawn = {recording: draw(recording, options.draw) for recording in {*recordings.values()} - {*sides}}
    split_of = drawn | {recording: split for recording, (split, _) in sides.items()}
    found = {v: Role(split_of[r], known[v].get("task", ""), r) for v, r in recordings.items()}
    return found, sum(recording in drawn for recording in recordings.values())


def _recording(video: str, pattern: re.Pattern | None) -> str:
    found = pattern.search(video) if pattern else None
    return (found[1] if found else None) or video


def _two_sides(recording: str, one: tuple[str, str], other: tuple[str, str]) -> DataError:
    return DataError(
        f"the recording {recording!r} has the video {one[1]!r} in {one[0]} and {other[1]!r} in {other[0]}:"
        " give all videos of one recording the same split, or give them different recordings (index.recording)"
    )


def _told(table: UserTable, names: Names) -> dict[str, dict[str, str]]:
    """Return {video: {split, recording, task as far as told}}; rows of one video must not contradict each other."""
    columns = [name for name in ("split", "recording", "task") if name in table.columns]
    facts: dict[str, dict[str, str]] = {}
    lines: dict[tuple[str, str], Line] = {}
    for line in table.lines if columns else ():
        video = names.find(line.cells["video"], line.where)
        for column in columns:
            value = line.cells[column]
            value = split_name(value, line.where) if column == "split" else value
            if video is None or not value:
                continue
            if facts.setdefault(video, {}).setdefault(column, value) != value:
                before = lines[video, column]
                raise DataError(
                    f"{line.where}: the video {video!r} has the {column} {value!r} here, but {facts[video][column]!r}"
                    f" in {before.where}; write the same in all its rows"
                )
            lines.setdefault((video, column), line)
    return facts


# ---------------------------------------------------------------- shard by shard


def roles(data: State, out: State, options: IndexOptions, labels: In | None = None, splits: In | None = None) -> None:
    """Write split, task and recording of every video, a file for each list of videos.

    data: the dataset's folder, with the lists that `kinoflow lists` wrote
    out: the folder to write <shard>.json into
    labels: the user's table of labelled segments
    splits: the user's table of splits
    """
    lists = {file.stem: read_list(file) for file in sorted(Path(data, "lists").glob("*.json"))}
    if not lists:
        raise DataError(f"--data: there are no lists of videos in {Path(data, 'lists')}; run `kinoflow lists` before")
    found = roles_of((video for videos in lists.values() for video in videos), options, labels, splits)
    for shard, videos in lists.items():
        keep(Path(out, f"{shard}.json"), {video: found[video] for video in videos})
    for file in Path(out).glob("*.json"):
        if file.stem not in lists:
            file.unlink()
    log.info("roles of %d videos in %d shards", len(found), len(lists))


def keep(file: str | Path, shard: dict[str, Role]) -> None:
    """Write the roles of a shard's videos as {video: [split, task, recording]}; a file that says so already stays."""
    text = json.dumps(shard, sort_keys=True) + "\n"
    if not (Path(file).exists() and Path(file).read_text() == text):
        write_text(file, text)


def read_roles(file: str | Path) -> dict[str, Role]:
    """Return the roles of a shard's videos, as ``keep`` wrote them."""
    try:
        return {video: Role(*role) for video, role in parse_json(Path(file).read_text()).items()}
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{file}: these are no roles of videos; remove the file, the next run writes it anew") from None


def digest(shard: dict[str, Role]) -> str:
    """Return 16 hexadecimal digits that change when a video of the shard comes, goes or changes its role."""
    return hashlib.sha256(json.dumps(shard, sort_keys=True).encode()).hexdigest()[:16]
