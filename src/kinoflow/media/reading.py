"""Frames of videos by their numbers: out of shards, or decoded from the videos themselves whenever they are asked for."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.media.sample import at_rate, evenly
from kinoflow.store.shards import Shard

INDICES = 4096  # videos whose packets are remembered
SLACK = 1e-6  # seconds by which a frame's time stamp and a written time may differ: containers count in small units


class Source(Protocol):
    """Where frames come from."""

    def times(self, video: str) -> np.ndarray:
        """Return the time of each frame of a video, (T,) seconds, not decreasing."""

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return the frames with these numbers (n,), in this order: (n, H, W, C) uint8."""


class FrameShards:
    """Frames (or flow fields) out of shards: raw ones through memory maps, JPEG pictures decoded one by one."""

    def __init__(self, shards: Iterable[Shard]):
        self._shards: dict[str, Shard] = {}
        for shard in shards:
            for video in shard.videos:
                if video in self._shards:
                    first = self._shards[video].path
                    raise DataError(f"the video {video!r} is in two shards, {first} and {shard.path}; give one of them")
                self._shards[video] = shard

    def _shard(self, video: str) -> Shard:
        try:
            return self._shards[video]
        except KeyError:
            raise DataError(f"the video {video!r} is in none of the shards; give all of the dataset's") from None

    def times(self, video: str) -> np.ndarray:
        """Return the time of each frame of a video, (T,) seconds; DataError if no shard has it."""
        return self._shard(video).times(video)

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return frames (n, H, W, C) uint8; a picture that is asked for several times is decoded once."""
        shard = self._shard(video)
        if shard.attrs["store"] == "raw":
            return shard.frames(video, numbers)
        single, where = np.unique(numbers, return_inverse=True)
        return shard.frames(video, single)[where]


class Videos:
    """Frames decoded from the videos themselves whenever they are asked for; a video's packets are listed once.

    options: which frames, and how they are made. Frames that are asked for are sought, not all decoded.
    """

    def __init__(self, root: str | Path, options: FramesOptions):
        self.root, self.options = Path(root), options
        self._index = lru_cache(INDICES)(self._listed)

    def __reduce__(self):
        return Videos, (self.root, self.options)  # a process that loads data lists packets itself

    def _listed(self, video: str):
        """Return the index of a video's packets, and which of its frames the options choose, (T,)."""
        from kinoflow.media.decode import frame_index, telling

        path, options = self.root / video, self.options
        with telling(video):
            if not path.is_file():
                raise DataError(f"it is not in {self.root}: correct the folder, or index it again")
            index = frame_index(path)
            if not len(index.times):
                raise DataError("no frame comes out of it")
            if options.rate is not None:
                return index, at_rate(index.times, options.rate)
            return index, evenly(len(index.times), options.count) if options.count else np.arange(len(index.times))

    def times(self, video: str) -> np.ndarray:
        """Return the time of each frame of a video, (T,) seconds; DataError if it does not open."""
        index, taken = self._index(video)
        return index.times[taken]

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return frames (n, H, W, 3) uint8; DataError if they do not come out of the video."""
        from kinoflow.media.decode import decode_at, telling

        index, taken = self._index(video)
        single, where = np.unique(taken[numbers], return_inverse=True)
        with telling(video):
            blocks = [frames for frames, _ in decode_at(self.root / video, index, single, self.options)]
            got = sum(map(len, blocks))
            if got < len(single):
                raise DataError(f"{len(single)} frames are wanted, {got} come out; exclude it")
        return np.concatenate(blocks)[where]
