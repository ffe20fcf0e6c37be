"""Means over seeds: formulas, tables of Student's t, coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.metrics.intervals import Interval, interval, paired

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8)


@pytest.mark.parametrize(("count", "t"), [(2, 12.706), (3, 4.303), (5, 2.776), (10, 2.262)])
def test_half_the_interval_is_t_times_the_standard_error(count, t):
    values = np.arange(count) * 0.1
    found = interval(values)
    error = values.std(ddof=1) / count**0.5
    assert (found.high - found.low) / 2 == pytest.approx(t * error, rel=1e-3)
    assert found.mean == pytest.approx(values.mean())
    assert found.seeds == count


def test_one_seed_has_a_mean_but_no_interval():
    assert interval([0.4]) == Interval(seeds=1, mean=0.4, low=None, high=None)


def test_equal_values_leave_no_doubt():
    found = interval([0.25, 0.25, 0.25])
    assert (found.low, found.high) == (0.25, 0.25)


@given(VALUES, st.floats(-10, 10))
def test_a_shift_of_all_values_shifts_the_interval(values, shift):
    before, after = interval(values), interval([value + shift for value in values])
    assert after.low == pytest.approx(before.low + shift, abs=1e-6)
    assert after.high == pytest.approx(before.high + shift, abs=1e-6)


@given(VALUES)
def test_a_higher_level_never_narrows_the_interval(values):
    narrow, wide = interval(values, 0.8), interval(values, 0.99)
    assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 4))
    covered = np.mean([found.low <= 3.0 <= found.high for found in map(interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_what_seeds_share_cancels_in_paired_differences():
    easy = {0: 0.0, 1: 0.4, 2: 0.2}  # how easy a seed is for both
    differences, found = paired({s: e + 0.1 for s, e in easy.items()}, easy)
    assert differences == pytest.approx({0: 0.1, 1: 0.1, 2: 0.1})
    assert found.low == pytest.approx(0.1)


def test_only_seeds_that_both_have_are_paired():
    differences, found = paired({2: 0.9, 0: 0.5, 1: 0.6}, {1: 0.5, 2: 0.7, 7: 0.0})
    assert list(differences) == [1, 2]
    assert found.seeds == 2


def test_a_number_is_a_baseline_for_every_seed():
    differences, found = paired({0: 0.5, 1: 0.75}, 0.25)
    assert differences == {0: 0.25, 1: 0.5}
    assert found.mean == 0.375


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: interval([]), "finite values"),
        (lambda: interval([0.5, float("nan")]), "finite values"),
        (lambda: interval([0.5], level=95), "level"),
        (lambda: paired({0: 1.0}, {1: 1.0}), "no seed in common"),
    ],
)
def test_what_cannot_be_averaged_is_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
