"""Guesses without a network."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation.rows import epic55

from kinoflow.datasets.actions import Rows
from kinoflow.metrics.anticipation import top_ks
from kinoflow.tasks.anticipation import ngram
from kinoflow.tasks.anticipation.histories import histories
from kinoflow.tasks.anticipation.ngram import Ngram, majority


def test_examples_in_docstrings():
    result = doctest.testmod(ngram)
    assert result.attempted > 0
    assert result.failed == 0


def test_probabilities_are_those_of_the_formula():
    model = Ngram(3, orders=2, prior=10).add(np.array([[-1], [0], [0], [1]]), np.array([0, 1, 2, 1]))
    even = np.full(3, 1 / 3)
    first = (np.array([1, 2, 1]) + 10 * even) / 14
    second = (np.array([0, 1, 1]) + 10 * first) / 12
    found = np.exp(model.scores(np.array([[0], [2], [-1]])))
    np.testing.assert_allclose(found, [second, first, first], rtol=1e-6)  # an unseen and an empty context back off


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.integers(1, 4))
def test_rows_are_probabilities_and_sequences_count_as_their_prefixes(seed, orders):
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(0, 4, rng.integers(1, 6)) for _ in range(5)]
    past = [np.r_[np.full(3, -1), each][i : i + 3] for each in sequences for i in range(len(each))]
    one = Ngram(4, orders).add(np.array(past), np.concatenate(sequences))
    other = Ngram(4, orders).add_sequences(sequences)
    asked = rng.integers(-1, 4, (6, 3))
    np.testing.assert_array_equal(one.scores(asked), other.scores(asked))
    np.testing.assert_allclose(np.exp(one.scores(asked)).sum(axis=1), 1, rtol=1e-5)


def test_the_majority_counts_what_has_a_label():
    assert majority(np.array([1, 1, -1, 0]), 3).tolist() == [1 / 3, 2 / 3, 0]


@pytest.mark.parametrize(
    ("policy", "top1", "top5"), [("order", 18.1, 33.3), ("started", 16.3, 31.4), ("ended", 11.7, 23.2)]
)
def test_the_trigram_of_real_epic_has_the_known_numbers(shared, policy, top1, top5):
    actions, classes = epic55(shared)
    rows = Rows.of(actions)
    past = histories(rows, classes.rate, policy, 1.0, 2).of(rows.action)
    train = rows.split == "train"
    model = Ngram(len(classes.names)).add(past[train], rows.action[train])
    found = top_ks(model.scores(past[~train]), rows.action[~train], (1, 5))
    assert [round(100 * share, 1) for share in found.values()] == [top1, top5]
