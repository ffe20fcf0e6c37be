import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.media.sample import at_rate, evenly, frame_gap

GAPS = st.lists(st.floats(0.002, 20.0, allow_nan=False), max_size=60)
STARTS = st.floats(-5.0, 100.0, allow_nan=False)


def times_of(start, gaps):
    return start + np.concatenate([[0.0], np.cumsum(gaps)])


@given(st.integers(1, 5000), st.integers(1, 300))
def test_evenly_takes_the_centre_of_each_of_count_equal_parts(frames, count):
    chosen = evenly(frames, count)
    assert len(chosen) == count
    assert chosen[0] >= 0
    assert chosen[-1] < frames
    centres = (np.arange(count) + 0.5) * frames / count
    assert (np.abs(chosen + 0.5 - centres) <= 0.5 + 1e-9).all()
    assert (np.diff(chosen) >= 0).all()


@given(st.integers(1, 500))
def test_as_many_as_there_are_is_all_of_them(frames):
    assert (evenly(frames, frames) == np.arange(frames)).all()


def test_evenly_repeats_frames_of_a_video_that_has_too_few():
    assert evenly(1, 4).tolist() == [0, 0, 0, 0]
    assert evenly(2, 4).tolist() == [0, 0, 1, 1]


def test_nothing_cannot_be_chosen_from():
    with pytest.raises(ValueError, match="cannot be chosen"):
        evenly(0, 3)
    with pytest.raises(ValueError, match="no frame"):
        at_rate([], 2.0)
    with pytest.raises(ValueError, match="not above zero"):
        at_rate([0.0], 0.0)


@given(STARTS, GAPS, st.floats(0.05, 60.0, allow_nan=False))
def test_at_rate_takes_the_frame_on_screen_at_every_moment(start, gaps, rate):
    times = times_of(start, gaps)
    chosen = at_rate(times, rate, slack=0.0)
    for k, number in enumerate(chosen):
        moment = times[0] + k / rate
        assert times[number] <= moment
        assert number == len(times) - 1 or times[number + 1] > moment


@given(STARTS, GAPS, st.floats(0.05, 60.0, allow_nan=False))
def test_at_rate_gives_rate_times_duration_frames(start, gaps, rate):
    times = times_of(start, gaps)
    duration = times[-1] - times[0] + frame_gap(times)
    assert abs(len(at_rate(times, rate, slack=0.0)) - duration * rate) <= 1


@given(st.integers(1, 200), st.sampled_from([12, 23.976, 25, 29.97, 30, 60]))
def test_the_videos_own_rate_takes_every_frame_once_although_the_container_rounds(frames, rate):
    milliseconds = np.round(np.arange(frames) / rate, 3)  # as Matroska stores them
    assert at_rate(milliseconds, rate).tolist() == list(range(frames))


def test_a_frame_that_stands_long_comes_as_often_as_its_time_asks_for():
    assert at_rate([0.0, 0.5, 1.0, 4.0, 4.5], 1.0).tolist() == [0, 2, 2, 2, 3]


def test_the_last_frame_stands_for_one_gap():
    assert at_rate([0.0, 2.0, 4.0], 1.0).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_single_frame_comes_once():
    assert at_rate([3.0], 4.0).tolist() == [0]


def test_time_stamps_that_jump_by_years_are_refused():
    with pytest.raises(DataError, match="span 1000000000 s"):
        at_rate([0.0, 0.04, 1e9], 4.0)


def test_pauses_do_not_count_as_frame_gaps():
    assert frame_gap([0.0, 0.1, 0.2, 5.2, 5.3]) == pytest.approx(0.1)
    assert frame_gap([0.0, 0.0, 0.1]) == pytest.approx(0.1)
    assert frame_gap([7.0]) == 0.0
