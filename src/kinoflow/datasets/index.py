"""The stage that joins what the probe found with what the annotations say: videos.csv and segments.csv."""

import itertools
import math
import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from kinoflow.datasets.labels import Line, Names, UserTable, shown
from kinoflow.datasets.options import IndexOptions
from kinoflow.datasets.roles import Role, assign, read_labels, read_splits
from kinoflow.datasets.splits import ALIASES, MORE_SPLITS, SPLITS
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.tables import Probed, Segment, Video, columns, read, write

_SHARED = [name for name in columns(Video) if name in columns(Probed)]
_NAMES = ("action", "verb", "noun", "phase", "variant", "text")
_PLACE = operator.attrgetter("start", "end", *_NAMES)  # a segment's place within its video
SLACK = 1.0  # seconds by which a segment may end after its video: people round, and lengths are known to a frame


def index(
    inventory: In,
    videos: Out,
    segments: Out,
    options: IndexOptions,
    labels: In | None = None,
    splits: In | None = None,
) -> None:
    """Join what the probe found with labels and splits into the two tables that carry the dataset.

    inventory: the table of all files found, written by `kinoflow inventory`
    videos: the table to write: a row for each file found, used or not
    segments: the table to write: the labelled segments of the videos that are used
    labels: the user's table of labelled segments (instead of the option labels)
    splits: the user's table of splits (instead of the option splits)
    """
    if labels and options.class_per_folder:
        raise ConfigError("labels and class_per_folder exclude each other; leave one of them out")
    probed = {row.video: row for row in read(inventory, Probed)}
    _check_usable(list(probed.values()), options.max_unreadable)
    names = Names(probed)
    label_table, split_table = read_labels(labels) if labels else None, read_splits(splits) if splits else None
    given = [table for table in (split_table, label_table) if table]
    for table in given:
        _check_columns(table)
        _check_found(table, names, options.max_unreadable)
    roles, drawn = assign(names, options, given)
    if drawn and any("split" in table.columns for table in given):
        log.info("%d files have no given split: theirs are drawn (index.draw)", drawn)
    found = _per_folder(probed, roles) if options.class_per_folder else []
    if label_table:
        found = _labelled(label_table, names, probed, roles, options.max_unreadable)
    write(videos, (_video(probed[video], roles[video]) for video in names.videos), Video)
    write(segments, _numbered(found), Segment)
    _say_sizes(probed, roles, found)


def _video(probed: Probed, role: Role) -> Video:
    shared = {name: getattr(probed, name) for name in _SHARED}
    return Video(**shared, path=probed.video, split=role.split, recording=role.recording, task=role.task)


def _say_sizes(probed: dict[str, Probed], roles: dict[str, Role], found: list[Segment]) -> None:
    kept = [video for video, row in probed.items() if row.kept]
    sizes = {split: sum(roles[video].split == split for video in kept) for split in SPLITS + MORE_SPLITS}
    text = ", ".join(f"{split} {size}" for split, size in sizes.items() if size or split in SPLITS)
    log.info("%d videos (%s), %d segments", len(kept), text, len(found))


# ---------------------------------------------------------------- is there enough to work with?


def _check_usable(probed: list[Probed], most: float) -> None:
    if not probed:
        raise DataError(
            "no file in the dataset's folder matches include and is not excluded:"
            " check the path of the dataset and its options include and exclude"
        )
    lost = [row for row in probed if not row.kept]
    if len(lost) / len(probed) <= most and len(lost) < len(probed):
        return
    lost.sort(key=lambda row: os.fsencode(row.video))
    first = ", ".join(f"{row.video!r} ({row.reason or row.status})" for row in lost[:3])
    allowed = "so nothing is left" if len(lost) == len(probed) else f"max_unreadable allows {100 * most:g} %"
    raise DataError(
        f"{len(lost)} of {len(probed)} files cannot be used ({allowed}): {first}{', ...' if len(lost) > 3 else ''};"
        " unreadable.csv lists them all: repair them, leave files that are no videos out with exclude,"
        " or raise index.max_unreadable"
    )


def _check_columns(table: UserTable) -> None:
    if table.unknown:
        log.info("%s: columns that are not known here are ignored: %s", table.path, ", ".join(table.unknown))


def _check_found(table: UserTable, names: Names, most: float) -> None:
    """Videos that only the table knows are ordinary (published lists name lost ones), as long as they are few."""
    texts = dict.fromkeys(line.cells["video"] for line in table.lines)
    where = {line.cells["video"]: line.where for line in reversed(table.lines)}
    lost = [text for text in texts if names.find(text, where[text]) is None]
    if not lost:
        return
    text = (
        f"{table.path}: {len(lost)} of the {len(texts)} videos named there were not found in the folder:"
        f" {shown(map(repr, lost), len(lost))}"
    )
    if len(lost) / len(texts) > most:
        raise DataError(
            f"{text}; write names as they are below the folder, as in {_alike(lost[0], names)!r},"
            " or raise index.max_unreadable to go on without them"
        )
    log.info("%s", text)


def _alike(text: str, names: Names) -> str:
    """Return a video for example: one whose file is called as ``text`` asks, in whatever folder, if there is one."""
    wanted = PurePosixPath(text.replace("\\", "/")).name
    alike = (video for video in names.videos if wanted in (PurePosixPath(video).name, PurePosixPath(video).stem))
    return next(alike, names.videos[0])


# ---------------------------------------------------------------- segments


def _numbered(found: Iterable[Segment]) -> Iterator[Segment]:
    """Sort the segments and name each by its video and its place there: other videos do not change a name."""
    order = sorted(found, key=lambda segment: (os.fsencode(segment.video), *_PLACE(segment)))
    for _, group in itertools.groupby(order, key=operator.attrgetter("video")):
        for number, segment in enumerate(group):
            yield replace(segment, segment=f"{segment.video}#{number:04d}")


def _per_folder(probed: dict[str, Probed], roles: dict[str, Role]) -> list[Segment]:
    """Return one segment for each video that is used: all of it, named by its first folder."""
    found = []
    for video, row in probed.items():
        action, slash, _ = video.partition("/")
        if not row.kept:
            continue
        if not slash:
            raise DataError(
                f"{video!r} lies in no sub-folder, so class_per_folder finds no action for it;"
                " move it into its action's folder, or leave it out with exclude"
            )
        if row.duration is None:
            raise DataError(
                f"the length of {video!r} is not known, so class_per_folder cannot label it; use labels instead"
            )
        found.append(_segment(video, row.start, row.start + row.duration, roles[video].split, {"action": action}))
    actions = {segment.action for segment in found}
    if all(action.lower() in ALIASES for action in actions):
        raise DataError(
            f"class_per_folder: the first folders are {', '.join(sorted(actions))}: these are splits, not actions;"
            " write tables of labels and splits instead"
        )
    return found


def _segment(video: str, start: float, end: float, split: str, cells: dict[str, str]) -> Segment:
    names = {name: cells.get(name, "") for name in _NAMES}
    return Segment(segment="", video=video, start=start, end=end, split=split, **names)


def _labelled(
    table: UserTable, names: Names, probed: dict[str, Probed], roles: dict[str, Role], most: float
) -> list[Segment]:
    """Return the segments that a table tells, of the videos that are used, none far beyond their end."""
    found: dict[Segment, None] = {}  # in the order of the table
    unused, cut, beyond, repeated = [], [], [], []
    for line in table.lines:
        start, end = _times(line)
        video = names.find(line.cells["video"], line.where)
        if video is None:
            continue
        row = probed[video]
        if not row.kept:
            unused.append(line.where)
            continue
        end = _length(line, row) if end is None else end
        last = math.inf if row.duration is None else row.start + row.duration
        if start >= last:
            beyond.append(f"{line.where}: {start:.3f} s of {last:.3f} s")
            continue
        if end > last + SLACK:
            cut.append(f"{line.where}: {end:.3f} s of {last:.3f} s")
            end = last
        segment = _segment(video, start, end, roles[video].split, line.cells)
        if segment in found:
            repeated.append(line.where)
        found[segment] = None
    _say("segments of unreadable videos are left out", unused)
    _say("segments that end after their video are cut to it", cut)
    _say("segments that stand there twice count once", repeated)
    _check_beyond(beyond, len(found), most)
    return list(found)


def _times(line: Line) -> tuple[float, float | None]:
    """Return start and end (None: that of the video), after checks that need no video."""
    start, end = line.seconds("start") or 0.0, line.seconds("end")
    if end is not None and end <= start:
        raise DataError(f"{line.where}: end {end} is not after start {start}; write times in seconds, start before end")
    if not (line.cells["action"] or line.cells["phase"]):
        raise DataError(f"{line.where}: the action is empty; write what is done there, or remove the row")
    return start, end


def _length(line: Line, row: Probed) -> float:
    if row.duration is None:
        raise DataError(f"{line.where}: the end is empty, but the length of {row.video!r} is not known; write the end")
    return row.start + row.duration


def _say(what: str, places: list[str]) -> None:
    if places:
        log.info("%s: %d (%s)", what, len(places), shown(places, len(places)))


def _check_beyond(beyond: list[str], inside: int, most: float) -> None:
    """A few labels after the end of a damaged video are ordinary; many mean that the times are no seconds."""
    _say("segments that begin after the end of their video are left out", beyond)
    if beyond and len(beyond) / (len(beyond) + inside) > most:
        raise DataError(
            f"{len(beyond)} of {len(beyond) + inside} segments begin after the end of their video: {beyond[0]};"
            " write times in seconds, not in frames or milliseconds, or raise index.max_unreadable"
        )
