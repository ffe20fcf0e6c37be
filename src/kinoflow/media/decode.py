"""The door through which frames come out of video files.

    for frames, times in decode_video(path, options):  # (n, H, W, 3) uint8, (n,) seconds; n at most 32
        ...

Packets that cannot be decoded are skipped. Frames come in the order in which they are shown.
"""

import bisect
import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.demux import Clock, PacketIndex, decoding, opened, packet_index, packets, until_broken
from kinoflow.media.options import FramesOptions
from kinoflow.media.picture import Converter
from kinoflow.media.sample import at_rate, evenly

BLOCK = 32  # frames given out at once
REORDERED = 4  # frames by which a time stamp may come too early: AVI with B-frames has them in decoding order
LONG = 4096  # frames of a video long enough to tell what share of frames is needed
SPARSE = 0.5  # share of frames up to which seeking to them is cheaper than decoding all

Block = tuple[np.ndarray, np.ndarray]


class _LostError(Exception):
    """Seeking did not give the frames that the index promises."""


def decode_video(path: str | Path, options: FramesOptions) -> Iterator[Block]:
    """Yield the frames of a video that ``options`` choose, with their times, in blocks of at most 32.

    frames: (n, H, W, 3) uint8, H and W the same for the whole video. times: (n,) float64 seconds, not decreasing; zero is
    the container's start. Sampled at a rate, a frame that is on screen at several of the sampled moments comes as often.

    Raises DataError, naming the video, if it does not open or no frame comes out.
    """
    given = 0
    with telling(path):
        for block in _chosen(path, options):
            given += len(block[1])
            yield block
    if not given:
        raise DataError(f"{str(path)!r} cannot be decoded: no frame comes out of it")


def decode_needed(
    path: str | Path, needed: Callable[[np.ndarray], np.ndarray], options: FramesOptions
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the times of all frames of a video piece by piece, and with them those frames that are needed.

    needed: frame numbers (n,) -> which of them are needed (n,) bool, for a video of any length. Of ``options``, size and
    shape are followed. Yields times (n,) seconds, the numbers (m,) of needed frames, and these, (m, H, W, 3) uint8. Few
    frames are sought, then all times come first. Raises DataError as ``decode_video`` does.
    """
    index = None
    with telling(path):
        if needed(np.arange(LONG)).mean() <= SPARSE:
            index = frame_index(path)
        if index is not None and index.trusted and len(index.times):
            wanted = np.flatnonzero(needed(np.arange(len(index.times))))
            yield index.times, wanted[:0], np.empty((0, 1, 1, 3), np.uint8)
            for frames, times in decode_at(path, index, wanted, options):
                yield times[:0], wanted[: len(times)], frames
                wanted = wanted[len(times) :]
            if len(wanted):
                raise DataError("no frame comes out of it")
            return
    first = 0
    for frames, times in decode_video(path, options):
        numbers = np.arange(first, first + len(times))
        mask = needed(numbers)
        yield times, numbers[mask], frames if mask.all() else frames[mask]
        first += len(times)


@contextmanager
def telling(path: str | Path) -> Iterator[None]:
    """Name the video in what goes wrong inside: a DataError of one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise DataError(f"{str(path)!r} cannot be decoded: {error.strerror}") from None
    except DataError as error:
        raise DataError(f"{str(path)!r} cannot be decoded: {error}") from None


def _chosen(path: str | Path, options: FramesOptions) -> Iterator[Block]:
    if options.rate is None and options.count is None:
        with opened(path) as (container, stream):
            clock, frames = Clock(container, stream), _frames(container, stream)
            if (first := next(frames, None)) is not None:
                convert = Converter(options, stream.sample_aspect_ratio, first)
                pairs = _in_order((frame, clock(frame.pts)) for frame in chain([first], frames))
                yield from _blocks((convert(frame), time) for frame, time in pairs)
        return
    index = frame_index(path)
    if len(index.times):
        rated = options.rate is not None
        wanted = at_rate(index.times, options.rate) if rated else evenly(len(index.times), options.count)
        yield from decode_at(path, index, wanted, options)


def _frames(container: Any, stream: Any) -> Iterator[av.VideoFrame]:
    """Yield all frames that can be decoded; reading that breaks off ends them."""
    for frames in decoding(stream, until_broken(packets(container, stream))):
        yield from frames or ()


def _in_order(pairs: Iterable[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    """Keep the items' order, but give their times back increasing."""
    items, times, last = deque(), [], -math.inf
    for item, time in pairs:
        items.append(item)
        heapq.heappush(times, time)
        if len(items) > REORDERED:
            last = max(last, heapq.heappop(times))
            yield items.popleft(), last
    while items:
        last = max(last, heapq.heappop(times))
        yield items.popleft(), last


def _blocks(pictures: Iterable[tuple[np.ndarray, float]]) -> Iterator[Block]:
    """Copy (picture, time) pairs into blocks."""
    frames, times = None, []
    for picture, time in pictures:
        if frames is None:
            frames = np.empty((BLOCK, *picture.shape), np.uint8)
        frames[len(times)] = picture
        times.append(time)
        if len(times) == BLOCK:
            yield frames, np.array(times)
            frames, times = None, []
    if frames is not None:
        yield frames[: len(times)], np.array(times)


# ---------------------------------------------------------------- a few frames


def frame_index(path: str | Path) -> PacketIndex:
    """Return the index by which ``decode_at`` finds frames: of packets, or of decoded frames where those cannot be trusted."""
    index = packet_index(path)
    return index if index.trusted else _counted_index(path)


def _counted_index(path: str | Path) -> PacketIndex:
    """Decode everything to count it; in place of time stamps stand frame numbers."""
    with opened(path) as (container, stream):
        clock = Clock(container, stream)
        times = np.array(sorted(clock(frame.pts) for frame in _frames(container, stream)), np.float64)
    return PacketIndex(np.arange(len(times)), times, [], False)


def decode_at(path: str | Path, index: PacketIndex, wanted: np.ndarray, options: FramesOptions) -> Iterator[Block]:
    """Yield the frames with the numbers ``wanted`` (n,), not decreasing, in blocks of at most 32, with their times.

    index: from ``frame_index``. Of ``options``, size and shape are followed. Few frames are sought group of pictures by
    group of pictures, where the decoder drops what no other picture needs; the pixels are those of a full decode. In place
    of a frame that is damaged beyond decoding stands the one before it (the first one, if there is none).
    """
    wanted = np.asarray(wanted, np.int64)
    marks = index.pts[wanted].tolist()
    with opened(path) as (container, stream):
        frames = _frames(container, stream)
        # The first frame is always decoded. It decides the size; and H.264 in 4:4:4 by old versions of x264 needs a decoder
        # that has seen the first packet, which alone tells the version.
        if (first := next(frames, None)) is None:
            return
        convert, whole = Converter(options, stream.sample_aspect_ratio, first), chain([first], frames)
        if not index.trusted:
            items = enumerate(whole)
        elif len(set(marks)) > SPARSE * len(index.pts):
            items = _stamped(whole)
        else:
            items = _sought_or_stamped(path, container, stream, index.keys, marks)
        pictures = _converted(_on_screen(items, marks), convert)
        yield from _blocks(zip(pictures, index.times[wanted].tolist(), strict=False))


def _on_screen(items: Iterable[tuple[int, av.VideoFrame]], marks: Iterable[int]) -> Iterator[av.VideoFrame]:
    """Yield for each mark the last frame at or before it (the first frame, if there is none); both are sorted."""
    shown, left = None, deque(marks)
    for mark, frame in items:
        while left and shown is not None and left[0] < mark:
            left.popleft()
            yield shown
        shown = frame
        while left and left[0] <= mark:
            left.popleft()
            yield frame
        if not left:
            return
    while left and shown is not None:
        left.popleft()
        yield shown


def _converted(frames: Iterable[av.VideoFrame], convert: Converter) -> Iterator[np.ndarray]:
    last, picture = None, None
    for frame in frames:
        if frame is not last:
            last, picture = frame, convert(frame)
        yield picture


def _stamped(frames: Iterable[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
    return ((frame.pts, frame) for frame in frames if frame.pts is not None)


def _sought_or_stamped(
    path: str | Path, container: Any, stream: Any, keys: list[int], marks: list[int]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Seek to the frames with these time stamps; where that does not lead to them, go on with decoding everything."""
    last = -math.inf
    try:
        for last, frame in _sought(container, stream, keys, sorted(set(marks))):
            yield last, frame
    except _LostError:
        with opened(path) as (again, whole):
            yield from ((mark, frame) for mark, frame in _stamped(_frames(again, whole)) if mark > last)


def _sought(container: Any, stream: Any, keys: list[int], todo: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield (time stamp, frame) for the time stamps ``todo``, one group of pictures after the other."""
    while todo:
        after = bisect.bisect_right(keys, todo[0])
        if after == 0:
            raise _LostError
        count = bisect.bisect_left(todo, keys[after]) if after < len(keys) else len(todo)
        yield from _group(container, stream, keys[after - 1], todo[:count])
        todo = todo[count:]


def _group(container: Any, stream: Any, key: int, marks: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the frames with these time stamps, decoding from the key frame at ``key`` on.

    Pictures that no other one needs are dropped undecoded, unless asked for; nothing after the last asked for is decoded.
    Raises _LostError if seeking leads elsewhere, a packet cannot be decoded or a frame does not come out.
    """
    codec, want = stream.codec_context, deque(marks)
    try:
        container.seek(key, stream=stream)
        codec.flush_buffers()
        for packet in chain(_up_to(marks, key, packets(container, stream)), [None]):
            if packet is not None:
                codec.skip_frame = "DEFAULT" if packet.pts in want else "NONREF"
            for frame in codec.decode(packet):
                if frame.pts == want[0]:
                    yield want.popleft(), frame
                    if not want:
                        return
    except MemoryError:
        raise
    except av.FFmpegError:
        raise _LostError from None
    raise _LostError


def _up_to(marks: list[int], key: int, source: Iterable[Any]) -> Iterator[Any]:
    """Yield packets, from the key frame at ``key`` to the last one (in decoding order) with one of these time stamps."""
    missing, begun = set(marks), False
    for packet in source:
        if not begun and not (packet.is_keyframe and packet.pts is not None and packet.pts <= key):
            raise _LostError
        begun = True
        yield packet
        missing.discard(packet.pts)
        if not missing:
            return
