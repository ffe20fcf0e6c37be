"""Shards: the frames or the features of many videos in one HDF5 file, contiguous, read through a memory map.

    /x        frames, raw: (bytes,) uint8; frames, jpeg: (bytes,) uint8; features: (N, D) float16 or float32
    /offsets  (V + 1,) int64     items (frames or rows) of video i are offsets[i]:offsets[i + 1]
    /video    (V,) bytes         ids, sorted
    /time     (N,) float64       seconds of each item
    /bytes    (N + 1,) int64     frames only: where each frame's bytes begin in x
    /shape    (V, 2) int32       frames only: height, width of the video's frames
    attrs     what made it: JSON texts and plain values

No chunks, no filters: reading costs what a bare memory map costs. The same items give the same bytes of file, in whatever
order they are added.
"""

import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kinoflow.errors import DataError
from kinoflow.store.files import replacing

BLOCK = 1 << 24  # bytes copied at a time


class ShardWriter:
    """Collect videos one by one in a spool on disk, then write the shard in one piece: memory stays at one video."""

    def __init__(self, spool: Any, frames: bool):
        self._spool, self._frames, self._items = spool, frames, {}

    def add(
        self, video: str, x: np.ndarray | Iterable[bytes], time: np.ndarray, shape: tuple[int, int] = (0, 0)
    ) -> None:
        """Add one video.

        x: features (T, D); raw frames (T, H, W, 3) uint8; or an iterable of T coded pictures (bytes).
        time: (T,) seconds. shape: (H, W) of coded pictures; raw frames tell it themselves.
        """
        if video in self._items:
            raise DataError(f"the video {video!r} stands twice in one shard")
        start = self._spool.tell()
        if isinstance(x, np.ndarray):
            self._spool.write(np.ascontiguousarray(x).data if x.size else b"")
            count, sizes, item = len(x), [x[0].nbytes] * len(x) if len(x) else [], (x.dtype, x.shape[1:])
            shape = x.shape[1:3] if self._frames else shape
        else:
            sizes = [self._spool.write(picture) for picture in x]
            count, item = len(sizes), (np.dtype(np.uint8), ())
        if count != len(time):
            raise DataError(f"{video!r}: {count} items but {len(time)} times")
        self._items[video] = (start, sum(sizes), sizes, np.asarray(time, np.float64), tuple(shape), item)

    def _write(self, path: Path, attrs: dict[str, Any], empty: tuple[np.dtype, tuple[int, ...]]) -> None:
        names = sorted(self._items, key=os.fsencode)
        items = [self._items[name] for name in names]
        counts = [len(item[2]) for item in items]
        kinds = {item[5] for item in items if item[2]} if not self._frames else {(np.dtype(np.uint8), ())}
        if len(kinds) > 1:
            raise DataError(f"{path}: videos of one shard differ in width or type: {sorted(map(str, kinds))}")
        dtype, tail = kinds.pop() if kinds else empty
        total = sum(item[1] for item in items)
        rows = total // max(1, dtype.itemsize * int(np.prod(tail, dtype=np.int64)))  # no row, no width
        with h5py.File(path, "w", libver=("v110", "v110")) as file:
            file.attrs.update({key: attrs[key] for key in sorted(attrs)})
            ids = np.array([os.fsencode(name) for name in names], dtype=np.bytes_) if names else np.zeros(0, "S1")
            put(file, "video", ids)
            put(file, "offsets", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
            put(file, "time", np.concatenate([[], *(item[3] for item in items)]).astype(np.float64))
            if self._frames:
                sizes = [size for item in items for size in item[2]]
                put(file, "bytes", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
                put(file, "shape", np.array([item[4] for item in items], np.int32).reshape(-1, 2))
            x = file.create_dataset("x", (rows, *tail), dtype, track_times=False)
            file.flush()
            offset = x.id.get_offset()
            if total and offset is None:  # contiguous space is given out at the first write
                x[:1] = np.zeros((1, *tail), dtype)
                offset = x.id.get_offset()
        if total:
            with open(path, "r+b") as out:
                out.seek(offset)
                for start, size, *_ in items:
                    self._spool.seek(start)
                    while size:
                        size -= out.write(self._spool.read(min(size, BLOCK)))


def put(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Write one array as a contiguous data set without time stamps."""
    file.create_dataset(name, data=values, track_times=False)


@contextmanager
def writing(
    path: str | Path, attrs: dict[str, Any], *, frames: bool, width: int = 0, dtype: str = "float16"
) -> Iterator[ShardWriter]:
    """Write a shard: add videos inside the block; the file appears when the block ended well.

    ``width`` and ``dtype`` speak for a features shard without any row.
    """
    with replacing(path) as new, tempfile.TemporaryFile(dir=new.parent) as spool:
        writer = ShardWriter(spool, frames)
        yield writer
        spool.flush()
        empty = (np.dtype(np.uint8), ()) if frames else (np.dtype(dtype), (width,))
        writer._write(new, attrs, empty)


class Shard:
    """A shard opened for reading. Pickles and forks safely: the map is made anew from the path.

    x: (N, D) features, or (bytes,) uint8 of frames. offsets: (V + 1,). time: (N,) seconds. videos: V names, sorted.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            with h5py.File(self.path, "r") as file:
                self.attrs = {
                    key: value.item() if isinstance(value, np.generic) else value for key, value in file.attrs.items()
                }
                self.videos = [os.fsdecode(name) for name in file["video"][()]]
                self.offsets, self.time = file["offsets"][()], file["time"][()]
                self.bytes = file["bytes"][()] if "bytes" in file else None
                self.shape = file["shape"][()] if "shape" in file else None
                x = file["x"]
                offset, shape, dtype = x.id.get_offset(), x.shape, x.dtype
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such shard") from None
        except (OSError, KeyError) as error:
            raise DataError(
                f"{path}: this is no shard of kinoflow ({error}); delete it and run its stage again"
            ) from None
        self.x = (
            np.memmap(self.path, dtype, "r", offset=offset, shape=shape)
            if offset is not None and 0 not in shape
            else np.zeros(shape, dtype)
        )
        self._place = {name: i for i, name in enumerate(self.videos)}

    def __getstate__(self):
        return self.path

    def __setstate__(self, path):
        self.__init__(path)

    def __contains__(self, video: str) -> bool:
        return video in self._place

    def span(self, video: str) -> slice:
        """Return where the items of a video stand."""
        i = self._place[video]
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def rows(self, video: str) -> np.ndarray:
        """Return the features of a video, (T, D), a view of the map."""
        return self.x[self.span(video)]

    def times(self, video: str) -> np.ndarray:
        """Return the time of each item of a video, (T,) seconds."""
        return self.time[self.span(video)]

    def frames(self, video: str, which: np.ndarray | None = None) -> np.ndarray:
        """Return frames of a video, (T, H, W, 3) uint8; ``which`` picks some by number. Raw frames are a view if all are asked for."""
        height, width = (int(n) for n in self.shape[self._place[video]])
        span = self.span(video)
        if self.attrs["store"] == "raw":
            first, last = int(self.bytes[span.start]), int(self.bytes[span.stop])
            frames = self.x[first:last].reshape(-1, height, width, 3)
            return frames if which is None else frames[which]
        wanted = np.arange(span.stop - span.start) if which is None else np.asarray(which)
        out = np.empty((len(wanted), height, width, 3), np.uint8)
        for i, j in enumerate(wanted):
            out[i] = decode_jpeg(self.picture(video, int(j)))
        return out

    def picture(self, video: str, index: int) -> bytes:
        """Return the stored bytes of one frame."""
        j = self.span(video).start + index
        return self.x[int(self.bytes[j]) : int(self.bytes[j + 1])].tobytes()


def decode_jpeg(picture: bytes) -> np.ndarray:
    """Decode one JPEG picture into (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


def encode_jpeg(frame: np.ndarray, quality: int) -> bytes:
    """Encode (H, W, 3) uint8 as JPEG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=quality)
    return out.getvalue()
