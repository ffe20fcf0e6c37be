"""The subsets of a set of n videos, in the one order that every file and array of this room has: by size, then lexicographic.

Of four videos: {0} {1} {2} {3} {01} {02} {03} {12} {13} {23} {012} {013} {023} {123} {0123}. M subsets, n videos.
"""

from functools import cache
from itertools import combinations

import numpy as np

Tuple = tuple[int, ...]


@cache
def subsets(n: int, least: int = 1) -> tuple[Tuple, ...]:
    """Return the subsets of {0..n-1} with ``least`` members or more, as increasing tuples.

    >>> subsets(3, least=2)
    ((0, 1), (0, 2), (1, 2), (0, 1, 2))
    """
    return tuple(each for size in range(max(1, least), n + 1) for each in combinations(range(n), size))


@cache
def keys(n: int) -> tuple[str, ...]:
    """Return the names of the subsets in set files: "0", "1", ..., "0,1", ..."""
    return tuple(",".join(map(str, each)) for each in subsets(n))


@cache
def sizes(n: int, least: int = 1) -> np.ndarray:
    """Return the number of members of each subset, (M,) int64."""
    return np.array([len(each) for each in subsets(n, least)], np.int64)


@cache
def membership(n: int, least: int = 1) -> np.ndarray:
    """Return which videos each subset has, (M, n) bool."""
    found = np.zeros((len(subsets(n, least)), n), bool)
    for row, each in zip(found, subsets(n, least), strict=True):
        row[list(each)] = True
    return found


@cache
def places(n: int, least: int = 1) -> np.ndarray:
    """Return where each subset stands in the order, by the number whose bits are its members: (2 ** n,) int64; -1: not told."""
    found = np.full(1 << n, -1, np.int64)
    for place, each in enumerate(subsets(n, least)):
        found[sum(1 << member for member in each)] = place
    return found
