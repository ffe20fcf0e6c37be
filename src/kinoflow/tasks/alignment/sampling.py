"""Which frames of a video a network sees: views in training, all frames in tests. Frames are numbered from 0.

Papers: see ``encoders``; Sermanet et al., "Time-contrastive networks", 2018 (scheme: tcn).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from kinoflow.tasks.alignment.options import ViewOptions


@dataclass(frozen=True)
class View:
    """Frames of one view. T frames of c contexts each."""

    load: np.ndarray  # (T*c,) int64: frames to read; the last context of each frame is itself
    chosen: np.ndarray  # (T,) int64: the frames, moved inside the video: their time in losses
    mask: np.ndarray  # (T,) float32: 1 where the frame is in the video, 0 where it is padding


def views(length: int, options: ViewOptions, rng: Generator) -> tuple[View, ...]:
    """Draw ``options.views`` views of a video of ``length`` frames."""
    first = _view(steps(length, options, rng), length, options)
    if options.views == 1:
        return (first,)
    near = int(first.load.min()) if options.overlap else None  # of the frames that are read, as published
    return first, _view(steps(length, options, rng, near), length, options)


def steps(length: int, options: ViewOptions, rng: Generator, near: int | None = None) -> np.ndarray:
    """Draw the frames of a view, (T,) int64; those below 0 or from ``length`` on are padding.

    near: the first frame of the other view, that this one shall overlap with (time_augment).
    """
    T = options.frames
    if options.scheme == "uniform":
        return _uniform(length, T, rng)
    if options.scheme == "time_augment":
        return _stretch(length, T, options, rng, near)
    anchors = (
        _uniform(length, T // 2, rng) if options.anchors == "uniform" else _stretch(length, T // 2, options, rng, near)
    )
    positives = anchors - rng.integers(1, options.window, size=len(anchors), endpoint=True)
    return np.stack([anchors, positives], 1).ravel()  # anchor, positive, anchor ...


def _uniform(length: int, count: int, rng: Generator) -> np.ndarray:
    """Draw ``count`` distinct frames of the whole video; where there are not so many, all, then padding."""
    if length < count:
        return np.arange(count)
    return np.sort(rng.choice(length, count, replace=False))


def _stretch(length: int, count: int, options: ViewOptions, rng: Generator, near: int | None) -> np.ndarray:
    """Draw ``count`` distinct frames (as many as the video has, then padding) of a stretch of random length and place.

    By rule: video the stretch is at least as long as the video and begins with it: what lies past the end is padding.
    """
    ratio = rng.uniform(1, options.region) if options.region > 1 else 1.0
    fewer = min(length, count)
    block = math.ceil(ratio * (length if options.rule == "video" else fewer))
    if options.clip:
        block = min(block, length)
    low, high = 0, max(length - block, 1)
    if near is not None:
        apart = int((1 - options.overlap) * fewer)
        low = max(0, min(length - block, near - apart))
        high = max(1, min(length - block + 1, near + apart + 1))
    offset = int(rng.integers(low, high))
    drawn = offset + np.sort(rng.choice(block, fewer, replace=False))
    return np.concatenate([drawn, np.full(count - fewer, length, np.int64)])


def _view(drawn: np.ndarray, length: int, options: ViewOptions) -> View:
    mask = ((drawn >= 0) & (drawn < length)).astype(np.float32)
    return View(with_contexts(drawn, length, options), drawn.clip(0, length - 1), mask)


def with_contexts(numbers: np.ndarray, length: int, options: ViewOptions) -> np.ndarray:
    """Return the frames to read for ``numbers`` (T,): (T*c,), each behind the frames before it, all inside the video."""
    before = options.context_stride * np.arange(options.contexts - 1, -1, -1)
    return (np.asarray(numbers, np.int64)[:, None] - before).ravel().clip(0, length - 1)


def whole(length: int, options: ViewOptions, stride: int = 1) -> np.ndarray:
    """Return the frames to read for every ``stride``-th frame of a whole video, (ceil(length / stride) * c,).

    Contexts are taken from the frames with that stride.
    """
    kept = np.arange(0, length, stride)
    return kept[with_contexts(np.arange(len(kept)), len(kept), options)]
