"""What a student that rolls out expects step after step, beside what was done then: to be looked at, no measure."""

from dataclasses import dataclass

import numpy as np

from kinoflow.tasks.anticipation import windows
from kinoflow.tasks.anticipation.data import Reader
from kinoflow.tasks.anticipation.options import SamplingOptions
from kinoflow.tasks.anticipation.scoring import Scorer
from kinoflow.tasks.anticipation.windows import Windows


@dataclass(frozen=True)
class Later:
    """A step after what was seen. start, end: seconds; scores: (C,) of actions; done: the true action, -1 for none."""

    start: float
    end: float
    scores: np.ndarray
    done: int


def rolled_out(scorer: Scorer, reader: Reader, video: str, start: float, end: float) -> list[Later]:
    """Return the steps that a student predicts one after the other from what is seen of a video from ``start`` to ``end``.

    Every step's features go through the classifier as those of the next action do. Empty for a head that does not roll out.
    Raises DataError if there are no features in the window.
    """
    seen = reader.seen(video, start, end)
    scores = scorer.later(scorer.said(seen.x[None], np.array([seen.length])))
    if scores is None or len(scores[0]) == 1:
        return []
    of = reader.options.sampling
    steps = steps_after(of, start, end, len(scores[0]))
    done = [_done(reader, video, first, last) for first, last in steps]
    return [Later(float(a), float(b), own, k) for (a, b), own, k in zip(steps, scores[0], done, strict=True)]


def steps_after(of: SamplingOptions, start: float, end: float, count: int) -> np.ndarray:
    """Return the windows (count, 2) of the steps that follow a window, seconds."""
    seconds = of.step_seconds if of.read == "mean" else 1 / of.rate
    seen = Windows(np.zeros(1, np.int64), np.zeros(0, np.int64), np.array([start]), np.array([end]))
    return np.concatenate([windows.future(seen, seconds, seconds, ratio) for ratio in range(count)])


def _done(reader: Reader, video: str, start: float, end: float) -> int:
    """Return the action that a step shows: of a single frame the one at its moment, else the commonest of its frames."""
    of = reader.options.sampling
    if of.read == "frames":
        return int(reader.labels(video, np.array([end]), "action")[0])
    times = np.arange(start + 0.5 / of.fps, end, 1 / of.fps)
    return windows.commonest(reader.labels(video, times, "action"))
