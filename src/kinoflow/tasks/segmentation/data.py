"""From tables and shards to videos that are cut into steps: rows of features, the label of each, which videos are for what.

A video without any labelled segment is unannotated: it may be trained on where no labels are needed, and is never scored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.datasets.published.breakfast import common_length
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard, with_rows
from kinoflow.store.tables import Segment, Video, read, read_csv
from kinoflow.tasks.segmentation.batches import Key
from kinoflow.tasks.segmentation.labels import Stretch, Vocabulary, inside, row_labels
from kinoflow.tasks.segmentation.options import LabelsOptions, RowsOptions

IN_MEMORY = 1 << 30  # bytes of features that are kept as they are read; more is read again in every epoch
NAMED = 3  # videos that a log line names


# ---------------------------------------------------------------- features


class Features:
    """The rows of all videos, as options choose them."""

    def __init__(self, shards: Iterable[Path], options: RowsOptions):
        self.options, self.paths = options, list(shards)
        self._shards = [Shard(path) for path in self.paths]
        if not self._shards:
            raise ConfigError("features: give the shards of features of the dataset")
        filled = with_rows(self._shards)
        kinds = {(shard.x.shape[1], shard.attrs.get("blocks", "{}")) for shard in filled if shard.bytes is None}
        if any(shard.bytes is not None for shard in self._shards):
            raise DataError(f"{self._shards[0].path}: this shard holds frames; give shards of features or of their PCA")
        if len(kinds) > 1:
            raise DataError(
                f"{filled[0].path}: its features have other columns than those of other shards; give one set"
            )
        width, blocks = kinds.pop()
        self.whole = width  # columns that there are
        self.columns = columns_of(width, parse_json(blocks), options, str(filled[0].path))
        self.about = {key: value for key, value in sorted(filled[0].attrs.items()) if key != "device"}
        self._where = {video: shard for shard in self._shards for video in shard.videos}
        self._keep = len(self.columns) * sum(len(shard.time) for shard in self._shards) * 4 < IN_MEMORY
        self._kept: dict[str, np.ndarray] = {}

    def __contains__(self, video: str) -> bool:
        return video in self._where

    @property
    def width(self) -> int:
        """Columns of a row."""
        return len(self.columns)

    def times(self, video: str) -> np.ndarray:
        """Return the middle of each row, (T,) seconds."""
        return self._where[video].times(video)[:: self.options.subsample]

    def rows(self, video: str) -> np.ndarray:
        """Return the rows of a video, (T, D) float32; DataError if one is not finite."""
        if video in self._kept:
            return self._kept[video]
        shard = self._where[video]
        found = chosen_columns(shard.rows(video)[:: self.options.subsample], self.columns, self.options)
        check_finite(found, f"{shard.path}: the features of {video!r}")
        if self._keep:
            self._kept[video] = found
        return found


def columns_of(width: int, blocks: Mapping[str, Sequence[int]], options: RowsOptions, source: str) -> np.ndarray:
    """Return the numbers of the columns that are read; ConfigError if a block is not there, or has too few columns."""
    spans = {name: tuple(blocks[name]) for name in sorted(blocks)} or {"": (0, width)}
    if options.blocks:
        lost = sorted(set(options.blocks) - set(spans))
        if lost:
            there = ", ".join(filter(None, spans)) or "none"
            raise ConfigError(f"rows.blocks: {source} has no block {lost[0]!r} (blocks there: {there})")
        spans = {name: spans[name] for name in sorted(options.blocks)}
    for name, (first, last) in spans.items():
        if options.components and last - first < options.components and not blocks:
            raise ConfigError(
                f"rows.components: {source} has {last - first} columns, fewer than {options.components}; lower it"
            )
        spans[name] = (first, min(last, first + options.components) if options.components else last)
    found = np.concatenate([np.arange(*span) for span in spans.values()])
    return found if options.permute is None else np.random.default_rng(options.permute).permutation(found)


def chosen_columns(rows: np.ndarray, columns: np.ndarray, options: RowsOptions) -> np.ndarray:
    """Return the columns of rows, divided, (T, D) float32."""
    found = np.ascontiguousarray(rows[:, columns], dtype=np.float32)
    return found / np.float32(options.downscale) if options.downscale != 1 else found


def check_finite(rows: np.ndarray, whose: str) -> None:
    """Raise DataError, naming the first row, if a value is not finite."""
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise DataError(f"{whose} are not finite in row {int(bad.argmax())}; mend the features or leave out the video")


# ---------------------------------------------------------------- videos


@dataclass(frozen=True, eq=False)
class Item:
    """A video: which of its rows count, and the labels of these."""

    video: str
    task: str
    recording: str
    split: str
    kept: np.ndarray  # (T,) numbers of the rows that count
    times: np.ndarray  # (T,) seconds, their middles
    labels: np.ndarray  # (T, M) int64, padded with -1; the first one is the label
    stretches: tuple[Stretch, ...]  # the labelled steps
    seconds: float = 1.0  # of a row
    start: float = 0.0  # of the video, seconds
    end: float | None = None  # of the video; None: nobody knows

    @property
    def annotated(self) -> bool:
        """Whether anything is known of its steps."""
        return bool(self.stretches)

    @property
    def frames(self) -> int:
        """The number of its rows."""
        return len(self.kept)

    @property
    def key(self) -> Key:
        """What decides its mini-batch."""
        return self.task, self.video, self.frames


@dataclass(frozen=True)
class Films:
    """The videos of a dataset by split, and what they are labelled with."""

    features: Features
    vocabulary: Vocabulary
    seconds: float  # of a row, median of all videos
    splits: dict[str, list[Item]]
    windows: dict[str, list[Stretch]]  # of narration, by video

    def rows(self, item: Item) -> np.ndarray:
        """Return the rows of a video that count, (T, D) float32."""
        rows = self.features.rows(item.video)
        return rows if len(rows) == item.frames else rows[item.kept]

    def spans(self, item: Item) -> np.ndarray:
        """Return where each row of a video that counts begins and ends, (T, 2) seconds."""
        edges = row_edges(self.features.times(item.video), item.seconds, item.start, item.end)
        return np.stack([edges[item.kept], edges[item.kept + 1]], axis=1)

    def chosen(self, names: Iterable[str], option_name: str) -> list[Item]:
        """Return the videos of these splits; ConfigError if one of them has no video."""
        found = []
        for name in dict.fromkeys(names):
            if name not in self.splits:
                there = ", ".join(sorted(map(repr, self.splits))) or "none"
                raise ConfigError(
                    f"{option_name}: no video with features is in the split {name!r} (splits there: {there})"
                )
            found += self.splits[name]
        return found


def read_films(
    videos: Path,
    segments: Path,
    features: Iterable[Path],
    rows: RowsOptions,
    labels: LabelsOptions,
    steps: Path | None = None,
    narration: Path | None = None,
    known: Vocabulary | None = None,
) -> Films:
    """Read the tables and open the shards.

    steps: table task,number,action of the tasks' steps in order; without it a task has those of its videos, by name.
    narration: table video,start,end,action of windows. known: the classes of a trained model, in place of those of the tables.
    """
    source = Features(features, rows)
    listed = [row for row in read(videos, Video) if row.kept]
    stretches = _stretches(segments, {row.video for row in read(videos, Video)}, labels)
    with_features = [row for row in listed if row.video in source]
    tell_lost([row.video for row in listed if row.video not in source], "have no features and are left out")
    if not with_features:
        raise DataError(f"{videos}: none of its {len(listed)} videos is in the shards of features; index them again")
    vocabulary = known or Vocabulary.of(_tasks(with_features, stretches, labels, steps), labels)
    seconds = row_length([source.times(row.video) for row in with_features])
    splits: dict[str, list[Item]] = {}
    lost: list[str] = []
    for row in with_features:
        item = _item(row, source.times(row.video), tuple(stretches.get(row.video, ())), vocabulary, labels, seconds)
        if item is None:
            lost.append(row.video)
        else:
            splits.setdefault(row.split, []).append(item)
    tell_lost(lost, "have no row to use (none, none inside a step, or labels of another length) and are left out")
    windows = _windows(narration) if narration else {}
    return Films(source, vocabulary, seconds, splits, windows)


def row_length(times: Sequence[np.ndarray], other: float = 1.0) -> float:
    """Return how many seconds a row stands for: the median distance of rows, ``other`` where every video has one row.

    The mean distance where most rows stand at the time of the one before: frames that are shown for longer than a row.
    """
    distances = np.concatenate([np.zeros(0), *(np.diff(each) for each in times)])
    return (float(np.median(distances)) or float(distances.mean()) or other) if len(distances) else other


def row_edges(times: np.ndarray, seconds: float, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """Return where rows begin and end, (T + 1,) seconds: row k lasts from edge k to edge k + 1, so that nothing is between them.

    times: (T,) seconds of the rows' middles, T > 0. seconds: of a row; the first and the last one reach half of it beyond their
    middles, but not out of the video. start, end: of the video, seconds; end None: nobody knows.
    """
    first = min(times[0], max(start, times[0] - seconds / 2))
    last = times[-1] + seconds / 2
    if end is not None:
        last = max(times[-1], min(last, end))
    return np.concatenate([[first], (times[1:] + times[:-1]) / 2, [last]])


def _stretches(segments: Path, known: set[str], labels: LabelsOptions) -> dict[str, list[Stretch]]:
    found: dict[str, list[Stretch]] = {}
    for row in read(segments, Segment):
        if row.video not in known:
            raise DataError(
                f"{segments}: the video {row.video!r} of {row.segment!r} is not among the videos; index them again"
            )
        name = getattr(row, labels.column)
        if not row.phase and name:
            found.setdefault(row.video, []).append((row.start, row.end, name))
    return {video: sorted(own) for video, own in found.items()}


def _tasks(
    videos: Sequence[Video], stretches: Mapping[str, list[Stretch]], labels: LabelsOptions, steps: Path | None
) -> dict[str, list[str]]:
    """Return the steps of each task of these videos."""
    if steps:
        listed = read_steps(steps)
        lost = sorted({row.task for row in videos if stretches.get(row.video)} - set(listed))
        if lost:
            raise DataError(f"{steps}: it has no steps of the task {lost[0]!r}; add them")
        return {task: own for task, own in listed.items() if task in {row.task for row in videos}}
    found: dict[str, set[str]] = {}
    for row in videos:
        names = {name for *_, name in stretches.get(row.video, ())} - set(labels.background_names)
        found.setdefault(row.task, set()).update(names)
    return {task: sorted(found[task]) for task in sorted(found) if found[task]}


def read_steps(path: Path) -> dict[str, list[str]]:
    """Read a table task,number,action: the steps of each task in the order of the lines."""
    found: dict[str, list[str]] = {}
    for line, row in read_csv(path, ("task", "number", "action")):
        own = found.setdefault(row["task"] or "", [])
        if row["number"] != str(len(own) + 1) or not row["action"]:
            raise DataError(f"{path}, line {line}: steps are numbered from 1 in each task, and each has an action")
        own.append(row["action"])
    return found


def _windows(path: Path) -> dict[str, list[Stretch]]:
    found: dict[str, list[Stretch]] = {}
    for line, row in read_csv(path, ("video", "start", "end", "action")):
        try:
            window = float(row["start"] or ""), float(row["end"] or ""), row["action"] or ""
        except ValueError:
            raise DataError(f"{path}, line {line}: start and end are seconds") from None
        found.setdefault(row["video"] or "", []).append(window)
    return found


def _item(
    row: Video,
    times: np.ndarray,
    stretches: tuple[Stretch, ...],
    vocabulary: Vocabulary,
    labels: LabelsOptions,
    seconds: float,
) -> Item | None:
    """Return a video; None if no row of it counts. seconds: of a row, where the video has just one."""
    count, seconds = len(times), row_length([times], seconds)
    end = None if row.duration is None else row.start + row.duration
    about = {"seconds": seconds, "start": max(0.0, row.start), "end": end}
    if stretches and labels.max_difference is not None:
        told = round(max(end for _, end, _ in stretches) / seconds)
        count = common_length(told, len(times), labels.max_difference) or 0
    elif stretches and max(start for start, *_ in stretches) > times[-1:].max(initial=0) + seconds:
        log.warning("%r: steps that begin behind its last row are left out", row.video)
    kept = np.arange(count)
    if row.task not in vocabulary.tasks:  # a task without labels, or one that the model has never seen
        found = np.full((count, 1), -1, np.int64)
        known = (row.video, row.task, row.recording, row.split, kept, times[:count], found, ())
        return Item(*known, **about) if count else None
    hits = inside(stretches, vocabulary.tasks[row.task], times[:count], seconds / 2, labels.rule)
    if labels.background == "removed" and stretches:
        kept = kept[hits.any(axis=1)]
    if not len(kept):
        return None
    found = row_labels(hits[kept], vocabulary, row.task)
    return Item(row.video, row.task, row.recording, row.split, kept, times[kept], found, stretches, **about)


def tell_lost(videos: Sequence[str], what: str) -> None:
    """Say how many videos are not used and why, and name some."""
    if videos:
        some = ", ".join(map(repr, videos[:NAMED])) + (", ..." if len(videos) > NAMED else "")
        log.warning("%d videos %s: %s", len(videos), what, some)
