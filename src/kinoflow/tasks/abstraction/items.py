"""Clips with classes, the members of sets: rows of segments.csv that are no phases, or the videos of a published list.

What cannot be used is left out once, here: clips without features, clips whose class has no node. They are counted and named,
and more of them than ``max_missing`` allows stops the run.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.sample import evenly
from kinoflow.progress import log
from kinoflow.store.shards import Shard, with_rows
from kinoflow.store.tables import HEADS, Segment, Video, read
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

NAMED = 5  # of those left out, that a sentence names


@dataclass(frozen=True)
class Items:
    """V clips. labels: (V, L) labels of their classes, filled up with -1; start, end: (V,) seconds in the video."""

    names: tuple[str, ...]
    labels: np.ndarray
    videos: tuple[str, ...]
    start: np.ndarray
    end: np.ndarray
    texts: tuple[str, ...]
    recordings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def first(self) -> np.ndarray:
        """The first label of each clip, (V,)."""
        return self.labels[:, 0]

    @cached_property
    def place(self) -> dict[str, int]:
        """The number of each name."""
        return {name: number for number, name in enumerate(self.names)}

    def take(self, index: Sequence[int] | np.ndarray) -> "Items":
        """Return some of the clips, in this order."""
        index = np.asarray(index, np.int64)
        names, videos, texts, recordings = (
            tuple(values[i] for i in index) for values in (self.names, self.videos, self.texts, self.recordings)
        )
        return Items(names, self.labels[index], videos, self.start[index], self.end[index], texts, recordings)


def listed(names: Iterable[str], classes: Iterable[Sequence[int]]) -> Items:
    """Make clips that are whole videos, from names and the labels of each, as a published list has them."""
    names = tuple(names)
    zeros = np.zeros(len(names))
    return Items(names, _filled(classes), names, zeros, zeros + np.inf, ("",) * len(names), names)


def _filled(classes: Iterable[Iterable[int]]) -> np.ndarray:
    """Return labels of each clip as rows, (V, L) int32, filled up with -1."""
    rows = [tuple(row) for row in classes]
    labels = np.full((len(rows), max(map(len, rows), default=1)), -1, np.int32)
    for row, given in zip(labels, rows, strict=True):
        row[: len(given)] = given
    return labels


def load_items(
    segments: str | Path,
    videos: str | Path,
    taxonomy: Taxonomy,
    splits: Iterable[str],
    head: str = "action",
    features: Iterable[str | Path] | None = None,
    max_missing: float = 0.0,
    hold_out: Iterable[str] = (),
    only_held_out: bool = False,
) -> Items:
    """Return the clips of some splits whose class has a node and, if shards are given, whose video has features there.

    Rows of the same stretch of a video are one clip with several classes, called after the first of them. head: the column
    of segments.csv with the class. hold_out: recordings that are left out, or, with ``only_held_out``, the only ones that
    are taken. Clips are sorted as they stand in the table.

    Raises DataError if a larger share than ``max_missing`` cannot be used, or a video is not in the table of videos.
    """
    if head not in HEADS:
        raise ConfigError(f"head: {head!r} is no column of labels: give one of {', '.join(HEADS)}")
    rows = _rows(segments, videos, splits, set(hold_out), only_held_out)
    have = None if features is None else {name for path in features for name in _videos_with_rows(Shard(path))}
    classless = Counter(getattr(row, head) for row, _ in rows if getattr(row, head) not in taxonomy)
    featureless = Counter(row.video for row, _ in rows if have is not None and row.video not in have)
    kept = [
        (row, recording)
        for row, recording in rows
        if getattr(row, head) not in classless and row.video not in featureless
    ]
    _tell(segments, len(rows), len(kept), classless, featureless, max_missing)
    clips: dict[tuple[str, float, float], tuple[Segment, str]] = {}
    labels: dict[tuple[str, float, float], dict[int, None]] = {}
    for row, recording in kept:
        stretch = (row.video, row.start, row.end)
        clips.setdefault(stretch, (row, recording))
        labels.setdefault(stretch, {})[taxonomy.label(getattr(row, head))] = None
    return Items(
        tuple(row.segment for row, _ in clips.values()),
        _filled(labels.values()),
        tuple(row.video for row, _ in clips.values()),
        np.array([row.start for row, _ in clips.values()], np.float64),
        np.array([row.end for row, _ in clips.values()], np.float64),
        tuple(row.text for row, _ in clips.values()),
        tuple(recording for _, recording in clips.values()),
    )


def _rows(
    segments: str | Path, videos: str | Path, splits: Iterable[str], held: set[str], only: bool
) -> list[tuple[Segment, str]]:
    known, wanted = {row.video: row for row in read(videos, Video)}, set(splits)
    found, seen = [], set()
    for row in read(segments, Segment):
        if row.phase:
            continue
        if row.video not in known:
            raise DataError(
                f"{segments}: the video {row.video!r} of {row.segment!r} is not in {videos}; index them again"
            )
        split = row.split or known[row.video].split
        seen.add(split)
        recording = known[row.video].recording or row.video
        if split in wanted and (recording in held) == only:
            found.append((row, recording))
    if lost := sorted(wanted - seen):
        there = ", ".join(map(repr, sorted(seen))) or "none"
        raise ConfigError(f"splits: no segment is in the split {lost[0]!r} (splits there: {there})")
    if not found:
        raise ConfigError(f"hold_out: no segment of {', '.join(sorted(wanted))} is left; correct the recordings")
    return found


def _videos_with_rows(shard: Shard) -> Iterable[str]:
    return (video for video, rows in zip(shard.videos, np.diff(shard.offsets), strict=True) if rows)


def _tell(
    source: str | Path, total: int, kept: int, classless: Counter, featureless: Counter, max_missing: float
) -> None:
    """Say what is left out; DataError if it is too much."""
    if kept == total:
        return
    parts = [
        f"{sum(counts.values())} {what} ({_some(counts)})"
        for what, counts in (("of classes without a node", classless), ("without features", featureless))
        if counts
    ]
    text = f"{source}: {total - kept} of {total} clips are left out: {' and '.join(parts)}"
    if total - kept > max_missing * total:
        raise DataError(
            f"{text}, more than max_missing ({max_missing:g}) allows; add them, or raise max_missing to leave them out"
        )
    log.warning("%s", text)


def _some(counts: Counter) -> str:
    names = sorted(counts)
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def item_features(items: Items, features: Iterable[str | Path], rows: int | None = None) -> np.ndarray:
    """Return the mean feature of each clip, (V, D) float32, over the rows whose time lies in [start, end).

    rows: so many of them, spread evenly; None for all. A clip that is shorter than the rows' spacing has the nearest row.
    DataError if a clip's video has no rows, or shards differ in width.
    """
    shards = [Shard(path) for path in features]
    where = {video: shard for shard in shards for video in _videos_with_rows(shard)}
    widths = sorted({shard.x.shape[1] for shard in with_rows(shards)})
    if len(widths) != 1:
        raise DataError(f"features: the shards are {widths} wide; give shards of one feature set")
    found = np.empty((len(items), widths[0]), np.float32)
    for number, video in enumerate(items.videos):
        if video not in where:
            raise DataError(f"features: the video {video!r} of {items.names[number]!r} has no rows in the shards")
        shard = where[video]
        chosen = _inside(shard.times(video), items.start[number], items.end[number])
        if rows is not None:
            chosen = chosen[evenly(len(chosen), rows)]
        found[number] = shard.rows(video)[chosen].mean(0, dtype=np.float64)
    return found


def _inside(times: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the numbers of the rows in [start, end), or of the one nearest to its middle."""
    first, last = np.searchsorted(times, [start, end])
    if first < last:
        return np.arange(first, last)
    middle = min(max((start + end) / 2, times[0]), times[-1])
    return np.array([np.abs(times - middle).argmin()])
