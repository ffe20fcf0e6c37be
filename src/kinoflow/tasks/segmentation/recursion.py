"""The recursion of the semi-Markov chain, forwards and backwards in time in one sweep.

For boundaries t = 1..T, with B_0 the factor of the beginning, times relative to the running scale c_t:

    E_t(z)  = log sum over d of exp( B_t-d(z) + durations(d, z) + emissions of the d frames before t )      a segment ends at t
    B_t(z') = log sum over z of exp( E_t(z) ) transition(z, z')                                             one begins at t

Backward messages obey the same equations on the video read from its end, with the matrix transposed and ``final`` as the
beginning. So both directions are one loop over a batch twice as large: half the steps, and no message waits for the other.

Two ways, chosen by `fast_enough` from the parameters alone (never from the videos, so that companions in a batch cannot change
a likelihood):

fast    Probabilities. Slot s of a ring of the last K - 1 beginnings holds their weight relative to the newest one of the same
        state, so a step multiplies where logs would exponentiate K * L numbers. Exact as long as no weight that can still
        matter falls below the smallest float: older and newest beginning of a state differ by at most the range of durations
        (its linear part is moved into the emissions first) and the smallest transition.
safe    Logs throughout, for forbidden transitions, strongly peaked factors and wild durations.

Logs are to base 2 inside: torch's exp2 costs half of exp, and has no slow range of underflow.
"""

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

LOG2E, LN2 = 1 / log(2), log(2)
NEVER = (
    -1e20
)  # stands for -inf, so that no inf - inf can arise; far below any sum of logs, far above the lowest float32
ROOM = 70 * LOG2E  # binary orders that the fast way may use of the 126 of float32; 25 remain for what is to be summed
TINY = {
    torch.float32: 1e-30,
    torch.float64: 1e-290,
}  # what is added to the ring, so that it never holds subnormal numbers


class Factors(NamedTuple):
    """Transition in the two directions, base-2 logs: (R, L, M) into the rank (or the states), (R, M, L) out of it."""

    into: Tensor
    out: Tensor | None  # None: dense, ``into`` (R, L, L) or (R, B, L, L) is the matrix


@dataclass
class Messages:
    """Base-2 logs of both (R = 2) or the forward messages (R = 1), direction 1 counted from each video's own end.

    E[t - 1] and B[t] are those of boundary t, to be added to scale[t], the running scale in float64. F[t - 1] are the sums
    per rank between them (probabilities on the fast way, logs on the safe one); empty for dense chains.
    """

    E: Tensor  # (T, R, B, L), largest 0
    B: Tensor  # (T + 1, R, B, L); B[T] is no boundary between segments and not computed
    F: Tensor  # (T, R, B, N)
    scale: Tensor  # (T + 1, R, B) float64
    fast: bool


def fast_enough(into: Tensor, out: Tensor | None, durations: Tensor) -> bool:
    """Return whether the fast way is exact: durations (W, ...) without their linear part, transitions as in Factors."""
    spread = durations.abs().amax()
    if not bool(spread < ROOM / 2):  # also if nan
        return False
    if out is None:
        least = into[0].amin()
    else:
        # A lower bound on every entry of the product by single ranks is cheap, and mostly enough.
        least = (into[0].amin(0) + out[0].amin(1)).amax()
        if not bool(spread + durations.amax() - durations.amin() - least < ROOM):
            least = (into[0].exp2() @ out[0].exp2()).amin().log2()
    return bool(durations.amax() - durations.amin() - least < ROOM)


def sweep_fast(x: Tensor, start: Tensor, durations: Tensor, factors: Factors) -> Messages:
    """Return the messages by the fast way.

    x: (T, R, B, L) emissions, largest of a frame about 0. start: (R, B, L). durations: (W, 1, B or 1, L or 1), row i is for
    segments of i + 1 frames. All base-2 logs, none infinite.
    """
    frames, directions, videos, states = x.shape
    into, out = factors.into.exp2(), None if factors.out is None else factors.out.exp2()
    window = min(len(durations), frames)
    weights = cyclic(durations[:window].exp2())
    messages = empty_messages(x, 0 if out is None else into.shape[-1], fast=True)
    E, B, F, deltas = messages.E, messages.B, messages.F, x.new_empty(frames, directions, videos, 1)
    B[0] = start
    ring = x.new_zeros(window, directions, videos, states)
    slots, shared = ring.unbind(0), weights.shape[1:].numel() == 1
    slots[0].fill_(1)
    tiny = x.new_tensor(TINY[x.dtype])
    newest, sums, p = torch.empty_like(start), torch.empty_like(start), torch.empty_like(start)
    if shared:  # durations alike in all states, but for their linear part: the sum is a product with a vector
        weights, rows, row = weights.view(-1), ring.view(window, -1).T, sums.view(-1)
    else:
        products = torch.empty_like(ring)
    steps = zip(x.unbind(0), E.unbind(0), B[:-1].unbind(0), B[1:].unbind(0), F.unbind(0), deltas.unbind(0), strict=True)
    for t, (x_t, E_t, B_before, B_t, F_t, delta) in enumerate(steps):
        first = -t % window
        torch.add(B_before, x_t, out=newest)  # log of the newest beginning, frame t included
        if shared:
            torch.mv(rows, weights[first : first + window], out=row)
        else:
            torch.mul(ring, weights[first : first + window], out=products)
            torch.sum(products, 0, out=sums)
        sums.log2_().add_(newest)
        torch.amax(sums, -1, keepdim=True, out=delta)
        torch.sub(sums, delta, out=E_t)
        if t + 1 == frames:
            break
        torch.exp2(E_t, out=p)
        if out is None:
            torch.bmm(p, into, out=sums)
        else:
            torch.bmm(torch.bmm(p, into, out=F_t), out, out=sums)
        torch.log2(sums, out=B_t)
        newest.sub_(delta).sub_(B_t).exp2_()  # the newest beginning so far, relative to the one that now becomes it
        torch.addcmul(tiny, ring, newest, out=ring)
        slots[(t + 1) % window].fill_(1)
    torch.cumsum(deltas[..., 0], 0, dtype=torch.float64, out=messages.scale[1:])
    return messages


def sweep_safe(x: Tensor, start: Tensor, durations: Tensor, factors: Factors) -> Messages:
    """Return the messages by the safe way; arguments as those of `sweep_fast`."""
    frames, directions, videos, states = x.shape
    window = min(len(durations), frames)
    table = cyclic(durations[:window])
    messages = empty_messages(x, 0 if factors.out is None else factors.into.shape[-1], fast=False)
    E, B, F, deltas = messages.E, messages.B, messages.F, x.new_zeros(frames + 1, directions, videos, 1)
    B[0] = start
    ring, sums = (
        x.new_full((window, directions, videos, states), NEVER),
        x.new_empty(window, directions, videos, states),
    )
    ring[0] = start
    for t in range(frames):
        first = -t % window
        ring.add_(x[t] - deltas[t])  # the running sums of emissions; since the last step the scale moved by delta
        if t:
            ring[t % window] = B[t] + x[t]
        torch.add(ring, table[first : first + window], out=sums)
        ends = _log_sum(sums, 0)
        deltas[t + 1] = scale_of(ends)
        torch.sub(ends, deltas[t + 1], out=E[t])
        if t + 1 == frames:
            break
        if factors.out is None:
            B[t + 1] = log_product(E[t], factors.into)
        else:
            F[t] = log_product(E[t], factors.into)
            B[t + 1] = log_product(F[t], factors.out)
    torch.cumsum(deltas[..., 0], 0, dtype=torch.float64, out=messages.scale)
    return messages


def scale_of(ends: Tensor) -> Tensor:
    """Return what a step moves the running scale by: the largest of (..., L), or 0 where nothing can end."""
    largest = ends.amax(-1, keepdim=True)
    # A scale of -1e20 would swallow what began earlier and ends later.
    return largest.masked_fill_(largest < NEVER / 2, 0)


def log_product(vectors: Tensor, matrix: Tensor) -> Tensor:
    """Return log2 of exp2(vectors) (R, B, L) @ exp2(matrix) (R, L, M) or (R, B, L, M), (R, B, M), nothing underflowing."""
    if matrix.ndim == 3:
        matrix = matrix[:, None]
    # The sum runs over the last but one axis, whose neighbours lie side by side.
    return _log_sum(vectors[..., None] + matrix, -2)


def _log_sum(x: Tensor, axis: int) -> Tensor:
    """Return log2 of the sum of exp2(x); overwrites x."""
    high = x.amax(axis, keepdim=True)
    return x.sub_(high).exp2_().sum(axis).log2_().add_(high.squeeze(axis))


def cyclic(table: Tensor) -> Tensor:
    """Return a table (2 W, ...) whose rows -t % W .. + W are those of slots 0..W-1 of the ring at time t.

    Slot s was filled at the last time that is s modulo W, so its duration moves on by one each step: the rows lie in it
    backwards, twice one after the other, and nothing need be moved.
    """
    window = len(table)
    return table[-torch.arange(2 * window, device=table.device) % window].contiguous()


def empty_messages(x: Tensor, rank: int, fast: bool) -> Messages:
    """Return messages for emissions x (T, R, B, L) to be written into, E without values, all else zero."""
    frames, directions, videos, states = x.shape
    return Messages(
        E=torch.empty_like(x),
        B=x.new_zeros(frames + 1, directions, videos, states),
        F=x.new_zeros(frames, directions, videos, rank),
        scale=x.new_zeros(frames + 1, directions, videos, dtype=torch.float64),
        fast=fast,
    )
