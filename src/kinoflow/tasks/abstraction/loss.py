"""The losses of set abstraction: semantic vectors and taxonomy nodes, over every subset of every set."""

import torch
import torch.nn.functional as functional
from torch import Tensor


def embedding_loss(told: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference over sets, subsets and columns of vectors (B, M, E).

    Vectors of length one have entries of about E ** -0.5, so this is small beside the loss of nodes: its weight is to be tuned.
    """
    return functional.mse_loss(told, targets)


def node_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of nodes over sets and subsets; logits (B, C, M), labels (B, M) int64.

    >>> round(node_loss(torch.zeros(2, 4, 3), torch.zeros(2, 3, dtype=torch.int64)).item(), 4)  # ln 4
    1.3863
    """
    return functional.cross_entropy(logits, labels)


def path_loss(logits: Tensor, labels: Tensor, paths: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits (B, C, M) against the nodes from each label up to the root.

    labels: (B, M) int64. paths: (C, C), row k has 1 at the nodes of one shortest way from node k to the root, both ends
    included; the mean runs over all entries.
    """
    return functional.binary_cross_entropy_with_logits(logits, paths.to(logits)[labels].transpose(1, 2))


def set_losses(
    embeddings: Tensor,
    logits: Tensor,
    targets: Tensor,
    labels: Tensor,
    embedding_weight: float = 1.0,
    node_weight: float = 1.0,
    paths: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the weighted losses ``embed`` and ``abstr``, those whose weight is not 0; their sum is to be minimised.

    embeddings, targets: (B, M, E). logits: (B, C, M). labels: (B, M). paths: (C, C) for the target path_multihot.
    """
    found = {}
    if embedding_weight:
        found["embed"] = embedding_weight * embedding_loss(embeddings, targets)
    if node_weight:
        loss = node_loss(logits, labels) if paths is None else path_loss(logits, labels, paths)
        found["abstr"] = node_weight * loss
    return found


def share_right(logits: Tensor, labels: Tensor, k: int = 1) -> Tensor:
    """Return the share of subsets whose label is among the ``k`` highest of logits (B, C, M); ties go to the lower node."""
    own = logits.gather(1, labels[:, None])  # (B, 1, M)
    lower = torch.arange(logits.shape[1], device=logits.device)[:, None] < labels[:, None]
    before = (logits > own) | ((logits == own) & lower)
    return (before.sum(1) < k).float().mean()
