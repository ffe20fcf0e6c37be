"""Exact principal components from one pass over the rows, by sums that can be merged.

    sums = merged(summed(blocks_of_shard_0), summed(blocks_of_shard_1))
    basis = principal(sums, count=200)
    y = project(x, Projection.of(basis))

The sums of some rows are their number, their mean and their scatter about that mean: sum of (x - mean)(x - mean)^T. The
scatter is symmetric and kept as its upper triangle, row after row: half the disk and half the memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

BLOCK_ROWS = 2048  # rows multiplied at once: enough for full speed, 52 MB of 3200 columns
NOISE = 1e-12  # share of the largest variance below which a variance is rounding alone


@dataclass(frozen=True)
class Sums:
    """What some rows add up to."""

    rows: int
    mean: np.ndarray  # (D,) float64
    scatter: np.ndarray  # (D (D + 1) / 2,) float64, the upper triangle row by row


@dataclass(frozen=True)
class Basis:
    """Principal components of some rows, the one of largest variance first."""

    mean: np.ndarray  # (D,) float64
    scale: np.ndarray  # (D,) float64, divisor of each centred column: one, or its standard deviation (standardise)
    components: np.ndarray  # (k, D) float64, orthonormal, the entry of largest magnitude positive
    variance: np.ndarray  # (k,) float64, divided by rows - 1
    total_variance: float  # of all D directions
    rows: int

    @property
    def explained(self) -> np.ndarray:
        """The share of the variance that each component explains, (k,); zero where nothing varies."""
        return self.variance / self.total_variance if self.total_variance > 0 else np.zeros_like(self.variance)


def summed(blocks: Iterable[np.ndarray]) -> Sums:
    """Add up rows that come in blocks (n, D) float64 of the caller's making: they are overwritten.

    All rows are shifted by the mean of the first block before they are multiplied; rounded to float32, the precision of what
    is in a shard, it is the very value of a column that never changes, whose scatter is then zero. Products are float64:
    in float32 they take half the time, but lose what is small beside the first component: where the k-th eigenvalue is 1e-4 of
    the first, it is off by 1e-5, at 1e-6 by 1e-3, at 1e-9 all of it; and how rows are cut into shards would show.
    """
    rows, shift, total, gram, product = 0, np.zeros(0), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))
    with threadpool_limits(1):  # the bytes must not depend on the number of cores
        for x in blocks:
            if not rows:
                shift, width = x.mean(0).astype(np.float32), x.shape[1]
                total, gram, product = np.zeros(width), np.zeros((width, width)), np.empty((width, width))
            x -= shift
            gram += np.matmul(x.T, x, out=product)  # numpy sees one array twice and computes half of the product
            total += x.sum(0)
            rows += len(x)
    mean = total / max(1, rows)
    about_mean = [gram[i, i:] - total[i] * mean[i:] for i in range(len(mean))]
    return Sums(rows, shift + mean, np.concatenate([np.zeros(0), *about_mean]))


def merged(a: Sums, b: Sums) -> Sums:
    """Return the sums of the rows of ``a`` and ``b`` together (Chan, Golub, LeVeque 1983, equation 1.4)."""
    rows, apart = a.rows + b.rows, b.mean - a.mean
    scatter, start = a.scatter + b.scatter, 0
    weighted = apart * (a.rows * b.rows / rows)
    for i, weight in enumerate(weighted):
        scatter[start : start + len(apart) - i] += weight * apart[i:]
        start += len(apart) - i
    return Sums(rows, a.mean + apart * (b.rows / rows), scatter)


def upper(triangle: np.ndarray, width: int) -> np.ndarray:
    """Return the (width, width) matrix of an upper triangle kept row by row; zeros below the diagonal."""
    square, start = np.zeros((width, width)), 0
    for i in range(width):
        square[i, i:] = triangle[start : start + width - i]
        start += width - i
    return square


def principal(sums: Sums, count: int, standardise: bool = False) -> Basis:
    """Return the first ``count`` principal components; needs more rows than that, and count <= D.

    standardise: divide every column by its standard deviation first; a column that never changes keeps its zeros.
    """
    from scipy.linalg import eigh  # 0.3 s that only this stage pays

    width = len(sums.mean)
    if not 0 < count <= width or sums.rows <= count:
        raise ValueError(f"{count} components of {width} columns cannot be told from {sums.rows} rows")
    covariance = upper(sums.scatter, width)
    covariance /= sums.rows - 1
    scale = np.ones(width)
    if standardise:
        deviation = np.sqrt(np.maximum(covariance.diagonal(), 0))
        scale[deviation > 0] = deviation[deviation > 0]
        covariance /= scale[:, None]
        covariance /= scale
    total = float(covariance.diagonal().sum())
    with threadpool_limits(1):  # entered after the import: it holds for the libraries that are loaded
        values, vectors = eigh(  # reads the lower triangle of the transpose, and works in its memory
            covariance.T, subset_by_index=(width - count, width - 1), overwrite_a=True, check_finite=False
        )
    components = np.ascontiguousarray(vectors.T[::-1])
    largest = np.abs(components).argmax(1)
    components[components[np.arange(count), largest] < 0] *= -1  # an eigenvector's sign is free
    return Basis(sums.mean, scale, components, np.maximum(values[::-1], 0), total, sums.rows)


@dataclass(frozen=True)
class Projection:
    """A basis made ready for projecting in float32."""

    mean: np.ndarray  # (D,) float32
    matrix: np.ndarray  # (D, k) float32
    remainder: np.ndarray  # (k,) float32, what rounding the mean to float32 moved

    @classmethod
    def of(cls, basis: Basis, whiten: bool = False) -> "Projection":
        """Prepare ``basis``; ``whiten`` gives every component unit variance on what was fitted.

        A component whose variance is no more than rounding is whitened to zero: it would be blown-up noise.
        """
        matrix = basis.components / basis.scale  # (k, D)
        if whiten:
            real = basis.variance > NOISE * basis.variance.max()
            matrix = matrix * np.where(real, 1 / np.sqrt(np.where(real, basis.variance, 1)), 0)[:, None]
        rounded = basis.mean.astype(np.float32)
        remainder = matrix @ (rounded - basis.mean)
        return cls(rounded, np.ascontiguousarray(matrix.T, np.float32), remainder.astype(np.float32))


def project(x: np.ndarray, projection: Projection) -> np.ndarray:
    """Return the components of ``x`` (T, D), any float type, as (T, k) float32.

    Made for many short calls: who wants the same bytes on any number of cores limits the threads around all of them.
    """
    centred = x.astype(np.float32)
    centred -= projection.mean
    return centred @ projection.matrix + projection.remainder
