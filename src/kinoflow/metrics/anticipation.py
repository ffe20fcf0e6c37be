"""How well the next action was foreseen. Shares run from 0 to 1; ties go to the class with the lower number.

N samples, C classes. Labels are numbers 0..C-1, or -1 for one that is none of the classes: a miss that stays in the
denominator. Top-k accuracy and recall: Furnari et al., "Leveraging uncertainty to rethink loss functions and evaluation
measures for egocentric action anticipation", 2018; time to action: Furnari and Farinella, "What would you expect?", 2019.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from kinoflow.metrics.scores import softmax

BLOCK = 1 << 18  # scores compared at once: they stay in the processor's cache
TINY = 1e-6  # added to a norm before it divides

# ---------------------------------------------------------------- ranks, and shares of samples


def label_ranks(scores: np.ndarray, labels: np.ndarray, exact: int | None = None) -> np.ndarray:
    """Return how many classes stand in front of each sample's label, (N,) int64; C where the label is -1.

    scores: (N, C), higher is likelier. labels: (N,). A class with the label's score and a lower number stands in front.
    exact: ranks from this one on may leave out classes with the label's score, which is faster; None: all are exact.
    Counts in place of sorting. ValueError if a score is NaN, or shapes or labels do not fit.

    >>> label_ranks(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.3]]), np.array([2, 1]))
    array([1, 1])
    """
    scores, labels = _fitting(scores, labels)
    classes = scores.shape[1]
    ranks = np.full(len(labels), classes, np.int64)
    rows = max(1, BLOCK // classes)
    for first in range(0, len(labels), rows):
        known = first + np.flatnonzero(labels[first : first + rows] >= 0)
        if len(known):
            whole = len(known) == min(rows, len(labels) - first)
            some = scores[first : first + rows] if whole else scores[known]
            ranks[known] = _ranks(some, labels[known], classes if exact is None else exact)
    return ranks


def _ranks(scores: np.ndarray, labels: np.ndarray, exact: int) -> np.ndarray:
    own = scores[np.arange(len(labels)), labels][:, None]  # (n, 1)
    larger = np.count_nonzero(scores > own, axis=1)
    near = np.flatnonzero(larger < exact)
    some = scores if len(near) == len(labels) else scores[near]
    tied = near[
        np.count_nonzero(some >= own[near], axis=1) - larger[near] > 1
    ]  # with another class than the label itself
    if len(tied):
        before = np.arange(scores.shape[1]) < labels[tied, None]
        larger[tied] += ((scores[tied] == own[tied]) & before).sum(axis=1)
    return larger


def top_ks(scores: np.ndarray, labels: np.ndarray, ks: Sequence[int] = (1, 2, 3, 4, 5)) -> dict[int, float]:
    """Return, for each k, the share of samples whose label is among the k classes with the highest scores.

    >>> top_ks(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([2, -1]), ks=(1, 2))
    {1: 0.0, 2: 0.5}
    """
    ranks = label_ranks(scores, labels, max(ks, default=0))
    if not len(ranks):
        raise ValueError("there is no sample")
    return {k: float(_within(ranks, k, scores).mean()) for k in ks}


def many_shot_accuracy(scores: np.ndarray, labels: np.ndarray, classes: Collection[int], k: int = 1) -> float:
    """Return the top-k share of the samples whose label is one of ``classes``; NaN if there is none."""
    inside = np.isin(labels, list(classes))
    return float(_within(label_ranks(scores, labels, k)[inside], k, scores).mean()) if inside.any() else float("nan")


def _within(ranks: np.ndarray, k: int, scores: np.ndarray) -> np.ndarray:
    """Return which samples' labels are among the best k; a rank of all classes is that of no label, whatever k."""
    return ranks < min(k, np.shape(scores)[-1])


# ---------------------------------------------------------------- means over classes


def top_k_recalls(
    scores: np.ndarray, labels: np.ndarray, k: int = 5, classes: Collection[int] | None = None
) -> dict[int, float]:
    """Return {class: share of its samples whose label is among the best k}, of the classes that have a sample.

    classes: only these; None: all.
    """
    ranks, labels = label_ranks(scores, labels, k), np.asarray(labels, np.int64)
    hits = np.bincount(labels[(labels >= 0) & (ranks < k)], minlength=scores.shape[1])
    counts = np.bincount(labels[labels >= 0], minlength=scores.shape[1])
    present = np.flatnonzero(counts)
    if classes is not None:
        present = present[np.isin(present, list(classes))]
    return {int(each): float(hits[each] / counts[each]) for each in present}


def mean_top_k_recall(
    scores: np.ndarray, labels: np.ndarray, k: int = 5, classes: Collection[int] | None = None
) -> float:
    """Return the mean over classes present (among ``classes``) of their top-k recall; NaN if none is present.

    >>> mean_top_k_recall(np.eye(3)[[0, 0, 1]], np.array([0, 1, 1]), k=1)
    0.75
    """
    recalls = top_k_recalls(scores, labels, k, classes)
    return float(np.mean(list(recalls.values()))) if recalls else float("nan")


def class_mean_top1(scores: np.ndarray, labels: np.ndarray, over: str = "present") -> float:
    """Return the mean over classes of their top-1 recall.

    over: present (classes that have a sample) or all (the C classes; one without a sample counts 0).
    """
    recalls = top_k_recalls(scores, labels, 1)
    if over not in ("present", "all"):
        raise ValueError(f"over: {over!r} is neither present nor all")
    if not recalls:
        return float("nan")
    return float(sum(recalls.values()) / (len(recalls) if over == "present" else scores.shape[1]))


def many_shot_or(verb: np.ndarray, noun: np.ndarray, verbs: Collection[int], nouns: Collection[int]) -> np.ndarray:
    """Return the actions whose verb or noun is many-shot, sorted: the set of RULSTM's and AVT's code.

    verb, noun: (C,) of each action. verbs, nouns: the many-shot ones.
    """
    return np.flatnonzero(np.isin(verb, list(verbs)) | np.isin(noun, list(nouns)))


# ---------------------------------------------------------------- verbs and nouns


def marginalise(logits: np.ndarray, ids: np.ndarray, count: int, original: bool = False) -> np.ndarray:
    """Return the probabilities of verbs (or nouns), (N, count): sums of the actions' probabilities.

    logits: (N, C) of actions. ids: (C,) the verb of each action, -1 for none. original: as RULSTM does, where a verb
    without any action gets the probability of action 0.

    >>> marginalise(np.zeros((1, 4)), np.array([0, 0, 1, 1]), 3)
    array([[0.5, 0.5, 0. ]])
    """
    found = softmax(np.asarray(logits, np.float64)) @ _mapping(ids, count)
    if original:
        lone = ~np.isin(np.arange(count), ids)
        found[:, lone] = softmax(np.asarray(logits, np.float64))[:, :1]
    return found


def sum_by_id(logits: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """Return the sums of raw scores of the actions of each verb, (N, count), without any softmax."""
    return np.asarray(logits, np.float64) @ _mapping(ids, count)


def _mapping(ids: np.ndarray, count: int) -> np.ndarray:
    """Return the 0/1 matrix from actions to verbs, (C, count)."""
    return (np.asarray(ids)[:, None] == np.arange(count)).astype(np.float64)


def decomposed_top_k(scores: np.ndarray, labels: np.ndarray, ids: np.ndarray, k: int) -> float:
    """Return the share of samples of whose k best actions one has the verb (or noun) of the true action.

    scores: (N, C). labels: (N,) actions. ids: (C,) the verb of each action. Not the top k of verbs: k actions have at
    most k verbs, and fewer where verbs repeat.
    """
    scores, labels = _fitting(scores, labels)
    ids, known = np.asarray(ids), labels >= 0
    best = best_k(scores, k)
    hit = known & (ids[best] == ids[np.where(known, labels, 0)][:, None]).any(axis=1)
    return float(hit.mean())


def best_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the k classes with the highest scores, the best first, (N, k) int64."""
    return np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]


def verb_noun_product(verb_logits: np.ndarray, noun_logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of pairs from separate heads, (N, V * M): verb 0 with all nouns first."""
    pairs = softmax(verb_logits)[:, :, None] * softmax(noun_logits)[:, None, :]
    return pairs.reshape(len(pairs), -1)


# ---------------------------------------------------------------- several moments, several models


def time_to_action(scores: np.ndarray, labels: np.ndarray, times: Sequence[float], k: int = 5) -> float:
    """Return the mean over samples of the earliest moment whose best k classes hold the label, seconds before the action.

    scores: (N, T, C) of moments, the earliest first. times: (T,) seconds before the action, falling. A label that is never
    among them counts 0.
    """
    scores, times = np.asarray(scores), np.asarray(times, np.float64)
    if scores.ndim != 3 or times.shape != scores.shape[1:2]:
        raise ValueError(f"scores are {scores.shape} and times {times.shape}; (N, T, C) and (T,) are needed")
    if (np.diff(times) >= 0).any():
        raise ValueError("times: they must fall, the earliest moment has the most seconds before the action")
    hits = np.stack(
        [_within(label_ranks(scores[:, t], labels, k), k, scores) for t in range(len(times))], axis=1
    )  # (N, T)
    return float(np.where(hits.any(axis=1), times[hits.argmax(axis=1)], 0.0).mean())


def late_fusion(
    parts: Sequence[tuple[Sequence[str], np.ndarray]], weights: Sequence[float], norm: float | None = None
) -> tuple[list[str], np.ndarray]:
    """Return the sorted union of uids, and the weighted sums of their scores over the parts that have them, (U, C).

    parts: (uids, scores (N, C)) of each model. norm: divide each row by its p-norm of this p (plus 1e-6) first.
    """
    if len(parts) != len(weights) or not parts:
        raise ValueError(f"there are {len(parts)} parts and {len(weights)} weights")
    widths = {np.shape(scores)[1] for _, scores in parts}
    if len(widths) > 1:
        raise ValueError(f"the parts have {', '.join(map(str, sorted(widths)))} classes; fuse what has the same ones")
    union = sorted({uid for uids, _ in parts for uid in uids})
    place = {uid: i for i, uid in enumerate(union)}
    total = np.zeros((len(union), widths.pop()))
    for (uids, scores), weight in zip(parts, weights, strict=True):
        rows = np.asarray(scores, np.float64)
        if norm is not None:
            rows = rows / (np.linalg.norm(rows, ord=norm, axis=1, keepdims=True) + TINY)
        where = [place[uid] for uid in uids]
        if len(set(where)) < len(where):
            raise ValueError("a part has a uid twice; take the mean of its rows first")
        total[where] += weight * rows
    return union, total


def mean_by_uid(uids: Sequence, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted different uids (U,) and the mean row of each, (U, C)."""
    unique, place = np.unique(np.asarray(uids), return_inverse=True)
    total = np.zeros((len(unique), *np.shape(scores)[1:]))
    np.add.at(total, place, scores)
    counts = np.bincount(place)
    return unique, total / counts.reshape(-1, *[1] * (total.ndim - 1))


def gains(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    """Return after minus before of the classes that both have, the largest gain first; the lower number of equals."""
    found = {each: after[each] - before[each] for each in before.keys() & after.keys()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _fitting(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels, np.int64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"scores are {scores.shape}, labels {labels.shape}; (N, C) and (N,) are needed")
    if len(labels) and (labels.min() < -1 or labels.max() >= scores.shape[1]):
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, there are {scores.shape[1]} classes")
    if scores.size and np.isnan(scores.max()):
        raise ValueError("a score is NaN")
    return scores, labels
