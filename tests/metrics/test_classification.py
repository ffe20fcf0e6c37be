"""Shares of samples in the right class: against the published program's numbers, and what must hold for any scores."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.conftest import ROOT

from kinoflow.metrics.classification import (
    bit_recall,
    chance,
    class_accuracy,
    class_recalls,
    confusion,
    group_recall,
    majority,
    top_k,
    upper_bound,
)

GOLDEN = ROOT / "tests/golden/lsnet/metrics.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(GOLDEN)) as file:
        return dict(file)


@st.composite
def scored(draw) -> tuple[np.ndarray, np.ndarray]:
    samples, classes = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    scores = draw(arrays.arrays(np.float64, (samples, classes), elements=st.integers(-3, 3)))
    return scores, draw(arrays.arrays(np.int64, samples, elements=st.integers(0, classes - 1)))


def test_top_k_agrees_with_the_published_program(golden):
    found = [top_k(golden["logits"], golden["target"], k) for k in (1, 2, 3, 5)]
    wanted = [*golden["top1_2_3"], golden["top1_top5"][1]]
    np.testing.assert_allclose(found, np.array(wanted) / 100, atol=1e-7)


def test_confusion_and_class_recalls_agree_with_the_published_program(golden):
    counts = confusion(golden["target"], golden["pred"], np.unique([golden["target"], golden["pred"]]))
    np.testing.assert_array_equal(counts, golden["cf"])
    np.testing.assert_allclose(class_recalls(counts), golden["cls_acc"])


def test_batches_weighted_by_size_give_the_share_of_the_whole(golden):
    ends = np.cumsum(golden["meter_batches"])[:-1]
    parts = zip(np.split(golden["logits"], ends), np.split(golden["target"], ends), strict=True)
    shares = [top_k(scores, labels, 5) for scores, labels in parts]
    assert np.average(shares, weights=golden["meter_batches"]) == pytest.approx(golden["top1_top5"][1] / 100)


@given(scored())
def test_more_guesses_never_hurt_and_all_classes_are_always_right(sample):
    scores, labels = sample
    shares = [top_k(scores, labels, k) for k in range(1, scores.shape[1] + 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@given(scored())
def test_top_1_is_the_diagonal_of_the_confusion_even_with_ties(sample):
    scores, labels = sample
    counts = confusion(labels, scores.argmax(axis=1), scores.shape[1])
    assert top_k(scores, labels) == pytest.approx(np.trace(counts) / len(labels))
    assert counts.sum() == len(labels)


@given(scored())
def test_class_accuracy_lies_between_0_and_its_upper_bound(sample):
    scores, labels = sample
    counts = confusion(labels, scores.argmax(axis=1), scores.shape[1])
    assert 0 <= class_accuracy(counts) <= upper_bound(counts) <= 1


@given(scored())
def test_the_group_of_all_classes_has_the_class_accuracy(sample):
    scores, labels = sample
    predicted = scores.argmax(axis=1)
    counts = confusion(labels, predicted, scores.shape[1])
    assert group_recall(labels, predicted, range(scores.shape[1])) == pytest.approx(class_accuracy(counts))


@given(scored())
def test_a_bit_that_numbers_the_classes_is_the_class_accuracy(sample):
    scores, labels = sample
    counts = confusion(labels, scores.argmax(axis=1), scores.shape[1])
    bits = {each: each for each in range(scores.shape[1])}
    assert bit_recall(scores, labels, bits) == pytest.approx(class_accuracy(counts))


def test_absent_classes_count_neither_for_nor_against():
    counts = confusion(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2]), 4)
    np.testing.assert_array_equal(class_recalls(counts), [0.5, np.nan, 1.0, np.nan])
    assert class_accuracy(counts) == 0.75
    assert upper_bound(counts) == 0.75


def test_upper_bound_takes_the_largest_share_of_each_row():
    assert upper_bound(np.array([[1, 3], [0, 5]])) == pytest.approx((0.75 + 1) / 2)


def test_inside_a_group_all_classes_are_candidates():
    labels, predicted = np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2])
    assert group_recall(labels, predicted, {0, 1}) == pytest.approx((0.5 + 1) / 2)


def test_a_bit_is_told_by_the_best_class_among_those_that_have_it():
    #                    other  a-   b-   a+   b+
    scores = np.array(
        [[9.0, 1.0, 2.0, 0.0, 0.0], [9.0, 0.0, 1.0, 2.0, 0.0], [9.0, 0.0, 0.0, 0.0, 1.0], [0.0, 9.0, 0, 0, 0]]
    )
    labels = np.array([1, 2, 4, 0])  # the last has no bit
    assert bit_recall(scores, labels, {1: 0, 2: 0, 3: 1, 4: 1}) == pytest.approx((0.5 + 1) / 2)


def test_rows_of_the_confusion_stand_in_the_order_asked_for():
    counts = confusion(np.array([7, 7, 3]), np.array([3, 7, 3]), [7, 3])
    np.testing.assert_array_equal(counts, [[1, 1], [0, 1]])


def test_baselines():
    assert majority(np.array([2, 2, 1, 1, 0]), np.array([1, 1, 2, 0])) == 0.5  # a tie goes to the lower class
    assert majority(np.array([2, 2, 1, 1, 0]), np.array([1, 1, 2, 0]), k=2) == 0.75
    assert chance(17) == pytest.approx(1 / 17)
    assert chance(20, k=5) == 0.25


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: top_k(np.zeros((1, 4)), np.array([0]), 5), "top 5 cannot be asked for among 4 classes"),
        (lambda: top_k(np.zeros((0, 4)), np.array([])), "no sample"),
        (lambda: top_k(np.full((1, 4), np.nan), np.array([0])), "NaN"),
        (lambda: top_k(np.zeros((1, 4)), np.array([4])), "from 4 to 4, there are 4 classes"),
        (lambda: top_k(np.zeros((2, 4)), np.array([1])), "are needed"),
        (lambda: confusion(np.array([1]), np.array([5]), 3), "the class 5"),
        (lambda: confusion(np.array([1]), np.array([0, 0]), 3), "labels and"),
        (lambda: group_recall(np.array([1]), np.array([1]), {2}), "none of the classes"),
        (lambda: class_accuracy(np.zeros((2, 2), int)), "none of the classes"),
        (lambda: bit_recall(np.zeros((1, 3)), np.array([2]), {0: 0, 1: 1}), "none of the classes"),
        (lambda: chance(3, 4), "top 4"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
