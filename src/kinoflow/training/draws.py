"""Which samples a step takes, and the randomness of each: functions of (seed, epoch, sample), whoever computes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kinoflow.training.schedule import Plan

ORDER, SAMPLE = 1, 2  # first words of what seeds a generator: no two uses share their numbers


@dataclass(frozen=True, slots=True)
class Draw:
    """A training sample in an epoch."""

    sample: int
    epoch: int  # from 0
    position: int  # in the epoch's order
    seed: int  # of the run
    again: int = 0  # how often this epoch had the same sample before (only where a room has an order of its own)

    def rng(self) -> np.random.Generator:
        """Return a new generator, the same whoever loads the sample and whatever else is in the batch."""
        return np.random.default_rng((SAMPLE, self.seed, self.epoch, self.sample, self.again))


def permutation(samples: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of an epoch, (samples,) int64."""
    return np.random.default_rng((ORDER, seed, epoch)).permutation(samples)


class Order:
    """The draws of every step."""

    def __init__(self, plan: Plan, seed: int, own: Callable[[int, int], Sequence[int] | None] | None = None):
        """``own``: a room's own order, (epoch, seed) -> as many sample numbers as there are samples, or None."""
        self.plan, self.seed, self.own = plan, seed, own
        self.epoch, self.samples, self.again = -1, np.zeros(0, np.int64), np.zeros(0, np.int64)

    def step(self, step: int) -> list[Draw]:
        """Return the draws of step number ``step`` (from 0), a whole batch."""
        epoch, index = divmod(step, self.plan.per_epoch)
        if epoch != self.epoch:
            self._begin(epoch)
        first = index * self.plan.batch
        chosen = slice(first, first + self.plan.batch)
        rows = zip(self.samples[chosen].tolist(), self.again[chosen].tolist(), strict=True)
        return [Draw(sample, epoch, first + i, self.seed, again) for i, (sample, again) in enumerate(rows)]

    def _begin(self, epoch: int) -> None:
        self.epoch = epoch
        own = self.own(epoch, self.seed) if self.own else None
        if own is None:
            self.samples = permutation(self.plan.samples, self.seed, epoch)
            self.again = np.zeros_like(self.samples)
            return
        self.samples = np.asarray(own, np.int64)
        if self.samples.shape != (self.plan.samples,):
            raise ValueError(f"an order of {self.plan.samples} samples has the shape {self.samples.shape}")
        seen: dict[int, int] = {}
        self.again = np.array(
            [seen.update({s: seen.get(s, -1) + 1}) or seen[s] for s in self.samples.tolist()], np.int64
        )


def parts(draws: Sequence[Draw], accumulate: int, size: int, rank: int) -> list[list[Draw]]:
    """Cut a batch into ``accumulate`` micro batches of ``size`` processes; return those of one process.

    They follow each other in the batch and differ by one sample at most. A process may get none in a micro batch that
    others have some of; micro batches that nobody has are left out.
    """
    count = accumulate * size
    edges = [len(draws) * i // count for i in range(count + 1)]
    cut = [list(draws[first:end]) for first, end in pairwise(edges)]
    rounds = [cut[first : first + size] for first in range(0, count, size)]
    return [each[rank] for each in rounds if any(each)]
