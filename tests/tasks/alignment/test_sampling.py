"""Views of a video: the published statistics, and what must hold of any draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.tasks.alignment.options import ViewOptions
from kinoflow.tasks.alignment.sampling import steps, views, whole

GOLDEN = np.load(ROOT / "tests/golden/carl/frame_sampler_stats.npz")
CASES = {
    "whole_video_long": {"scheme": "time_augment", "rule": "video"},
    "whole_video_short": {"scheme": "time_augment", "rule": "video"},
    "window_long": {"scheme": "time_augment", "rule": "window"},
    "window_short": {"scheme": "time_augment", "rule": "window"},
    "uniform": {"scheme": "uniform"},
    "uniform_short_ctx": {"scheme": "uniform"},
    "tcn": {"scheme": "tcn"},
}
DRAWS = 4000
relaxed = settings(deadline=None, max_examples=100)


def case(name: str) -> tuple[int, ViewOptions]:
    length, frames, region, overlap, contexts, stride, window = GOLDEN[f"{name}__params"]
    options = ViewOptions(
        frames=int(frames) * (2 if name == "tcn" else 1),
        region=max(region, 1.0),
        overlap=overlap,
        contexts=int(contexts),
        context_stride=int(stride),
        window=int(window),
        **CASES[name],
    )
    return int(length), options


@st.composite
def drawn(draw, **fixed):
    length, rng = draw(st.integers(1, 60)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    options = {
        "frames": 2 * draw(st.integers(1, 12)),
        "scheme": draw(st.sampled_from(["time_augment", "uniform", "tcn"])),
        "rule": draw(st.sampled_from(["video", "window"])),
        "region": draw(st.sampled_from([1.0, 1.5, 3.0])),
        "overlap": draw(st.sampled_from([0.0, 0.2, 1.0])),
        "anchors": draw(st.sampled_from(["uniform", "time_augment"])),
        "contexts": draw(st.integers(1, 3)),
        "clip": draw(st.booleans()),
    }
    options = ViewOptions(**options | fixed)
    return length, options, views(length, options, rng)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_published_statistics(name):
    """Within 4 standard errors of the difference of two sets of 4000 draws."""
    length, options = case(name)
    rng = np.random.default_rng(7)
    found = [views(length, options, rng) for _ in range(DRAWS)]
    first = [pair[0] for pair in found]
    masks, chosen = np.stack([v.mask for v in first]), np.stack([v.chosen for v in first])

    def golden(key):
        return GOLDEN[f"{name}__{key}"]

    spread = masks.mean(1).std() * 4 * np.sqrt(2 / DRAWS)
    assert abs(masks.mean() - golden("mean_valid_fraction")) <= spread + 1e-6
    deviation = golden("std_first_step")
    assert abs(chosen[:, 0].mean() - golden("mean_first_step")) <= 0.09 * deviation
    assert chosen[:, 0].std() == pytest.approx(deviation, rel=0.15)
    usage = np.zeros(length)
    for view in first:
        usage[np.unique(view.chosen[view.mask > 0])] += 1
    assert np.abs(usage / DRAWS - golden("mean_frame_usage")).max() <= 0.045
    if f"{name}__offset_diff_mean_abs" in GOLDEN:
        apart = np.array([abs(int(b.chosen[0]) - int(a.chosen[0])) for a, b in found])
        assert abs(apart.mean() - golden("offset_diff_mean_abs")) <= apart.std() * 4 * np.sqrt(2 / DRAWS)
        assert apart.max() <= 1.5 * golden("offset_diff_max_abs") + 3
    assert (
        first[0].load.shape == golden("example_steps").shape[1:]
        and first[0].mask.shape == golden("example_mask").shape[1:]
    )


@relaxed
@given(drawn())
def test_frames_lie_in_the_video_and_padding_is_marked(sample):
    length, options, found = sample
    assert len(found) == options.views
    for view in found:
        assert view.chosen.shape == view.mask.shape == (options.frames,)
        assert view.load.shape == (options.frames * options.contexts,)
        for numbers in (view.chosen, view.load):
            assert ((numbers >= 0) & (numbers < length)).all()
        assert set(view.mask.tolist()) <= {0.0, 1.0}
        assert np.array_equal(view.load.reshape(options.frames, -1)[:, -1], view.chosen)


@relaxed
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from(["time_augment", "uniform"]), st.integers(2, 40))
def test_frames_grow_each_drawn_once_and_the_mask_tells_which_are_in_the_video(length, seed, scheme, frames):
    options = ViewOptions(scheme=scheme, frames=frames, views=1)
    numbers = steps(length, options, np.random.default_rng(seed))
    (view,) = views(length, options, np.random.default_rng(seed))
    assert (np.diff(numbers[: min(length, frames)]) > 0).all() and (numbers[min(length, frames) :] >= length).all()
    real = numbers[view.mask > 0]
    assert np.array_equal(real, np.unique(real))
    assert np.array_equal(view.mask > 0, (numbers >= 0) & (numbers < length))


@relaxed
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.2, 0.5, 1.0]))
def test_the_second_view_begins_near_the_first(length, seed, frames, overlap):
    """Where all frames of a stretch are drawn, the first one is its offset."""
    options = ViewOptions(frames=frames, overlap=overlap, rule="window", region=1)
    one, two = views(length, options, np.random.default_rng(seed))
    fewer = min(length, frames)
    assert abs(int(two.chosen[0]) - int(one.chosen[0])) <= int((1 - overlap) * fewer)
    assert one.mask.sum() == two.mask.sum() == fewer


@relaxed
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.2, 0.5, 1.0]))
def test_no_frame_of_the_second_view_is_long_before_the_first_view(length, seed, frames, overlap):
    """Unless its stretch was moved so as to end with the video."""
    options = ViewOptions(frames=frames, overlap=overlap, rule="window")
    one, two = views(length, options, np.random.default_rng(seed))
    fewer = min(length, frames)
    apart, block = int((1 - overlap) * fewer), int(np.ceil(1.5 * fewer))
    assert two.chosen[0] >= max(0, min(length - block, int(one.load.min()) - apart))


@relaxed
@given(drawn(scheme="time_augment", clip=True))
def test_clipped_stretches_have_no_padding_where_the_video_is_long_enough(sample):
    length, options, found = sample
    for view in found:
        assert view.mask.sum() == min(length, options.frames)


@relaxed
@given(drawn(scheme="tcn"))
def test_each_anchor_is_followed_by_a_frame_shortly_before_it(sample):
    _, options, found = sample
    for view in found:
        anchors, positives = view.chosen[0::2], view.chosen[1::2]
        both = (view.mask[0::2] > 0) & (view.mask[1::2] > 0)
        assert ((anchors - positives)[both] >= 1).all() and ((anchors - positives) <= options.window).all()


@relaxed
@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 3), st.integers(1, 9))
def test_a_whole_video_is_read_frame_by_frame_each_behind_its_contexts(length, stride, contexts, apart):
    options = ViewOptions(contexts=contexts, context_stride=apart)
    table = whole(length, options, stride).reshape(-1, contexts)
    assert np.array_equal(table[:, -1], np.arange(0, length, stride))
    for i, row in enumerate(table):
        wanted = [stride * max(0, i - apart * back) for back in range(contexts - 1, -1, -1)]
        assert row.tolist() == wanted


def test_the_same_generator_draws_the_same_views():
    options = ViewOptions(frames=10)
    one, two = (views(33, options, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a.load, b.load) for a, b in zip(one, two, strict=True))
