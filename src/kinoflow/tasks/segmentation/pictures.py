"""Frames for the report: those of segments, and those nearest to states."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from kinoflow.store.shards import COLOURS, Shard

SIDE = 64  # pixels of a picture's height in sheets
GAP = 3  # pixels
PAPER = (21, 25, 30)


class Pictures:
    """The frames of a dataset's shards; those of flow are left out."""

    def __init__(self, shards: Iterable[Path]):
        known = [Shard(path) for path in shards]
        self._where = {v: s for s in known if s.shape is not None and s.channels == COLOURS for v in s.videos}

    def at(self, video: str, times: Sequence[float]) -> list[np.ndarray]:
        """Return the frame nearest to each time (seconds), (H, W, 3) uint8; [] if the video has none."""
        shard = self._where.get(video)
        if shard is None or not len(shard.times(video)):
            return []
        own = shard.times(video)
        numbers = np.array([int(np.abs(own - time).argmin()) for time in times], np.int64)
        return list(shard.frames(video, numbers)) if len(numbers) else []


def sheet(rows: Sequence[Sequence[np.ndarray]], least: int = 1) -> bytes:
    """Return a picture (PNG) of pictures (H, W, 3) uint8, row by row, all as high; ``least``: room for so many in a row."""
    from PIL import Image

    scaled = [[_scaled(picture) for picture in row] for row in rows]
    wide = max((picture.width for row in scaled for picture in row), default=SIDE)
    columns = max([least, *(len(row) for row in scaled)])
    out = Image.new("RGB", (columns * (wide + GAP) + GAP, len(rows) * (SIDE + GAP) + GAP), PAPER)
    for y, row in enumerate(scaled):
        for x, picture in enumerate(row):
            out.paste(picture, (GAP + x * (wide + GAP), GAP + y * (SIDE + GAP)))
    content = io.BytesIO()
    out.save(content, "PNG", optimize=True)
    return content.getvalue()


def _scaled(picture: np.ndarray):
    from PIL import Image

    high, wide = picture.shape[:2]
    return Image.fromarray(picture).resize((max(1, round(wide * SIDE / high)), SIDE), Image.Resampling.BICUBIC)
