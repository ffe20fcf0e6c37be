"""Operators along time between the segments of a clip: the temporal shift and the temporal pool.

Lin, Gan, Han, "TSM: Temporal Shift Module for Efficient Video Understanding", 2019. Networks for pictures see the segments
of B clips as B*T pictures, clip after clip; these modules alone know that T of them follow each other:

    x (B*T, C, H, W), f = C // divisor, zeros outside a clip
    y[t, 0:f] = x[t+1, 0:f]        the first channels come from the future
    y[t, f:2f] = x[t-1, f:2f]      the next ones from the past
    y[t, 2f:] = x[t, 2f:]

One-sided, so that frames can be streamed: y[t, 0:f] = x[t-1, 0:f], all else as it is.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from kinoflow.errors import ConfigError

Moves = tuple[tuple[int, int, int], ...]  # channels first to last (exclusive) come from so many segments later


class Temporal(nn.Module):
    """A module that must know how many rows in a row belong to one clip.

    segments: rows of a clip that come in. pace: segments of the clip for each of these rows (2 behind a temporal pool).
    """

    def __init__(self, segments: int, pace: int = 1):
        super().__init__()
        self.segments, self.pace = segments, pace

    def extra_repr(self) -> str:
        """Say the segments when the network is printed."""
        return f"segments={self.segments}"


class TemporalShift(Temporal):
    """Shift one in ``divisor`` channels from each neighbouring segment; no parameters, identity below ``divisor`` channels.

    >>> x = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 2, 1, 1)
    >>> TemporalShift(segments=3, divisor=2)(x)[:, :, 0, 0].tolist()
    [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, segments: int, divisor: int = 8, one_sided: bool = False, pace: int = 1):
        super().__init__(segments, pace)
        self.divisor, self.one_sided = divisor, one_sided

    def moves(self, channels: int) -> Moves:
        """Return which channels move, and how far."""
        fold = channels // self.divisor
        if not fold:
            return ()
        return ((0, fold, -1),) if self.one_sided else ((0, fold, 1), (fold, 2 * fold, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted rows, (B*T, C, ...); the input stays as it is."""
        moves = self.moves(x.shape[1])
        return _Shift.apply(x, self.segments, moves) if moves else x

    def extra_repr(self) -> str:
        """Say the settings when the network is printed."""
        return f"{super().extra_repr()}, divisor={self.divisor}, one_sided={self.one_sided}"


class _Shift(torch.autograd.Function):
    """The shift as one copy each way: slices under autograd make a copy and a zero-filled gradient for every slice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: int, moves: Moves) -> Tensor:
        ctx.segments, ctx.moves = segments, moves
        return moved(x, segments, moves)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # The transpose of a shift is the shift the other way.
        return moved(gradient, ctx.segments, tuple((a, b, -steps) for a, b, steps in ctx.moves)), None, None


def moved(x: Tensor, segments: int, moves: Moves) -> Tensor:
    """Return a copy of rows (B*T, C, ...) in which ranges of channels come from one segment later (1) or earlier (-1).

    moves: (first, last + 1, 1 or -1), side by side from channel 0 on. The layout in memory is kept (channels last stays so).
    """
    y = torch.empty_like(x)
    before, after = (z.view(-1, segments, *x.shape[1:]) for z in (x, y))  # (B, T, C, ...)
    for first, last, steps in moves:
        here, there = after[:, :, first:last], before[:, :, first:last]
        if steps > 0:
            here[:, :-1] = there[:, 1:]
            here[:, -1] = 0
        else:
            here[:, 1:] = there[:, :-1]
            here[:, 0] = 0
    kept = moves[-1][1]
    after[:, :, kept:] = before[:, :, kept:]
    return y


class TemporalPool(Temporal):
    """Halve the segments: maximum over three neighbours at every second one, (B*T, C, H, W) -> (B*T/2, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of T/2 segments a clip; ConfigError if T is odd."""
        if self.segments % 2:
            raise ConfigError(
                f"temporal_pool: {self.segments} segments cannot be halved; take an even number of segments"
            )
        clips = x.unflatten(0, (-1, self.segments)).transpose(1, 2)  # (B, C, T, H, W)
        pooled = F.max_pool3d(clips, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
        return pooled.transpose(1, 2).flatten(0, 1)


def at_input(module: nn.Module, name: str, operator: Temporal) -> None:
    """Let ``operator`` work on what goes into ``module``, as its child ``name``, behind those that were put there before.

    The child has no parameters and the module keeps its name, so weights have the same names with and without it; whoever
    wants another operator there (streaming does) sets another child of that name.
    """
    module.add_module(name, operator)
    module.register_forward_pre_hook(partial(_through, name))


def _through(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return getattr(module, name)(inputs[0])
