"""Which frames a clip holds, how many rows a video gets, and where they stand in time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.features.clips import centres, needed, places, span, windows

frames = st.integers(0, 80)
geometry = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 12))  # clip, dilation, stride


def test_a_picture_a_frame_is_the_simplest_clip():
    assert places(3, 1, 1, 1).tolist() == [[0], [1], [2]]


def test_clips_of_three_frames_two_apart_every_four_frames():
    assert places(13, 3, 2, 4).tolist() == [[0, 2, 4], [4, 6, 8], [8, 10, 12]]
    assert places(12, 3, 2, 4).tolist() == [[0, 2, 4], [4, 6, 8]]


def test_a_short_video_gets_one_clip_that_ends_with_its_last_frame_repeated():
    assert places(3, 5, 1, 2).tolist() == [[0, 1, 2, 2, 2]]
    assert places(4, 3, 2, 1).tolist() == [[0, 2, 3]]


def test_a_video_without_frames_has_no_row():
    assert places(0, 4, 1, 1).shape == (0, 4) and len(centres(np.empty(0), 4, 1, 1)) == 0


def test_the_time_of_a_row_is_the_centre_of_its_clip():
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    np.testing.assert_allclose(centres(times, 3, 1, 2), [0.1, 0.4])
    np.testing.assert_allclose(centres(times, 1, 1, 3), [0.0, 0.5])


@given(frames, geometry)
def test_clips_lie_inside_the_video_a_stride_apart(count, clip):
    size, dilation, stride = clip
    found = places(count, *clip)
    long = count >= span(size, dilation)
    assert len(found) == (1 + (count - span(size, dilation)) // stride if long else min(count, 1))
    assert found.size == 0 or (found.min() >= 0 and found.max() < count)
    assert (np.diff(found[:, 0]) == stride).all()
    if long:
        assert (np.diff(found, axis=1) == dilation).all()
        assert count - 1 - found[-1, -1] < stride  # no clip more would fit


@given(frames, geometry)
def test_times_of_rows_do_not_decrease_and_lie_inside_the_video(count, clip):
    times = np.sort(np.random.default_rng(count).uniform(0, 9, count))
    found = centres(times, *clip)
    assert len(found) == len(places(count, *clip)) and (np.diff(found) >= 0).all()
    assert not count or (found.min() >= times[0] and found.max() <= times[-1])


@given(frames, geometry)
def test_clips_made_as_frames_come_are_those_of_the_whole_video(count, clip):
    numbers = np.arange(count)
    coming = ((n, n) for n in numbers[needed(numbers, *clip)].tolist())
    assert list(windows(coming, *clip)) == places(count, *clip).tolist()


@given(frames, geometry)
def test_every_frame_of_a_clip_is_needed(count, clip):
    assert needed(np.unique(places(count, *clip)), *clip).all()


def test_frames_between_clips_are_not_needed():
    assert np.flatnonzero(needed(np.arange(12), 2, 1, 5)).tolist() == [0, 1, 5, 6, 10, 11]
