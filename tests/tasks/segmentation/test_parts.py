"""Smaller parts: first Gaussians, windows and orders, baselines, texts, timelines."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.report.svg import check_svg
from kinoflow.tasks.segmentation import baselines, initial, limits, texts
from kinoflow.tasks.segmentation.data import read_films
from kinoflow.tasks.segmentation.labels import Vocabulary
from kinoflow.tasks.segmentation.options import ConstraintOptions
from kinoflow.tasks.segmentation.parts import parted
from kinoflow.tasks.segmentation.texts import names_of
from kinoflow.tasks.segmentation.timelines import Bar, Lane, strip, timeline

RNG = np.random.default_rng(0)
BLOBS = np.concatenate([RNG.normal(place, 0.1, (30, 2)) for place in ([0, 0], [5, 0], [0, 5])]).astype(np.float32)


# ---------------------------------------------------------------- first Gaussians


def test_the_mean_is_that_of_all_rows_and_the_deviation_is_unbiased():
    mean, deviation = initial.gaussians([BLOBS[:40], BLOBS[40:]], 7, "mean", 0)
    np.testing.assert_allclose(mean, BLOBS.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(deviation, BLOBS.std(axis=0, ddof=1, dtype=np.float64))


def test_sampled_means_are_rows_no_two_the_same():
    means, _ = initial.gaussians([BLOBS], 50, "sample", 3)
    assert len({tuple(row) for row in means}) == 50
    assert {tuple(row) for row in means} <= {tuple(row) for row in BLOBS.astype(np.float64)}
    assert (means == initial.gaussians([BLOBS], 50, "sample", 3)[0]).all()
    assert (means != initial.gaussians([BLOBS], 50, "sample", 4)[0]).any()


def test_kmeans_finds_the_blobs():
    means, _ = initial.gaussians([BLOBS], 3, "kmeans", 0)
    np.testing.assert_allclose(sorted(map(tuple, means.round())), [(0, 0), (0, 5), (5, 0)])


def test_kmeans_bears_fewer_different_rows_than_centres():
    centres, told = initial.kmeans(np.repeat(BLOBS[:2], 5, axis=0), 4, np.random.default_rng(0))
    assert centres.shape == (4, 2) and len(np.unique(told)) <= 4


@pytest.mark.parametrize("means", ["sample", "kmeans"])
def test_more_states_than_rows_are_refused(means):
    with pytest.raises(DataError, match=r"there are 90 rows to train on, but 91 states"):
        initial.gaussians([BLOBS], 91, means, 0)


# ---------------------------------------------------------------- what is known of steps


@pytest.fixture(scope="module")
def known(films):
    options = tiny.options()
    found = read_films(
        films.videos, films.segments, films.features, options.rows, options.labels, films.steps, films.narration
    )
    return found, parted(found, options)


@given(st.text(max_size=5), st.integers(0, 3), st.floats(0, 1))
@settings(deadline=None)
def test_drawn_windows_hold_their_steps_and_depend_on_video_and_seed_alone(video, seed, share):
    steps = [(float(k), k + 1.0, "a") for k in range(8)]
    options = ConstraintOptions(narration="drawn", narration_seed=seed, narration_share=share)
    windows = limits.drawn_windows(video, steps, options)
    assert windows == limits.drawn_windows(video, steps, options)
    for start, end, _ in windows:
        assert any(start <= begin and end >= stop for begin, stop, _ in steps)
    assert len(limits.drawn_windows(video, steps, options.model_copy(update={"narration_share": 1.0}))) == 8
    assert not limits.drawn_windows(video, steps, options.model_copy(update={"narration_share": 0.0}))


def test_rows_outside_of_windows_are_punished_and_background_never(known):
    films, parts = known
    item = next(item for item in parts.scored if item.task == "tea")
    found = limits.penalties(item, films, ConstraintOptions(narration="table", narration_weight=-7.0))
    words = films.vocabulary
    assert not found[:, list(words.backgrounds)].any()
    assert set(np.unique(found)) == {-7.0, 0.0}
    for start, end, name in films.windows[item.video]:
        own = found[:, words.index[name]]
        inside = (item.times > start) & (item.times < end)
        assert (own[inside] == 0).all() and (own[~inside][:1] == -7).all()
    other = [label for label in words.steps_of("coffee") if label not in words.steps_of("tea")]
    assert not found[:, other].any()  # whether a task has a step is for others to say


def test_a_video_goes_through_its_own_list_of_steps(known):
    films, parts = known
    item = next(item for item in parts.scored if item.task == "tea")
    chain = limits.order(item, films.vocabulary, ConstraintOptions(ordering="video"))
    assert [films.vocabulary.names[label] for label in chain] == ["BKG", "boil", "BKG", "pour", "BKG"]
    unlabelled = next(item for item in parts.test if not item.annotated)
    with pytest.raises(ConfigError, match=r"'test03\.npy' has no labelled steps, so it has no order"):
        limits.collated([item, unlabelled], films, ConstraintOptions(ordering="video"), False)


# ---------------------------------------------------------------- baselines


def test_cuts_that_look_at_no_feature(known):
    films, parts = known
    items = parts.scored
    parts_of = baselines.uniform(items, 4).told
    assert all(np.bincount(told, minlength=4).max() - np.bincount(told, minlength=4).min() <= 1 for told in parts_of)
    told = baselines.clock(items, parts.train, 4).told
    assert all((np.diff(each) >= 0).all() and each[0] == 0 and each[-1] <= 3 for each in told)
    counts = {"tea": {0: 5, 2: 6}, "coffee": {1: 3, 0: 3}}
    (tea,) = {
        tuple(each)
        for item, each in zip(items, baselines.majority(items, counts).told, strict=True)
        if item.task == "tea"
    }
    assert set(tea) == {2}
    drawn = baselines.sample(items, counts, 0).told
    assert all(set(each) <= set(counts[item.task]) for item, each in zip(items, drawn, strict=True))
    assert all((a == b).all() for a, b in zip(drawn, baselines.sample(items, counts, 0).told, strict=True))
    told = baselines.in_order(items, films, 0.3).told
    assert set(told[0]) > {films.vocabulary.index["fill"]}


def test_clusters_of_rows_and_a_gaussian_of_each_label(known):
    films, parts = known
    found = baselines.clusters([BLOBS], 3, 0, 20, mixture=True)
    told = found.likeliest(BLOBS.astype(np.float64))
    assert sorted(np.bincount(told)) == [30, 30, 30] and (told == found.nearest(BLOBS)).all()
    labelled = [item for item in parts.train if item.annotated]
    said = baselines.gaussian(parts.scored, films, labelled).told
    right = np.mean([(each == item.labels[:, 0]).mean() for item, each in zip(parts.scored, said, strict=True)])
    assert right > 0.9
    for item, each in zip(parts.scored, said, strict=True):
        assert set(each) <= set(films.vocabulary.classes_of(item.task))


def test_one_gaussian_has_the_entropy_of_its_rows(known):
    films, parts = known
    found = baselines.single_gaussian(films, parts.train, parts.train)
    rows = np.concatenate([films.rows(item) for item in parts.train]).astype(np.float64)
    assert found == pytest.approx(0.5 * (np.log(2 * np.pi * rows.var(axis=0)) + 1).sum(), abs=1e-4)


# ---------------------------------------------------------------- texts and pictures


def test_labels_are_named_by_task_without_blanks():
    words = Vocabulary({"tea": ("boil water", "pour")}, task_specific=True)
    labels = np.array([*words.backgrounds, *words.steps_of("tea"), 9])
    assert names_of(labels, "tea", words) == ["tea:<BKG>", "tea:boil_water", "tea:pour", "tea:9"]


@pytest.mark.parametrize("name", ["../a", "/tmp/a", ".."])
def test_texts_stay_in_their_folder(tmp_path, name):
    item, words = SimpleNamespace(video=name, task="tea"), Vocabulary({"tea": ("boil", "pour")}, task_specific=True)
    with pytest.raises(DataError, match="is no name below a folder"):
        texts.write(tmp_path / "texts", item, np.zeros(3, int), 0.5, words)
    assert not list(tmp_path.iterdir())


def test_each_bar_shows_its_own_frame_as_wide_as_it_is():
    bars = (Bar(0, 6, "a"), Bar(6, 6.05, "b"), Bar(8, 10, "c"))
    frames = [np.full((20, 200, 3), 90 * number, np.uint8) for number in range(3)]
    found = strip(bars, frames, 10.0)
    wide, middle = found.shape[1], found[found.shape[0] // 2]
    for number, bar in enumerate(bars[::2]):
        first, last = round(bar.start / 10 * wide), round(bar.end / 10 * wide) - 1
        assert (middle[first:last] == [*(180 * number,) * 3, 255]).all() and not middle[last, 3]
    assert not middle[round(0.62 * wide) : round(0.79 * wide), 3].any()  # nothing where there is no bar
    narrow = strip(bars[:1], [np.full((20, 10, 3), 7, np.uint8)], 6.0)
    assert 0 < (narrow[10, :, 3] == 255).sum() <= narrow.shape[0]  # a picture is never stretched


def test_a_timeline_bears_any_name():
    names = ["", "$a_b$", "x\x00y", "\u202eabc", "<b>&amp;", "Ж" * 40, "a\nb"]
    bars = tuple(Bar(float(k), k + 0.9, name) for k, name in enumerate(names))
    frames = [np.zeros((4, 6, 3), np.uint8)] * len(bars)
    picture = timeline([Lane("x\x00", bars, frames), Lane("empty", ())])
    check_svg(picture)
    assert "Ж…" in picture or "ЖЖ" in picture
