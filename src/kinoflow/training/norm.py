"""Batch normalisation over the rows of all processes, on CPU too (torch's own refuses it)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

_ghost = False


@contextmanager
def ghost(on: bool) -> Iterator[None]:
    """Let the rows of this process not count inside the block (it has no sample of the batch, but takes part)."""
    global _ghost
    before, _ghost = _ghost, on
    try:
        yield
    finally:
        _ghost = before


class _Normalise(torch.autograd.Function):
    """Normalise by statistics over all processes; the gradient is that of a loss summed over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        exact = x if x.dtype in (torch.float32, torch.float64) else x.float()
        axes = [0, *range(2, x.dim())]
        rows = 0 if _ghost else x.numel() // x.shape[1]
        counts, means, variances = _gathered(exact, axes, rows)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count  # Chan et al.: no sum of squares
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.axes, ctx.has_bias, ctx.ghost = eps, axes, bias is not None, not rows
        y = batch_norm(exact, mean, variance, weight, bias, False, 0.0, eps).to(x.dtype)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = torch.rsqrt(variance + ctx.eps)
        g = gradient.to(mean.dtype)
        normal = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        own = torch.stack([g.sum(ctx.axes), (g * normal).sum(ctx.axes)])  # (2, C), this process alone
        both = own.clone()
        dist.all_reduce(both)
        first, second = (both / count).view(2, *shape)
        factor = scale if weight is None else scale * weight
        dx = torch.zeros_like(x) if ctx.ghost else ((g - first - normal * second) * factor.view(shape)).to(x.dtype)
        return dx, None if weight is None else own[1], own[0] if ctx.has_bias else None, None


def takes_part_only() -> bool:
    """Whether the rows of this process do not count now, see `ghost`."""
    return _ghost


def _gathered(x: Tensor, axes: list[int], rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows (P, 1), means (P, C) and biased variances (P, C) of all P processes, in their order."""
    table = x.new_zeros(dist.get_world_size(), 1 + 2 * x.shape[1])
    if rows:
        variance, mean = torch.var_mean(x, axes, correction=0)
        table[dist.get_rank()] = torch.cat([x.new_tensor([rows]), mean, variance])
    dist.all_reduce(table)  # zeros of the others: a gather that every backend knows
    return table[:, :1], *table[:, 1:].chunk(2, 1)


class SyncNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation whose training statistics are those of the whole batch, over all processes.

    Its gradients are right for a loss that is summed over the processes. In eval mode, and in a single process, it is
    torch's batch normalisation.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected an input of at least 2 dimensions, got {x.dim()}")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (B, C, ...)."""
        uses_batch = self.training or self.running_mean is None
        if not uses_batch or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        y, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.training and self.running_mean is not None:
            self._remember(mean, variance * (count / (count - 1).clamp(min=1)))
        return y

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class _Norm1d(SyncNorm, nn.BatchNorm1d):
    pass


class _Norm2d(SyncNorm, nn.BatchNorm2d):
    pass


class _Norm3d(SyncNorm, nn.BatchNorm3d):
    pass


# Each still is an instance of the class that it stands for: code that looks for nn.BatchNorm2d finds it.
TWINS = {nn.BatchNorm1d: _Norm1d, nn.BatchNorm2d: _Norm2d, nn.BatchNorm3d: _Norm3d}


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Let the batch normalisations of ``model`` be synchronised inside the block."""
    changed = [(module, type(module)) for module in model.modules() if type(module) in TWINS]
    for module, kind in changed:
        module.__class__ = TWINS[kind]
    try:
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind
