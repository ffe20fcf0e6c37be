"""The loss of clip recognition: cross-entropy, summed over heads with their weights."""

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

LEAST = 1e-12  # probability below which its logarithm is cut off


def head_losses(
    scores: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    weights: Mapping[str, float],
    probabilities: bool = False,
) -> dict[str, Tensor]:
    """Return the weighted mean cross-entropy of each head; their sum is to be minimised.

    scores: of each head (B, K), or (B, T, K) where segments are not averaged: then each segment counts by itself.
    targets: (B,) int64. probabilities: the scores are averaged probabilities, not logits.

    >>> head_losses({"verb": torch.zeros(2, 4)}, {"verb": torch.tensor([0, 3])}, {"verb": 0.5})["verb"].item() * 2
    1.3862943649291992
    """
    return {head: weights[head] * _cross_entropy(scores[head], targets[head], probabilities) for head in weights}


def _cross_entropy(scores: Tensor, targets: Tensor, probabilities: bool) -> Tensor:
    if scores.ndim == 3:
        targets = targets[:, None].expand(scores.shape[:2]).reshape(-1)
        scores = scores.flatten(0, 1)
    if probabilities:
        # The published code feeds them to a second softmax, as if they were logits: that flattens the loss. Their
        # logarithms are logits of exactly these probabilities.
        scores = _exact(scores).clamp_min(LEAST).log()
    return functional.cross_entropy(_exact(scores), targets)


def _exact(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()
