"""Which earlier actions are the history of each action of a dataset: all rows at once. N rows, H the longest history kept.

Policies: ``order``: all that come earlier in the order of the video; ``started``: those that had started a gap before the
action; ``ended``: those that had ended by then. Times are compared in whole frames: 338 segments of EPIC-KITCHENS-55 end
exactly one second before another starts, and seconds as fractions get some of them wrong.
"""

import math
from dataclasses import dataclass

import numpy as np

from kinoflow.datasets.actions import Rows

POLICIES = ("order", "started", "ended")
NEAR = 1e-9  # frames by which a product of doubles may miss a whole number


@dataclass(frozen=True)
class Histories:
    """The history of every row."""

    rows: np.ndarray  # (N, H) int64, numbers of rows, the oldest first, -1 on the left where there are fewer
    lengths: np.ndarray  # (N,) int64, of the whole histories, before they are cut to the last ones

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return ``values`` (N,) of the rows in each history, (N, H); -1 (or "") where there is none."""
        empty = "" if values.dtype == object else -1
        return np.where(self.rows >= 0, values[self.rows], empty)


def histories(
    rows: Rows, rate: float, policy: str = "order", gap: float = 1.0, last: int | None = 15, within: str = "video"
) -> Histories:
    """Return the histories of all rows.

    rows: in order (by video, start, end, uid). rate: frames per second in which times are compared. gap: seconds. last: so
    many of the latest; None: all. within: video, or split (only rows of the same split of the video: gappy).
    """
    if policy not in POLICIES or within not in ("video", "split"):
        raise ValueError(f"policy {policy!r} and within {within!r} are not among {POLICIES} and video, split")
    if not len(rows):
        return Histories(np.zeros((0, last or 0), np.int64), np.zeros(0, np.int64))
    group, back = _groups(rows, within)
    start, end = (np.rint(times[back] * rate).astype(np.int64) for times in (rows.start, rows.end))
    end = np.maximum(end, start + 1)  # rounding leaves no segment empty, or it would end before it starts itself
    first = np.searchsorted(group, group)  # (N,) of each row's group
    limit = start - _frames_of(gap * rate, policy)
    if policy == "order":
        lengths = np.arange(len(group)) - first
    else:
        lengths = _before(group, start if policy == "started" else end, limit, policy == "ended") - first
    width = int(lengths.max()) if last is None else last
    if policy == "ended":
        found = _latest_ended(first, end, limit, np.minimum(lengths, width), width)
    else:
        places = (first + lengths)[:, None] + np.arange(-width, 0)
        found = np.where(places >= first[:, None], places, -1)
    whole = np.empty_like(found)
    whole[back] = np.where(found >= 0, back[found], -1)
    lengths_back = np.empty_like(lengths)
    lengths_back[back] = lengths
    return Histories(whole, lengths_back)


def _frames_of(gap: float, policy: str) -> int:
    """Return the whole number of frames that says the same of whole frames as a gap of ``gap`` frames does.

    An end at most start - gap is one at most start - ceil(gap); a start before start - gap is one before start - floor(gap).
    """
    near = round(gap)
    if abs(gap - near) <= NEAR:
        return near
    return math.floor(gap) if policy == "started" else math.ceil(gap)


def _groups(rows: Rows, within: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the group of each row, rising, and the row that stands at each place of that order."""
    fresh = np.r_[True, rows.video[1:] != rows.video[:-1]]
    video = np.cumsum(fresh) - 1
    if within == "video":
        return video, np.arange(len(rows))
    split = np.unique(rows.split.astype(str), return_inverse=True)[1]
    number = video * (int(split.max()) + 1) + split
    back = np.argsort(number, kind="stable")
    return number[back], back


def _before(group: np.ndarray, times: np.ndarray, limit: np.ndarray, equal: bool) -> np.ndarray:
    """Count, with the rows of all groups before, the rows of each row's group whose time is before its limit (or at it)."""
    lowest = min(times.min(), limit.min())
    span = int(max(times.max(), limit.max()) - lowest) + 2
    keys = np.sort(group * span + (times - lowest))
    return np.searchsorted(keys, group * span + (limit - lowest), side="right" if equal else "left")


def _latest_ended(first: np.ndarray, end: np.ndarray, limit: np.ndarray, wanted: np.ndarray, width: int) -> np.ndarray:
    """Return the places of the latest rows that had ended by each row's limit, (N, width), -1 on the left."""
    found = np.full((len(first), width), -1, np.int64)
    todo, free = np.flatnonzero(wanted), wanted[wanted > 0]  # rows, and how many are to be found for each
    column, place = np.full(len(todo), width - 1), todo - 1
    while len(todo):
        hit = end[place] <= limit[todo]
        found[todo[hit], column[hit]] = place[hit]
        column, free, place = column - hit, free - hit, place - 1
        open_ = free > 0
        todo, column, free, place = todo[open_], column[open_], free[open_], place[open_]
    return found
