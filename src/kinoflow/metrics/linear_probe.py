"""FineGym's test of embeddings: a linear layer that learns to tell what is shown from frozen embeddings of frames.

Chen et al., "Frame-wise action representations for long videos via sequence contrastive learning", 2022, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinoflow.metrics.alignment import Videos, joined, labelled


@dataclass(frozen=True)
class Probe:
    """A linear layer that was trained on embeddings: weight (C, D), bias (C,); shares of frames told right, 0 to 1.

    train: counted during the last epoch, before each step; validation: at the end.
    """

    weight: np.ndarray
    bias: np.ndarray
    train: float
    validation: float


def linear_probe(
    train: Videos,
    train_labels: Sequence[np.ndarray],
    validation: Videos,
    validation_labels: Sequence[np.ndarray],
    classes: int,
    rate: float = 50.0,
    epochs: int = 100,
    batch: int = 10,
    first: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
) -> Probe:
    """Train a linear layer by SGD: momentum .9, weight decay 1e-6, cosine rate by epoch, batches of whole videos.

    An incomplete last batch is left out (with fewer videos than a batch, all are one). first: weight and bias to begin
    with; None: drawn as torch draws them, from ``seed``, as the order of videos.
    """
    train, train_labels = labelled(train, train_labels)
    x, y = joined(*labelled(validation, validation_labels))
    rng, size = np.random.default_rng(seed), train[0].shape[1]
    weight, bias = first or (
        rng.uniform(-(size**-0.5), size**-0.5, (classes, size)),
        rng.uniform(-(size**-0.5), size**-0.5, classes),
    )
    layer = np.concatenate([weight, bias[:, None]], 1).astype(np.float64)  # (C, D + 1)
    speed, right, seen, batch = np.zeros_like(layer), 0, 1, min(batch, len(train))
    for epoch in range(epochs):
        now, order = rate * (1 + np.cos(np.pi * epoch / epochs)) / 2, rng.permutation(len(train))
        right = seen = 0
        for i in range(0, len(order) - batch + 1, batch):
            rows, marks = joined(
                [train[j] for j in order[i : i + batch]], [train_labels[j] for j in order[i : i + batch]]
            )
            if not len(rows):
                continue
            gradient, hits = _cross_entropy_gradient(layer, _with_ones(rows), marks)
            right, seen = right + hits, seen + len(rows)
            speed = 0.9 * speed + gradient + 1e-6 * layer
            layer = layer - now * speed
    told = (_with_ones(x) @ layer.T).argmax(1) if len(x) else y
    share = float((told == y).mean()) if len(x) else 0.0
    return Probe(layer[:, :-1], layer[:, -1], right / max(1, seen), share)


def _cross_entropy_gradient(layer: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the gradient of the mean cross-entropy (C, D + 1), and how many rows are told right."""
    scores = rows @ layer.T
    hits = int((scores.argmax(1) == labels).sum())
    share = np.exp(scores - scores.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    share[np.arange(len(rows)), labels] -= 1
    return share.T @ rows / len(rows), hits


def _with_ones(x: np.ndarray) -> np.ndarray:
    """Return rows (n, D + 1) whose last column meets the bias."""
    return np.concatenate([x, np.ones((len(x), 1))], 1)
