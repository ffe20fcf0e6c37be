"""From rows of network scores to one row for each clip, and from several models to one. B clips, T segments, K classes."""

from collections.abc import Sequence

import numpy as np


def softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return probabilities along ``axis``; scores of any size are safe."""
    scores = np.asarray(scores)
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def clip_scores(rows: np.ndarray, views: int, segments: int = 1, probabilities: bool = False) -> np.ndarray:
    """Return one row of scores for each clip: the mean over its views (crops x draws of segments) and segments.

    rows: (B * views * segments, K), clips outermost, segments innermost. segments: 1 where the network has averaged its
    segments already; networks without shift may give a row for each. probabilities: turn the mean into probabilities;
    only after the segments are averaged, since these are no classes to choose from. Returns (B, K).

    >>> clip_scores(np.array([[1.0, 3.0], [3.0, 5.0]]), views=2)
    array([[2., 4.]])
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or len(rows) % (views * segments):
        raise ValueError(f"rows are {rows.shape}: no whole number of clips with {views} views of {segments} segments")
    mean = rows.reshape(-1, views, segments, rows.shape[1]).mean(axis=(1, 2))
    return softmax(mean) if probabilities else mean


def ensemble(scores: Sequence[np.ndarray], coefficients: Sequence[float] | None = None) -> np.ndarray:
    """Return the scores of several models together: the sum of coefficient * scores over models, by the number of models.

    scores: for each model (B, K). coefficients: one for each model; None: 1 each.
    """
    coefficients = [1.0] * len(scores) if coefficients is None else list(coefficients)
    if not scores or len(coefficients) != len(scores):
        raise ValueError(f"there are {len(scores)} models and {len(coefficients)} coefficients")
    if len({np.shape(each) for each in scores}) > 1:
        raise ValueError(f"the models' scores differ in shape: {', '.join(str(np.shape(each)) for each in scores)}")
    return sum(c * np.asarray(each) for c, each in zip(coefficients, scores, strict=True)) / len(scores)
