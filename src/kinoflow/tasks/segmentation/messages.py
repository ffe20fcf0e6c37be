"""From a chain to the recursion, and from its messages to posteriors.

`prepare` brings log factors into the form that `recursion` works on; `Found` puts its two messages together: what happens at a
time has the product of the one from before and the one from behind as its weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kinoflow.tasks.segmentation.chain import Chain, LowRank, valid
from kinoflow.tasks.segmentation.recursion import (
    LN2,
    LOG2E,
    NEVER,
    Factors,
    Messages,
    fast_enough,
    sweep_fast,
    sweep_safe,
)

CHUNK = 1 << 21  # numbers of one temporary table, where sums over pairs of states are made in logs


@dataclass
class Work:
    """A chain in base-2 logs, each frame's largest emission taken off."""

    x: Tensor  # (T, R, B, L) emissions with the linear part of durations, in both directions; arbitrary beyond the videos
    slope: Tensor  # the linear part of durations
    start: Tensor  # (R, B, L)
    durations: Tensor  # (W, 1, B or 1, L or 1), without their linear part
    factors: Factors
    final: Tensor | None  # (B, L) or (L,)
    offset: Tensor  # (B,) float64, what was taken off, nats
    lengths: Tensor
    fast: bool

    def sweep(self, kernel: str) -> Messages:
        """Run the recursion; the kernel only where the fast way is exact."""
        if kernel == "triton" and self.factors.out is not None and self.fast:
            from kinoflow.tasks.segmentation.kernels import sweep_triton

            return sweep_triton(self.x, self.start, self.durations, self.factors)
        return (sweep_fast if self.fast else sweep_safe)(self.x, self.start, self.durations, self.factors)


def prepare(chain: Chain, directions: int) -> Work:
    """Return the factors for one direction (forwards) or both."""
    videos, frames, states = chain.emissions.shape
    inside = valid(chain.lengths, frames)
    # Log p(x) is a total over the video, 1e5 nats. Without each frame's largest emission, which every segmentation has in
    # common up to a difference, float32 keeps the differences that posteriors are made of.
    largest = chain.emissions.amax(2).clamp(min=NEVER).masked_fill(~inside, 0)
    emissions = (chain.emissions - largest[..., None]).transpose(0, 1).mul_(LOG2E).clamp_(min=NEVER)  # (T, B, L)
    if not bool(inside.all()):
        emissions.masked_fill_(~inside.T[..., None], 0)
    table = chain.durations[None] if chain.durations.ndim == 2 else chain.durations
    table = (table[:, 1:] * LOG2E).clamp(min=NEVER).transpose(0, 1)[:, None]  # (W, 1, B or 1, L or 1)
    # The linear part of log durations belongs to the frames as well as to the segments. What remains of Poisson's has a
    # range of 5 nats at K = 20 instead of 39, which is what the fast way lives on.
    window = len(table)
    slope = (table[-1] - table[0]) / max(1, window - 1)
    slope = slope * bool(table.amin() > NEVER / 2)
    table = table - slope * torch.arange(1, window + 1, device=table.device)[:, None, None, None]
    left, right = chain.transition if isinstance(chain.transition, LowRank) else (chain.transition, None)
    factors = _factors(left, right, directions)
    per_video = factors.into.ndim == 4 or table.shape[2] > 1
    x = emissions.new_empty(frames, directions, videos, states)
    torch.add(emissions, slope, out=x[:, 0])
    start = emissions.new_zeros(directions, videos, states)
    start[0] = chain.initial * LOG2E
    if directions == 2:
        x[:, 1] = from_the_end(x[:, 0], chain.lengths)
        if chain.final is not None:
            start[1] = chain.final * LOG2E
    return Work(
        x=x,
        slope=slope,
        start=start.clamp_(min=NEVER),
        durations=table,
        factors=factors,
        final=None if chain.final is None else (chain.final * LOG2E).clamp(min=NEVER),
        offset=largest.sum(1, dtype=torch.float64),
        lengths=chain.lengths,
        fast=not per_video and fast_enough(factors.into, factors.out, table),
    )


def _factors(left: Tensor, right: Tensor | None, directions: int) -> Factors:
    left = (left * LOG2E).clamp(min=NEVER)
    if right is None:
        both = (left, left.transpose(-1, -2))
        return Factors(torch.stack(both[:directions]), None)
    right = (right * LOG2E).clamp(min=NEVER)
    return Factors(torch.stack((left, right)[:directions]), torch.stack((right.T, left.T)[:directions]))


def from_the_end(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x (T, B, ...) with each video's frames in reverse order, its last one first; what follows is arbitrary."""
    if bool((lengths == len(x)).all()):
        return x.flip(0)
    rows = (lengths - 1 - torch.arange(len(x), device=x.device)[:, None]).clamp(min=0)  # (T, B)
    return x[rows, torch.arange(x.shape[1], device=x.device)]


# ---------------------------------------------------------------- what follows from the messages


class Found:
    """Posteriors from messages; tensors (T, B, ...), base-2 logs."""

    def __init__(self, work: Work, messages: Messages):
        self.work, self.messages, lengths = work, messages, work.lengths
        videos = torch.arange(len(lengths), device=lengths.device)
        last = messages.E[lengths - 1, 0, videos]
        last = (last if work.final is None else last + work.final).double()
        high = last.amax(1)
        self.total = high + (last - high[:, None]).exp2().sum(1).log2() + messages.scale[lengths, 0, videos]
        self.possible = self.total > NEVER / 2
        if messages.E.shape[1] == 1:
            return
        frames = len(messages.E)
        self.E0, self.B0, self.F0 = messages.E[:, 0], messages.B[:frames, 0], messages.F[:, 0]
        self.E1, self.B1, self.F1 = (from_the_end(x[:frames, 1], lengths) for x in (messages.E, messages.B, messages.F))
        rows = torch.arange(frames, device=lengths.device)[:, None]
        self.outside = (rows >= lengths) | ~self.possible
        before, after = messages.scale[:, 0], messages.scale[:, 1]
        self.at_start = before[:frames] + after[(lengths - rows).clamp(min=0), videos] - self.total
        self.at_end = before[1:] + after[(lengths - 1 - rows).clamp(min=0), videos] - self.total
        self.at_start, self.at_end = (
            x.masked_fill_(self.outside, NEVER).to(messages.E.dtype) for x in (self.at_start, self.at_end)
        )  # (T, B) what makes a product of the two messages a posterior

    def log_partition(self) -> Tensor:
        """Return log p(x), (B,) float64 nats; -inf where there is no segmentation."""
        nats = self.total * LN2 + self.work.offset
        return nats.masked_fill(~self.possible, -torch.inf)

    def starts(self) -> Tensor:
        """Return the posterior that a segment has its first frame at t."""
        return (self.B0 + self.E1).add_(self.at_start[..., None]).exp2_()

    def ends(self) -> Tensor:
        """Return the posterior that a segment has its last frame at t."""
        return (self.E0 + self.B1).add_(self.at_end[..., None]).exp2_()

    def states(self, starts: Tensor, ends: Tensor) -> Tensor:
        """Return the posterior of states: begun at or before a frame, less ended before it."""
        result, now = torch.empty_like(starts), torch.zeros_like(starts[0], dtype=torch.float64)
        # In float64: each frame's row sums to one after hundreds of additions and subtractions. Row by row: several times
        # faster than cumsum along the first axis.
        for row, begun, ended in zip(result.unbind(0), starts.unbind(0), ends.unbind(0), strict=True):
            row.copy_(now.add_(begun))
            now.sub_(ended)
        result.clamp_(min=0)
        return result.masked_fill_(self.outside[..., None], 0) if bool(self.outside.any()) else result

    def segments(self) -> Iterator[Tensor]:
        """Yield for d = 1, 2, ... the posteriors of segments of d frames that start at 0..T-d, (T - d + 1, B, L)."""
        frames, x = len(self.E0), self.work.x[:, 0]
        # A product of start and window, the scale of the end: what `at_end` holds, but for the scale at the start.
        shift = (self.messages.scale[:frames, 0], self.messages.scale[1:, 0])
        window = torch.zeros_like(x)
        for d, row in enumerate(self.work.durations[:frames], 1):
            begins = frames - d + 1
            window = window[:begins] + x[d - 1 :]
            scale = (self.at_end[d - 1 :].double() + shift[0][:begins] - shift[1][d - 1 :]).to(x.dtype)
            yield (self.B0[:begins] + window).add_(row[0]).add_(self.B1[d - 1 :]).add_(scale[..., None]).exp2_()

    def transitions(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return expected counts of the entries of the factors, summed over videos with ``weights`` (B,) where shared."""
        into, out, at = self.work.factors.into[0], self.work.factors.out, self.at_start[1:]
        E0, E1, F0, F1 = self.E0[:-1], self.E1[1:], self.F0[:-1], self.F1[1:]
        if not self.messages.fast:
            if out is None:
                return _pairs(E0, into, E1, at, weights), None
            return _pairs(E0, into, F1, at, weights), _pairs(E1, out[0].T, F0, at, weights)
        w = (at.exp2() * weights)[..., None]
        p, q = E0.exp2().flatten(0, 1), E1.exp2().flatten(0, 1)
        if out is None:
            return into.exp2() * ((p * w.flatten(0, 1)).T @ q), None
        left = into.exp2() * (p.T @ (F1 * w).flatten(0, 1))
        return left, out[0].T.exp2() * (q.T @ (F0 * w).flatten(0, 1))


def _pairs(rows: Tensor, table: Tensor, columns: Tensor, at: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over t (and videos, if the table is shared) of exp2(rows + table + columns + at), in logs throughout.

    rows (T, B, L), table (L, M) or (B, L, M), columns (T, B, M), at (T, B), weights (B,).
    """
    result = torch.zeros_like(table)
    step = max(1, CHUNK // max(1, rows.shape[1] * table.shape[-1] * table.shape[-2]))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        terms = (rows[part, :, :, None] + table + columns[part, :, None] + at[part, :, None, None]).exp2_()
        terms = terms.sum(0) * weights[:, None, None]  # (B, L, M)
        result += terms if table.ndim == 3 else terms.sum(0)
    return result
