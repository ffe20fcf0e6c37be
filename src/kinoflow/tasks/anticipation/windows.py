"""When a student looks: windows of time before actions, the frames in them, and what was done at each moment. Pure functions.

N actions, n frames. Times are seconds from the start of the video; frames are numbered from 1 on, at ``fps`` of them a second.
"""

import math
from dataclasses import dataclass

import numpy as np

FIRST = 1  # the number of a video's first frame
EARLIEST = 2.0  # seconds: of windows that drop: action_banks leaves in
NONE = -1
OBSERVED = -999.0  # in place of a ratio of gaps


@dataclass(frozen=True)
class Windows:
    """Windows of those actions that are kept. rows, dropped: numbers of actions, ascending; the others (n,) seconds."""

    rows: np.ndarray
    dropped: np.ndarray
    start: np.ndarray
    end: np.ndarray


def before(
    start: np.ndarray, end: np.ndarray, gap: float | None, observed: float, drop: str = "correct", fps: float = 30.0
) -> Windows:
    """Return windows that end ``gap`` seconds before actions start, ``observed`` seconds long.

    start, end: (N,) of the actions. gap None: recognition, the window is the action itself. drop: correct: windows that end
    before the first frame are dropped; full_context: that start before it; action_banks: that end in the first two seconds.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    away = start - end if gap is None else np.full(len(start), float(gap))
    length = end - start if gap is None else np.full(len(start), float(observed))
    last = start - away
    first = last - length
    lost = {"correct": last < 1 / fps, "full_context": first < 1 / fps, "action_banks": last < EARLIEST}[drop]
    keep = np.flatnonzero(~lost)
    return Windows(keep, np.flatnonzero(lost), first[keep], last[keep])


def future(windows: Windows, gap: np.ndarray | float, observed: np.ndarray | float, ratio: float = 1.0) -> np.ndarray:
    """Return the window (n, 2) that lies ``ratio`` gaps after each: with 1 it begins with the action.

    ratio -999: what was observed, as published.
    """
    if ratio == OBSERVED:
        return np.stack([windows.start, windows.end], 1)
    start = windows.end + ratio * gap
    return np.stack([start, start + observed], 1)


def until_previous(start: np.ndarray, end: np.ndarray, video: np.ndarray, observed: float, skip: int = 0) -> Windows:
    """Return windows that end with the action before, and reach back to the video's start, ``observed`` seconds at most.

    start, end: (N,) of actions in their order, those of a video next to each other; video: (N,). Where the action before
    ends later than the action starts, the window ends with the start. The first action of a video, and the first ``skip``
    of them, are dropped.
    """
    start, end, video = np.asarray(start, np.float64), np.asarray(end, np.float64), np.asarray(video)
    new = np.append(True, video[1:] != video[:-1])[: len(video)]
    begins = np.flatnonzero(new)
    number = np.arange(len(start)) - np.repeat(begins, np.diff(np.append(begins, len(start))))
    keep = np.flatnonzero(number >= max(1, skip))
    last = np.minimum(end[keep - 1], start[keep])
    return Windows(keep, np.flatnonzero(number < max(1, skip)), np.maximum(last - observed, 0.0), last)


# ---------------------------------------------------------------- frames


def frame_numbers(
    start: float,
    end: float,
    count: int,
    rate: float,
    fps: float = 30.0,
    strategy: str = "last_clip",
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of a window that are looked at, (count,) int64 not decreasing, and their times (count,) seconds.

    rate: frames a second that are wanted. strategy: what is taken of a window that is longer: its last, middle or first part,
    or one that ``rng`` draws. A window that is shorter repeats its earliest frame (last_clip) or its last.
    Raises ValueError if no frame of the window has a number of 1 or more.
    """
    first, last = _clip(start, end, count, rate, fps, strategy, rng)
    numbers = np.arange(math.floor(fps * first) + 1, math.floor(fps * last) + 1)
    if not (numbers >= FIRST).any():
        raise ValueError(f"the window from {start:g} s to {end:g} s holds no frame")
    numbers = np.maximum(numbers, FIRST)
    times = np.linspace(first, last, len(numbers))
    every = max(round(fps / rate), 1)
    if strategy == "last_clip":
        chosen = np.arange(len(numbers))[::-1][::every][:count][::-1]
        chosen = np.concatenate([np.full(count - len(chosen), chosen[0]), chosen])
    else:
        chosen = np.arange(len(numbers))[::every][:count]
        chosen = np.concatenate([chosen, np.full(count - len(chosen), chosen[-1])])
    return numbers[chosen], times[chosen]


def _clip(
    start: float, end: float, count: int, rate: float, fps: float, strategy: str, rng: np.random.Generator | None
) -> tuple[float, float]:
    """Return the part of a window from which frames are taken."""
    start, end = max(start, 0.0), max(end, 0.0)
    frames, reach = int(fps * (end - start)), round(count * fps / rate)
    spare = max(frames - reach, 0)
    if strategy == "last_clip":
        offset = spare
    elif strategy == "center_clip":
        offset = spare // 2
    elif strategy == "first_clip":
        offset = 0
    else:
        if rng is None:
            raise ValueError("random_clip needs a generator")
        offset = int(rng.integers(spare)) if spare else 0
    return start + offset / fps, min(end, start + (offset + reach) / fps)


# ---------------------------------------------------------------- steps that are means


def steps_back(start: float, end: float, seconds: float, most: int) -> np.ndarray:
    """Return the edges (n + 1,) of the steps of a window, of ``seconds`` each, counted back from its end; ``most`` at most.

    The earliest step may be shorter: it begins with the window, or at 0.
    """
    begin = max(start, 0.0)
    count = min(max(math.ceil((end - begin) / seconds - 1e-9), 1), most)
    edges = end - seconds * np.arange(count, -1, -1)
    return np.maximum(edges, begin)


def whole_steps(observed: float, seconds: float, most: int) -> int | None:
    """Return how many steps a window of ``observed`` seconds holds, ``most`` at most; None if its earliest is cut short."""
    count = min(max(math.ceil(observed / seconds - 1e-9), 1), most)
    return count if count * seconds <= observed + 1e-9 * seconds * count else None


def steps_forward(end: float, seconds: float) -> np.ndarray:
    """Return the edges (n + 1,) of the whole steps of ``seconds`` from 0 to ``end``: where a video is told step by step."""
    return seconds * np.arange(math.floor(end / seconds + 1e-9) + 1)


# ---------------------------------------------------------------- what was done at a moment


def labels_at(
    times: np.ndarray, start: np.ndarray, end: np.ndarray, labels: np.ndarray, tie: str = "midpoint"
) -> np.ndarray:
    """Return the label of the action at each moment, (n,) int64, -1 where nothing is done.

    times: (n,). start, end, labels: (S,) of one video's actions, ordered by start. An action holds its ends. Of several at
    once: midpoint: the one whose middle is nearest; half_duration: the one whose half length is nearest to the moment, as
    published (it means the middle, and forgets the start). Of equals the earlier one.
    """
    times = np.asarray(times, np.float64)
    if not len(start):
        return np.full(len(times), NONE, np.int64)
    order = np.argsort(start, kind="stable")
    start, end, labels = (np.asarray(a)[order] for a in (start, end, labels))
    centre = (start + end) / 2 if tie == "midpoint" else (end - start) / 2
    moments, where = np.unique(times, return_inverse=True)
    # Actions that may hold a moment begin before it, and not longer before than the longest action lasts.
    reach = np.maximum.accumulate(end)
    low = np.searchsorted(reach, moments, "left")
    high = np.searchsorted(start, moments, "right")
    found = np.full(len(moments), NONE, np.int64)
    alone = np.flatnonzero(high - low == 1)  # the first that reaches a moment holds it
    found[alone] = labels[low[alone]]
    for i in np.flatnonzero(high - low > 1):
        some = np.arange(low[i], high[i])
        some = some[end[some] >= moments[i]]
        if len(some):
            found[i] = labels[some[np.argmin(np.abs(moments[i] - centre[some]))]]
    return found[where].reshape(times.shape)


def commonest(labels: np.ndarray) -> int:
    """Return the label that most frames of a step have; of equals the smallest; -1 for no frame."""
    if not len(labels):
        return NONE
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()])
