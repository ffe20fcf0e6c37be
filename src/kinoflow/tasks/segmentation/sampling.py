"""Segmentations drawn from their posterior: forward messages, then backwards segment by segment."""

import torch
from torch import Tensor

from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.decoding import Decoded, joint
from kinoflow.tasks.segmentation.inference import forward_messages, single
from kinoflow.tasks.segmentation.spans import Span


def sample(chain: Chain, count: int, generator: torch.Generator) -> list[list[Decoded]]:
    """Return ``count`` segmentations of each video, drawn from p(segmentation | video).

    generator: of the CPU; draws of a video depend on the videos before it in the batch. An impossible video has one empty one.
    """
    with torch.no_grad():
        chain = chain.detached(torch.float64)
        return [_video(single(chain, video), count, generator) for video in range(len(chain.lengths))]


def _video(chain: Chain, count: int, generator: torch.Generator) -> list[Decoded]:
    emissions, ends, begins, total = forward_messages(chain)
    if not bool(total.isfinite()):
        return [Decoded(-torch.inf, [])]
    frames, states = ends.shape
    table = (chain.durations if chain.durations.ndim == 2 else chain.durations[0]).expand(-1, states)
    final = 0 if chain.final is None else chain.final.reshape(-1, states)[0]
    # All draws go backwards together, each at its own boundary.
    at = torch.full((count,), frames, device=ends.device)
    state = _draw((ends[-1] + final).expand(count, states), generator)
    found: list[list[Span]] = [[] for _ in range(count)]
    active = torch.arange(count, device=ends.device)
    longest = min(chain.longest, frames)
    durations = torch.arange(1, longest + 1, device=ends.device)
    while len(active):
        z, t = state[active], at[active]
        rows = t[:, None] - durations  # (M, W) where the segment would begin
        inside = emissions[rows.clamp(min=0), z[:, None]].cumsum(1)
        scores = begins[rows.clamp(min=0), z[:, None]] + inside + table[durations, z[:, None]]
        length = _draw(scores.masked_fill(rows < 0, -torch.inf), generator) + 1
        at[active] = t - length
        for draw, *span in torch.stack((active, z, t - length, length), 1).tolist():
            found[draw].append(Span(*span))
        active = active[at[active] > 0]
        if len(active):
            state[active] = _draw(ends[at[active] - 1] + _column(chain, state[active]), generator)
    drawn = [spans[::-1] for spans in found]
    scores = joint(_repeated(chain, count), drawn).tolist()
    return [Decoded(score, spans) for score, spans in zip(scores, drawn, strict=True)]


def _column(chain: Chain, states: Tensor) -> Tensor:
    """Return the logs of transitions into ``states`` (M,), (M, L) from."""
    if isinstance(chain.transition, LowRank):
        return torch.logsumexp(chain.transition.left + chain.transition.right[states][:, None], 2)
    matrix = chain.transition if chain.transition.ndim == 2 else chain.transition[0]
    return matrix[:, states].T


def _draw(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return one index for each row of logs (M, n), drawn in proportion to their exponentials."""
    sums = (scores - scores.amax(1, keepdim=True)).exp().cumsum(1)
    uniform = torch.rand(len(scores), generator=generator, dtype=torch.float64).to(scores.device)
    return torch.searchsorted(sums, (uniform * sums[:, -1])[:, None], right=True)[:, 0].clamp(max=scores.shape[1] - 1)


def _repeated(chain: Chain, count: int) -> Chain:
    """Return the chain of one video as that of a batch of ``count`` of it."""

    def again(x: Tensor, shared: int) -> Tensor:
        return x if x.ndim == shared else x.expand(count, *x.shape[1:])

    return Chain(
        emissions=chain.emissions.expand(count, -1, -1),
        lengths=chain.lengths.expand(count),
        initial=again(chain.initial, 1),
        durations=again(chain.durations, 2),
        transition=chain.transition if isinstance(chain.transition, LowRank) else again(chain.transition, 2),
        final=None if chain.final is None else again(chain.final, 1),
    )
