"""Sums that merge, and the principal components that come out of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinoflow.features.covariance import Projection, Sums, merged, principal, project, summed, upper

RNG = np.random.default_rng(7)


def sums_of(x: np.ndarray, block: int = 64) -> Sums:
    """Add up the rows of ``x`` (n, D), given in blocks."""
    return summed(x[i : i + block].astype(np.float64) for i in range(0, len(x), block))


def exact_sums(x: np.ndarray) -> Sums:
    """The same in float64, from the definition."""
    centred = x - x.mean(0)
    return Sums(len(x), x.mean(0), (centred.T @ centred)[np.triu_indices(x.shape[1])])


def close(a: Sums, b: Sums, tolerance: float) -> bool:
    """Tell whether two sums agree, relative to their largest entries."""
    pairs = ((a.mean, b.mean), (a.scatter, b.scatter))
    return a.rows == b.rows and all(np.abs(p - q).max() <= tolerance * max(1, np.abs(q).max()) for p, q in pairs)


def rows(count: int, width: int, mean: float = 0.0, seed: int = 0, decay: float = 0.5) -> np.ndarray:
    """Float32 values, in float64: correlated columns, the k-th direction with a standard deviation of k ** -decay."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    x = (rng.standard_normal((count, width)) * np.arange(1.0, width + 1) ** -decay) @ turn
    return (3 * x + mean).astype(np.float32).astype(np.float64)


matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 6)),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


@given(matrices, st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_sums_are_rows_mean_and_scatter_in_whatever_blocks(x, block):
    wide = x.astype(np.float64)
    assert close(sums_of(x, block), exact_sums(wide), 1e-12 * max(1, np.abs(wide).max()))


@given(matrices, st.lists(st.integers(0, 40), min_size=2, max_size=2))
@settings(max_examples=40, deadline=None)
def test_merging_is_associative_and_equals_summing_up_all_rows(x, cuts):
    wide = x.astype(np.float64)
    parts = [exact_sums(part) for part in np.split(wide, sorted(min(c, len(x)) for c in cuts)) if len(part)]
    left = parts[0]
    for part in parts[1:]:
        left = merged(left, part)
    right = parts[-1]
    for part in parts[-2::-1]:
        right = merged(part, right)
    assert close(left, right, 1e-9)
    assert close(left, exact_sums(wide), 1e-9)


def test_merging_in_any_grouping_gives_the_same_eigenvalues():
    parts = [sums_of(part) for part in np.split(rows(3000, 24, mean=50), 10)]
    one_by_one = parts[0]
    for part in parts[1:]:
        one_by_one = merged(one_by_one, part)
    pairs = [merged(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    tree = merged(merged(merged(pairs[0], pairs[1]), pairs[2]), merged(pairs[3], pairs[4]))
    np.testing.assert_allclose(principal(tree, 20).variance, principal(one_by_one, 20).variance, rtol=1e-9)


@pytest.mark.parametrize("mean", [0, 5, 50])
@pytest.mark.parametrize("decay", [0.5, 1, 2])
def test_eigenvalues_equal_those_of_the_float64_covariance(mean, decay):
    x = rows(5000, 96, mean, decay=decay)  # decay 2: the last variance is 1e-8 of the first
    exact = np.linalg.eigvalsh(np.cov(x.T))[::-1][:90]
    found = principal(sums_of(x, 2048), 90)
    np.testing.assert_allclose(found.variance, exact, rtol=1e-7)
    np.testing.assert_allclose(found.total_variance, np.var(x, axis=0, ddof=1).sum(), rtol=1e-9)


@pytest.mark.parametrize("shards", [1, 2, 7, 50])
def test_how_rows_are_cut_into_shards_does_not_show(shards):
    x = rows(3000, 48, mean=50, decay=1)
    whole, (first, *others) = principal(sums_of(x), 40), [sums_of(part) for part in np.array_split(x, shards)]
    for part in others:
        first = merged(first, part)
    parts = principal(first, 40)
    np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-9)
    np.testing.assert_allclose(parts.components, whole.components, atol=1e-9)


@given(matrices.filter(lambda x: len(x) > x.shape[1]))
@settings(max_examples=40, deadline=None)
def test_all_components_rebuild_the_rows(x):
    basis = principal(sums_of(x), x.shape[1])
    centred = x - basis.mean
    rebuilt = centred @ basis.components.T @ basis.components
    np.testing.assert_allclose(rebuilt, centred, rtol=1e-9, atol=1e-9 * max(1, np.abs(centred).max()))


@given(matrices.filter(lambda x: len(x) > x.shape[1]), st.data())
@settings(max_examples=40, deadline=None)
def test_explained_shares_are_sorted_and_at_most_one(x, data):
    count = data.draw(st.integers(1, x.shape[1]))
    explained = principal(sums_of(x), count).explained
    assert explained.shape == (count,)
    assert (np.diff(explained) <= 0).all() and (explained >= 0).all() and explained.sum() <= 1 + 1e-5


def test_components_are_orthonormal_and_their_largest_entry_is_positive():
    components = principal(sums_of(rows(500, 40)), 30).components
    np.testing.assert_allclose(components @ components.T, np.eye(30), atol=1e-12)
    assert (components[np.arange(30), np.abs(components).argmax(1)] > 0).all()


def test_as_many_rows_as_components_are_refused():
    with pytest.raises(ValueError, match="5 components of 8 columns cannot be told from 5 rows"):
        principal(sums_of(rows(5, 8)), 5)


def test_projecting_is_centring_and_multiplying():
    x = rows(300, 20, mean=50)
    basis = principal(sums_of(x), 7)
    y = project(x[:13], Projection.of(basis))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (x[:13] - basis.mean) @ basis.components.T, atol=2e-5)


def test_whitened_rows_have_unit_variance_and_no_correlation():
    x = rows(4000, 20, mean=5)
    y = project(x, Projection.of(principal(sums_of(x), 12), whiten=True))
    np.testing.assert_allclose(np.cov(y.T.astype(np.float64)), np.eye(12), atol=1e-4)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)


def test_directions_without_variance_whiten_to_zero_not_to_noise():
    x = rows(400, 3) @ RNG.standard_normal((3, 10)) + 20  # rank 3
    y = project(x, Projection.of(principal(sums_of(x), 6), whiten=True))
    np.testing.assert_allclose(y.std(0, ddof=1), [1, 1, 1, 0, 0, 0], atol=1e-4)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("whiten", [False, True])
def test_constant_columns_stay_out_of_it(standardise, whiten):
    x = rows(200, 5)
    held = np.insert(x, [1, 3], [np.float32(0.1), 1e4], axis=1)  # 0.1 takes all digits of a float32
    whole, parts = (principal(sums_of(data), 5, standardise) for data in (held, x))
    np.testing.assert_allclose(whole.variance, parts.variance, rtol=1e-9)
    assert (np.abs(whole.components[:, [1, 4]]) < 1e-9).all()
    y, z = (project(data, Projection.of(b, whiten)) for data, b in ((held, whole), (x, parts)))
    np.testing.assert_allclose(y, z, atol=1e-4)


def test_nothing_that_varies_gives_zeros():
    basis = principal(sums_of(np.full((9, 4), 2.5)), 2)
    assert (basis.variance == 0).all() and (basis.explained == 0).all()
    assert (project(np.full((3, 4), 2.5), Projection.of(basis, whiten=True)) == 0).all()


def test_standardising_is_pca_of_standardised_columns():
    x = rows(500, 8) * np.logspace(-2, 2, 8)
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    basis = principal(sums_of(x), 8, standardise=True)
    np.testing.assert_allclose(basis.variance, values[::-1], rtol=1e-5)
    np.testing.assert_allclose(np.abs(basis.components), np.abs(vectors.T[::-1]), atol=1e-4)
    np.testing.assert_allclose(project(x, Projection.of(basis)), z @ basis.components.T, atol=1e-4)


def test_a_triangle_is_the_upper_half():
    square = np.arange(16.0).reshape(4, 4)
    assert (upper(square[np.triu_indices(4)], 4) == np.triu(square)).all()
