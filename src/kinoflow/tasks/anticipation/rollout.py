"""What a student that rolls out expects step after step, beside what was done then: to be looked at, no measure.

Steps are counted from the window's end: step 1 is the first after what was seen, step 0 the last one seen. Labels are looked
up in windows r_i of the future, [end + r_i gap, end + r_i gap + observed], and at the steps that are rolled out.
K steps, N samples.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinoflow.datasets.actions import Classes, Rows
from kinoflow.metrics.anticipation import best_k
from kinoflow.metrics.scores import softmax
from kinoflow.progress import Progress
from kinoflow.tasks.anticipation import windows
from kinoflow.tasks.anticipation.data import Samples, Sequences, by_video
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.scoring import Scorer
from kinoflow.tasks.anticipation.windows import NONE, Windows

FIVE = 5
DIGITS = 6  # of times and probabilities
SLACK = 1e-6  # of a step, by which the edges of windows may be off


@dataclass(frozen=True, kw_only=True)
class Later:
    """A row of the table of later steps: what a step shows in the annotation, and what the student expects in it."""

    uid: str
    video: str
    step: int  # 1: the first after what was seen; 0 and less: seen
    start: float  # seconds in the video
    end: float
    windows: str = ""  # the ratios of the windows that hold it, blanks between
    label: str = ""  # "" where nothing is done
    predicted: str = ""  # "" for steps that are not rolled out
    probability: float | None = None
    second: str = ""
    third: str = ""
    fourth: str = ""
    fifth: str = ""


def step_seconds(options: AnticipationOptions) -> float:
    """Return how long a step of the head is, which may be a group of the steps that are read."""
    of, network = options.sampling, options.network
    group = network.group or of.steps if network.aggregator in ("mean", "transformer") else 1
    return group * (of.step_seconds if of.read == "mean" else 1 / of.rate)


def rolled_out(scorer: Scorer, views: Sequence[Sequences], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest five actions of each step that is rolled out, (N, K, 5), and their probabilities (N, K, 5).

    Every step's features go through the classifier as those of the next action do. views: the samples' sequences by squares
    of frames; scores are means over them.
    """
    best, shares = [], []
    with scorer.how.settled(), Progress(what, total=len(views[0]), items="actions") as progress:
        for number in range(len(views[0])):
            seen = [view(number) for view in views]
            said = scorer.said(np.stack([one.x for one in seen]), np.array([one.length for one in seen]))
            scores = scorer.later(said).mean(0)  # (K, C)
            best.append(best_k(scores, FIVE))
            shares.append(np.take_along_axis(softmax(scores.astype(np.float64)), best[-1], 1))
            progress.step(1)
    return np.stack(best), np.stack(shares)


def later_rows(
    samples: Samples,
    options: AnticipationOptions,
    rows: Rows,
    table: Classes,
    ratios: Sequence[float],
    foreseen: tuple[np.ndarray, np.ndarray],
) -> Iterator[Later]:
    """Give a row for every step that is rolled out or lies in one of the windows, by sample and time.

    rows: all actions of the videos, whose labels are looked up. foreseen: of `rolled_out`.
    """
    best, shares = foreseen
    lasts = _windows(samples, options, ratios)  # {ratio: (N, 2)}
    truth = Truth(rows, options)
    for i, (uid, video) in enumerate(zip(samples.rows.uid, samples.rows.video, strict=True)):
        numbers = truth.numbers(
            float(samples.end[i]), {ratio: bounds[i] for ratio, bounds in lasts.items()}, best.shape[1]
        )
        steps = truth.steps(float(samples.end[i]), np.array(list(numbers)))
        labels = truth.labels(video, steps)
        for (number, inside), (start, end), label in zip(numbers.items(), steps.tolist(), labels, strict=True):
            told = _told(best[i, number - 1], shares[i, number - 1], table) if 1 <= number <= best.shape[1] else {}
            yield Later(
                uid=str(uid),
                video=str(video),
                step=number,
                start=round(start, DIGITS),
                end=round(end, DIGITS),
                windows=" ".join(f"{ratio:g}" for ratio in inside),
                label=table.names[label] if label != NONE else "",
                **told,
            )


def _windows(samples: Samples, options: AnticipationOptions, ratios: Sequence[float]) -> dict[float, np.ndarray]:
    """Return the windows (N, 2) of each ratio, seconds."""
    nothing = np.zeros(0, np.int64)
    seen = Windows(np.arange(len(samples)), nothing, samples.start, samples.end)
    asked = options.window == "previous_end"  # where the window itself may be cut off by the video's start
    observed = options.sampling.observed if asked else samples.end - samples.start
    return {ratio: windows.future(seen, samples.seconds, observed, ratio) for ratio in ratios}


def _told(best: np.ndarray, shares: np.ndarray, table: Classes) -> dict[str, str | float]:
    names = [*(table.names[k] for k in best), *[""] * (FIVE - len(best))]
    keys = ("predicted", "second", "third", "fourth", "fifth")
    return dict(zip(keys, names, strict=True)) | {"probability": round(float(shares[0]), DIGITS)}


class Truth:
    """Which steps there are after the end of a window, and what is done in them. Of several actions at once, that whose middle
    is nearest.
    """

    def __init__(self, rows: Rows, options: AnticipationOptions):
        self.actions, self.options, self.seconds = by_video(rows), options, step_seconds(options)
        self.single = options.sampling.read == "frames"  # a step is the moment of its end

    def numbers(self, end: float, bounds: Mapping[float, Sequence[float]], rolled: int) -> dict[int, list[float]]:
        """Return the numbers of the steps that are rolled out or whose middle is in a window, with the ratios of these."""
        found: dict[int, list[float]] = {number: [] for number in range(1, rolled + 1)}
        middle = 0.0 if self.single else 0.5
        for ratio, (first, last) in bounds.items():
            low = math.ceil((max(float(first), 0.0) - end) / self.seconds + middle - SLACK)
            high = math.floor((float(last) - end) / self.seconds + middle + SLACK)
            for number in range(low, high + 1):
                found.setdefault(number, []).append(ratio)
        return dict(sorted(found.items()))

    def steps(self, end: float, numbers: np.ndarray) -> np.ndarray:
        """Return the times (n, 2) of numbered steps, seconds."""
        starts = end + self.seconds * (numbers - 1)
        return np.stack([np.maximum(starts, 0.0), end + self.seconds * numbers], 1)

    def labels(self, video: str, steps: np.ndarray) -> list[int]:
        """Return the action of each step (n, 2): of a single frame the one at its moment, else the commonest of its frames."""
        fps = self.options.sampling.fps
        if self.single:
            return self._at(video, steps[:, 1]).tolist()
        times = [np.arange(start + 0.5 / fps, end, 1 / fps) for start, end in steps]
        parts = np.split(self._at(video, np.concatenate(times)), np.cumsum([len(each) for each in times])[:-1])
        return [windows.commonest(part) for part in parts]

    def _at(self, video: str, times: np.ndarray) -> np.ndarray:
        return windows.labels_at(times, *self.actions[video])
