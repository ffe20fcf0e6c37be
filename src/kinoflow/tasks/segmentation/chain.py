"""A hidden semi-Markov chain over the frames of videos, as log factors: what all inference here reads.

    p(x, segmentation) = initial(z_1) * prod_i [ durations(d_i, z_i) * emissions of its frames in z_i ]
                         * prod_i transition(z_i, z_i+1) * final(z_m),     sum of d_i = T, 1 <= d_i < K

Letters: B videos of a batch, T frames of the longest, L states, N rank, K rows of the table of durations. Factors need not be
probabilities; -inf forbids. Everything is a plain tensor, so that gradients flow to whatever made it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from kinoflow.errors import DataError


class LowRank(NamedTuple):
    """A transition matrix of rank N: p(to | from) = sum over r of exp(left[from, r] + right[to, r])."""

    left: Tensor  # (L, N) logs
    right: Tensor  # (L, N) logs

    def dense(self) -> Tensor:
        """Return the logs of the whole matrix, (L, L) [from, to]; exact also where the factors underflow."""
        high_left, high_right = self.left.amax(1, keepdim=True), self.right.amax(1, keepdim=True)
        product = (self.left - high_left).exp() @ (self.right - high_right).exp().T
        if bool((product > torch.finfo(product.dtype).tiny * 1e8).all()):
            return product.log() + high_left + high_right.T
        return torch.stack([torch.logsumexp(row + self.right, 1) for row in self.left])


@dataclass(frozen=True)
class Chain:
    """The log factors of a batch of videos.

    emissions: (B, T, L) of every frame in every state; frames beyond a video's length are not looked at.
    lengths: (B,) int64, frames of each video. initial: (L,) or (B, L).
    durations: (K, L), or (K, 1) for all states alike, or (B, K, L); row d is for segments of d frames, row 0 is never used.
    transition: (L, L) [from, to], or (B, L, L), or LowRank. final: (L,) or (B, L); None: a video may end in any state.
    """

    emissions: Tensor
    lengths: Tensor
    initial: Tensor
    durations: Tensor
    transition: Tensor | LowRank
    final: Tensor | None = None

    def __post_init__(self) -> None:
        videos, frames, _ = self.emissions.shape
        if self.durations.shape[-2] < 2:
            raise DataError("the table of durations has no row for segments of one frame; let them last at least that")
        shortest, longest = (int(self.lengths.min()), int(self.lengths.max())) if videos else (0, 0)
        if shortest < 1 or longest > frames:
            raise DataError(
                f"lengths of videos are {shortest} to {longest} in a batch of {frames} frames; give 1 to {frames}"
            )

    @property
    def longest(self) -> int:
        """The most frames that a segment may have, K - 1."""
        return self.durations.shape[-2] - 1

    def dense(self) -> Self:
        """Return the same chain with its transition matrix written out."""
        if isinstance(self.transition, LowRank):
            return replace(self, transition=self.transition.dense())
        return self

    def detached(self, dtype: torch.dtype | None = None) -> Self:
        """Return the chain without gradients, in another floating point type if one is given."""

        def plain(x: Tensor) -> Tensor:
            return x.detach().to(dtype or x.dtype)

        return replace(
            self,
            emissions=plain(self.emissions),
            initial=plain(self.initial),
            durations=plain(self.durations),
            transition=LowRank(*map(plain, self.transition))
            if isinstance(self.transition, LowRank)
            else plain(self.transition),
            final=None if self.final is None else plain(self.final),
        )


def valid(lengths: Tensor, frames: int) -> Tensor:
    """Return which frames belong to the videos, (B, T) bool.

    >>> valid(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(frames, device=lengths.device) < lengths[:, None]
