"""From tables and frames to clips: which rows are clips, which of a video's frames are theirs, which classes there are.

A clip is a row of segments.csv that is no phase; its frames are those whose time lies in [start, end).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import SLACK, FrameShards, Source, Videos
from kinoflow.options import check
from kinoflow.progress import Progress, log
from kinoflow.store.files import parse_json
from kinoflow.store.shards import Shard
from kinoflow.store.tables import HEADS, Segment, Video, read
from kinoflow.tasks.recognition.inputs import short_side
from kinoflow.tasks.recognition.options import HeadOptions, RecognitionOptions


@dataclass(frozen=True)
class Clip:
    """A stretch of a video."""

    segment: str
    video: str
    first: int  # number of its first frame among the video's
    frames: int


# ---------------------------------------------------------------- rows and clips


def steps(segments: str | Path, videos: str | Path) -> dict[str, list[Segment]]:
    """Return the rows of segments.csv that are no phases, in file order, by split.

    A row without a split has that of its video. Raises DataError for a row whose video is not in videos.csv.
    """
    known, found = {row.video: row for row in read(videos, Video)}, {}
    for row in read(segments, Segment):
        if row.video not in known:
            raise DataError(
                f"{segments}: the video {row.video!r} of {row.segment!r} is not in {videos}; index them again"
            )
        if not row.phase:
            found.setdefault(row.split or known[row.video].split, []).append(row)
    return found


def to_test(segments: str | Path, videos: str | Path, splits: Iterable[str]) -> list[Segment]:
    """Return the rows that are tested of these splits; of one without labels every video that is used is a clip.

    Raises ConfigError if nothing is in a split.
    """
    labelled, whole = steps(segments, videos), whole_videos(videos)
    for split in dict.fromkeys(splits):
        if split in whole and split not in labelled:
            log.info("%s: nothing is labelled, so each of its %d videos is a clip", split, len(whole[split]))
    return chosen(whole | labelled, splits, "splits")


def whole_videos(videos: str | Path) -> dict[str, list[Segment]]:
    """Return a row without labels for every video that is used, by split, called as `kinoflow index` would call it."""
    found: dict[str, list[Segment]] = {}
    for row in read(videos, Video):
        if row.kept:
            end = np.inf if row.duration is None else row.start + row.duration
            clip = Segment(segment=f"{row.video}#0000", video=row.video, start=row.start, end=end, split=row.split)
            found.setdefault(row.split, []).append(clip)
    return found


def chosen(by_split: Mapping[str, list[Segment]], splits: Iterable[str], option_name: str) -> list[Segment]:
    """Return the rows of these splits; ConfigError if one of them has no row."""
    rows = []
    for split in dict.fromkeys(splits):
        if split not in by_split:
            there = ", ".join(sorted(map(repr, by_split))) or "none"
            raise ConfigError(f"{option_name}: no segment is in the split {split!r} (splits there: {there})")
        rows += by_split[split]
    return rows


def held_out(rows: Iterable[Segment], names: Iterable[str], videos: str | Path) -> tuple[list[Segment], list[Segment]]:
    """Part rows into those of other recordings and those of the recordings ``names``; ConfigError if one has no row."""
    recordings = {row.video: row.recording or row.video for row in read(videos, Video)}
    parts: tuple[list[Segment], list[Segment]] = ([], [])
    wanted, seen = set(names), set()
    for row in rows:
        recording = recordings[row.video]
        parts[recording in wanted].append(row)
        seen.add(recording)
    if lost := sorted(wanted - seen):
        some = ", ".join(map(repr, sorted(seen)[:3]))
        raise ConfigError(f"hold_out: no segment to train on is of the recording {lost[0]!r}; give some of {some}, ...")
    return parts


def clips(rows: Iterable[Segment], source: Source) -> list[Clip]:
    """Return the clip of each row, in order; DataError if the source lacks its video."""
    rows, found = list(rows), []
    times: tuple[str, np.ndarray] = ("", np.empty(0))
    with Progress("clips", total=len(rows), items="segments") as progress:
        for row in rows:
            if times[0] != row.video or not found:
                times = row.video, source.times(row.video)
            found.append(clip(row, times[1]))
            progress.step()
    return found


def clip(row: Segment, times: np.ndarray) -> Clip:
    """Return the clip of a row, of a video whose frames have these times, (T,) seconds."""
    first, end = np.searchsorted(times, [row.start - SLACK, row.end - SLACK])
    return Clip(row.segment, row.video, int(first), int(end - first))


def check_lengths(found: Iterable[Clip], needed: int) -> None:
    """Raise DataError, naming the first, if clips have fewer frames than a window needs."""
    short = [clip for clip in found if clip.frames < needed]
    if short:
        first, more = short[0], len(short) - 1
        others = f" ({more} more like it)" if more else ""
        raise DataError(
            f"the clip {first.segment!r} of {first.video!r} has {first.frames} frames, but the network's input needs"
            f" {needed}{others}; remove it from the labels, decode frames at a higher rate, or lower input.frames"
        )


# ---------------------------------------------------------------- classes


def by_weight(heads: Mapping[str, HeadOptions]) -> list[str]:
    """Return the heads, the main one first: by the weights of their losses, of equals by name.

    Not as they stand in a file: options travel as JSON whose keys are sorted.
    """
    return sorted(heads, key=lambda head: (-heads[head].weight, head))


def check_heads(heads: Iterable[str], rows: Iterable[Segment]) -> None:
    """Raise ConfigError for a head that is no column of labels, DataError for rows without a label in it."""
    rows = list(rows)
    for head in heads:
        if head not in HEADS:
            raise ConfigError(f"heads: {head!r} is no column of labels: give one of {', '.join(HEADS)}")
        missing = [row.segment for row in rows if not getattr(row, head)]
        if missing:
            raise DataError(
                f"heads: the column {head!r} of segments.csv is empty in {len(missing)} of {len(rows)} segments to train"
                f" on, {missing[0]!r} for example; fill it in, or leave out the head"
            )


def class_lists(
    heads: Mapping[str, HeadOptions], rows: Iterable[Segment], listed: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the classes of each head, the main head first, in the order that its option asks for.

    rows: those that are trained on. listed: the dataset's own list, taken for ``classes: file`` by the heads whose labels are
    all in it.

    Raises ConfigError if a given list names a class twice or lacks one that is trained on.
    """
    rows, found = list(rows), {}
    for head in by_weight(heads):
        options = heads[head]
        names = dict.fromkeys(getattr(row, head) for row in rows)
        if options.classes in ("sorted", "file"):
            own = listed if set(names) <= set(listed) else names
            found[head] = tuple(sorted(names) if options.classes == "sorted" else own)
        else:
            found[head] = _given(head, options.classes, names)
        if len(found[head]) < 2:
            raise DataError(
                f"heads: there is one class in the column {head!r}, so nothing to learn; leave out the head"
            )
    return found


def _given(head: str, classes: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in classes:
        if name in seen:
            raise ConfigError(f"heads.{head}.classes: {name!r} stands there twice")
        seen.add(name)
    lost = [name for name in names if name not in seen]
    if lost:
        more = f" and {len(lost) - 1} more are" if len(lost) > 1 else " is"
        raise ConfigError(
            f"heads.{head}.classes: {lost[0]!r}{more} in the training segments, but not in this list; add it"
        )
    return classes


def targets(labels: Iterable[str], classes: Iterable[str]) -> np.ndarray:
    """Return the number of each label's class, (N,) int64; KeyError for one that is not in the list."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[name] for name in labels], np.int64)


def warn_of_unseen(labels: Iterable[str], head: str, classes: Iterable[str]) -> None:
    """Say which of the clips' labels were never seen in training: these clips stay, and count as wrong."""
    known = {*classes, ""}
    unseen = [name for name in labels if name not in known]
    if unseen:
        names = sorted(set(unseen))
        few = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
        text = "%s: %d clips have labels that no training clip has (%s): they stay, and count as wrong"
        log.warning(text, head, len(unseen), few)


# ---------------------------------------------------------------- sources


class Sources:
    """Where the frames of a dataset come from: shards, those of pictures and of flow apart, or its videos."""

    def __init__(self, paths: Iterable[str | Path], root: str | Path | None):
        by_kind: dict[bool, list[Shard]] = {}
        for shard in map(Shard, paths):
            if shard.shape is None:
                raise DataError(f"{shard.path}: this shard holds no frames; give one that `kinoflow frames` has made")
            by_kind.setdefault(_is_flow(shard), []).append(shard)
        if bool(by_kind) == (root is not None):
            raise ConfigError("frames, root: give the shards of frames, or the folder of the videos, and not both")
        self._shards = {flow: FrameShards(shards) for flow, shards in by_kind.items()}
        self._made = {flow: _made(shards) for flow, shards in by_kind.items()}
        self.root = root

    def made(self, options: RecognitionOptions) -> FramesOptions | None:
        """Return how the frames for a network are made; None for flow."""
        if options.input.kind == "flow":
            return None
        return self._made.get(False) or decoding(options)

    def of(self, options: RecognitionOptions, made: FramesOptions | None) -> Source:
        """Return the source for a network; ``made``: how its frames are to be made, where videos are decoded."""
        flow = options.input.kind == "flow"
        if self.root is not None:
            if flow or made is None:
                raise ConfigError("root: optical flow is not computed while it is read; give shards of `kinoflow flow`")
            return Videos(self.root, made)
        if flow not in self._shards:
            raise ConfigError(
                f"frames: input.kind: {options.input.kind} needs shards of {'flow' if flow else 'pictures'}"
            )
        return self._shards[flow]


def decoding(options: RecognitionOptions) -> FramesOptions:
    """Return how frames are made where a network reads videos: all of them, scaled as ``inputs.short_side`` asks for."""
    side = short_side(options)
    return FramesOptions(size=side + side % 2)


def _is_flow(shard: Shard) -> bool:
    return shard.channels == 2


def _made(shards: Iterable[Shard]) -> FramesOptions | None:
    """Return the options that shards of pictures were made with; ConfigError if these differ."""
    texts = {shard.attrs.get("options", "{}"): shard for shard in shards if not _is_flow(shard)}
    if len(texts) > 1:
        first, second = (shard.path for shard in list(texts.values())[:2])
        raise ConfigError(f"frames: {first} and {second} are made with different options; give shards of one kind")
    return check(FramesOptions, parse_json(text), str(texts[text].path)) if (text := next(iter(texts), "")) else None
