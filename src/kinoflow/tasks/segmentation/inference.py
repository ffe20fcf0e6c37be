"""Exact inference in hidden semi-Markov chains: likelihood, its gradient, posteriors, entropy.

    >>> import torch
    >>> from kinoflow.tasks.segmentation.chain import Chain
    >>> free = Chain(
    ...     emissions=torch.zeros(1, 2, 4), lengths=torch.tensor([2]), initial=torch.zeros(4).log_softmax(0),
    ...     durations=torch.zeros(2, 1), transition=torch.zeros(4, 4).log_softmax(1))
    >>> round(log_partition(free).exp().item(), 5), posteriors(free).states[0, 0].tolist()     # two segments of one frame each
    (1.0, [0.25, 0.25, 0.25, 0.25])

The gradient of the log partition function is made of posteriors, so one sweep over time in both directions (`recursion`) gives
both: nothing is recorded by autograd over time, and the memory is a few tensors (T, B, L).
Paper of the low-rank recursion: Chiu, Deng and Rush, "Low-Rank Constraints for Fast Inference in Structured Models", 2021.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.messages import Found, prepare
from kinoflow.tasks.segmentation.recursion import LN2, NEVER


class Posteriors(NamedTuple):
    """What is known of a batch of videos given their frames; rows of padding, and of impossible videos, are zero."""

    log_partition: Tensor  # (B,) float64
    states: Tensor  # (B, T, L) a frame is in a state
    starts: Tensor  # (B, T, L) a segment of a state has its first frame there
    ends: Tensor  # (B, T, L) a segment of a state has its last frame there


def log_partition(chain: Chain, kernel: str = "plain") -> Tensor:
    """Return log p(x), (B,) float64: the log of the sum over all segmentations; -inf if there is none.

    Differentiable once in all factors. kernel: "triton" runs the low-rank recursion as the kernel of `kernels`,
    where the fast way is exact.
    """
    left, right = chain.transition if isinstance(chain.transition, LowRank) else (chain.transition, None)
    return _LogPartition.apply(
        chain.emissions, chain.initial, chain.durations, left, right, chain.final, chain.lengths, kernel
    )


def posteriors(chain: Chain, kernel: str = "plain") -> Posteriors:
    """Return the posteriors of states, starts and ends. No gradients."""
    with torch.no_grad():
        work = prepare(chain, directions=2)
        found = Found(work, work.sweep(kernel))
        starts, ends = found.starts(), found.ends()
        states = found.states(starts, ends)
        return Posteriors(found.log_partition(), *(x.transpose(0, 1) for x in (states, starts, ends)))


class Forward(NamedTuple):
    """Forward messages of one video, logs; each frame's largest emission is taken off everywhere, but not of the total."""

    emissions: Tensor  # (T, L)
    ends: Tensor  # (T, L) of all beginnings of the video whose last segment has its last frame at t
    begins: Tensor  # (T, L) of all beginnings after which a segment begins at t
    log_partition: Tensor  # (), float64


def forward_messages(chain: Chain) -> Forward:
    """Return the messages of a chain of one video without padding."""
    with torch.no_grad():
        work = prepare(chain, directions=1)
        messages = work.sweep("plain")
        scale = messages.scale[:, 0]
        ends, begins = messages.E[:, 0, 0] + scale[1:], messages.B[:-1, 0, 0] + scale[:-1]
        total = Found(work, messages).log_partition()[0]
        return Forward((work.x[:, 0] - work.slope[0])[:, 0] * LN2, ends * LN2, begins * LN2, total)


def segment_posteriors(chain: Chain) -> Tensor:
    """Return the posterior that a segment of d frames in state z starts at t, (B, T, K, L): for small problems."""
    with torch.no_grad():
        found = _found(chain.detached(torch.float64))
        rows = [torch.zeros_like(found.E0)]
        for posterior in found.segments():
            rows.append(torch.zeros_like(rows[0]))
            rows[-1][: len(posterior)] = posterior
        rows += [torch.zeros_like(rows[0])] * (chain.durations.shape[-2] - len(rows))
        return torch.stack(rows).permute(2, 1, 0, 3)


def edge_posteriors(chain: Chain) -> Tensor:
    """Return (B, T, K, L + 1, L + 1): a segment of d frames starts at t, [next state, its own state]; for small problems.

    Index L is the end of the video: it follows the last segment, and nothing else.
    """
    with torch.no_grad():
        chain = chain.detached(torch.float64).dense()
        found, segments = _found(chain), segment_posteriors(chain)
        videos, frames, rows, states = segments.shape
        edges = segments.new_zeros(videos, frames, rows, states + 1, states + 1)
        matrix = chain.transition.expand(videos, states, states)
        begins = found.E1.transpose(0, 1) * LN2  # (B, T, L) what follows, if a segment begins there
        for d in range(1, min(rows, frames + 1)):
            following = torch.full_like(begins, -torch.inf)
            following[:, : frames - d] = begins[:, d:]
            share = (matrix[:, None] + following[:, :, None]).softmax(-1).nan_to_num()  # (B, T, own, next)
            inside = torch.arange(frames, device=begins.device)[None] + d < chain.lengths[:, None]
            own = segments[:, :, d]
            edges[:, :, d, :-1, :-1] = (share * (own * inside[..., None])[..., None]).transpose(2, 3)
            edges[:, :, d, -1, :-1] = own * ~inside[..., None]
        return edges


def entropy(chain: Chain) -> Tensor:
    """Return the entropy of the segmentation given the video, (B,) float64 nats; one video after the other, O(T L^2)."""
    return torch.stack([_entropy(chain, video) for video in range(len(chain.lengths))])


def _entropy(chain: Chain, video: int) -> Tensor:
    """log Z minus the expected score: every factor's log times how often it is expected to be used."""
    one = single(chain, video).detached(torch.float64).dense()
    names = [
        name for name in ("emissions", "initial", "durations", "transition", "final") if getattr(one, name) is not None
    ]
    leaves = [getattr(one, name).requires_grad_() for name in names]
    with torch.enable_grad():
        total = log_partition(replace(one, **dict(zip(names, leaves, strict=True))))[0]
    if not bool(total.isfinite()):
        return total.detach()
    counts = torch.autograd.grad(total, leaves)
    used = zip(counts, (leaf.detach() for leaf in leaves), strict=True)
    return total.detach() - sum((n * leaf)[leaf > NEVER / 2].sum() for n, leaf in used)


def single(chain: Chain, video: int) -> Chain:
    """Return the chain of one video of a batch, without its padding."""

    def own(x: Tensor, shared: int) -> Tensor:
        return x if x.ndim == shared else x[video : video + 1]

    return Chain(
        emissions=chain.emissions[video : video + 1, : int(chain.lengths[video])],
        lengths=chain.lengths[video : video + 1],
        initial=own(chain.initial, 1),
        durations=own(chain.durations, 2),
        transition=chain.transition if isinstance(chain.transition, LowRank) else own(chain.transition, 2),
        final=None if chain.final is None else own(chain.final, 1),
    )


def _found(chain: Chain) -> Found:
    work = prepare(chain, directions=2)
    return Found(work, work.sweep("plain"))


class _LogPartition(torch.autograd.Function):
    """The log partition function; its backward is made of posteriors."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        initial: Tensor,
        durations: Tensor,
        left: Tensor,
        right: Tensor | None,
        final: Tensor | None,
        lengths: Tensor,
        kernel: str,
    ) -> Tensor:
        transition = left if right is None else LowRank(left, right)
        chain = Chain(emissions, lengths, initial, durations, transition, final)
        wanted = any(ctx.needs_input_grad)
        work = prepare(chain, directions=2 if wanted else 1)
        found = Found(work, work.sweep(kernel))
        if wanted:
            ctx.found, ctx.shapes = found, [None if x is None else x.shape for x in (initial, durations, final)]
        return found.log_partition()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        found: Found = ctx.found
        wanted, (initial, durations, final) = ctx.needs_input_grad, ctx.shapes
        weights = gradient.masked_fill(~found.possible, 0).to(found.E0.dtype)
        result: list[Tensor | None] = [None] * 8
        starts, ends = found.starts(), found.ends()
        if wanted[0]:
            result[0] = found.states(starts, ends).mul_(weights[:, None]).transpose(0, 1)
        if wanted[1]:
            first = starts[0] * weights[:, None]
            result[1] = first if len(initial) == 2 else first.sum(0)
        if wanted[2]:
            result[2] = _duration_counts(found, weights, durations)
        if wanted[3] or wanted[4]:
            result[3], result[4] = found.transitions(weights)
        if wanted[5]:
            videos = torch.arange(len(weights), device=weights.device)
            last = ends[found.work.lengths - 1, videos] * weights[:, None]
            result[5] = last if len(final) == 2 else last.sum(0)
        return tuple(result)


def _duration_counts(found: Found, weights: Tensor, shape: torch.Size) -> Tensor:
    """Return how often each entry of the table of durations is expected to be used, in the table's own shape."""
    videos, states = found.E0.shape[1:]
    counts = found.E0.new_zeros(videos, shape[-2], states)
    for d, posterior in enumerate(found.segments(), 1):
        counts[:, d] = posterior.sum(0)
    counts *= weights[:, None, None]
    if len(shape) == 2:
        counts = counts.sum(0)
    return counts if shape[-1] == states else counts.sum(-1, keepdim=True)
