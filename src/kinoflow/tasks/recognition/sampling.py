"""Which frames of a clip are read: moments for its segments, and around each moment a window of neighbours.

All frame numbers are 0-based and count from the clip's own first frame.
"""

from typing import Literal

import numpy as np
from numpy.random import Generator, RandomState

from kinoflow.tasks.recognition.options import InputOptions, SamplingOptions

Mode = Literal["train", "validate", "test", "twice", "dense"]
Random = Generator | RandomState  # RandomState: the published code's draws can be repeated

STRETCH = 64  # frames of a dense stretch (I3D)
STRETCHES = 10  # of a dense test


def needed(options: InputOptions) -> int:
    """Return how many frames (flow fields for flow) a window spans: a clip with fewer cannot fill it."""
    if options.kind == "gray":
        return options.frames + (options.frames - 1) * options.interval
    return consecutive(options)


def consecutive(options: InputOptions) -> int:
    """Return the ``length`` to sample with: how many frames are read onwards from a segment's moment.

    1 for rgb and for gray, whose window lies around the moment; L for flow; L + 1 for L differences.
    """
    if options.kind in ("rgb", "gray"):
        return 1
    return options.frames + (options.kind == "difference")


def segments(
    frames: int, options: SamplingOptions, length: int = 1, mode: Mode = "train", rng: Random | None = None
) -> np.ndarray:
    """Choose the moments (n,) int64 of a clip of ``frames`` frames; clips shorter than that repeat frames.

    length: frames read onwards from each moment (``consecutive``): moments are kept so far from the clip's end, except
    dense ones. mode: train draws from ``rng``; validate and test take middles; twice adds moments half a segment
    earlier (n = 2 T); dense takes ten stretches of 64 frames, one after the other (n = 10 T). No other mode than train
    needs an ``rng``, but for validation of scheme: dense with cover: original. Raises ValueError for a clip of no frame.
    """
    if frames < 1:
        raise ValueError("a clip without frames has no segments")
    if mode == "dense" or options.scheme == "dense":
        return _dense(frames, options, mode, rng)
    choose = _exact if options.cover == "exact" else _original
    return choose(frames, options.segments, max(1, frames - length + 1), mode, rng)


def _exact(frames: int, T: int, M: int, mode: Mode, rng: Random | None) -> np.ndarray:
    """Cut the M possible moments into T equal parts of real length, so that none is left out."""
    k = np.arange(T)
    if mode == "train":
        return np.minimum((M / T * (k + rng.random(T))).astype(np.int64), M - 1)  # k + random may round up to k + 1
    middles = M * (2 * k + 1) // (2 * T)
    return np.concatenate((middles, M * k // T)) if mode == "twice" else middles


def _original(frames: int, T: int, M: int, mode: Mode, rng: Random | None) -> np.ndarray:
    """Choose as the published code does: it never draws the last M mod T moments, and validates short clips on frame 0."""
    k = np.arange(T)
    if mode == "train" and M >= T:
        return M // T * k + _below(rng, M // T, T)
    if mode == "train":
        return np.sort(_below(rng, M, T)) if frames > T else np.zeros(T, np.int64)
    if mode == "validate" and M <= T:
        return np.zeros(T, np.int64)
    tick = M / T
    middles = (tick / 2 + tick * k).astype(np.int64)
    return np.concatenate((middles, (tick * k).astype(np.int64))) if mode == "twice" else middles


def _dense(frames: int, options: SamplingOptions, mode: Mode, rng: Random | None) -> np.ndarray:
    """Choose moments inside stretches of 64 frames; a shorter clip starts again at its end."""
    T, original = options.segments, options.cover == "original"
    stride = STRETCH // T if original else max(1, STRETCH // T)
    last = max(0, frames - STRETCH)  # the last start of a stretch
    if mode == "dense":
        starts = np.linspace(0, last, STRETCHES).astype(np.int64)
    elif mode == "train" or (mode == "validate" and original):
        places = max(1, last) if original else last + 1  # the published code draws neither the last start ...
        starts = _below(rng, places, 1) if last else np.zeros(1, np.int64)  # ... nor anything where there is one place
    else:
        starts = np.array([last // 2, last // 2 - stride // 2])[: 2 if mode == "twice" else 1]
    return ((starts[:, None] + np.arange(T) * stride) % frames).ravel()


def _below(rng: Random, high: int, count: int) -> np.ndarray:
    draw = rng.randint if isinstance(rng, RandomState) else rng.integers
    return np.asarray(draw(high, size=count), np.int64)


def windows(positions: np.ndarray, frames: int, options: InputOptions) -> np.ndarray:
    """Return the frames (n, k) int64 to read for each of the moments (n,) of a clip of ``frames`` frames.

    rgb: the moment itself, k = 1. gray: k = ``options.frames`` around it, ``options.interval`` left out between. flow:
    k = L onwards; difference: k = L + 1 onwards. Numbers beyond the clip's ends stand for its first and last frame.
    """
    positions = np.asarray(positions, np.int64)
    if options.kind != "gray":
        chosen = positions[:, None] + np.arange(consecutive(options))
    else:
        span = needed(options)
        half = span // 2
        place = _inside(positions, frames, span, half) if options.border == "clamp" else _moved(positions, frames, half)
        chosen = place[:, None] - half + np.arange(options.frames) * (options.interval + 1)
    return chosen.clip(0, frames - 1)


def _inside(positions: np.ndarray, frames: int, span: int, half: int) -> np.ndarray:
    return positions.clip(half, max(half, frames - span + half))


def _moved(positions: np.ndarray, frames: int, half: int) -> np.ndarray:
    """Move windows near the ends by half their length, as the published code does: by more than is needed."""
    late = np.where(positions > frames - half - 1, positions - half, positions)
    return np.where(positions < half, positions + half, late)
