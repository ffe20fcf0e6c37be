"""How well samples were put into classes. Shares run from 0 to 1 (not percent); ties go to the class with the lower number.

N samples, K classes. Labels are numbers 0..K-1. What is defined over no sample at all is refused (ValueError) or, as one
entry among several, NaN.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np


def top_k(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Return the share of samples whose label is among the ``k`` classes with the highest scores.

    scores: (N, K), higher is likelier. labels: (N,). ValueError if k is not 1..K, or a score is NaN.

    >>> top_k(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([2, 0]), k=2)
    1.0
    """
    scores, labels = _scored(scores, labels)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top {k} cannot be asked for among {scores.shape[1]} classes")
    own = np.take_along_axis(scores, labels[:, None], axis=1)  # (N, 1)
    tied_before = (scores == own) & (np.arange(scores.shape[1]) < labels[:, None])
    rank = ((scores > own) | tied_before).sum(axis=1)  # (N,) classes in front of the label
    return float((rank < k).mean())


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int | Sequence[int]) -> np.ndarray:
    """Count samples by true class (rows) and predicted class (columns).

    labels, predicted: (N,). classes: K for 0..K-1, or the classes in the order of the rows. Returns (K, K) int64.
    ValueError if a sample has another class.
    """
    order = np.arange(classes) if isinstance(classes, int | np.integer) else np.asarray(classes, np.int64)
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ValueError(f"there are {labels.shape} labels and {predicted.shape} predictions")
    counts = np.zeros((len(order), len(order)), np.int64)
    if len(labels):
        np.add.at(counts, (_places(labels, order), _places(predicted, order)), 1)
    return counts


def class_recalls(counts: np.ndarray) -> np.ndarray:
    """Return the share of each class's samples that was found: (K,) from confusion counts (K, K); NaN for absent classes."""
    return _by_row(np.diagonal(counts), counts)


def class_accuracy(counts: np.ndarray) -> float:
    """Return the mean over classes of their recall, classes without a sample left out."""
    return _mean_of_present(class_recalls(counts))


def upper_bound(counts: np.ndarray) -> float:
    """Return the mean over classes of the largest share of a row: class accuracy if each class could be renamed at will.

    Classes without a sample are left out.
    """
    counts = np.asarray(counts)
    return _mean_of_present(_by_row(counts.max(axis=1, initial=0), counts))


def group_recall(labels: np.ndarray, predicted: np.ndarray, group: Collection[int]) -> float:
    """Return the mean recall of the classes in ``group``; predictions outside the group count as misses.

    labels, predicted: (N,), over all classes. Classes of the group without a sample are left out; ValueError if all are.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    recalls = [
        float((predicted[labels == each] == each).mean()) for each in sorted(set(group)) if (labels == each).any()
    ]
    return _mean_of_present(np.array(recalls))


def bit_recall(scores: np.ndarray, labels: np.ndarray, bits: Mapping[int, int]) -> float:
    """Return how well a property of classes is told, where only the classes that have it are candidates.

    scores: (N, K). labels: (N,). bits: {class: value of the property}; samples of other classes are left out. The value
    told for a sample is that of its best class among ``bits``; the result is the mean over values of their recall, so
    chance is one over the number of values.

    >>> scores = np.array([[0.9, 0.4, 0.5, 0.1], [0.9, 0.5, 0.4, 0.1]])
    >>> bit_recall(scores, np.array([3, 1]), bits={1: 0, 2: 1, 3: 1})  # class 3 is taken for 2, which has the same bit
    1.0
    """
    scores, labels = _scored(scores, labels)
    candidates = np.array(sorted(bits))
    values = np.array([bits[each] for each in candidates])  # (candidates,)
    inside = np.isin(labels, candidates)
    told = values[scores[inside][:, candidates].argmax(axis=1)]
    true = values[_places(labels[inside], candidates)]
    return group_recall(true, told, set(values.tolist()))


def majority(known: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Return the top-``k`` share of the baseline that always names the classes most frequent in training.

    known: labels of the training samples. labels: (N,) of the tested ones.
    """
    labels = _some(labels)
    classes, counts = np.unique(_some(known), return_counts=True)
    named = classes[np.argsort(-counts, kind="stable")[:k]]
    return float(np.isin(labels, named).mean())


def chance(classes: int, k: int = 1) -> float:
    """Return the share that guessing ``k`` of ``classes`` classes gets right; also the expected class-mean recall."""
    if not 1 <= k <= classes:
        raise ValueError(f"top {k} cannot be asked for among {classes} classes")
    return k / classes


def _scored(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), _some(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"scores are {scores.shape}, labels {labels.shape}; (N, K) and (N,) are needed")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, there are {scores.shape[1]} classes")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    return scores, labels


def _some(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels, np.int64)
    if not labels.size:
        raise ValueError("there is no sample")
    return labels


def _places(classes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return where each of ``classes`` stands in ``order``."""
    sorter = np.argsort(order, kind="stable")
    places = sorter[np.searchsorted(order, classes, sorter=sorter).clip(max=len(order) - 1)]
    other = order[places] != classes
    if other.any():
        raise ValueError(f"a sample has the class {classes[other][0]}, which is none of those asked for")
    return places


def _by_row(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    totals = np.asarray(counts).sum(axis=1)
    return np.divide(numbers, totals, out=np.full(len(totals), np.nan), where=totals > 0)


def _mean_of_present(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    if not len(present):
        raise ValueError("none of the classes has a sample")
    return float(present.mean())
