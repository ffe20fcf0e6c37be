"""What is minimised: the negative log likelihood of rows, of rows and labels, or of labels given rows; per video."""

from typing import Any

import torch
from torch import Tensor

from kinoflow.tasks.segmentation.limits import constraints_of
from kinoflow.tasks.segmentation.model import SegmentModel


def losses_of_videos(model: SegmentModel, batch: dict[str, Any], learn: str) -> Tensor:
    """Return the loss of each video of a batch, (B,) float64.

    batch: x (B, T, D), lengths (B,), what `limits.collated` says, and with labels ``spans``: the segments of each video.
    learn: ``unsupervised``: -log p(x); ``gradient``: -log p(x, z); ``discriminative``: -log p(z | x). A video that its
    constraints make impossible counts 0, and has no gradient.
    """
    x, lengths, limits = batch["x"], batch["lengths"], constraints_of(batch)
    if learn == "unsupervised":
        found = model.log_likelihood(x, lengths, limits)
    else:
        found = model.joint(x, lengths, batch["spans"], limits)
        if learn == "discriminative":
            found = found - model.log_likelihood(x, lengths, limits)
    return torch.where(torch.isfinite(found), -found, torch.zeros_like(found))
