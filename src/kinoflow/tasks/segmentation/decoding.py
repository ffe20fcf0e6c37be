"""The best segmentation, the k best ones, and the score of a given one.

The largest product over transitions does not factor through a rank, so that decoding needs the whole matrix: O(T (K L + L^2))
time for any model, less where most states are hopeless (see `_BestSource`). There are no back-pointers: the messages themselves,
O(T L), tell where the best value came from, and only along the best path is that asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kinoflow.tasks.segmentation.chain import Chain, LowRank, valid
from kinoflow.tasks.segmentation.recursion import NEVER, cyclic, scale_of
from kinoflow.tasks.segmentation.spans import Span, joined, labels_of

BLOCK = 1 << 17  # numbers of a table of pairs of states that stay in a core's cache


@dataclass(frozen=True)
class Decoded:
    """A segmentation of one video.

    score: log p(video, segmentation); -inf and no spans if there is none. elements: with an order, the chain element of each
    span.
    """

    score: float
    spans: list[Span]
    elements: list[int] | None = None

    @property
    def labels(self) -> np.ndarray:
        """The state of every frame, (T,) int64."""
        return labels_of(self.spans, sum(span.length for span in self.spans))

    @property
    def runs(self) -> list[Span]:
        """The spans, with pieces of one run joined: neighbours of one state, or of one element of an order."""
        if self.elements is None:
            return joined(self.spans)
        runs = joined(Span(e, span.start, span.length) for e, span in zip(self.elements, self.spans, strict=True))
        states = dict(zip(self.elements, self.spans, strict=True))
        return [Span(states[run.state].state, run.start, run.length) for run in runs]


def viterbi(chain: Chain) -> list[Decoded]:
    """Return the best segmentation of each video."""
    return [best[0] for best in k_best(chain, 1)]


def k_best(chain: Chain, k: int) -> list[list[Decoded]]:
    """Return the k best segmentations of each video, best first; fewer where there are not so many. O(k T L) memory.

    Two segmentations differ if a boundary or a state does, pieces of one run included.
    """
    with torch.no_grad():
        work = _Work.of(chain)
        trace = _Trace(work, _largest(work, k))
        return [trace.best(video, k) for video in range(len(chain.lengths))]


def joint(chain: Chain, segmentations: Sequence[Sequence[Span]]) -> Tensor:
    """Return log p(x, segmentation) of a given segmentation of each video, (B,) float64; differentiable in all factors.

    Raises ValueError if the spans do not cover a video, one after the other, or one is longer than K - 1 frames.
    """
    where = _indices(chain, segmentations)
    totals = chain.emissions.new_zeros(len(chain.lengths), dtype=torch.float64)

    def pick(table: Tensor, shared: int, videos: Tensor, *index: Tensor) -> Tensor:
        return (table[index] if table.ndim == shared else table[(videos, *index)]).double()

    states = where.states.clamp(max=chain.durations.shape[-1] - 1)  # one column serves all states alike
    emissions = chain.emissions[where.frame_videos, where.frames, where.frame_states].double()
    totals = totals.index_add(0, where.frame_videos, emissions)
    totals = totals.index_add(0, where.videos, pick(chain.durations, 2, where.videos, where.lengths, states))
    every = torch.arange(len(chain.lengths), device=totals.device)
    totals = totals + pick(chain.initial, 1, every, where.states[where.first])
    if chain.final is not None:
        totals = totals + pick(chain.final, 1, every, where.states[where.last])
    inner = where.videos[1:] == where.videos[:-1]
    sources, targets, videos = where.states[:-1][inner], where.states[1:][inner], where.videos[1:][inner]
    if isinstance(chain.transition, LowRank):
        steps = torch.logsumexp(chain.transition.left[sources] + chain.transition.right[targets], 1).double()
    else:
        steps = pick(chain.transition, 2, videos, sources, targets)
    return totals.index_add(0, videos, steps)


class _Indices(NamedTuple):
    videos: Tensor  # (M,) of each span
    states: Tensor
    lengths: Tensor
    first: Tensor  # (B,) which span is the video's first, its last
    last: Tensor
    frame_videos: Tensor  # of each frame
    frames: Tensor
    frame_states: Tensor


def _indices(chain: Chain, segmentations: Sequence[Sequence[Span]]) -> _Indices:
    for video, (spans, length) in enumerate(zip(segmentations, chain.lengths.tolist(), strict=True)):
        ends = [0, *(span.start + span.length for span in spans)]
        if ends[-1] != length or any(span.start != end for span, end in zip(spans, ends, strict=False)):
            raise ValueError(
                f"the spans of video {video} of the batch do not cover its {length} frames one after the other"
            )
        if any(not 1 <= span.length <= chain.longest for span in spans):
            raise ValueError(f"a span of video {video} of the batch is not 1 to {chain.longest} frames long; cut it")
    rows = [(video, *span) for video, spans in enumerate(segmentations) for span in spans]
    videos, states, _, lengths = torch.tensor(rows, device=chain.emissions.device).T
    counts = torch.tensor([len(spans) for spans in segmentations], device=videos.device)
    frames = torch.cat([torch.arange(int(n), device=videos.device) for n in chain.lengths])
    return _Indices(
        videos,
        states,
        lengths,
        counts.cumsum(0) - counts,
        counts.cumsum(0) - 1,
        videos.repeat_interleave(lengths),
        frames,
        states.repeat_interleave(lengths),
    )


# ---------------------------------------------------------------- the largest instead of the sum


@dataclass
class _Work:
    """A chain for decoding: dense, time first, nothing infinite, the largest emission of every frame taken off."""

    emissions: Tensor  # (T, B, L)
    initial: Tensor  # (B, L)
    durations: Tensor  # (W, 1, B or 1, L or 1)
    matrix: Tensor  # (B or 1, L, L) [from, to]
    final: Tensor  # (B, L)
    offset: Tensor  # (B,) float64
    lengths: list[int]

    @classmethod
    def of(cls, chain: Chain) -> "_Work":
        chain = chain.detached().dense()
        videos, frames, states = chain.emissions.shape
        inside = valid(chain.lengths, frames)
        largest = chain.emissions.amax(2).clamp(min=NEVER).masked_fill(~inside, 0)
        emissions = (chain.emissions - largest[..., None]).clamp(min=NEVER).masked_fill(~inside[..., None], 0)
        durations = chain.durations if chain.durations.ndim == 3 else chain.durations[None]
        matrix = chain.transition if chain.transition.ndim == 3 else chain.transition[None]
        final = chain.initial.new_zeros(states) if chain.final is None else chain.final
        return cls(
            emissions=emissions.transpose(0, 1).contiguous(),
            initial=chain.initial.clamp(min=NEVER).expand(videos, states),
            durations=durations[:, 1 : frames + 1].clamp(min=NEVER).transpose(0, 1)[:, None].contiguous(),
            matrix=matrix.clamp(min=NEVER).contiguous(),
            final=final.clamp(min=NEVER).expand(videos, states),
            offset=largest.sum(1, dtype=torch.float64),
            lengths=chain.lengths.tolist(),
        )


class _Messages(NamedTuple):
    """The k best scores of the beginnings of videos, less the running scale."""

    ends: Tensor  # (T, k, B, L) a segment ends with frame t; to be added to scale[t + 1]
    begins: Tensor  # (T, k, B, L) the next one begins with frame t; to be added to scale[t]
    scale: Tensor  # (T + 1, B) float64


def _largest(work: _Work, k: int) -> _Messages:
    """Return the messages of the recursion with the k largest in place of the sum."""
    frames, videos, states = work.emissions.shape
    window = len(work.durations)
    ends = work.emissions.new_empty(frames, k, videos, states)
    begins = torch.full_like(ends, NEVER)
    begins[0, 0] = work.initial
    deltas = ends.new_zeros(frames + 1, videos, 1)
    ring, table = ends.new_full((window, k, videos, states), NEVER), cyclic(work.durations)
    ring[0] = begins[0]
    products, best = torch.empty_like(ring), _BestSource(work.matrix, k)
    for t in range(frames):
        first = -t % window
        ring.add_(work.emissions[t] - deltas[t])
        if t:
            torch.add(begins[t], work.emissions[t], out=ring[t % window])
        torch.add(ring, table[first : first + window], out=products)
        if k == 1:
            torch.amax(products, 0, out=ends[t])
        else:
            ends[t] = products.flatten(0, 1).topk(k, 0).values
        deltas[t + 1] = scale_of(ends[t, 0])
        ends[t].sub_(deltas[t + 1])
        if t + 1 < frames:
            best(ends[t], begins[t + 1])
    return _Messages(ends, begins, deltas[..., 0].double().cumsum(0))


class _BestSource:
    """The k best ways into every state from where segments end: the max-product with the transition matrix.

    A source whose score lies below the best one's by more than any two transitions differ can win nowhere. With frames that
    tell states apart a few remain of hundreds, and a step costs their rows instead of the whole matrix.
    """

    def __init__(self, matrix: Tensor, k: int):
        self.matrix, self.k, self.states = matrix, k, matrix.shape[-1]
        spread = float(matrix.amax() - matrix.amin())
        prune = matrix.device.type == "cpu" and len(matrix) == 1 and spread < -NEVER / 2 and self.states >= 32
        self.reach = -spread - 1e-3 if prune else None  # beside rounding

    def __call__(self, ends: Tensor, out: Tensor) -> None:
        """Write into out (k, B, L) the k largest of ends (k, B, L from) + matrix, largest score of a video about 0."""
        videos = ends.shape[1]
        if self.reach is not None or videos * self.k * self.states**2 > BLOCK:
            for video in range(videos):
                self._video(ends[:, video], self.matrix[min(video, len(self.matrix) - 1)], out[:, video])
        elif self.k == 1:
            torch.amax(ends[0, :, :, None] + self.matrix, 1, out=out[0])
        else:
            scores = (ends[..., None] + self.matrix).transpose(1, 2).flatten(0, 1)  # (k L, B, L)
            out.copy_(scores.topk(self.k, 0).values)

    def _video(self, ends: Tensor, matrix: Tensor, out: Tensor) -> None:
        if self.reach is not None:
            rows = (ends[0] >= self.reach).nonzero()[:, 0] if self.k == 1 else None
            if rows is not None and 2 * len(rows) < self.states:
                ends, matrix = ends[:, rows], matrix[rows]
        scores = (ends[..., None] + matrix).flatten(0, 1)  # (k L, L)
        if self.k == 1:
            torch.amax(scores, 0, out=out[0])
        else:
            out.copy_(scores.topk(self.k, 0).values)


# ---------------------------------------------------------------- back along the best path


class _Trace:
    """Finds paths from messages: at each of its segments it asks again which candidate was the best (or i-th best)."""

    def __init__(self, work: _Work, messages: _Messages):
        self.work, self.messages = work, messages
        self.matrices = work.matrix.double().cpu().numpy()

    def best(self, video: int, k: int) -> list[Decoded]:
        """Return the k best segmentations of a video, or as many as there are, best first."""
        length, work = self.work.lengths[video], self.work
        ends, begins = (x[:length, :, video].double().cpu().numpy() for x in self.messages[:2])  # (T, k, L)
        final = work.final[video].double().cpu().numpy()
        scores = (ends[-1] + final).ravel()
        own = _Video(
            emissions=work.emissions[:length, video].double().cpu().numpy(),
            durations=work.durations[:, 0, min(video, work.durations.shape[2] - 1)].double().cpu().numpy(),
            matrix=self.matrices[min(video, len(self.matrices) - 1)],
            initial=work.initial[video].double().cpu().numpy(),
            ends=ends,
            begins=begins + self.messages.scale[:length, video].cpu().numpy()[:, None, None],
        )
        found = []
        for place in np.argsort(-scores, kind="stable")[:k]:
            rank, state = divmod(int(place), ends.shape[2])
            if scores[place] + float(self.messages.scale[length, video]) > NEVER / 2:
                score, spans = own.path(state, rank)
                found.append(Decoded(score + float(final[state]) + float(work.offset[video]), spans))
        return sorted(found, key=lambda decoded: -decoded.score) or [Decoded(-np.inf, [])]


@dataclass
class _Video:
    emissions: np.ndarray  # (T, L)
    durations: np.ndarray  # (W, L or 1)
    matrix: np.ndarray  # (L, L) [from, to]
    initial: np.ndarray  # (L,)
    ends: np.ndarray  # (T, k, L)
    begins: np.ndarray  # (T, k, L), the running scale added

    def path(self, state: int, rank: int) -> tuple[float, list[Span]]:
        """Return the score, without ``final``, and the spans of the rank-th best path that ends in a state."""
        spans, score, end, columns = [], 0.0, len(self.ends), self.durations.shape[1] - 1
        while True:
            longest = min(len(self.durations), end)
            frames = self.emissions[end - longest : end, state][::-1].cumsum()  # of 1, 2, ... frames
            factors = frames + self.durations[:longest, min(state, columns)]
            candidates = self.begins[end - longest : end, :, state][::-1] + factors[:, None]  # (longest, k)
            length, rank = divmod(_ith(candidates.ravel(), rank), candidates.shape[1])
            score += float(factors[length])
            end -= length + 1
            spans.append(Span(state, end, length + 1))
            if not end:
                return score + float(self.initial[state]), spans[::-1]
            candidates = self.ends[end - 1] + self.matrix[:, state]  # (k, L)
            rank, source = divmod(_ith(candidates.ravel(), rank), candidates.shape[1])
            score += float(self.matrix[source, state])
            state = source


def _ith(values: np.ndarray, rank: int) -> int:
    """Return where the rank-th largest value lies; of equal ones the first comes first."""
    return int(values.argmax()) if rank == 0 else int(np.argsort(-values, kind="stable")[rank])
