"""What all processes have, in each of them: samples, for losses that compare these with each other; results of shared work."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from kinoflow.training.norm import takes_part_only

T, R = TypeVar("T"), TypeVar("R")


def spread(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """Return what ``work`` makes of each item: each of n processes works on every n-th one, and hears the others' results.

    Called in every process with the same items; results are plain values and arrays. Each waits for the slowest share.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [work(item) for item in items]
    rank, size = dist.get_rank(), dist.get_world_size()
    parts: list[list[R]] = [[] for _ in range(size)]
    dist.all_gather_object(parts, [work(item) for item in items[rank::size]])
    return [parts[number % size][number // size] for number in range(len(items))]


def gathered(x: Tensor) -> Tensor:
    """Return the rows of all processes in the order of the processes, (sum of B, ...) of (B, ...); alone, ``x`` itself.

    A process whose samples do not count (see `kinoflow.training.norm.ghost`) adds no row. The gradient of a row goes back to
    the process that it came from: the sum of what the losses of all processes send.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rank, own = dist.get_rank(), 0 if takes_part_only() else len(x)
        counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=x.device)
        counts[rank] = own
        dist.all_reduce(counts)
        end, total = int(counts[: rank + 1].sum()), int(counts.sum())
        ctx.own, ctx.shape = slice(end - own, end), x.shape
        rows = x.new_zeros(total, *x.shape[1:])
        rows[ctx.own] = x[:own]
        dist.all_reduce(rows)  # zeros of the others: a gather that every backend knows
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        own = gradient.new_zeros(ctx.shape)
        own[: ctx.own.stop - ctx.own.start] = whole[ctx.own]
        return own
