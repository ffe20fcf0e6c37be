"""Alignment of two videos: the published paths, enumeration of all paths, and what must hold of any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.conftest import ROOT

from kinoflow.tasks.alignment.dtw import align, distances, dtw

GOLDEN = np.load(ROOT / "tests/golden/carl/dtw.npz")
relaxed = settings(deadline=None, max_examples=60)
tables = arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4))


def written_out(costs: np.ndarray) -> np.ndarray:
    """The least sum of costs to each cell, cell by cell."""
    result = np.full(np.add(costs.shape, 1), np.inf)
    result[0, 0] = 0
    for i, j in np.ndindex(costs.shape):
        result[i + 1, j + 1] = costs[i, j] + min(result[i, j], result[i, j + 1], result[i + 1, j])
    return result[1:, 1:]


def cheapest(costs: np.ndarray, i: int = 0, j: int = 0) -> float:
    """The cost of the cheapest path, by trying all."""
    if (i, j) == (costs.shape[0] - 1, costs.shape[1] - 1):
        return costs[i, j]
    steps = [(i + 1, j), (i, j + 1), (i + 1, j + 1)]
    return costs[i, j] + min(
        cheapest(costs, *step) for step in steps if step[0] < costs.shape[0] and step[1] < costs.shape[1]
    )


def unit_rows(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)), rng.standard_normal((m, 3))


@pytest.mark.parametrize("case", range(4))
def test_costs_and_path_are_the_published_ones(case):
    x, y = GOLDEN[f"x_{case}"], GOLDEN[f"y_{case}"]
    path = dtw(distances(x, y))
    assert path.distance == pytest.approx(float(GOLDEN[f"distance_{case}"]), rel=1e-6)
    np.testing.assert_allclose(path.sums.table(), GOLDEN[f"accumulated_{case}"], rtol=1e-6)
    np.testing.assert_array_equal(path.query, GOLDEN[f"path_x_{case}"])
    np.testing.assert_array_equal(path.key, GOLDEN[f"path_y_{case}"])
    np.testing.assert_array_equal(align(x, y, "nearest"), GOLDEN[f"align_nn_{case}"])
    if f"align_dtw_{case}" in GOLDEN:
        np.testing.assert_array_equal(align(x, y), GOLDEN[f"align_dtw_{case}"])


@relaxed
@given(tables)
def test_anti_diagonals_give_what_single_cells_give(costs):
    np.testing.assert_array_equal(dtw(costs).sums.table(), written_out(costs))


@relaxed
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 9)))
def test_no_path_is_cheaper(costs):
    assert dtw(costs).distance == cheapest(costs)


@relaxed
@given(tables)
def test_a_path_goes_from_end_to_end_in_single_steps_and_costs_its_distance(costs):
    path = dtw(costs)
    steps = np.diff(np.stack([path.query, path.key]))
    assert (path.query[0], path.key[0]) == (0, 0)
    assert (path.query[-1] + 1, path.key[-1] + 1) == costs.shape
    assert ((steps == 0) | (steps == 1)).all() and (steps.sum(0) >= 1).all()
    assert costs[path.query, path.key].sum() == path.distance
    keys = path.keys()
    assert keys.shape == costs.shape[:1] and (np.diff(keys) >= 0).all()
    assert all(keys[i] == path.key[path.query == i][0] for i in range(len(keys)))


@relaxed
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(["sqeuclidean", "cosine"]))
def test_a_video_is_itself(seed, length, distance):
    x, _ = unit_rows(seed, length, 1)
    path = dtw(distances(x, x, distance))
    assert path.distance == 0
    assert path.query.tolist() == path.key.tolist() == list(range(length))


@relaxed
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_distances_are_what_their_names_say(seed, n, m):
    from scipy.spatial.distance import cdist

    x, y = unit_rows(seed, n, m)
    for name in ("sqeuclidean", "cosine"):
        np.testing.assert_allclose(distances(x, y, name), cdist(x, y, name), atol=1e-12)


@relaxed
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_scaling_and_turning_embeddings_leaves_the_alignment(seed, scale):
    x, y = unit_rows(seed, 8, 6)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    for how in ("dtw", "nearest"):
        np.testing.assert_array_equal(align(scale * x @ turn, scale * y @ turn, how), align(x, y, how))


@pytest.mark.parametrize("width", [32, 33, 64])
def test_of_copies_of_a_frame_the_first_is_the_nearest(width):
    from scipy.spatial.distance import cdist

    for seed in range(100):
        rng = np.random.default_rng(seed)
        base = rng.standard_normal((8, width))
        x, y = (base[rng.integers(0, 8, rng.integers(5, 40))] for _ in range(2))
        costs = distances(x, y)
        assert len(np.unique(costs)) <= 64
        np.testing.assert_array_equal(align(x, y, "nearest"), cdist(x, y, "sqeuclidean").argmin(1))


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_of_frames_equally_far_the_first_is_the_nearest(distance):
    y = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    x = y[:-1] + y[1:]  # as near to one frame as to the next
    np.testing.assert_array_equal(align(x, y, "nearest", distance), np.arange(39))
    np.testing.assert_array_equal(align(x, y[::-1], "nearest", distance), np.arange(38, -1, -1))


def test_a_retimed_copy_is_followed():
    x = np.cumsum(np.random.default_rng(0).standard_normal((40, 5)), 0)
    times = np.sort(np.random.default_rng(1).integers(0, 40, 60))
    assert np.abs(times[align(x, x[times])] - np.arange(40)).max() <= 3


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: dtw(np.zeros((0, 3))), "one frame on each side"),
        (lambda: dtw(np.array([[np.nan]])), "without NaN"),
        (lambda: align(np.zeros((1, 1)), np.zeros((1, 1)), "guess"), "dtw or nearest"),
        (lambda: distances(np.zeros((1, 1)), np.zeros((1, 1)), "taxi"), "sqeuclidean and cosine"),
    ],
)
def test_what_cannot_be_aligned_is_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
