"""Shards: the frames or the features of many videos in one HDF5 file, contiguous, read through a memory map.

    /x        frames, raw: (bytes,) uint8; frames, jpeg: (bytes,) uint8; features: (N, D) float16 or float32
    /offsets  (V + 1,) int64     items (frames or rows) of video i are offsets[i]:offsets[i + 1]
    /video    (V,) bytes         ids, sorted
    /time     (N,) float64       seconds of each item
    /bytes    (N + 1,) int64     frames only: where each frame's bytes begin in x
    /shape    (V, 2) int32       frames only: height, width of the video's frames
    attrs     what made it: JSON texts and plain values; of frames: store ("raw", "jpeg"), channels (3 if it is not there;
              2 is optical flow, whose JPEGs are those of kinoflow.store.planes)

No chunks, no filters: reading costs what a bare memory map costs. The same items give the same bytes of file, in whatever
order they are added.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from kinoflow.errors import DataError
from kinoflow.store import hdf5
from kinoflow.store.files import make_room, replacing
from kinoflow.store.planes import decode_planes

BLOCK = 1 << 24  # bytes copied at a time
FEATURES = (np.float16, np.float32)
COLOURS = 3  # channels of frames whose shard does not say otherwise


class _Item(NamedTuple):
    """A video in the spool: where its bytes begin, the size of each frame or row in bytes, its times and shapes."""

    start: int
    sizes: np.ndarray
    time: np.ndarray
    shape: tuple[int, int]  # height, width of frames
    kind: tuple[np.dtype, tuple[int, ...]]  # type and shape of one entry of x


class ShardWriter:
    """Collect videos one by one in a spool on disk, then write the shard in one piece: memory stays at one video."""

    def __init__(self, spool: Any, frames: bool, channels: int = COLOURS):
        self._spool, self._frames, self._channels = spool, frames, channels
        self._items: dict[str, _Item] = {}

    def add(
        self,
        video: str,
        x: np.ndarray | Iterable[bytes],
        time: np.ndarray | list[float],
        shape: tuple[int, int] = (0, 0),
    ) -> None:
        """Add one video.

        x: features (T, D), float16 or float32; raw frames (T, H, W, C) uint8; or an iterable of T coded pictures (bytes).
        time: (T,) seconds; a list may still grow while an iterable x is read. shape: (H, W) of coded pictures; raw frames
        tell it themselves.
        Raises DataError if the video is there already, or has not as many times as items.
        """
        if video in self._items:
            raise DataError(f"the video {video!r} stands twice in one shard")
        start = self._spool.tell()
        kind = (np.dtype(np.uint8), ())
        if isinstance(x, np.ndarray):
            self._check(video, x)
            self._spool.write(np.ascontiguousarray(x).data if x.size else b"")
            sizes = np.full(len(x), x.itemsize * int(np.prod(x.shape[1:], dtype=np.int64)), np.int64)
            shape, kind = (x.shape[1:3], kind) if self._frames else (shape, (x.dtype, x.shape[1:]))
        else:
            sizes = np.array([self._spool.write(picture) for picture in x], np.int64)
        seconds = np.asarray(time, np.float64)
        if len(sizes) != len(seconds):
            raise DataError(f"{video!r}: {len(sizes)} items but {len(seconds)} times")
        self._items[video] = _Item(start, sizes, seconds, tuple(shape), kind)

    def _check(self, video: str, x: np.ndarray) -> None:
        if self._frames:
            right = x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] == self._channels
        else:
            right = x.dtype in FEATURES and x.ndim == 2
        if not right:
            wanted = f"(T, H, W, {self._channels}) uint8" if self._frames else "(T, D) float16 or float32"
            raise ValueError(f"{video!r}: x must be {wanted}, not {x.shape} {x.dtype}")

    def _write(self, path: Path, attrs: dict[str, Any], empty: tuple[np.dtype, tuple[int, ...]]) -> None:
        names = sorted(self._items, key=os.fsencode)
        items = [self._items[name] for name in names]
        counts, sizes = [len(item.sizes) for item in items], _joined((item.sizes for item in items), np.int64)
        kinds = {item.kind for item in items if len(item.sizes)}
        if len(kinds) > 1:
            raise DataError(f"{path}: videos of one shard differ in width or type: {sorted(map(str, kinds))}")
        dtype, tail = kinds.pop() if kinds else empty
        entry = int(np.prod(tail, dtype=np.int64)) * np.dtype(dtype).itemsize
        rows = int(sizes.sum()) if self._frames else len(sizes)
        widest = max((len(os.fsencode(name)) for name in names), default=0)
        size = rows * entry + 16 * len(sizes) + (widest + 16) * len(names)
        with roomy(path, size) as file:
            hdf5.tell(file, {key: attrs[key] for key in sorted(attrs)})
            ids = np.array([os.fsencode(name) for name in names], dtype=np.bytes_) if names else np.zeros(0, "S1")
            put(file, "video", ids)
            put(file, "offsets", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
            put(file, "time", _joined((item.time for item in items), np.float64))
            if self._frames:
                put(file, "bytes", np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
                put(file, "shape", np.array([item.shape for item in items], np.int32).reshape(-1, 2))
            offset = _allocate(file, (rows, *tail), dtype)
        if offset is not None:
            self._copy(path, offset, items)

    def _copy(self, path: Path, offset: int, items: list[_Item]) -> None:
        """Write x through a plain file: HDF5 would need it in memory."""
        with open(path, "r+b") as out:
            out.seek(offset)
            for item in items:
                self._spool.seek(item.start)
                left = int(item.sizes.sum())
                while left:
                    block = self._spool.read(min(left, BLOCK))
                    if not block:
                        raise OSError(f"{path}: the spool file beside it was cut short")
                    left -= out.write(block)


def _joined(parts: Iterable[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])


def _allocate(file: h5py.File, shape: tuple[int, ...], dtype: np.dtype) -> int | None:
    """Make the data set x and return where in the file its bytes begin; None if it has none."""
    x = file.create_dataset("x", shape, dtype, track_times=False)
    if not x.size:
        return None
    x[:1] = np.zeros((1, *shape[1:]), dtype)  # contiguous space is given out at the first write
    return x.id.get_offset()


def roomy(path: Path, size: int = 0) -> h5py.File:
    """Begin an HDF5 file of about ``size`` bytes; OSError at once if there is no room for it."""
    make_room(path, size)
    return h5py.File(path, "w", libver=("v110", "v110"))


def put(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Write one array as a contiguous data set without time stamps."""
    file.create_dataset(name, data=values, track_times=False)


@contextmanager
def writing(
    path: str | Path, attrs: dict[str, Any], *, frames: bool, width: int = 0, dtype: str = "float16"
) -> Iterator[ShardWriter]:
    """Write a shard: add videos inside the block; the file appears when the block ended well.

    ``width`` and ``dtype`` speak for a features shard without any row. Frames have as many channels as attrs say.
    """
    with replacing(path) as new, tempfile.TemporaryFile(dir=new.parent) as spool:
        writer = ShardWriter(spool, frames, attrs.get("channels", COLOURS))
        yield writer
        spool.flush()
        empty = (np.dtype(np.uint8), ()) if frames else (np.dtype(dtype), (width,))
        writer._write(new, attrs, empty)


class Shard:
    """A shard opened for reading. Pickles and forks safely: the map is made anew from the path.

    x: (N, D) features, or (bytes,) uint8 of frames. offsets: (V + 1,). time: (N,) seconds. videos: V names, sorted.
    channels: of frames, 3 colours or 2 of optical flow (x to the right, y down).
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            with h5py.File(self.path, "r") as file:
                self.attrs = hdf5.told(file)
                self.channels = int(self.attrs.get("channels", COLOURS))
                self.videos = [os.fsdecode(name) for name in hdf5.array(file, "video")]
                self.offsets, self.time = hdf5.array(file, "offsets"), hdf5.array(file, "time")
                self.bytes = hdf5.array(file, "bytes") if "bytes" in file else None
                self.shape = hdf5.array(file, "shape") if "shape" in file else None
                x = hdf5.dataset(file, "x")
                offset, shape, dtype = x.id.get_offset(), x.shape, x.dtype
                self._check(x)
            self.x = np.zeros(shape, dtype) if 0 in shape else np.memmap(path, dtype, "r", offset=offset, shape=shape)
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such shard") from None
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise DataError(
                f"{path}: this is no shard of kinoflow ({error}); delete it and run its stage again"
            ) from None
        self._plain = np.asarray(self.x)  # the same memory; slices of a plain array cost less than those of np.memmap
        self._place = {name: i for i, name in enumerate(self.videos)}

    def _check(self, x: h5py.Dataset) -> None:
        """Raise ValueError if the parts do not fit each other: another program's file, or a shard of another time."""
        videos, items = len(self.videos), len(self.time)
        fits = self.time.ndim == 1 and _cuts(self.offsets, videos, items)
        if self.bytes is None:
            fits = fits and x.ndim == 2 and len(x) == items
        else:
            fits = fits and x.ndim == 1 and _cuts(self.bytes, items, x.size) and self._sizes_fit()
        if not fits or (x.size and x.id.get_offset() is None):
            raise ValueError("its parts do not fit each other")

    def _sizes_fit(self) -> bool:
        """Tell whether frames are of the sizes that are told of their videos."""
        if self.shape.shape != (len(self.videos), 2) or self.shape.dtype.kind not in "iu" or (self.shape < 0).any():
            return False
        if self.attrs["store"] != "raw":
            return True
        sizes = self.shape.astype(np.int64).prod(axis=1) * self.channels
        return bool((np.diff(self.bytes) == np.repeat(sizes, np.diff(self.offsets))).all())

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
        return self._plain[self.span(video)]

    def times(self, video: str) -> np.ndarray:
        """Return the time of each item of a video, (T,) seconds."""
        return self.time[self.span(video)]

    def content(self, video: str) -> str:
        """Return what stands for a video's frames: a hash of how they are stored, their size, times and bytes."""
        items = self.span(video)
        marks = self.bytes[items.start : items.stop + 1]
        size = self.shape[self._place[video]].tolist()
        digest = hashlib.sha256(f"{self.attrs['store']} {self.channels} {size}".encode())
        for part in (marks - marks[0], self.times(video), self._plain[marks[0] : marks[-1]]):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def frames(self, video: str, which: np.ndarray | None = None) -> np.ndarray:
        """Return frames of a video, (T, H, W, C) uint8; ``which`` picks some by number. Raw frames are a view if all are asked for.

        DataError if a coded picture cannot be read.
        """
        height, width = (int(n) for n in self.shape[self._place[video]])
        span = self.span(video)
        if self.attrs["store"] == "raw":
            first, last = int(self.bytes[span.start]), int(self.bytes[span.stop])
            frames = self._plain[first:last].reshape(-1, height, width, self.channels)
            return frames if which is None else frames[which]
        wanted = np.arange(span.stop - span.start) if which is None else np.asarray(which)
        out = np.empty((len(wanted), height, width, self.channels), np.uint8)
        for i, j in enumerate(wanted):
            out[i] = self._decoded(video, int(j), out.shape[1:])
        return out

    def _decoded(self, video: str, index: int, shape: tuple[int, ...]) -> np.ndarray:
        from PIL import Image

        try:
            picture = self.picture(video, index)
            frame = decode_jpeg(picture) if self.channels == COLOURS else decode_planes(picture, shape[2], shape[0])
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            frame = np.empty(0)
        if frame.shape != shape:
            size = " x ".join(map(str, shape[:2]))
            raise DataError(
                f"{self.path}: the picture number {index} of {video!r} is no whole JPEG of {size} pixels;"
                " delete the shard and run its stage again"
            )
        return frame

    def picture(self, video: str, index: int) -> bytes:
        """Return the stored bytes of one frame."""
        j = self.span(video).start + index
        return self._plain[int(self.bytes[j]) : int(self.bytes[j + 1])].tobytes()


def _cuts(places: np.ndarray, parts: int, size: int) -> bool:
    """Tell whether ``places`` cut ``size`` entries into so many parts, in their order."""
    if places.shape != (parts + 1,) or places.dtype.kind not in "iu":
        return False
    return bool(places[0] == 0 and places[-1] == size and (places[1:] >= places[:-1]).all())


def with_rows(shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards that hold rows, all if none does: one without videos does not know how wide their features are."""
    shards = list(shards)
    return [shard for shard in shards if len(shard.time)] or shards


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
