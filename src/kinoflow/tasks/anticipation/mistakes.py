"""Where students err: beside the teacher and the student without one, and which classes go together. N actions, C classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinoflow.metrics.anticipation import label_ranks
from kinoflow.metrics.scores import softmax

WORDS = ("wrong", "right")


def error_table(labels: np.ndarray, **scores: np.ndarray) -> dict[str, int]:
    """Count the actions by who tells them right: error_table(labels, teacher=..., base=..., student=...).

    labels: (N,). scores: (N, C) each; rows of NaN (nothing told) leave an action out. The keys are words such as
    ``teacher right, base wrong, student right``, all of them, in the order given.
    """
    told = np.all([~np.isnan(each).any(1) for each in scores.values()], axis=0)
    right = [label_ranks(each[told], labels[told]) == 0 for each in scores.values()]
    table: dict[str, int] = {}
    for number in range(2 ** len(scores)):
        bits = [(number >> (len(scores) - 1 - i)) & 1 for i in range(len(scores))]
        name = ", ".join(f"{who} {WORDS[bit]}" for who, bit in zip(scores, bits, strict=True))
        table[name] = int(np.all([own == bool(bit) for own, bit in zip(right, bits, strict=True)], axis=0).sum())
    return table


def correlated(scores: np.ndarray, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Return the pairs of classes whose probabilities rise and fall together the most, by Pearson's correlation.

    scores: (N, C). Classes whose probability never changes are in no pair; of equals the lower numbers come first.
    """
    shares = softmax(np.asarray(scores, np.float64))
    moving = np.flatnonzero(shares.std(0) > 1e-12)
    if len(moving) < 2 or len(shares) < 2:
        return []
    matrix = np.corrcoef(shares[:, moving], rowvar=False)
    first, second = np.triu_indices(len(moving), 1)
    values = np.round(matrix[first, second], 12)
    order = np.argsort(-values, kind="stable")[:count]
    return [
        {"first": names[moving[first[i]]], "second": names[moving[second[i]]], "correlation": float(values[i])}
        for i in order
    ]
