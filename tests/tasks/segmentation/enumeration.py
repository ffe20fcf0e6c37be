"""All segmentations of small videos, one by one, and random chains to enumerate: what exact inference is checked against."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.spans import Span


def segmentations(frames: int, longest: int, states: int, start: int = 0) -> Iterator[list[Span]]:
    """Yield every segmentation of a video into segments of 1..longest frames."""
    if start == frames:
        yield []
        return
    for length in range(1, min(longest, frames - start) + 1):
        for state in range(states):
            for rest in segmentations(frames, longest, states, start + length):
                yield [Span(state, start, length), *rest]


def score(chain: Chain, video: int, spans: list[Span]) -> float:
    """Return log p(x, segmentation) from the definition, in float64."""

    def own(x: torch.Tensor, shared: int) -> np.ndarray:
        return (x if x.ndim == shared else x[video]).detach().double().numpy()

    emissions, durations, initial = own(chain.emissions, 2), own(chain.durations, 2), own(chain.initial, 1)
    transition = chain.transition
    if isinstance(transition, LowRank):
        left, right = (x.detach().double().numpy() for x in transition)
        matrix = np.logaddexp.reduce(left[:, None] + right, axis=2)
    else:
        matrix = own(transition, 2)
    columns = durations.shape[1]
    total = initial[spans[0].state] + sum(matrix[a.state, b.state] for a, b in pairwise(spans))
    for span in spans:
        total += durations[span.length, min(span.state, columns - 1)]
        total += emissions[span.start : span.start + span.length, span.state].sum()
    return float(total if chain.final is None else total + own(chain.final, 1)[spans[-1].state])


def every(chain: Chain, video: int) -> tuple[list[list[Span]], np.ndarray]:
    """Return all segmentations of a video and their scores."""
    found = list(segmentations(int(chain.lengths[video]), chain.longest, chain.emissions.shape[2]))
    return found, np.array([score(chain, video, spans) for spans in found])


def random_chain(
    seed: int,
    lengths: tuple[int, ...] = (6, 4),
    states: int = 3,
    longest: int = 3,
    rank: int | None = None,
    kind: str = "plain",
    dtype: torch.dtype = torch.float64,
) -> Chain:
    """A chain with random factors.

    kind: plain; final (videos may not end everywhere); forbidden (transitions, starts, frames too); own (factors of each
    video its own); shared (one column of durations).
    """
    rng = np.random.default_rng(seed)
    videos = len(lengths)

    def normal(*shape: int, scale: float = 1.5) -> torch.Tensor:
        return torch.tensor(rng.normal(0, scale, shape), dtype=dtype)

    own = (videos,) if kind == "own" else ()
    transition: torch.Tensor | LowRank = normal(*own, states, states).log_softmax(-1)
    if rank is not None:
        transition = LowRank(normal(states, rank).log_softmax(1), normal(states, rank).log_softmax(0))
    initial, emissions, final = normal(*own, states).log_softmax(-1), normal(videos, max(lengths), states), None
    if kind in ("final", "own"):
        final = normal(*own, states)
    if kind == "forbidden":
        initial[0], emissions[0, 2, 1] = -torch.inf, -torch.inf
        final = torch.zeros(states, dtype=dtype)
        final[-1] = -torch.inf
        if rank is None:
            transition[0, 1] = transition[1, 1] = -torch.inf
        else:
            transition.left[0, 1:] = -torch.inf
            transition.right[2, 0] = -torch.inf
    durations = normal(*own, longest + 1, 1 if kind == "shared" else states)
    return Chain(emissions, torch.tensor(lengths), initial, durations, transition, final)


KINDS = ("plain", "final", "forbidden", "own", "shared")
CASES = [(rank, kind) for rank in (None, 2) for kind in KINDS if not (rank and kind == "own")]
