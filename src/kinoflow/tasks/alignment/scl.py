"""The sequence contrastive loss: each frame of a view shall be near the frames of the other view that are near in time.

Chen et al., "Frame-wise action representations for long videos via sequence contrastive learning", 2022, equations 4 to 6.
B videos, two views of T frames, D numbers a frame. Rows are frames of one view, columns what they are compared with:

    q_ij  prior: Gaussian of the distance in time, over the frames j of the other view of the same video, sums to 1
    P_ij = exp(S_ij) / sum_k w_ik exp(S_ik),   S = z z' / temperature,   w: which frames are negatives
    loss = sum_ij q_ij (log q_ij - log(P_ij + FLOOR)) / number of frames that are no padding

Only cells with a weight are computed: for ``single_noself`` without padding that is one block of T x T for each view, of
the 2 B blocks that a whole row has. The gradient is found together with the loss, in closed form:

    a_ij = q_ij P_ij / (P_ij + FLOOR),   A_i = sum_j a_ij,   dloss / dS_ik = (w_ik P_ik A_i - a_ik) / frames
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kinoflow.tasks.alignment.options import SclOptions

FLOOR = 1e-6  # of probabilities: caps what a frame without any likeness costs at 13.8
PADDING = 1e-6  # weight of padding among the negatives
SMALLEST = 1e-30  # of a row's sum, so that a row without any negative is no NaN


def scl_loss(z: Tensor, steps: Tensor, masks: Tensor, lengths: Tensor, options: SclOptions) -> Tensor:
    """Return the loss, a scalar: float32 (float64 for float64 embeddings), whatever autocast says.

    z: (B, 2, T, D) embeddings of length 1. steps: (B, 2, T) frame numbers in the video. masks: (B, 2, T), 0 for padding.
    lengths: (B, 2) frames of the video that the numbers count in. A video or view that is all padding adds 0.

    >>> z = torch.nn.functional.normalize(torch.eye(4).repeat(1, 2, 1, 1), dim=-1)
    >>> time = torch.arange(4).expand(1, 2, 4)
    >>> options = SclOptions(variance=0.01)
    >>> round(scl_loss(z, time, torch.ones(1, 2, 4), torch.full((1, 2), 4), options).item(), 4)
    0.0001
    """
    with torch.autocast(z.device.type, enabled=False):
        z = (z if z.dtype == torch.float64 else z.float()).contiguous()
        if options.positives == "none":
            return z.sum() * 0
        real = masks > 0
        q = prior(steps, real, lengths, options.variance, z.dtype)
        return _Contrast.apply(z, q, real, options)


def prior(steps: Tensor, real: Tensor, lengths: Tensor, variance: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return q, (B, 2, T, T) of ``dtype``: rows are frames of a view, columns frames of the other one.

    real: (B, 2, T) bool, False for padding, whose rows and columns are zero. Weights are float32, scaled in ``dtype``: rows
    all of whose weights are too small for float32 are zero, too: such frames have no like in the other view, and cost nothing.
    """
    time, length = steps.float(), lengths.float()
    here = time * length.flip(1)[..., None] / length[..., None]  # (B, 2, T), counted in the other view's frames
    distance = (here[..., :, None] - time.flip(1)[..., None, :]).abs()
    weights = torch.exp(-distance.square() / (2 * variance)) * (real[..., :, None] & real.flip(1)[..., None, :])
    weights = weights.to(dtype)
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, weights / total, 0)


class _Contrast(torch.autograd.Function):
    """The loss, with a gradient that is found in the forward pass, block by block."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, q: Tensor, real: Tensor, options: SclOptions) -> Tensor:
        frames = real.sum().clamp_min(1)
        gradient = torch.zeros_like(z) if z.requires_grad else None
        total = z.new_zeros(())
        for block in _blocks(real, options):
            total += _block(z, gradient, q, block, options.temperature)
        if gradient is not None:
            ctx.save_for_backward(gradient.div_(frames))
        return total / frames

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None, None


@dataclass(frozen=True)
class Block:
    """The frames of one view, and what they are compared with. Frames are numbered over the whole batch, B * 2 * T."""

    video: int
    view: int
    rows: slice | Tensor  # (R,) of the view's frames: those that are no padding
    columns: slice | Tensor  # (C,) of the batch's frames: first the T of the other view
    weights: Tensor | None  # (C,); None: 1 each


def _blocks(real: Tensor, options: SclOptions) -> Iterator[Block]:
    """Yield the blocks of a batch; real: (B, 2, T), False for padding."""
    videos, _, T = real.shape
    device, padded = real.device, not bool(real.all())
    number = torch.arange(real.numel(), device=device).view(real.shape)
    weight = torch.where(real, 1.0, PADDING if options.masked == "original" else 0.0)
    for video in range(videos):
        for view in range(2):
            start = number[video, 1 - view, 0]
            others = _others(real, video, view, options.negatives)
            if others is None and not padded:  # the other view as it lies in memory, each frame once
                first = (2 * video + 1 - view) * T
                yield Block(video, view, slice(None), slice(first, first + T), None)
                continue
            more = torch.zeros_like(real) if others is None else others
            if options.masked == "original":
                more = more | ~real
            more[video, 1 - view] = False  # they come first
            columns = torch.cat([torch.arange(start, start + T, device=device), number[more]])
            rows = real[video, view].nonzero()[:, 0]
            yield Block(video, view, rows, columns, weight.flatten()[columns])


def _others(real: Tensor, video: int, view: int, negatives: str) -> Tensor | None:
    """Return the frames (B, 2, T) bool beside those of the other view that are negatives of a view's; None: there are none."""
    if negatives == "single_noself":
        return None
    found = torch.zeros_like(real)
    if negatives.startswith("batch"):
        found |= real
    if negatives == "batch_noself":
        found[video, view] = False
    else:
        found[video, view] = real[video, view]
    return found


def _block(z: Tensor, gradient: Tensor | None, q: Tensor, block: Block, temperature: float) -> Tensor:
    """Return the sum of a block's loss, and add its gradient to ``gradient`` (as z; None: none is wanted)."""
    flat, T = z.flatten(0, 2), z.shape[2]
    own, other, weights = z[block.video, block.view][block.rows], flat[block.columns], block.weights
    prior_rows = q[block.video, block.view][block.rows]  # (R, T)
    powers = own @ other.T  # (R, C)
    powers /= temperature
    if weights is not None:
        powers.masked_fill_(weights == 0, -torch.inf)
    powers -= powers.amax(1, keepdim=True).clamp_min(torch.finfo(z.dtype).min)
    powers.exp_()
    total = powers.sum(1) if weights is None else powers @ weights.to(z.dtype)  # (R,)
    total.clamp_min_(SMALLEST)
    share = powers[:, :T] / total[:, None]  # P, (R, T)
    floored = share + FLOOR
    loss = torch.xlogy(prior_rows, prior_rows).sum() - (prior_rows * floored.log()).sum()
    if gradient is not None:
        likes = prior_rows * share / floored  # a, (R, T)
        powers *= (likes.sum(1) / total)[:, None]
        if weights is not None:
            powers *= weights.to(z.dtype)
        powers[:, :T] -= likes
        powers /= temperature
        _add(gradient[block.video, block.view], block.rows, powers @ other)
        _add(gradient.view_as(flat), block.columns, powers.T @ own)
    return loss


def _add(target: Tensor, where: slice | Tensor, values: Tensor) -> None:
    if isinstance(where, slice):
        target[where] += values
    else:
        target.index_add_(0, where, values)
