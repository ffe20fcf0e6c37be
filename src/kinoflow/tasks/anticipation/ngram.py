"""Guesses without a network: the most frequent class, and n-grams with back-off. N samples, H history, C classes."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

EMPTY = -1  # in a history, where there is no action


def majority(targets: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of each class among ``targets``, (C,): the same guess for every sample."""
    counts = np.bincount(targets[targets >= 0], minlength=classes)
    return counts / max(1, counts.sum())


class Ngram:
    """Next actions by how often they followed the latest actions of the history.

    p_k = (counts_k + prior p_{k-1}) / (n_k + prior), from k = 1 (no context, p_0 even) to ``orders``; a context that was
    never seen, or is longer than the history, keeps p_{k-1}.

    >>> model = Ngram(3, orders=2).add(np.array([[0], [0], [1]]), np.array([1, 1, 2]))
    >>> int(model.scores(np.array([[0]])).argmax())
    1
    """

    def __init__(self, classes: int, orders: int = 3, prior: float = 10.0):
        self.classes, self.orders, self.prior = classes, orders, prior
        self.seen: list[dict[tuple[int, ...], list[int]]] = [defaultdict(list) for _ in range(orders)]

    def add(self, history: np.ndarray, targets: np.ndarray) -> "Ngram":
        """Count histories (N, H), the oldest first, -1 on the left, and what came next, (N,)."""
        for past, target in zip(history.tolist(), np.asarray(targets).tolist(), strict=True):
            for length, context in self._contexts(past):
                self.seen[length][context].append(target)
        return self

    def add_sequences(self, sequences: Iterable[np.ndarray]) -> "Ngram":
        """Count every prefix of whole sequences of actions."""
        for sequence in sequences:
            numbers = [EMPTY] * (self.orders - 1) + list(map(int, sequence))
            count = len(numbers) - self.orders + 1
            past = np.array([numbers[i : i + self.orders - 1] for i in range(count)]).reshape(count, -1)
            self.add(past, np.array(numbers[self.orders - 1 :], np.int64))
        return self

    def _contexts(self, past: list[int]) -> Iterable[tuple[int, tuple[int, ...]]]:
        for length in range(self.orders):
            context = tuple(past[len(past) - length :]) if length else ()
            if len(context) < length or EMPTY in context:
                return
            yield length, context

    def scores(self, history: np.ndarray) -> np.ndarray:
        """Return log probabilities of what comes next, (N, C) float32."""
        found = np.empty((len(history), self.classes), np.float32)
        known: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}
        for i, past in enumerate(history.tolist()):
            found[i] = self._row(past, known)
        return found

    def _row(self, past: list[int], known: dict) -> np.ndarray:
        row = np.full(self.classes, 1 / self.classes)
        for length, context in self._contexts(past):
            if context not in self.seen[length]:
                break
            if (length, context) not in known:
                after = self.seen[length][context]
                counts = np.bincount(after, minlength=self.classes)
                known[length, context] = (counts + self.prior * row) / (len(after) + self.prior)
            row = known[length, context]
        return np.log(row)
