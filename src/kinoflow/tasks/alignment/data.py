"""From tables, frames and feature rows to clips: which stretches of video are aligned, and which phase each frame is of.

A clip is a whole video, or a segment that is no phase; its frames are those whose time lies in it. Its phases are the rows
of segments.csv with a phase whose middle lies in it (or, in whole videos, the segments themselves).
"""

import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import SLACK, FrameShards, Videos
from kinoflow.metrics.alignment import first_share
from kinoflow.options import check
from kinoflow.progress import Progress, log
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard, with_rows
from kinoflow.store.tables import Segment, Video, read
from kinoflow.tasks.alignment.options import AlignmentOptions

NONE = -1  # label of a frame that is of no phase


class Source(Protocol):
    """Where pictures or feature rows come from."""

    def times(self, video: str) -> np.ndarray:
        """Return the time of each item of a video, (T,) seconds, not decreasing."""

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return the items with these numbers (n,): frames (n, H, W, 3) uint8, or rows (n, F) float32."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a video that is aligned with others."""

    name: str  # of its segment, or of the video
    video: str
    first: int  # number of its first frame among the video's
    times: np.ndarray  # (L,) seconds
    labels: tuple[str, ...]  # of each frame; "" where there is none
    set: str = ""  # clips of one set are compared with each other
    split: str = ""

    @property
    def frames(self) -> int:
        """The number of its frames, L."""
        return len(self.times)

    def numbers(self, classes: Sequence[str]) -> np.ndarray:
        """Return the number of each frame's label among ``classes``, (L,) int64, -1 where it is not one of them."""
        place = {name: i for i, name in enumerate(classes)}
        return np.array([place.get(label, NONE) for label in self.labels], np.int64)


# ---------------------------------------------------------------- clips


def clips(segments: str | Path, videos: str | Path, source: Source, options: AlignmentOptions) -> dict[str, list[Clip]]:
    """Return the clips of the table of videos, in its order, by split.

    Raises DataError if a video of the segments is unknown, or the source lacks one; ConfigError if ``only`` names nothing.
    """
    known = {row.video: row for row in read(videos, Video)}
    rows: dict[str, list[Segment]] = {video: [] for video, row in known.items() if row.kept}
    for row in read(segments, Segment):
        if row.video not in known:
            raise DataError(
                f"{segments}: the video {row.video!r} of {row.segment!r} is not in {videos}; index them again"
            )
        if row.video in rows:
            rows[row.video].append(row)
    stretches = _stretches(rows, options)
    found: dict[str, list[Clip]] = {}
    with Progress("clips", total=len(stretches), items="clips") as progress:
        for row in stretches:
            clip = _clip(row, rows[row.video], source.times(row.video), known[row.video], options)
            found.setdefault(clip.split, []).append(clip)
            progress.step()
    return found


def _stretches(rows: Mapping[str, Sequence[Segment]], options: AlignmentOptions) -> list[Segment]:
    """Return the stretches of video that are clips, as segments."""
    if options.clips == "videos":
        return [Segment(segment=video, video=video, start=-np.inf, end=np.inf) for video in rows]
    steps = [row for own in rows.values() for row in own if not row.phase]
    names = {getattr(row, options.clips) for row in steps}
    lost = [name for name in options.only if name not in names]
    if lost:
        some = ", ".join(map(repr, sorted(names)[:5])) or "none"
        raise ConfigError(f"only: no segment has the {options.clips} {lost[0]!r}; there are {some}")
    return [row for row in steps if not options.only or getattr(row, options.clips) in options.only]


def _clip(row: Segment, own: Sequence[Segment], times: np.ndarray, video: Video, options: AlignmentOptions) -> Clip:
    first, end = np.searchsorted(times, [row.start - SLACK, row.end - SLACK])
    parts = [each for each in own if _labels(each, row, options)]
    inside = times[first:end]
    labels = labelled(inside, [(each.start, each.end, getattr(each, options.label)) for each in parts])
    sort = "" if options.sets == "none" else video.task if options.sets == "task" else getattr(row, options.sets)
    clip = Clip(row.segment, row.video, int(first), inside, labels, sort, row.split or video.split)
    return cut(clip, options.cut) if options.cut else clip


def _labels(each: Segment, row: Segment, options: AlignmentOptions) -> bool:
    """Whether a row labels frames of a clip."""
    if options.label != "phase":
        return not each.phase and bool(getattr(each, options.label))
    return bool(each.phase) and row.start <= (each.start + each.end) / 2 < row.end


def labelled(times: np.ndarray, stretches: Iterable[tuple[float, float, str]]) -> tuple[str, ...]:
    """Return the label of each of ``times`` (L,) seconds: of several stretches (start, end, label) the last one counts."""
    labels = np.full(len(times), "", object)
    for start, end, label in stretches:
        first, last = np.searchsorted(times, [start - SLACK, end - SLACK])
        labels[first:last] = label
    return tuple(labels.tolist())


def cut(clip: Clip, share: float) -> Clip:
    """Return a clip without up to ``share`` of its first and last phase, drawn from its name alone; a frame of each stays."""
    labels = clip.labels
    if not labels:
        return clip
    rng = np.random.default_rng((zlib.crc32(os.fsencode(clip.name)), 5))
    before = next((i for i, label in enumerate(labels) if label != labels[0]), len(labels))
    after = next((i for i, label in enumerate(reversed(labels)) if label != labels[-1]), len(labels))
    first, last = (int(rng.random() * share * count) for count in (before, after))
    first, last = min(first, before - 1), min(last, after - 1)
    if before == len(labels):  # one phase only: both ends are cut off the same one
        last = min(last, len(labels) - 1 - first)
    end = len(labels) - last
    return replace(clip, first=clip.first + first, times=clip.times[first:end], labels=labels[first:end])


def chosen(by_split: Mapping[str, list[Clip]], splits: Iterable[str], option_name: str) -> list[Clip]:
    """Return the clips of these splits that have a frame; ConfigError if a split has no clip, DataError if none has a frame."""
    found: list[Clip] = []
    for split in dict.fromkeys(splits):
        if split not in by_split:
            there = ", ".join(sorted(map(repr, by_split))) or "none"
            raise ConfigError(f"{option_name}: no clip is in the split {split!r} (splits there: {there})")
        found += by_split[split]
    empty = [clip.name for clip in found if not clip.frames]
    if empty:
        log.warning("%d clips have no frame and are left out, %r for example", len(empty), empty[0])
    if len(empty) == len(found):
        raise DataError(
            f"{option_name}: no clip has a frame; decode the videos at a higher rate, or correct the labels"
        )
    return [clip for clip in found if clip.frames]


def classes_of(found: Iterable[Clip]) -> tuple[str, ...]:
    """Return the labels of clips in the order in which they come in time: by the mean place of their first frame.

    Where all are one word with a number, as "phase 3", in the order of their numbers: the last one ends a video.
    """
    places: dict[str, list[float]] = {}
    for clip in found:
        for label in dict.fromkeys(clip.labels):
            if label:
                places.setdefault(label, []).append(clip.labels.index(label) / clip.frames)
    numbers = {label: re.fullmatch(r"(.*\D)(\d+)", label) for label in places}
    if all(numbers.values()) and len({hit[1] for hit in numbers.values()}) == 1:
        return tuple(sorted(places, key=lambda label: (int(numbers[label][2]), label)))
    return tuple(sorted(places, key=lambda label: (round(sum(places[label]) / len(places[label]), 9), label)))


def by_set(found: Iterable[Clip]) -> dict[str, list[Clip]]:
    """Return the clips of each set, sets by name."""
    sets: dict[str, list[Clip]] = {}
    for clip in found:
        sets.setdefault(clip.set, []).append(clip)
    return {name: sets[name] for name in sorted(sets)}


def some(found: Sequence[Clip], most: int | None) -> list[Clip]:
    """Return at most ``most`` clips in their order, chosen by their names alone; None: all."""
    if most is None or len(found) <= most:
        return list(found)
    kept = set(sorted(range(len(found)), key=lambda i: (zlib.crc32(os.fsencode(found[i].name)), i))[:most])
    return [clip for i, clip in enumerate(found) if i in kept]


def labelled_share(found: Sequence[Clip], fraction: float) -> list[Clip]:
    """Return the first floor(fraction * n) clips, at least one: what supervised training sees the labels of."""
    return list(found[: first_share(len(found), fraction)])


# ---------------------------------------------------------------- sources


class FeatureRows:
    """Rows of feature shards, in place of frames."""

    def __init__(self, shards: Iterable[Shard]):
        self._shards: dict[str, Shard] = {}
        shards = list(shards)
        for shard in shards:
            if shard.shape is not None:
                raise DataError(f"{shard.path}: this shard holds frames; give one of features")
            for video in shard.videos:
                if video in self._shards:
                    first = self._shards[video].path
                    raise DataError(f"the video {video!r} is in two shards, {first} and {shard.path}; give one of them")
                self._shards[video] = shard
        widths = {shard.x.shape[1] for shard in with_rows(shards)}
        if len(widths) > 1:
            raise DataError(f"features: shards differ in width ({', '.join(map(str, sorted(widths)))}); give one set's")
        self.width = widths.pop() if widths else 0

    def times(self, video: str) -> np.ndarray:
        """Return the time of each row of a video, (T,) seconds; DataError if no shard has it."""
        return self._shard(video).times(video)

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return rows (n, F) float32."""
        return np.asarray(self._shard(video).rows(video)[numbers], np.float32)

    def _shard(self, video: str) -> Shard:
        if video not in self._shards:
            raise DataError(f"the video {video!r} is in none of the shards; give all of the dataset's")
        return self._shards[video]


@dataclass(frozen=True)
class Sources:
    """What a network reads, and how it is made."""

    read: Source
    made: FramesOptions | None  # of frames; None: feature rows
    width: int = 3  # planes of a picture, or F of a row


def sources(
    options: AlignmentOptions,
    frames: Sequence[str | Path],
    features: Sequence[str | Path],
    root: str | Path | None,
    made: FramesOptions | None = None,
) -> Sources:
    """Return where a network's pictures or rows come from; ConfigError unless exactly one source is given that it reads.

    made: how frames are made where they are decoded from videos; empty: all of them, their short side as large as needed.
    """
    given = [name for name, value in (("frames", frames), ("features", features), ("root", root)) if value]
    rows = options.network.backbone == "features"
    allowed = "features" if rows else "frames or root"
    if len(given) != 1 or (given[0] == "features") != rows:
        said = ", ".join(given) or "nothing"
        raise ConfigError(f"network.backbone: {options.network.backbone} reads one of {allowed}, and {said} is given")
    if rows:
        shards = FeatureRows(map(Shard, features))
        return Sources(shards, None, shards.width)
    if root is not None:
        made = made or decoding(options)
        return Sources(Videos(root, made), made)
    shards = list(map(Shard, frames))
    for shard in shards:
        if shard.shape is None or shard.channels != 3:
            raise DataError(f"{shard.path}: this shard holds no pictures; give one that `kinoflow frames` has made")
    texts = {shard.attrs.get("options", "{}"): shard for shard in shards}
    if len(texts) > 1:
        first, second = (shard.path for shard in list(texts.values())[:2])
        raise ConfigError(f"frames: {first} and {second} are made with different options; give shards of one kind")
    text, shard = next(iter(texts.items()))
    return Sources(FrameShards(shards), check(FramesOptions, parse_json(text), str(shard.path)))


def decoding(options: AlignmentOptions) -> FramesOptions:
    """Return how frames are made where a network reads videos: a little larger than its input, which crops need."""
    side = round(options.augment.size * 256 / 224) if options.augment.crop else options.augment.size
    return FramesOptions(size=side + side % 2)
