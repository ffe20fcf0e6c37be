"""Which frame of one video is which frame of another: in order by dynamic time warping, or each by its nearest neighbour.

Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978. n frames of the query,
m of the key.
"""

from dataclasses import dataclass

import numpy as np

from kinoflow.metrics.alignment import NEAR, distinct, prepared

SAME = 1e-13  # distances below this share of the largest squared lengths are rounding


@dataclass(frozen=True)
class Sums:
    """The least sum of costs from (0, 0) to each cell, one anti-diagonal after another, each between two that are infinite."""

    values: np.ndarray  # (n * m + 2 * (n + m - 1),)
    starts: list[int]  # of each anti-diagonal: where its cell of row 0 lies, or would lie
    shape: tuple[int, int]  # n, m

    def table(self) -> np.ndarray:
        """Return the sums by frames, (n, m)."""
        i, j = np.indices(self.shape)
        return self.values[np.array(self.starts)[i + j] + i]


@dataclass(frozen=True)
class Path:
    """A way through two videos, from the first frames to the last."""

    distance: float  # sum of costs along the path
    sums: Sums
    query: np.ndarray  # (p,) int64, frames of the query along the path: each step is 0 or 1
    key: np.ndarray  # (p,) int64, of the key

    def keys(self) -> np.ndarray:
        """Return the first frame of the key that each frame of the query meets, (n,)."""
        return self.key[np.searchsorted(self.query, np.arange(self.sums.shape[0]))]


def distances(x: np.ndarray, y: np.ndarray, distance: str = "sqeuclidean") -> np.ndarray:
    """Return the distance of each frame of x (n, D) to each of y (m, D): (n, m) float64; sqeuclidean or cosine."""
    (x, rows), (y, columns) = (distinct(prepared(z, distance)) for z in (x, y))
    xx, yy = _squares(x)[:, None], _squares(y)[:, None]
    found = np.hstack([-2 * x, xx, np.ones_like(xx)]) @ np.hstack([y, np.ones_like(yy), yy]).T
    least = SAME * (xx.max(initial=0) + yy.max(initial=0))
    if found.min(initial=np.inf) <= least:
        found[found <= least] = 0
    found = found if rows is None else found[rows]
    found = found if columns is None else found[:, columns]
    return found / 2 if distance == "cosine" else found


def _squares(x: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x, x)


def dtw(costs: np.ndarray) -> Path:
    """Return the cheapest path through costs (n, m) whose steps are (1, 1), (1, 0) and (0, 1).

    Works along anti-diagonals, whose cells do not depend on each other. Going back, of equals the diagonal is preferred,
    then a step of the query. ValueError if a cost is NaN, or there is none.

    >>> dtw(np.array([[0.0, 1.0], [5.0, 0.0]])).distance
    0.0
    """
    costs = np.ascontiguousarray(costs, np.float64)
    if costs.ndim != 2 or not costs.size or np.isnan(costs.min()):
        raise ValueError(f"costs {costs.shape} must be a table without NaN, with one frame on each side at least")
    sums = _accumulated(costs)
    query, key = _back(sums)
    return Path(float(sums.values[-2]), sums, query, key)


def _accumulated(costs: np.ndarray) -> Sums:
    """Return the least sums of costs (n, m). What an anti-diagonal needs of the two before lies side by side there."""
    n, m = costs.shape
    flat, values = costs.ravel(), np.empty(n * m + 2 * (n + m - 1))
    step, end = max(m - 1, 1), 0
    starts: list[int] = []
    for d in range(n + m - 1):
        low, count = max(0, d - m + 1), min(n, m, d + 1, n + m - 1 - d)  # the first row of the diagonal, its cells
        here, first = values[end + 1 : end + 1 + count], low * m + d - low
        along = flat[first : first + (count - 1) * step + 1 : step]
        if d == 0:
            here[:] = along
        else:
            left = starts[-1] + low  # of the cell (low, d - 1 - low); before it lies the one above (low, d - low)
            np.minimum(values[left - 1 : left - 1 + count], values[left : left + count], out=here)
            if d > 1:
                both = starts[-2] + low - 1
                np.minimum(here, values[both : both + count], out=here)
            np.add(here, along, out=here)
        values[end] = values[end + 1 + count] = np.inf
        starts.append(end + 1 - low)
        end += count + 2
    return Sums(values, starts, (n, m))


def _back(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    i, j = sums.shape[0] - 1, sums.shape[1] - 1
    query, key = [i], [j]
    at, starts = sums.values.item, sums.starts
    while i or j:
        if not i:
            j -= 1
        elif not j:
            i -= 1
        else:
            both, up, left = at(starts[i + j - 2] + i - 1), at(starts[i + j - 1] + i - 1), at(starts[i + j - 1] + i)
            if both <= up and both <= left:
                i, j = i - 1, j - 1
            elif up <= left:
                i -= 1
            else:
                j -= 1
        query.append(i)
        key.append(j)
    return np.array(query[::-1]), np.array(key[::-1])


def align(x: np.ndarray, y: np.ndarray, how: str = "dtw", distance: str = "sqeuclidean") -> np.ndarray:
    """Return the frame of y (m, D) that each frame of x (n, D) meets: (n,) int64.

    how: dtw, the first frame on the cheapest path; nearest, the first nearest frame.
    """
    found = distances(x, y, distance)
    if how == "nearest":
        return _nearest(found, prepared(x, distance), prepared(y, distance))
    if how != "dtw":
        raise ValueError(f"{how!r} is no way to align: dtw or nearest")
    return dtw(found).keys()


def _nearest(found: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the first column of each row of distances that is the least, but for rounding, as in Kendall's tau."""
    slack = 2 * NEAR * (_squares(x) + _squares(y).max(initial=0))
    return (found <= found.min(1, keepdims=True) + slack[:, None]).argmax(1)
