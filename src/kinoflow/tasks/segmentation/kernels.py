"""The low-rank recursion as one Triton kernel: a program for each video and direction walks through time by itself.

Replaces `recursion.sweep_fast`, whose steps cost a GPU a dozen launches each. Nothing is kept in a ring: a step reads the last
K - 1 beginnings, and the sums of emissions grow in registers as it goes back. Runs on a CPU where TRITON_INTERPRET=1 was set
before triton was imported.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.recursion import NEVER, Factors, Messages, empty_messages

TILE = 1 << 14  # numbers of a factor that a program holds at a time


@triton.jit
def _sweep(
    x,  # (T, R, B, L)
    durations,  # (W, L) or (W, 1)
    into,  # (R, L, N) probabilities
    out,  # (R, N, L) probabilities
    E,  # (T, R, B, L)
    B,  # (T + 1, R, B, L), B[0] given
    F,  # (T, R, B, N)
    deltas,  # (T, R, B)
    frames,
    videos,
    states,
    rank,
    window,
    step_z,  # 1 if durations differ by state, else 0
    never: tl.constexpr,
    BLOCK: tl.constexpr,
    RANKS: tl.constexpr,
):
    program, rows = tl.program_id(0), tl.num_programs(0)
    direction = program // videos
    z = tl.arange(0, BLOCK)
    real = z < states
    for t in range(frames):
        # log2 of the sum over durations, its largest term so far taken out.
        high = tl.full((BLOCK,), never, x.dtype.element_ty)
        total = tl.zeros((BLOCK,), x.dtype.element_ty)
        inside = tl.zeros((BLOCK,), x.dtype.element_ty)
        for back in range(tl.minimum(window, t + 1)):
            place = ((t - back) * rows + program) * states + z
            inside += tl.load(x + place, mask=real, other=0.0)
            if back > 0:  # what begins earlier is told in an older scale
                inside -= tl.load(deltas + (t - back) * rows + program)
            term = inside + tl.load(B + place, mask=real, other=never)
            term += tl.load(durations + back * (states * step_z + 1 - step_z) + z * step_z, mask=real, other=0.0)
            higher = tl.maximum(high, term)
            total = total * tl.exp2(high - higher) + tl.exp2(term - higher)
            high = higher
        ends = tl.where(real, high + tl.log2(total), never)
        delta = tl.max(ends, 0)
        ends -= delta
        tl.store(E + (t * rows + program) * states + z, ends, mask=real)
        tl.store(deltas + t * rows + program, delta)
        p = tl.where(real, tl.exp2(ends), 0.0)
        following = tl.zeros((BLOCK,), x.dtype.element_ty)
        for first in range(0, rank, RANKS):
            n = first + tl.arange(0, RANKS)
            both = real[:, None] & (n < rank)[None, :]
            u = tl.load(into + (direction * states + z[:, None]) * rank + n[None, :], mask=both, other=0.0)
            f = tl.sum(p[:, None] * u, 0)
            tl.store(F + (t * rows + program) * rank + n, f, mask=n < rank)
            v = tl.load(out + (direction * rank + n[None, :]) * states + z[:, None], mask=both, other=0.0)
            following += tl.sum(f[None, :] * v, 1)
        begins = tl.log2(tl.where(real, following, 1.0))
        tl.store(B + ((t + 1) * rows + program) * states + z, begins, mask=real)
        tl.debug_barrier()  # the next step reads what other threads of the program have written


def sweep_triton(x: Tensor, start: Tensor, durations: Tensor, factors: Factors) -> Messages:
    """Return the messages of `recursion.sweep_fast`; the same arguments, for low-rank factors shared by all videos.

    Raises ConfigError on a device that triton does not run on.
    """
    if not (x.is_cuda or triton.knobs.runtime.interpret):
        raise ConfigError("kernel: triton runs on a GPU; set kernel to plain, or TRITON_INTERPRET=1 to try it on a CPU")
    assert factors.out is not None, "the kernel is for low-rank factors"
    frames, directions, videos, states = x.shape
    rank = factors.into.shape[-1]
    messages = empty_messages(x, rank, fast=True)
    messages.B[0] = start
    deltas = x.new_empty(frames, directions, videos)
    block = triton.next_power_of_2(states)
    ranks = min(triton.next_power_of_2(rank), max(1, TILE // block))
    table = durations.reshape(len(durations), -1).contiguous()
    _sweep[(directions * videos,)](
        x.contiguous(),
        table,
        factors.into.exp2().contiguous(),
        factors.out.exp2().contiguous(),
        messages.E,
        messages.B,
        messages.F,
        deltas,
        frames,
        videos,
        states,
        rank,
        len(table),
        int(table.shape[1] > 1),
        never=NEVER,
        BLOCK=block,
        RANKS=ranks,
        num_warps=4 if block <= 256 else 8,
    )
    torch.cumsum(deltas, 0, dtype=torch.float64, out=messages.scale[1:])
    return messages
