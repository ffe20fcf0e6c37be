"""How well sets are named, completed and checked for the odd one out. Shares run from 0 to 1; NaN: not defined.

N sets or records, M subsets, C nodes, Q candidates, n members of a set.
"""

from collections.abc import Callable

import numpy as np

EPSILON = 1e-8  # least product of lengths that a cosine divides by


def cosine_distances(centres: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return 1 - cosine of each item with its centre: (N, n), of centres (N, D) and items (N, n, D).

    >>> cosine_distances(np.array([[1.0, 0.0]]), np.array([[[2.0, 0.0], [0.0, 3.0]]]))
    array([[0., 1.]])
    """
    products = (items @ centres[:, :, None])[..., 0]  # (N, n)
    lengths = np.linalg.norm(items, axis=2) * np.linalg.norm(centres, axis=1)[:, None]
    return 1 - products / np.maximum(lengths, EPSILON)


# ---------------------------------------------------------------- naming


def in_top(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Return whether each subset's label is among its ``k`` best nodes, (N, M) bool; of equals the lower node comes first.

    scores: (N, C, M). labels: (N, M).
    """
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top {k} cannot be asked for among {scores.shape[1]} nodes")
    own = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)  # (N, 1, M)
    lower = np.arange(scores.shape[1])[:, None] < labels[:, None]
    return ((scores > own) | ((scores == own) & lower)).sum(axis=1) < k


def by_size(right: np.ndarray, sizes: np.ndarray) -> dict[int, np.ndarray]:
    """Return for each size of subsets what share of a set's subsets is right, {size: (N,)}; right: (N, M), sizes: (M,)."""
    return {int(size): right[:, sizes == size].mean(axis=1) for size in np.unique(sizes)}


def mean_average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the mean over nodes of their average precision; nodes that are never right are left out, NaN if all are.

    scores: (R, C), of each row and node. positive: (R, C) bool. Equal scores keep the order of the rows.

    >>> mean_average_precision(np.array([[3.0], [2.0], [1.0]]), np.array([[True], [False], [True]])).round(4).item()
    0.8333
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    right = np.take_along_axis(positive, order, axis=0)  # (R, C)
    precision = right.cumsum(axis=0) / np.arange(1, len(right) + 1)[:, None]
    counts = right.sum(axis=0)
    if not counts.any():
        return np.float64("nan")
    return ((precision * right).sum(axis=0)[counts > 0] / counts[counts > 0]).mean()


# ---------------------------------------------------------------- ranking


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values along the last axis, from 1; equal values share their mean rank.

    >>> ranks(np.array([0.3, 0.1, 0.3]))
    array([2.5, 1. , 2.5])
    """
    values = np.asarray(values, np.float64)
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return below + (equal + 1) / 2


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation along the last axis, (...,) in -1..1; NaN where one side is constant.

    >>> spearman(np.array([1, 2, 3]), np.array([10, 30, 20])).item()
    0.5
    """
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    lengths = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.divide((a * b).sum(-1), lengths, out=np.full(np.shape(lengths), np.nan), where=lengths > 0)


def kendall(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b along the last axis, (...,) in -1..1; NaN where one side is constant.

    >>> round(kendall(np.array([1, 2, 3]), np.array([10, 30, 20])).item(), 4)
    0.3333
    """
    a, b = (np.sign(x[..., None, :] - x[..., :, None]) for x in (np.asarray(first), np.asarray(second)))
    lengths = np.sqrt((a * a).sum((-2, -1)) * (b * b).sum((-2, -1)).astype(np.float64))
    return np.divide((a * b).sum((-2, -1)), lengths, out=np.full(np.shape(lengths), np.nan), where=lengths > 0)


def best_found(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Return whether the candidate told nearest is (one of) the truly nearest, (N,) bool; distances (N, Q)."""
    chosen = np.take_along_axis(truth, told.argmin(axis=-1)[..., None], axis=-1)[..., 0]
    return chosen == truth.min(axis=-1)


def human_agreement(rankings: np.ndarray) -> float:
    """Return the mean rank correlation of each annotator with the mean of the others; rankings (annotators, Q).

    Annotators who do not distinguish anything are left out; NaN if nobody is left, ValueError for one annotator alone.
    """
    rankings = np.asarray(rankings, np.float64)
    if len(rankings) < 2:
        raise ValueError("agreement takes two annotators or more")
    others = (rankings.sum(0) - rankings) / (len(rankings) - 1)
    found = spearman(rankings, others)
    known = found[~np.isnan(found)]
    return float(known.mean()) if len(known) else float("nan")


# ---------------------------------------------------------------- odd one out


def among_farthest(distances: np.ndarray, odd: np.ndarray, k: int = 1) -> np.ndarray:
    """Return whether the odd one is among the ``k`` with the largest distances, (N,) bool; of equals the lower place first.

    distances: (N, n). odd: (N,) the place of the odd one.
    """
    own = np.take_along_axis(distances, odd[:, None], axis=1)
    lower = np.arange(distances.shape[1]) < odd[:, None]
    return ((distances > own) | ((distances == own) & lower)).sum(axis=1) < k


# ---------------------------------------------------------------- intervals over sets


def bootstrap(
    values: np.ndarray, resamples: int, rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of the mean of ``values`` (N,) over resampled sets (percentiles); NaN values are left out.

    None if no value is left.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    means = _resampled(len(known), resamples, rng, lambda chosen: known[chosen].mean(axis=1))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled(
    count: int, resamples: int, rng: np.random.Generator, measure: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return a measure of each resample, a few at a time: memory does not grow with their number."""
    size = max(1, (1 << 20) // count)
    rounds = [min(size, resamples - done) for done in range(0, resamples, size)]
    return np.concatenate([measure(rng.integers(count, size=(each, count))) for each in rounds])
