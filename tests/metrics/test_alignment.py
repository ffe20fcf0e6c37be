"""Measures of embeddings: against the published program's numbers, and what must hold of any embeddings."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.metrics.alignment import (
    clock,
    complete,
    distinct,
    first_share,
    kendalls_tau,
    labelled,
    pairwise_tau,
    phase_classification,
    phase_progression,
    pixels,
    progression_targets,
    retrieval,
    soft_neighbours,
)
from kinoflow.metrics.linear_probe import linear_probe

GOLDEN = ROOT / "tests/golden/carl"
WORLDS = {"pour": (5, 5, (0.1, 0.5, 1.0)), "bench": (2, 2, (1.0,))}  # phases, stride, fractions
relaxed = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "eval_tasks.npz") as file:
        return dict(file)


def split(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(lengths)[:-1])


def world(golden, name: str) -> list[list[np.ndarray]]:
    """Embeddings and labels of the training videos, then of the validation videos."""
    return [
        split(golden[f"{name}_{part}_{what}"], golden[f"{name}_{part}_lens"])
        for part in ("train", "val")
        for what in ("embs", "labels")
    ]


@st.composite
def sets(draw, videos=4, least=1) -> list[np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(least, 12), min_size=2, max_size=videos))
    return [rng.standard_normal((length, 3)) for length in lengths]


def tau_by_scipy(x: np.ndarray, y: np.ndarray, distance: str = "sqeuclidean") -> float:
    from scipy.spatial.distance import cdist
    from scipy.stats import kendalltau

    if len(x) < 2:
        return math.nan
    return float(kendalltau(np.arange(len(x)), cdist(x, y, distance).argmin(1)).statistic)


# ---------------------------------------------------------------- published numbers


@pytest.mark.parametrize("name", WORLDS)
def test_all_measures_are_the_published_ones(golden, name):
    train, train_labels, val, val_labels = world(golden, name)
    classes, stride, fractions = WORLDS[name]
    assert kendalls_tau(train, stride) == pytest.approx(float(golden[f"{name}_tau_train"]), abs=1e-5)
    assert kendalls_tau(val, stride) == pytest.approx(float(golden[f"{name}_tau_val"]), abs=1e-5)
    found = retrieval(val, val_labels, (5, 10, 15), stride)
    np.testing.assert_allclose([found[k] for k in (5, 10, 15)], golden[f"{name}_ap"], atol=1e-5)
    phases = phase_classification(train, train_labels, val, val_labels, fractions)
    progress = phase_progression(train, train_labels, val, val_labels, classes, fractions)
    for ours, theirs in (("train", "train"), ("validation", "val")):
        shares = [phases[f][ours] for f in fractions]
        np.testing.assert_allclose(shares, golden[f"{name}_classification_{theirs}"], atol=1e-5)
        r2 = [progress[f][ours] for f in fractions]
        np.testing.assert_allclose(r2, golden[f"{name}_event_completion_{theirs}"], atol=1e-4)
    picture = soft_neighbours(val[0][::stride], val[1][::stride])
    np.testing.assert_allclose(picture, golden[f"{name}_sim_0_1"], atol=1e-5)


def test_tau_of_awkward_videos_is_the_published_one():
    golden = np.load(GOLDEN / "kendalls_tau_edges.npz")
    videos, wanted = split(golden["e_embs"], golden["e_lens"]), golden["pairwise"]
    np.testing.assert_allclose(pairwise_tau(videos), wanted, atol=1e-5)
    assert kendalls_tau(videos) == pytest.approx(float(golden["tau"]), abs=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_targets_of_progress_are_the_published_ones(case):
    golden = np.load(GOLDEN / "progression_targets.npz")
    found = progression_targets(golden[f"labels_{case}"], int(golden[f"num_classes_{case}"]))
    np.testing.assert_allclose(found, golden[f"targets_{case}"])


def test_the_linear_probe_is_the_published_one():
    golden = np.load(GOLDEN / "finegym_probe.npz")
    rate, epochs, classes = golden["settings"]
    sets_ = [
        split(golden[f"{part}_{what}"], golden[f"{part}_lens"])
        for part in ("train", "val")
        for what in ("embs", "labels")
    ]
    first = golden["init_weight"], golden["init_bias"]
    probe = linear_probe(*sets_, int(classes), rate, int(epochs), first=first)
    np.testing.assert_allclose(probe.weight, golden["final_weight"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(probe.bias, golden["final_bias"], rtol=1e-4, atol=1e-4)
    assert 100 * probe.train == pytest.approx(float(golden["train_accuracy_percent"]), abs=1e-3)
    assert 100 * probe.validation == pytest.approx(float(golden["val_accuracy_percent"]), abs=1e-3)


# ---------------------------------------------------------------- tau


@relaxed
@given(sets(), st.sampled_from(["sqeuclidean", "cosine"]), st.integers(1, 3))
def test_tau_is_that_of_scipy_for_every_pair(videos, distance, stride):
    found = pairwise_tau(videos, stride, distance)
    for i, j in np.ndindex(found.shape):
        wanted = math.nan if i == j else tau_by_scipy(videos[i][::stride], videos[j][::stride], distance)
        np.testing.assert_allclose(found[i, j], wanted, atol=1e-12)


@relaxed
@given(sets())
def test_tau_lies_between_minus_1_and_1_and_turns_with_the_candidate(videos):
    table = pairwise_tau(videos)
    assert ((table >= -1) & (table <= 1) | np.isnan(table)).all()
    turned = pairwise_tau([videos[0], *(video[::-1] for video in videos[1:])])
    np.testing.assert_allclose(turned[0], -table[0], atol=1e-12)


@relaxed
@given(sets(), st.floats(1e-6, 1e6), st.integers(0, 2**32 - 1))
def test_scaling_and_turning_leaves_tau_and_retrieval(videos, scale, seed):
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    other = [scale * video @ turn for video in videos]
    labels = [np.arange(len(video)) % 3 for video in videos]
    np.testing.assert_allclose(pairwise_tau(other), pairwise_tau(videos))
    assert retrieval(other, labels) == retrieval(videos, labels)


@relaxed
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_copies_at_another_pace_have_tau_1(length, seed):
    rng = np.random.default_rng(seed)
    line = np.cumsum(0.1 + rng.random((length, 1)), 0)
    assert kendalls_tau([line, line, line]) == 1.0
    assert kendalls_tau([clock(length), clock(2 * length)]) > 0.9


def test_a_constant_video_has_no_tau_as_query_of_nothing_else():
    still, line = np.full((5, 3), 0.1), np.arange(5.0)[:, None].repeat(3, 1)
    table = pairwise_tau([still, line, line[:1]])
    assert np.isnan(table[1, 0]) and np.isnan(table[0, 1]) and np.isnan(table[2]).all()
    assert kendalls_tau([line, line]) == 1.0


@pytest.mark.parametrize(
    "videos", [[], [np.zeros((4, 2))], [np.ones((1, 2)), np.ones((1, 2))], [np.zeros((0, 2)), np.ones((3, 2))]]
)
def test_where_no_pair_has_a_tau_it_is_0(videos):
    assert kendalls_tau(videos) == 0.0


# ---------------------------------------------------------------- retrieval


@relaxed
@given(sets(), st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_retrieval_is_the_share_among_sorted_distances(videos, seed, stride):
    rng = np.random.default_rng(seed)
    videos = [np.round(video) for video in videos]  # ties
    labels = [rng.integers(-1, 3, len(video)) for video in videos]
    found = retrieval(videos, labels, (1, 4), stride)
    kept, marks = labelled(videos, labels, stride)
    for k in (1, 4):
        shares = []
        for i, query in enumerate(kept):
            keys = np.concatenate([x for j, x in enumerate(kept) if j != i])
            own = np.concatenate([x for j, x in enumerate(marks) if j != i])
            if not len(query) or not len(keys):
                continue
            apart = ((query[:, None] - keys[None]) ** 2).sum(2)
            nearest = np.argsort(apart, axis=1, kind="stable")[:, :k]
            shares.append((own[nearest] == marks[i][:, None]).mean())
        assert found[k] == pytest.approx(np.mean(shares) if shares else 0.0)
        assert 0 <= found[k] <= 1


@pytest.mark.parametrize("width", [32, 33, 64, 128])
def test_copies_of_a_frame_are_found_in_the_order_of_videos_and_frames(width):
    """Copies are equally far from everything, however products of matrices round at one place or another."""
    from scipy.spatial.distance import cdist

    for seed in range(30):
        rng = np.random.default_rng(seed)
        base = rng.standard_normal((8, width))
        videos = [base[rng.integers(0, 8, rng.integers(5, 40))] for _ in range(4)]
        labels = [rng.integers(0, 3, len(video)) for video in videos]
        shares = []
        for i, query in enumerate(videos):
            keys, marks = (np.concatenate([x[j] for j in range(4) if j != i]) for x in (videos, labels))
            nearest = np.argsort(cdist(query, keys, "sqeuclidean"), axis=1, kind="stable")[:, :5]
            shares.append((marks[nearest] == labels[i][:, None]).mean())
        assert retrieval(videos, labels, (5,))[5] == pytest.approx(np.mean(shares), abs=1e-12)


def test_distinct_rows_come_back_as_they_lay():
    rows = np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [-0.0, 3.0]])
    found, place = distinct(rows)
    np.testing.assert_array_equal(found[place], rows)
    assert len(found) == 2
    alone, place = distinct(rows[:2])
    assert alone.tolist() == rows[:2].tolist() and place is None
    assert distinct(np.zeros((0, 3)))[1] is None and distinct(np.zeros((3, 0)))[0].shape == (1, 0)


def test_retrieval_of_one_phase_is_1_and_of_chance_the_share_of_classes():
    rng = np.random.default_rng(0)
    videos = [rng.standard_normal((200, 4)) for _ in range(3)]
    assert retrieval(videos, [np.zeros(200)] * 3) == {5: 1.0, 10: 1.0, 15: 1.0}
    chance = retrieval(videos, [rng.integers(0, 4, 200) for _ in range(3)])
    assert all(abs(share - 0.25) < 0.03 for share in chance.values())
    assert retrieval(videos[:1], [np.zeros(200)]) == {5: 0.0, 10: 0.0, 15: 0.0}


# ---------------------------------------------------------------- phases and progress


@pytest.mark.parametrize("classifier", ["linear", "svm_linear", "svm_rbf"])
def test_phases_far_apart_are_told_by_every_classifier(classifier):
    rng = np.random.default_rng(0)
    labels = [np.repeat([0, 1, 2], 5)] * 4
    videos = [3 * np.eye(3)[own] + 0.1 * rng.standard_normal((15, 3)) for own in labels]
    found = phase_classification(videos[:3], labels[:3], videos[3:], labels[3:], (0.1, 1.0), classifier)
    assert found == {f: {"train": 1.0, "validation": 1.0} for f in (0.1, 1.0)}


def test_one_phase_and_no_label_have_values_and_no_nan():
    videos, other = [np.zeros((4, 2)), np.ones((3, 2))], [np.zeros(4), np.zeros(3)]
    half = [np.array([0, 0, 1, 1]), np.array([0, 0, 1])]
    assert phase_classification(videos, other, videos, half, (1.0,)) == {1.0: {"train": 1.0, "validation": 4 / 7}}
    nothing = [np.full(4, -1), np.full(3, -1)]
    zero = {1.0: {"train": 0.0, "validation": 0.0}}
    assert phase_classification(videos, nothing, videos, nothing, (1.0,)) == zero
    assert phase_progression(videos, other, videos, other, 1, (1.0,)) == zero
    assert phase_progression(videos, nothing, videos, nothing, 2, (1.0,)) == zero
    assert retrieval(videos, nothing) == {5: 0.0, 10: 0.0, 15: 0.0}
    probe = linear_probe(videos, other, videos, other, 1, epochs=2)
    assert np.isfinite(probe.weight).all() and probe.validation == 1.0
    empty = linear_probe(videos, nothing, videos, nothing, 2, epochs=2)
    assert np.isfinite(empty.weight).all() and (empty.train, empty.validation) == (0.0, 0.0)


def test_one_frame_has_values_and_no_nan():
    videos, labels = [np.ones((1, 2)), np.zeros((1, 2))], [np.array([0]), np.array([1])]
    found = phase_progression(videos, labels, videos, labels, 2, (1.0,))
    assert all(map(math.isfinite, found[1.0].values()))
    assert phase_classification(videos, labels, videos, labels, (1.0,))[1.0]["train"] == 1.0


def test_a_video_without_one_of_the_phases_is_left_out_of_progress():
    rng = np.random.default_rng(0)
    labels = [np.repeat([0, 1, 2], 4), np.repeat([0, 2, 2], 4), np.repeat([0, 1, 2], 4)]
    videos = [np.stack([np.arange(12.0), rng.random(12)], 1) for _ in labels]
    assert not complete(labels[1], 3) and complete(labels[0], 3) and complete(np.array([0, 1]), 3)
    full = phase_progression([videos[0], videos[2]], [labels[0], labels[2]], videos, labels, 3, (1.0,))
    assert phase_progression(videos, labels, videos, labels, 3, (1.0,)) == full
    assert full[1.0]["train"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no time at which that ends"):
        progression_targets(labels[1], 3)


@relaxed
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_targets_are_0_at_the_end_of_a_phase_and_rise_evenly(labels):
    labels = np.array([0, 1, 2, *labels])
    found = progression_targets(labels, 3)
    for phase in (0, 1):
        assert found[np.flatnonzero(labels == phase)[-1], phase] == 0
    np.testing.assert_allclose(np.diff(found, axis=0), 1 / len(labels))


def test_a_share_of_videos_is_the_first_ones_and_one_at_least():
    assert [first_share(10, f) for f in (0.01, 0.1, 0.55, 1.0)] == [1, 1, 5, 10]
    assert first_share(70, 0.1) == 7  # although .1 * 70 is a little more, or less
    for fraction, count in ((0.7, 90), (0.29, 100), (0.35, 180)):  # products a little below a whole number
        assert first_share(count, fraction) == math.floor(fraction * count)
    assert [first_share(count, 0.1) for count in range(10, 1200, 10)] == list(range(1, 120))


def test_labels_and_frames_of_other_length_are_refused():
    with pytest.raises(ValueError, match="video 1 has 3 embeddings and 2 labels"):
        retrieval([np.zeros((2, 1)), np.zeros((3, 1))], [np.zeros(2), np.zeros(2)])


# ---------------------------------------------------------------- baselines


def test_raw_pixels_are_means_over_a_grid():
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    wanted = frames.reshape(3, 4, 2, 4, 3, 3).mean((2, 4)) / 255
    np.testing.assert_allclose(pixels(frames, 4), wanted.reshape(3, -1), atol=1e-6)
    assert pixels(frames, 100).shape == (3, 8 * 12 * 3)


def test_a_clock_runs_from_0_to_1():
    assert clock(3)[:, 0].tolist() == [0.0, 0.5, 1.0] and clock(1).shape == (1, 1)


@relaxed
@given(sets())
def test_columns_of_the_picture_of_neighbours_sum_to_1(videos):
    picture = soft_neighbours(videos[0], videos[1])
    assert picture.shape == (len(videos[1]), len(videos[0]))
    np.testing.assert_allclose(picture.sum(0), 1)
