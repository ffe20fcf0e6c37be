"""Measures of sets against the published numbers and by their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.abstraction.golden import arrays

from kinoflow.metrics import abstraction
from kinoflow.metrics.abstraction import (
    among_farthest,
    best_found,
    bootstrap,
    cosine_distances,
    human_agreement,
    in_top,
    kendall,
    ranks,
    spearman,
)

relaxed = settings(deadline=None, max_examples=30)
rows = st.lists(st.integers(-4, 4), min_size=3, max_size=8)


def test_correlations_equal_the_published_ones_with_ties_and_without_any_order():
    values = arrays("spearman_cases")
    assert np.allclose(spearman(values["gt"], values["pred"]), values["rho"], rtol=1e-9, atol=1e-12, equal_nan=True)


@relaxed
@given(rows, rows)
def test_rank_correlations_equal_those_of_scipy(first, second):
    from scipy.stats import kendalltau, spearmanr

    first, second = (np.array(each[: min(len(first), len(second))]) for each in (first, second))
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert np.isnan(spearman(first, second)) and np.isnan(kendall(first, second))
        return
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert kendall(first, second) == pytest.approx(kendalltau(first, second).statistic)


@relaxed
@given(st.permutations(range(5)))
def test_five_candidates_without_ties_give_a_multiple_of_a_tenth_and_monotone_changes_none(order):
    rho = float(spearman(np.arange(5), np.array(order)))
    assert -1 <= rho <= 1 and rho * 10 == pytest.approx(round(rho * 10))
    assert spearman(np.arange(5), np.exp(np.array(order))) == pytest.approx(rho)


def test_equal_values_share_their_mean_rank():
    assert ranks(np.array([[5, 1, 5, 5]])).tolist() == [[3, 1, 3, 3]]


def test_a_cosine_divides_by_the_smallest_length_at_least():
    assert cosine_distances(np.zeros((1, 2)), np.ones((1, 3, 2))).tolist() == [[1, 1, 1]]


@relaxed
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_cosine_does_not_care_how_long_vectors_are(seed, first, second):
    rng = np.random.default_rng(seed)
    centre, vectors = rng.standard_normal((3, 5)), rng.standard_normal((3, 4, 5))
    found = cosine_distances(first * centre, second * vectors)
    np.testing.assert_allclose(found, cosine_distances(centre, vectors), rtol=1e-9, atol=1e-12)


@relaxed
@given(st.integers(0, 1000), st.integers(1, 6))
def test_more_guesses_are_never_worse_and_all_nodes_are_always_enough(seed, nodes):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (4, nodes, 7)).astype(float)  # with ties
    labels = rng.integers(0, nodes, (4, 7))
    right = [in_top(scores, labels, k) for k in range(1, nodes + 1)]
    assert all((fewer <= more).all() for fewer, more in pairwise(right)) and right[-1].all()


def test_the_odd_one_must_be_among_the_farthest_and_of_equals_the_first_counts():
    distances = np.array([[0.1, 0.9, 0.9, 0.2]] * 4)
    assert among_farthest(distances, np.arange(4)).tolist() == [False, True, False, False]
    assert among_farthest(distances, np.arange(4), 2).tolist() == [False, True, True, False]


def test_the_best_candidate_is_found_if_the_nearest_told_is_one_of_the_truly_nearest():
    truth = np.array([[0.0, 0.5, 0.0], [0.3, 0.2, 0.1]])
    assert best_found(truth, np.array([[3, 2, 1], [1, 2, 3]])).tolist() == [True, False]


def test_agreement_is_the_mean_correlation_of_each_with_the_mean_of_the_others():
    rankings = np.array([[1, 2, 3, 4], [1, 2, 4, 3], [2, 1, 3, 4]])
    expected = np.mean([spearman(r, np.delete(rankings, i, 0).mean(0)) for i, r in enumerate(rankings)])
    assert human_agreement(rankings) == pytest.approx(expected)
    assert human_agreement(np.array([[1, 2], [1, 2], [5, 5]])) == 1
    with pytest.raises(ValueError, match="two annotators"):
        human_agreement(rankings[:1])


def test_an_interval_holds_the_mean_and_narrows_with_more_sets():
    rng = np.random.default_rng(0)
    values = rng.random(400)
    few, many = (bootstrap(values[:n], 500, np.random.default_rng(1)) for n in (40, 400))
    assert few[0] < values[:40].mean() < few[1] and many[1] - many[0] < (few[1] - few[0]) / 2
    expected = 2 * 1.96 * values.std() / 20
    assert many[1] - many[0] == pytest.approx(expected, rel=0.15)


def test_records_without_a_value_are_left_out_of_an_interval():
    assert bootstrap(np.array([0.5, np.nan, 0.5]), 50, np.random.default_rng(0)) == (0.5, 0.5)
    assert bootstrap(np.array([np.nan]), 50, np.random.default_rng(0)) is None


def test_examples_in_docstrings():
    import doctest

    found = doctest.testmod(abstraction)
    assert found.attempted > 0 and found.failed == 0
