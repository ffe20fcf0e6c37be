"""What several seeds say together: the mean, and an interval by Student's t."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean over seeds. low, high: ends of the interval that holds the true mean in ``level`` of all studies.

    One seed has no interval: both ends are None.
    """

    seeds: int
    mean: float
    low: float | None
    high: float | None
    level: float = 0.95


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Return mean and two-sided interval (Student 1908): mean +- t * s / sqrt(n), with n - 1 degrees of freedom.

    values: one for each seed; ValueError if there is none, or one is not finite.

    >>> interval([0.5])
    Interval(seeds=1, mean=0.5, low=None, high=None, level=0.95)
    """
    numbers = np.asarray(list(values), np.float64)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"a mean over seeds needs finite values, not {numbers.tolist()}")
    if not 0 < level < 1:
        raise ValueError(f"level: {level} is not between 0 and 1")
    mean = float(numbers.mean())
    if len(numbers) == 1:
        return Interval(1, mean, None, None, level)
    from scipy.special import stdtrit

    half = float(stdtrit(len(numbers) - 1, (1 + level) / 2)) * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    return Interval(len(numbers), mean, mean - half, mean + half, level)


def paired(
    treatment: Mapping[int, float], baseline: Mapping[int, float] | float, level: float = 0.95
) -> tuple[dict[int, float], Interval]:
    """Return treatment minus baseline by seed, and the interval of its mean.

    treatment, baseline: {seed: value}; seeds that only one of them has cannot be paired and are left out (ValueError if
    none is left). A number as the baseline (chance, say) stands for every seed.
    """
    if isinstance(baseline, Mapping):
        seeds = sorted(treatment.keys() & baseline.keys())
        differences = {seed: treatment[seed] - baseline[seed] for seed in seeds}
    else:
        differences = {seed: treatment[seed] - baseline for seed in sorted(treatment)}
    if not differences:
        raise ValueError("treatment and baseline have no seed in common")
    return differences, interval(list(differences.values()), level)
