"""Which frame of one video is which frame of another: in order by dynamic time warping, or each by its nearest neighbour.

Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978. n frames of the query,
m of the key.
"""

from dataclasses import dataclass

import numpy as np

from kinoflow.metrics.alignment import NEAR, distinct, prepared

SAME = 1e-13  # distances below this share of the largest squared lengths are rounding


@dataclass(frozen=True)
class Path:
    """A way through two videos, from the first frames to the last."""

    distance: float  # sum of costs along the path
    accumulated: np.ndarray  # (n, m): the least sum of costs from (0, 0) to each cell
    query: np.ndarray  # (p,) int64, frames of the query along the path: each step is 0 or 1
    key: np.ndarray  # (p,) int64, of the key

    def keys(self) -> np.ndarray:
        """Return the first frame of the key that each frame of the query meets, (n,)."""
        return self.key[np.searchsorted(self.query, np.arange(len(self.accumulated)))]


def distances(x: np.ndarray, y: np.ndarray, distance: str = "sqeuclidean") -> np.ndarray:
    """Return the distance of each frame of x (n, D) to each of y (m, D): (n, m) float64; sqeuclidean or cosine."""
    (x, rows), (y, columns) = (distinct(prepared(z, distance)) for z in (x, y))
    xx, yy = _squares(x)[:, None], _squares(y)[:, None]
    found = np.hstack([-2 * x, xx, np.ones_like(xx)]) @ np.hstack([y, np.ones_like(yy), yy]).T
    found[found <= SAME * (xx.max(initial=0) + yy.max(initial=0))] = 0
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
    if costs.ndim != 2 or not costs.size or np.isnan(costs).any():
        raise ValueError(f"costs {costs.shape} must be a table without NaN, with one frame on each side at least")
    accumulated = _accumulated(costs)
    query, key = _back(accumulated)
    return Path(float(accumulated[-1, -1]), accumulated, query, key)


def _accumulated(costs: np.ndarray) -> np.ndarray:
    """Return the least sum of costs to each cell. Cell (i, d - i) of anti-diagonal d lies at place i + 1 of a row."""
    n, m = costs.shape
    result = np.empty((n, m))
    flat, cells = costs.ravel(), result.ravel()
    two, one, now = (np.full(n + 1, np.inf) for _ in range(3))  # diagonals d - 2, d - 1, d; place 0 is outside
    step = max(m - 1, 1)
    for d in range(n + m - 1):
        low, high = max(0, d - m + 1), min(n, d + 1)  # rows of the diagonal
        first = low * m + d - low
        along = slice(first, first + (high - low - 1) * step + 1, step)
        here = now[low + 1 : high + 1]
        if d:
            np.minimum(one[low:high], one[low + 1 : high + 1], out=here)
            np.minimum(here, two[low:high], out=here)
            here += flat[along]
        else:
            here[:] = flat[0]
        now[low] = np.inf
        if high < n:
            now[high + 1] = np.inf
        cells[along] = here
        two, one, now = one, now, two
    return result


def _back(accumulated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, j = accumulated.shape[0] - 1, accumulated.shape[1] - 1
    query, key = [i], [j]
    at = accumulated.item
    while i or j:
        if not i:
            j -= 1
        elif not j:
            i -= 1
        else:
            both, up, left = at(i - 1, j - 1), at(i - 1, j), at(i, j - 1)
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
