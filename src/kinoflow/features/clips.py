"""Which frames of a video the network sees at once, and at what time each feature row stands: pure functions of counts.

Clip k begins at frame k * stride and holds ``clip`` frames that lie ``dilation`` apart. A clip lies inside its video;
only a video shorter than one clip gets one that ends with its last frame repeated.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def span(clip: int, dilation: int) -> int:
    """Return the number of frames from the first to the last frame of a clip, both counted."""
    return (clip - 1) * dilation + 1


def places(frames: int, clip: int, dilation: int, stride: int) -> np.ndarray:
    """Return the frame numbers of every clip of a video with ``frames`` frames, (R, clip) int64, R rows.

    R = 1 + (frames - span) // stride, 1 for a video shorter than a clip, 0 for one without frames.
    """
    if not frames:
        return np.empty((0, clip), np.int64)
    rows = 1 + max(0, frames - span(clip, dilation)) // stride
    numbers = np.arange(rows)[:, None] * stride + np.arange(clip) * dilation
    return np.minimum(numbers, frames - 1)


def centres(times: np.ndarray, clip: int, dilation: int, stride: int) -> np.ndarray:
    """Return the time of each row, (R,) seconds: halfway between the first and the last frame of its clip.

    times: (T,) seconds, of all frames of the video.
    """
    times = np.asarray(times, np.float64)
    numbers = places(len(times), clip, dilation, stride)
    return (times[numbers[:, 0]] + times[numbers[:, -1]]) / 2


def needed(numbers: np.ndarray, clip: int, dilation: int, stride: int) -> np.ndarray:
    """Tell which frames, given by number (n,), some clip of a video of any length holds: (n,) bool.

    All frames of the first clip's span count, because which of them is a short video's last one is not known before.
    """
    since = np.asarray(numbers)[:, None] - dilation * np.arange(clip)  # (n, clip)
    inside = ((since >= 0) & (since % stride == 0)).any(axis=1)
    return inside | (np.asarray(numbers) < span(clip, dilation))


def windows(frames: Iterable[tuple[int, T]], clip: int, dilation: int, stride: int) -> Iterator[list[T]]:
    """Yield the ``clip`` frames of each clip as soon as its last one has come; hold no more frames than one clip spans.

    frames: (number, frame) of at least the frames that ``needed`` tells, in order.
    """
    kept: dict[int, T] = {}
    first, reach = 0, span(clip, dilation)
    for number, frame in frames:
        kept[number] = frame
        while first + reach <= number + 1:
            yield [kept[first + j * dilation] for j in range(clip)]
            first += stride
            for passed in [n for n in kept if n < first]:
                del kept[passed]
    if kept and not first:  # shorter than a clip
        yield [kept[min(j * dilation, max(kept))] for j in range(clip)]
