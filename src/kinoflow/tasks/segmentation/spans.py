"""Segmentations: runs of frames in one state, and their codes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

CONTINUES = -1  # of the span code: the segment of the frame before goes on


class Span(NamedTuple):
    """A segment: its state, its first frame, its number of frames."""

    state: int
    start: int
    length: int


def cut(labels: Sequence[int] | np.ndarray, longest: int | None = None) -> list[Span]:
    """Return the runs of equal labels; each is cut whenever it reaches ``longest`` - 1 frames (None: never).

    >>> cut([4, 4, 4, 7], longest=3)
    [Span(state=4, start=0, length=2), Span(state=4, start=2, length=1), Span(state=7, start=3, length=1)]
    """
    labels = np.asarray(labels)
    if not len(labels):
        return []
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, len(labels)]
    spans = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        step = end - start if longest is None else longest - 1
        spans += [Span(int(labels[s]), s, min(step, end - s)) for s in range(start, end, step)]
    return spans


def labels_of(spans: Iterable[Span], frames: int) -> np.ndarray:
    """Return the state of every frame, (T,) int64; -1 where no span lies."""
    labels = np.full(frames, -1, np.int64)
    for span in spans:
        labels[span.start : span.start + span.length] = span.state
    return labels


def code(labels: Sequence[int] | np.ndarray, longest: int | None = None) -> np.ndarray:
    """Return the span code of labels, (T,) int64: the state where a segment begins, -1 where it goes on."""
    result = np.full(len(labels), CONTINUES, np.int64)
    for span in cut(labels, longest):
        result[span.start] = span.state
    return result


def uncode(codes: Sequence[int] | np.ndarray) -> list[Span]:
    """Return the segments of a span code."""
    codes = np.asarray(codes)
    starts = np.flatnonzero(codes != CONTINUES)
    ends = np.r_[starts[1:], len(codes)] if len(starts) else starts
    return [Span(int(codes[s]), int(s), int(e - s)) for s, e in zip(starts, ends, strict=True)]


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return the spans with neighbours of one state made one.

    >>> joined([Span(4, 0, 2), Span(4, 2, 1), Span(7, 3, 1)])
    [Span(state=4, start=0, length=3), Span(state=7, start=3, length=1)]
    """
    result: list[Span] = []
    for span in spans:
        if result and result[-1].state == span.state:
            result[-1] = Span(span.state, result[-1].start, result[-1].length + span.length)
        else:
            result.append(span)
    return result
