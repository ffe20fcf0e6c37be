"""The Gaussians that a model begins with, from rows of training videos: the same for the same rows and seed."""

from collections.abc import Sequence

import numpy as np

from kinoflow.errors import DataError

MEANS = 4  # first word of what seeds a generator here: kinoflow.training.draws has 1 and 2, batches 3
ENOUGH = 20000  # rows from which centres are found; more tell no more
PASSES, LEAST = 50, 1e-4  # of Lloyd's algorithm; smallest standard deviation
CELLS = 1 << 22  # distances held at once


def gaussians(rows: Sequence[np.ndarray], states: int, means: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means (D,) or (L, D) and standard deviations (D,), unbiased, of all rows.

    means: ``mean`` (one for all states), ``sample`` (rows, no two the same), ``kmeans`` (centres of clusters).
    Raises DataError if there are fewer rows than states.
    """
    every = np.concatenate(rows)
    if len(every) < 2 or (means != "mean" and len(every) < states):
        raise DataError(
            f"there are {len(every)} rows to train on, but {states} states to begin with; lower model.states, or give more videos"
        )
    deviation = np.maximum(every.std(axis=0, ddof=1, dtype=np.float64), LEAST)
    if means == "mean":
        return every.mean(axis=0, dtype=np.float64), deviation
    rng = np.random.default_rng((MEANS, seed))
    if means == "sample":
        return every[np.sort(rng.permutation(len(every))[:states])].astype(np.float64), deviation
    some = every if len(every) <= ENOUGH else every[np.sort(rng.permutation(len(every))[:ENOUGH])]
    return kmeans(some / deviation, states, rng)[0] * deviation, deviation


def kmeans(
    rows: np.ndarray, count: int, rng: np.random.Generator, passes: int = PASSES
) -> tuple[np.ndarray, np.ndarray]:
    """Return centres (count, D) of clusters of rows (N, D), and the nearest centre of each row (N,).

    Lloyd 1982 from k-means++ (Arthur and Vassilvitskii 2007); an empty cluster gets the row that is farthest from its centre.
    """
    rows = np.asarray(rows, np.float64)
    centres = _spread(rows, count, rng)
    told = np.full(len(rows), -1)
    for _ in range(passes):
        nearest, distance = nearest_centres(rows, centres)
        sizes = np.bincount(nearest, minlength=count)
        for empty in np.flatnonzero(sizes == 0):
            far = int(distance.argmax())
            nearest[far], distance[far] = empty, 0.0
        if (nearest == told).all():
            break
        told = nearest
        sums = np.zeros_like(centres)
        np.add.at(sums, told, rows)
        centres = sums / np.maximum(np.bincount(told, minlength=count), 1)[:, None]
    return centres, nearest_centres(rows, centres)[0]


def nearest_centres(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row, (N,), and the squared distance to it, (N,)."""
    places, distances = [], []
    block = max(1, CELLS // max(1, len(centres)))
    norms = (centres**2).sum(axis=1)
    for first in range(0, len(rows), block):
        part = rows[first : first + block]
        apart = (part**2).sum(axis=1)[:, None] - 2 * part @ centres.T + norms
        places.append(apart.argmin(axis=1))
        distances.append(np.maximum(apart[np.arange(len(part)), places[-1]], 0.0))
    return np.concatenate(places), np.concatenate(distances)


def _spread(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(rows)))]
    apart = ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        total = apart.sum()
        place = (
            int(np.searchsorted(np.cumsum(apart), rng.random() * total)) if total > 0 else int(rng.integers(len(rows)))
        )
        chosen.append(min(place, len(rows) - 1))
        apart = np.minimum(apart, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    return rows[chosen].copy()
