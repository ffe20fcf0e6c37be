"""The supervised fit in closed form: counts of given segments, smoothed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.spans import Span, labels_of

VARIANCE_FLOOR = 1e-6


class Counts(NamedTuple):
    """What is counted of given segmentations, float64."""

    videos: int
    starts: np.ndarray  # (L,) videos that begin with a state
    transitions: np.ndarray  # (L, L) [from, to]
    segments: np.ndarray  # (rows,) segments of a row of means and rates
    frames: np.ndarray  # (rows,) frames of it


def count(spans: Sequence[Sequence[Span]], states: int, tied: Sequence[int] | None = None) -> Counts:
    """Return the counts of segmentations; ``tied`` pools segments and frames of states that share a row."""
    rows = np.arange(states) if tied is None else np.asarray(tied)
    starts, transitions = np.zeros(states), np.zeros((states, states))
    segments, frames = np.zeros(rows.max() + 1), np.zeros(rows.max() + 1)
    for video in spans:
        for before, after in zip([None, *video], video, strict=False):
            segments[rows[after.state]] += 1
            frames[rows[after.state]] += after.length
            if before is None:
                starts[after.state] += 1
            else:
                transitions[before.state, after.state] += 1
    return Counts(len(spans), starts, transitions, segments, frames)


def fit_supervised(
    model: SegmentModel,
    features: Sequence[np.ndarray | torch.Tensor],
    spans: Sequence[list[Span]],
    state_smoothing: float = 0.01,
    length_smoothing: float = 0.1,
) -> None:
    """Set the parameters of a dense model from videos (T, D) and their spans, cut to at most K - 1 frames.

    Means of states that never occur are 0; the variance is that of all frames, not of those within a state, as published.
    Raises ConfigError for a low-rank model, DataError for spans that do not fit.
    """
    if model.rank is not None:
        raise ConfigError("training: a low-rank model has no closed form; set rank to empty or train it by gradient")
    arrays = [np.asarray(torch.as_tensor(x).cpu(), np.float64) for x in features]
    if not arrays or len(arrays) != len(spans):
        raise DataError(f"there are {len(arrays)} videos with {len(spans)} segmentations; give both, one for each")
    for number, (x, video) in enumerate(zip(arrays, spans, strict=True)):
        _check(model, number, x, video)
    counts = count(spans, model.states, model.tied)
    x = np.concatenate(arrays)
    labels = np.concatenate([labels_of(video, len(one)) for one, video in zip(arrays, spans, strict=True)])
    rows = labels if model.tied is None else np.asarray(model.tied)[labels]
    sums = np.zeros((len(counts.frames), model.width))
    np.add.at(sums, rows, x)
    smoothed = counts.transitions + state_smoothing
    initial = (counts.starts + state_smoothing) / (counts.videos + state_smoothing * model.states)
    with torch.no_grad():
        model.initial_logits.copy_(torch.from_numpy(np.log(initial)))
        model.transition_logits.copy_(torch.from_numpy(np.log(smoothed / smoothed.sum(1, keepdims=True))))
        if model.duration == "poisson":
            rates = (counts.frames + length_smoothing) / (counts.segments + length_smoothing)
            model.log_rates.copy_(torch.from_numpy(np.log(rates)))
    means = sums / np.maximum(counts.frames, 1)[:, None]
    deviations = np.sqrt(x.var(0) + VARIANCE_FLOOR)
    model.start_emissions(torch.from_numpy(means), torch.from_numpy(deviations))


def _check(model: SegmentModel, number: int, x: np.ndarray, spans: Sequence[Span]) -> None:
    """Raise DataError if a video's spans do not cover it, or are not the model's."""
    ends = [0, *(span.start + span.length for span in spans)]
    if ends[-1] != len(x) or any(span.start != end for span, end in zip(spans, ends, strict=False)):
        raise DataError(f"the spans of training video {number} do not cover its {len(x)} rows one after the other")
    if any(not 1 <= span.length < model.longest for span in spans):
        raise DataError(
            f"a span of training video {number} is longer than {model.longest - 1} rows; cut it into pieces"
        )
    if any(not 0 <= span.state < model.states for span in spans):
        raise DataError(f"a span of training video {number} has a state beyond the model's {model.states}")
    if not np.isfinite(x).all():
        raise DataError(f"training video {number} has features that are not finite numbers; leave it out")
