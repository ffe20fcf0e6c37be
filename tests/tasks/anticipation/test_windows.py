"""Windows before actions: the published numbers, and what must hold for any actions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.tasks.anticipation import windows

GOLDEN = np.load(ROOT / "tests/golden/anticipation/anticipation_sampling.npz")
relaxed = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("key", "gap", "observed", "drop"),
    [
        ("a1.0_o10.0_correct", 1.0, 10.0, "correct"),
        ("a0.5_o2.5_full_context_in", 0.5, 2.5, "full_context"),
        ("a1.0_o5.0_action_banks", 1.0, 5.0, "action_banks"),
    ],
)
def test_windows_equal_the_published_ones(key, gap, observed, drop):
    found = windows.before(GOLDEN["start"], GOLDEN["end"], gap, observed, drop)
    later = windows.future(found, gap, observed)
    assert (found.rows == GOLDEN[f"uid__{key}"]).all() and (found.dropped == GOLDEN[f"discarded__{key}"]).all()
    for name, value in (
        ("start", found.start),
        ("end", found.end),
        ("future_0_start", later[:, 0]),
        ("future_0_end", later[:, 1]),
    ):
        assert np.abs(value - GOLDEN[f"{name}__{key}"]).max() < 1e-8


@pytest.mark.parametrize(
    "key", ["n10_r1.0_last_clip", "n10_r2.0_last_clip", "n4_r2.0_center_clip", "n4_r1.0_first_clip"]
)
def test_frames_times_and_past_labels_equal_the_published_ones(key):
    count, rate, strategy = key.split("_", 2)
    found = windows.before(GOLDEN["start"], GOLDEN["end"], 1.0, 10.0)
    start, end, label = (GOLDEN[name][found.rows] for name in ("start", "end", "label"))
    for i in range(len(found.rows)):
        numbers, times = windows.frame_numbers(
            found.start[i], found.end[i], int(count[1:]), float(rate[1:]), 30.0, strategy
        )
        assert (numbers == GOLDEN[f"frames__{key}"][i]).all()
        assert np.abs(times - GOLDEN[f"secs__{key}"][i]).max() < 1e-5
        if f"past_labels__{key}" in GOLDEN.files:
            told = windows.labels_at(times, start, end, label, "half_duration")
            assert (told == GOLDEN[f"past_labels__{key}"][i]).all()


@given(
    st.floats(0, 60),
    st.floats(0.5, 30),
    st.integers(1, 20),
    st.sampled_from([0.5, 1.0, 2.0, 7.0]),
    st.sampled_from(["last_clip", "center_clip", "first_clip", "random_clip"]),
)
@relaxed
def test_frames_lie_in_their_window_are_as_many_as_asked_and_never_go_back(start, length, count, rate, strategy):
    end = start + length
    numbers, times = windows.frame_numbers(start, end, count, rate, 30.0, strategy, np.random.default_rng(0))
    assert len(numbers) == len(times) == count
    assert (np.diff(numbers) >= 0).all() and (np.diff(times) >= 0).all()
    assert numbers.min() >= 1 and numbers.max() <= 30 * end + 1e-9
    assert times.min() >= start - 1e-9 and times.max() <= end + 1e-9


def test_a_short_window_repeats_its_earliest_frame_in_front():
    numbers, _ = windows.frame_numbers(0.0, 2.0, 5, 1.0)
    assert numbers.tolist() == [30, 30, 30, 30, 60]
    numbers, _ = windows.frame_numbers(0.0, 2.0, 5, 1.0, strategy="first_clip")
    assert numbers.tolist() == [1, 31, 31, 31, 31]


def test_a_window_before_the_first_frame_is_refused():
    with pytest.raises(ValueError, match="holds no frame"):
        windows.frame_numbers(-3.0, 0.01, 4, 1.0)


def test_in_recognition_the_window_is_the_action():
    found = windows.before(np.array([2.0, 5.0]), np.array([3.0, 9.0]), None, 10.0)
    assert found.start.tolist() == [2.0, 5.0] and found.end.tolist() == [3.0, 9.0]


def test_windows_end_with_the_action_before_and_the_first_of_a_video_has_none():
    start, end = np.array([0.5, 4, 9, 1, 50, 52]), np.array([3.0, 8, 11, 2, 60, 61])
    video = np.array(["a", "a", "a", "b", "b", "b"], object)
    found = windows.until_previous(start, end, video, observed=48)
    assert found.rows.tolist() == [1, 2, 4, 5] and found.dropped.tolist() == [0, 3]
    assert found.end.tolist() == [3.0, 8.0, 2.0, 52.0]  # the last: its predecessor is still under way
    assert found.start.tolist() == [0.0, 0.0, 0.0, 4.0]
    assert windows.until_previous(start, end, video, 48, skip=2).rows.tolist() == [2, 5]


@given(st.floats(0.3, 60), st.floats(0.1, 60), st.sampled_from([0.5, 2.0]), st.integers(1, 24))
@relaxed
def test_steps_are_counted_back_from_the_end_of_the_window(end, observed, seconds, most):
    edges = windows.steps_back(end - observed, end, seconds, most)
    assert edges[-1] == pytest.approx(end) and 1 <= len(edges) - 1 <= most
    assert (np.diff(edges) >= -1e-12).all() and np.allclose(np.diff(edges)[1:], seconds)
    assert edges[0] >= max(end - observed, 0) - 1e-9


def test_whole_steps_are_counted_from_the_start_of_a_video():
    assert windows.steps_forward(5.9, 2.0).tolist() == [0.0, 2.0, 4.0]
    assert windows.steps_forward(6.0, 2.0).tolist() == [0.0, 2.0, 4.0, 6.0]


def slow(t, start, end, labels, tie):
    inside = [i for i in range(len(start)) if start[i] <= t <= end[i]]
    if not inside:
        return -1
    middle = [(start[i] + end[i]) / 2 if tie == "midpoint" else (end[i] - start[i]) / 2 for i in inside]
    return labels[inside[int(np.argmin([abs(t - m) for m in middle]))]]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 12)), max_size=8),
    st.lists(st.integers(0, 80), max_size=12),
    st.sampled_from(["midpoint", "half_duration"]),
)
@relaxed
def test_labels_of_moments_are_those_of_a_plain_search(actions, moments, tie):
    actions = sorted(actions)
    start = np.array([a for a, _ in actions], float)
    end = start + np.array([length for _, length in actions])
    labels, times = np.arange(len(start)), np.array(moments) / 2
    found = windows.labels_at(times, start, end, labels, tie)
    assert found.tolist() == [slow(t, start, end, labels, tie) for t in times]


def test_the_commonest_label_of_equals_is_the_smallest():
    assert windows.commonest(np.array([3, 1, 3, 1, 2])) == 1
    assert windows.commonest(np.array([], int)) == -1


def test_future_windows_lie_so_many_gaps_after_and_may_be_what_was_observed():
    found = windows.before(np.array([5.0, 20.0]), np.array([6.0, 22.0]), 1.0, 2.0)
    assert windows.future(found, 1.0, 2.0).tolist() == [[5.0, 7.0], [20.0, 22.0]]
    assert windows.future(found, 1.0, 2.0, 3.0).tolist() == [[7.0, 9.0], [22.0, 24.0]]
    assert windows.future(found, 1.0, 2.0, -999.0).tolist() == [[2.0, 4.0], [17.0, 19.0]]
