"""Which frames of a video are taken: pure choices on counts and time stamps."""

from collections.abc import Sequence

import numpy as np

from kinoflow.errors import DataError

MOST = 10_000_000  # frames chosen from one video: more means broken time stamps
SLACK = 0.001  # seconds by which a time stamp may be late: containers that count milliseconds round


def evenly(frames: int, count: int) -> np.ndarray:
    """Return ``count`` frame numbers (count,): the centres of ``count`` equal parts of ``frames`` frames.

    Of fewer frames than asked for, some come more than once.
    """
    if frames < 1 or count < 1:
        raise ValueError(f"{count} frames cannot be chosen of {frames}")
    return (2 * np.arange(count, dtype=np.int64) + 1) * frames // (2 * count)


def at_rate(times: Sequence[float] | np.ndarray, rate: float, slack: float = SLACK) -> np.ndarray:
    """Return the numbers of the frames on screen at times[0] + k / rate for k = 0, 1, ... until the video ends.

    times: (T,) seconds, not decreasing. A frame is on screen from its time on, until that of the next one; the last one for
    ``frame_gap``. So a frame that stands longer than 1 / rate comes more than once, and about duration * rate numbers come
    back. ``slack``: seconds by which a frame may come late and still count as on screen.

    Raises DataError if the time stamps ask for more than ten million frames: they are broken.
    """
    times = np.asarray(times, np.float64)
    if not len(times):
        raise ValueError("no frame to choose from")
    if not rate > 0:
        raise ValueError(f"the rate {rate} is not above zero")
    length = times[-1] - times[0] + frame_gap(times)
    steps = max(1, int(np.ceil((length - slack) * rate)))
    if steps > MOST:
        raise DataError(f"its time stamps span {length:.0f} s, which would make {steps} frames at {rate:g} per second")
    wanted = times[0] + np.arange(steps) / rate
    return np.searchsorted(times, wanted + slack, side="right") - 1


def frame_gap(times: Sequence[float] | np.ndarray) -> float:
    """Return the usual time from one frame to the next, seconds: the mean of all gaps but pauses; 0 for a single frame.

    A pause is a gap of more than one and a half times the median: it says nothing about how long the last frame stands.
    """
    gaps = np.diff(np.asarray(times, np.float64))
    gaps = gaps[gaps > 0]
    return float(gaps[gaps <= 1.5 * np.median(gaps)].mean()) if len(gaps) else 0.0
