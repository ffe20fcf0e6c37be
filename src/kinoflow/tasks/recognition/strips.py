"""Pictures of clips told right and wrong: eight frames of each, with what is true and what was told."""

import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kinoflow.datasets.contact_sheet import Strip, compose, enlarged
from kinoflow.media.reading import FrameShards
from kinoflow.media.sample import evenly
from kinoflow.report.section import Block, Figure, Heading
from kinoflow.store.shards import COLOURS, Shard
from kinoflow.store.tables import Segment
from kinoflow.tasks.recognition.data import Clip, clips

if TYPE_CHECKING:
    from kinoflow.tasks.recognition.evaluate import Prediction

CLIPS, FRAMES = 4, 8  # of a figure; of a clip
LARGEST = 140_000  # bytes of a figure; two stand in a report
QUALITIES = (75, 65, 50, 35)


def told_right(rows: Iterable["Prediction"], count: int = CLIPS) -> list["Prediction"]:
    """Return clips told right, of classes spread evenly over all that have some: of each the one told with most certainty."""
    best = _surest((row for row in rows if row.label and row.label == row.predicted), lambda row: row.label)
    names = sorted(best)
    return [best[names[i]] for i in evenly(len(names), min(count, len(names)))] if names else []


def told_wrong(rows: Iterable["Prediction"], count: int = CLIPS) -> list["Prediction"]:
    """Return the clips told wrong with most certainty; of each confusion only one."""
    wrong = (row for row in rows if row.label and row.label != row.predicted)
    best = _surest(wrong, lambda row: (row.label, row.predicted))
    return sorted(best.values(), key=lambda row: (-row.probability, row.segment))[:count]


def _surest(rows: Iterable["Prediction"], key: Callable[["Prediction"], Hashable]) -> dict[Hashable, "Prediction"]:
    """Return the row with the highest probability of each key."""
    found: dict[Hashable, Prediction] = {}
    for row in sorted(rows, key=lambda row: (-row.probability, row.segment)):
        found.setdefault(key(row), row)
    return found


def strips(
    rows: Sequence["Prediction"], segments: Mapping[str, Segment], frames: Sequence[Path], who: str
) -> list[Block]:
    """Return figures of clips told right and wrong; nothing if there are no pictures.

    rows: the predictions of one head of one run. segments: by name. frames: shards; those of flow are left out.
    who: tells the clips, for the captions.
    """
    shards = [shard for shard in map(Shard, frames) if shard.shape is not None and shard.channels == COLOURS]
    if not shards:
        return []
    source = FrameShards(shards)
    right = (
        f"Clips that {who} tells right, of classes spread over the alphabet; of each class the clip told with most certainty."
        f" In brackets: how likely it takes its answer to be. {FRAMES} frames of each, spread evenly, and their times."
    )
    wrong = f"The clips that {who} tells wrong with most certainty, one of each confusion."
    found: list[Block] = [
        *_figure(told_right(rows), segments, source, "Clips told right", right),
        *_figure(told_wrong(rows), segments, source, "Clips told wrong", wrong),
    ]
    return [Heading("Clips told right and wrong"), *found] if found else []


def _figure(
    rows: Sequence["Prediction"], segments: Mapping[str, Segment], source: FrameShards, alt: str, caption: str
) -> Iterator[Figure]:
    """Yield the figure of some clips, if any of them has a frame."""
    found = zip(rows, clips([segments[row.segment] for row in rows], source), strict=True)
    shown = [(row, clip) for row, clip in found if clip.frames]
    if shown:
        picture = compose([_strip(row, clip, source) for row, clip in shown], FRAMES)
        said = "; ".join(_said(row) for row, _ in shown)
        yield Figure(f"{alt}: {said}", caption, image=_small(picture))


def _said(row: "Prediction") -> str:
    share = f"{row.probability:.0%}"
    return (
        f"{row.label} ({share})" if row.label == row.predicted else f"{row.label}, taken for {row.predicted} ({share})"
    )


def _strip(row: "Prediction", clip: Clip, source: FrameShards) -> Strip:
    numbers = clip.first + evenly(clip.frames, min(FRAMES, clip.frames))
    frames, times = enlarged(source.frames(clip.video, numbers)), source.times(clip.video)[numbers]
    return Strip(_said(row), row.video, frames, times, float(times[-1]))


def _small(picture: bytes) -> bytes:
    """Return a JPEG of at most LARGEST bytes, or the smallest that the qualities give."""
    from PIL import Image

    found = picture
    for quality in QUALITIES:
        if len(found) <= LARGEST:
            break
        out = io.BytesIO()
        with Image.open(io.BytesIO(picture)) as image:
            image.save(out, "JPEG", quality=quality, optimize=True)
        found = out.getvalue()
    return found
