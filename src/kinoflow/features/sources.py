"""Where frames come from, video by video: out of a frame shard, or decoded from the videos themselves."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed

BLOCK = 32  # frames read at once

Pick = Callable[[np.ndarray], np.ndarray]  # frame numbers (n,) -> which of them are needed (n,) bool
# Of up to 32 frames: the times of all (n,), the numbers of those that are needed (m,), and these (m, H, W, 3) uint8.
Block = tuple[np.ndarray, np.ndarray, np.ndarray]


class StoredFrames:
    """The frames of a shard."""

    def __init__(self, path: Path):
        self.shard = Shard(path)
        if self.shard.shape is None:
            raise DataError(f"{path}: this shard holds no frames; give one that `kinoflow frames` has made")
        self.contents = {video: self.shard.content(video) for video in self.shard.videos}

    def blocks(self, video: str, pick: Pick) -> Iterator[Block]:
        """Yield the frames of a video, decoding those that are needed alone."""
        times = self.shard.times(video)
        for first in range(0, len(times), BLOCK):
            numbers = np.arange(first, min(first + BLOCK, len(times)))
            wanted = numbers[pick(numbers)]
            yield times[numbers], wanted, self.shard.frames(video, wanted)


class DecodedVideos:
    """The videos of a folder that the probe lets pass."""

    def __init__(self, root: Path, rows: list[Probed], options: FramesOptions):
        self.root, self.options = root, options
        self.contents = {row.video: row.sha256 for row in sorted(rows, key=lambda r: os.fsencode(r.video)) if row.kept}

    def blocks(self, video: str, pick: Pick) -> Iterator[Block]:
        """Yield the frames of a video as they are decoded, few ones by seeking; DataError if no frame comes out."""
        from kinoflow.media.decode import decode_needed

        return decode_needed(self.root / video, pick, self.options)
