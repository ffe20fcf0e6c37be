"""How well videos were cut into labelled segments: the scores of Fried et al. 2020 (arXiv 2005.03684), and those of Lea et al. 2017.

A video has T frames (rows of features). ``truth``: for each video (T, M) whole numbers, the labels of each frame padded with
-1 behind; the **first** one is *the* label where only one counts. ``predicted``: for each video (T,). ``image``: which
predicted label stands for each true one: itself (``identity``), or the one that overlaps best (``hungarian``). A frame is
background if its first label is; a prediction is background if it is the image of a background label.

Every score is a pair (numerator, denominator), so that tasks can be averaged or pooled; 0 / 0 is undefined.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

Statistics = dict[str, tuple[float, float]]
NOTHING = -2  # image of a label that no prediction stands for; -1 pads
OVERLAPS = (10, 25, 50)  # percent


def segments(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the runs of equal labels: their labels, first frames and lengths, (S,) each.

    >>> [part.tolist() for part in segments(np.array([4, 4, 4, 7]))]
    [[4, 7], [0, 3], [3, 1]]
    """
    labels = np.asarray(labels)
    first = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]]) if len(labels) else np.zeros(0, np.int64)
    return labels[first], first, np.diff(np.r_[first, len(labels)])


# ---------------------------------------------------------------- which prediction stands for which label


def identity(labels: Iterable[int]) -> dict[int, int]:
    """Return the image of each label: itself."""
    return {int(label): int(label) for label in labels}


def hungarian(first: np.ndarray, predicted: np.ndarray) -> dict[int, int]:
    """Return the image of each true label that makes the most frames right, one to one (Kuhn 1955).

    first: (N,) the first labels of all frames; predicted: (N,). Where one side has fewer labels it is padded with the smallest
    whole numbers that it does not use, from its count upwards.
    """
    from scipy.optimize import linear_sum_assignment

    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(predicted, return_inverse=True)
    size = max(len(rows), len(columns))
    overlap = np.zeros((size, size), np.int64)
    np.add.at(overlap, (row, column), 1)
    names, images = _padded(rows.tolist(), size), _padded(columns.tolist(), size)
    return {names[r]: images[c] for r, c in zip(*linear_sum_assignment(overlap, maximize=True), strict=True)}


def _padded(labels: list[int], size: int) -> list[int]:
    used, found = set(labels), list(labels)
    for number in range(len(labels), size):
        while number in used:
            number += 1
        used.add(number)
        found.append(number)
    return found


def images_of(labels: np.ndarray, image: Mapping[int, int]) -> np.ndarray:
    """Return labels of any shape, each replaced by its image; -1 stays, and what has no image is ``NOTHING``."""
    values, place = np.unique(labels, return_inverse=True)
    table = np.array([-1 if value < 0 else image.get(int(value), NOTHING) for value in values], np.int64)
    return table[place].reshape(np.shape(labels)) if len(values) else np.zeros(np.shape(labels), np.int64)


# ---------------------------------------------------------------- the scores of one task


def statistics(
    truth: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    background: Collection[int] = (),
    image: Mapping[int, int] | None = None,
) -> Statistics:
    """Return every score of one task, over all its videos, as (numerator, denominator).

    background: the labels that are none of the steps. image: see above; None: each label stands for itself.
    Raises ValueError if a video has not as many predictions as frames, or a frame has no label.
    """
    for number, (labels, told) in enumerate(zip(truth, predicted, strict=True)):
        if len(labels) != len(told) or np.ndim(labels) != 2 or (len(labels) and np.min(labels[:, 0]) < 0):
            raise ValueError(f"video {number}: labels {np.shape(labels)} and predictions {np.shape(told)} do not fit")
    width = max((labels.shape[1] for labels in truth), default=1)
    every = [np.pad(t, ((0, 0), (0, width - t.shape[1])), constant_values=-1) for t in truth]
    labels = np.concatenate([np.zeros((0, width), np.int64), *every])
    told = np.concatenate([np.zeros(0, np.int64), *predicted])
    image = identity(np.unique(labels[labels >= 0])) if image is None else image
    hidden = {image[label] for label in background if label in image}  # predictions that are background
    frames = _frames(labels, told, background, hidden, image)
    firsts = [t[:, 0] for t in truth]
    mapped = [images_of(t, image) for t in firsts]
    return frames | _sequences(mapped, predicted, hidden) | _recalls(firsts, predicted, background, image)


def _frames(
    labels: np.ndarray, told: np.ndarray, background: Collection[int], hidden: Collection[int], image: Mapping[int, int]
) -> Statistics:
    first, wanted = labels[:, 0], images_of(labels, image)
    still = np.isin(first, list(background))
    said = np.isin(told, list(hidden))
    exact, correct = wanted[:, 0] == told, (wanted == told[:, None]).any(axis=1)
    many = (labels >= 0).sum(axis=1)
    step, either = ~still, ~still | ~said
    overlap, kinds = 0.0, np.unique(first)
    for label in kinds:
        true, found = first == label, told == image.get(int(label), NOTHING)
        overlap += (true & found).sum() / (true | found).sum()
    count = len(first)
    mof, iou = (_sum(exact), count), (overlap, len(kinds))
    parts: Statistics = {
        "mof": mof,
        "mof_bg": mof,
        "mof_non_bg": (_sum(exact & step), _sum(step)),
        "precision": (_sum(correct), count),
        "recall": (_sum(correct), _sum(many)),
        "precision_non_bg": (_sum(correct & step), _sum(step)),
        "recall_non_bg": (_sum(correct & step), _sum(many * step)),
        "iou_multi_non_bg": (_sum(correct & either), _sum(either)),
        "iou": iou,
        "iou_bg": iou,
        "true_background": (_sum(still), count),
        "pred_background": (_sum(said), count),
        "multiple_gt_labels": (_sum(many > 1), count),
    }
    for kind in ("", "_non_bg"):
        (right, whole), (_, wanted_count) = parts[f"precision{kind}"], parts[f"recall{kind}"]
        # the harmonic mean of right / whole and right / wanted; stored as the published code does, over 1
        parts[f"f1{kind}"] = (2 * right / (whole + wanted_count), 1) if right else (0.0, 1 if whole else 0)
    return parts


def _sum(values: np.ndarray) -> float:
    return float(np.sum(values))


def _sequences(truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray], hidden: Collection[int]) -> Statistics:
    """Return what compares sequences of segments; ``truth`` in predicted labels already."""
    distances, normed, most, edits = [], [], [], []
    counts = {"segments": 0, "segments_non_bg": 0, "label_types": 0, "label_types_non_bg": 0}
    hits = dict.fromkeys(OVERLAPS, 0)
    true_count = told_count = 0
    for true, told in zip(truth, predicted, strict=True):
        wanted, found = segments(true), segments(told)
        distances.append(levenshtein(wanted[0], found[0]))
        most.append(max(len(wanted[0]), len(found[0])))
        normed.append(distances[-1] / max(1, most[-1]))
        seen = [label for label in found[0].tolist() if label not in hidden]
        counts["segments"] += len(found[0])
        counts["segments_non_bg"] += len(seen)
        counts["label_types"] += len(set(found[0].tolist()))
        counts["label_types_non_bg"] += len(set(seen))
        own, other = _without(wanted, hidden), _without(found, hidden)
        edits.append(edit_score(own[0], other[0]))
        for percent in OVERLAPS:
            hits[percent] += matches(own, other, percent / 100)
        true_count, told_count = true_count + len(own[0]), told_count + len(other[0])
    videos = len(truth)
    one = 1 if videos else 0
    return {
        "num_videos": (videos, 1),
        "total_levenshtein": (float(sum(distances)), 1),
        "mean_levenshtein": (_mean(distances), one),
        "mean_max_segments": (_mean(most), one),
        "mean_normed_levenshtein": (_mean(normed), one),
        **{f"predicted_{name}_per_video": (float(count), videos) for name, count in counts.items()},
        "edit": (float(sum(edits)), videos),
        **{f"f1_{percent}": (2.0 * hit, true_count + told_count) for percent, hit in hits.items()},
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _without(found: tuple[np.ndarray, ...], hidden: Collection[int]) -> tuple[np.ndarray, ...]:
    kept = ~np.isin(found[0], list(hidden))
    return tuple(part[kept] for part in found)


def _recalls(
    truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray], background: Collection[int], image: Mapping[int, int]
) -> Statistics:
    """Return how many steps are found where one frame may be shown of each: the middle one, or any of those predicted."""
    hits = {"center": [0.0, 0.0], "single": [0.0, 0.0]}
    types = [0, 0]
    for true, told in zip(truth, predicted, strict=True):
        for label in np.unique(true):
            step = label not in background
            types = [types[0] + 1, types[1] + step]
            frames = np.flatnonzero(told == image.get(int(label), NOTHING))
            if not len(frames):
                continue
            middle = (frames[0] + frames[-1]) / 2
            shown = float(true[frames[np.abs(frames - middle).argmin()]] == label)
            share = float((true[frames] == label).mean())
            for name, value in (("center", shown), ("single", share)):
                hits[name] = [hits[name][0] + value, hits[name][1] + value * step]
    return {
        "center_step_recall": (hits["center"][0], types[0]),
        "center_step_recall_non_bg": (hits["center"][1], types[1]),
        "single_step_recall": (hits["single"][0], types[0]),
        "step_recall_non_bg": (hits["single"][1], types[1]),
    }


def average_recall(
    truth: Sequence[np.ndarray], scores: Sequence[np.ndarray], steps: Sequence[int]
) -> tuple[float, float]:
    """Return (steps hit, steps present) where exactly one frame is shown of each step (Zhukov et al. 2019).

    scores: for each video (T, S), a column for each of ``steps``; the frame with the highest score is shown, the first of equals.
    A step is hit if the frame has it among its labels.
    """
    hit = present = 0
    for labels, values in zip(truth, scores, strict=True):
        for column, step in enumerate(steps):
            if (labels == step).any():
                present += 1
                hit += bool((labels[int(values[:, column].argmax())] == step).any())
    return float(hit), float(present)


# ---------------------------------------------------------------- sequences of segments


def levenshtein(one: np.ndarray, other: np.ndarray) -> int:
    """Return the least number of insertions, deletions and replacements that turn one sequence into the other.

    >>> levenshtein(np.array([1, 2, 3]), np.array([1, 3, 3, 4]))
    2
    """
    one, other = np.asarray(one), np.asarray(other)
    steps = np.arange(len(other) + 1)
    row = steps.copy()
    for place, label in enumerate(one, start=1):
        best = np.r_[place, np.minimum(row[1:] + 1, row[:-1] + (other != label))]
        row = np.minimum.accumulate(best - steps) + steps  # insertions, from left to right
    return int(row[-1])


def edit_score(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return 1 - edit distance / longer length (Lea et al. 2016), of sequences of segments without background; 1 if both are empty."""
    longest = max(len(truth), len(predicted))
    return 1 - levenshtein(truth, predicted) / longest if longest else 1.0


def matches(truth: tuple[np.ndarray, ...], predicted: tuple[np.ndarray, ...], overlap: float) -> int:
    """Return how many predicted segments are right (Lea et al. 2017): same label, intersection over union of at least ``overlap``.

    truth, predicted: what `segments` returns, without background. Each predicted segment, in their order, looks at the true one
    that it overlaps most; a true segment counts once.
    """
    labels, start, length = truth
    end, taken, right = start + length, set(), 0
    for label, first, count in zip(*predicted, strict=True):
        if not len(labels):
            return 0
        inside = np.minimum(end, first + count) - np.maximum(start, first)
        share = np.where(labels == label, inside / (np.maximum(end, first + count) - np.minimum(start, first)), 0.0)
        best = int(share.argmax())
        if share[best] >= overlap and best not in taken:
            taken.add(best)
            right += 1
    return right


# ---------------------------------------------------------------- several tasks


def averaged(tasks: Iterable[Statistics]) -> tuple[dict[str, float], dict[str, int]]:
    """Return the mean over tasks of each score, and how many tasks were left out of it because it is undefined there."""
    found: dict[str, list[float]] = {}
    left: dict[str, int] = {}
    for task in tasks:
        for name, (over, under) in task.items():
            values = found.setdefault(name, [])
            left.setdefault(name, 0)
            if under:
                values.append(over / under)
            else:
                left[name] += 1
    means = {name: float(np.mean(values)) for name, values in found.items() if values}
    return means, {name: count for name, count in left.items() if count}


def pooled(tasks: Iterable[Statistics]) -> dict[str, float]:
    """Return each score with numerators and denominators summed over tasks; undefined ones are left out."""
    sums: dict[str, list[float]] = {}
    for task in tasks:
        for name, (over, under) in task.items():
            total = sums.setdefault(name, [0.0, 0.0])
            sums[name] = [total[0] + over, total[1] + under]
    return {name: over / under for name, (over, under) in sums.items() if under}
