"""Which tuples of videos every subset adds up, and with which weights: pure arithmetic of indices.

M subsets that are told, T tuples of one scale s, n videos of a set.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb

import numpy as np

from kinoflow.tasks.abstraction.subsets import Tuple, subsets


@dataclass(frozen=True)
class Sums:
    """What one scale adds to the subsets: ``tuples`` (T, s) of videos go through its relation, ``weights`` (M, T) join them."""

    scale: int
    tuples: np.ndarray
    weights: np.ndarray

    @property
    def slots(self) -> list[np.ndarray]:
        """The videos that stand at each place of a tuple, sorted: of increasing tuples n - s + 1 of the n at each."""
        return [np.unique(self.tuples[:, j]) for j in range(self.scale)]

    @property
    def choice(self) -> np.ndarray:
        """Which products of slots each tuple adds up, (T, products) of 0 and 1; products are ordered slot by slot."""
        offset, parts = 0, []
        for j, videos in enumerate(self.slots):
            parts.append(offset + np.searchsorted(videos, self.tuples[:, j]))
            offset += len(videos)
        found = np.zeros((len(self.tuples), offset))
        for part in parts:
            found[np.arange(len(part)), part] = 1
        return found


@cache
def inclusions(n: int, scales: tuple[int, ...]) -> tuple[Sums, ...]:
    """Return how SAM adds up: every subset the sum over the tuples inside it, subsets below the smallest scale left out."""
    told = subsets(n, min(scales))
    return tuple(_within(told, scale, n) for scale in scales if scale <= n)


def _within(told: tuple[Tuple, ...], scale: int, n: int) -> Sums:
    tuples = tuple(combinations(range(n), scale))
    weights = np.array([[float(set(each) <= set(whole)) for each in tuples] for whole in told])
    return Sums(scale, np.array(tuples, np.int64), weights.reshape(len(told), len(tuples)))


@cache
def means(n: int, scales: tuple[int, ...]) -> tuple[Sums, ...]:
    """Return how the pooled SAM adds up: every subset the mean over the tuples inside it, small subsets being padded."""
    told = subsets(n)
    shares = [_shares(each, scales) for each in told]
    found = []
    for scale in scales:
        tuples = sorted({each for share in shares for each in share if len(each) == scale})
        if tuples:
            weights = np.array([[share.get(each, 0.0) for each in tuples] for share in shares])
            found.append(Sums(scale, np.array(tuples, np.int64), weights))
    return tuple(found)


def _shares(videos: Tuple, scales: tuple[int, ...]) -> dict[Tuple, float]:
    """Return the weight of each tuple in the pooled sum over ``videos``, among which one may stand more than once.

    Fewer than the smallest scale: the whole set is repeated as often as it goes into it; where that is once, one video is
    added at the end, each in turn, and the mean is taken (the original draws some of them at random).
    """
    least, n = min(scales), len(videos)
    found: dict[Tuple, float] = {}
    if n >= least:
        for scale in (each for each in scales if each <= n):
            for each in combinations(videos, scale):
                found[each] = found.get(each, 0.0) + 1 / comb(n, scale)
        return found
    longer = [videos * (least // n)] if least // n >= 2 else [(*videos, each) for each in videos]
    for more in longer:
        for each, share in _shares(more, scales).items():
            found[each] = found.get(each, 0.0) + share / len(longer)
    return found
