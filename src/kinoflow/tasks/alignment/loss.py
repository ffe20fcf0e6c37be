"""The loss of a batch, by algorithm. Always in float32: similarities as float16 overflow, and round to 1/128."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kinoflow.tasks.alignment.options import AlignmentOptions, TcnOptions
from kinoflow.tasks.alignment.scl import scl_loss
from kinoflow.tasks.alignment.tcc import tcc_loss

REGULARISE = 0.25  # of TCN's weight, as published


def batch_losses(
    options: AlignmentOptions, z: Tensor, batch: Mapping[str, Tensor], logits: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the loss of a batch under the algorithm's name, a scalar mean.

    z: (B, V, T, D), what the model gives of V views of B videos. batch: ``steps`` (B, V, T) frame numbers (View.chosen),
    ``masks`` (B, V, T), ``lengths`` (B, V) of the videos; for classification ``labels`` (B, V, T), -1 for none. logits:
    (B, V, T, C), for classification.
    """
    if options.algorithm == "scl":
        return {"scl": scl_loss(z, batch["steps"], batch["masks"], batch["lengths"], options.scl)}
    if options.algorithm == "tcc":
        return {"tcc": tcc_loss(z.flatten(0, 1), batch["steps"].flatten(0, 1), batch["lengths"].flatten(), options.tcc)}
    if options.algorithm == "tcn":
        return {"tcn": tcn_loss(z.flatten(0, 1), options.tcn)}
    assert logits is not None, "classification needs the scores of the classifier"
    return {"classification": classification_loss(logits, known_labels(batch))}


def tcn_loss(z: Tensor, options: TcnOptions) -> Tensor:
    """Return the n-pairs loss, a scalar; Sohn, 2016, as Sermanet et al., "Time-contrastive networks", 2018, use it.

    z: (S, T, D), T even: rows 0, 2 ... are anchors, each followed by its positive. Each anchor is told apart from the
    other positives of its sequence.

    >>> round(tcn_loss(torch.ones(1, 8, 3), TcnOptions(regularise=0)).exp().item(), 3)  # by chance: one of four
    4.0
    """
    with torch.autocast(z.device.type, enabled=False):
        z = z if z.dtype == torch.float64 else z.float()
        anchors, positives = z[:, 0::2], z[:, 1::2]  # (S, T/2, D)
        scores = anchors @ positives.mT
        right = torch.arange(scores.shape[1], device=z.device).expand(scores.shape[:2])
        lengths = anchors.square().sum(-1).mean() + positives.square().sum(-1).mean()
        return cross_entropy(scores.flatten(0, 1), right.flatten()) + REGULARISE * options.regularise * lengths


def known_labels(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the labels (B, V, T) of a batch, -1 for padding too."""
    return torch.where(batch["masks"] > 0, batch["labels"], -1)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of frames with a label; 0 if none has.

    logits: (..., C). labels: (...), -1 for none.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        known = (labels >= 0).flatten()
        total = cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum")
        return total / known.sum().clamp_min(1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of frames with a label that are told right; 0 if none has one."""
    known = labels >= 0
    right = (logits.argmax(-1) == labels) & known
    return right.sum() / known.sum().clamp_min(1)
