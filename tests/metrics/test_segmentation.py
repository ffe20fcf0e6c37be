"""The scores of segmentations: golden values, and what must hold for any labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.metrics import segmentation as metrics

GOLDEN = ROOT / "tests" / "golden" / "lhsmm"
calm = settings(max_examples=50, deadline=None)  # SciPy is loaded at the first call
sequences = st.lists(st.integers(0, 3), min_size=1, max_size=30).map(np.array)


def cut(rows, lengths):
    return np.split(rows, np.cumsum(lengths)[:-1])


def videos(draw_from):
    return st.lists(draw_from, min_size=1, max_size=4)


@st.composite
def video(draw):
    """Truth with one or two labels a frame, and predictions of the same length."""
    first = draw(sequences)
    second = np.array(draw(st.lists(st.integers(-1, 3), min_size=len(first), max_size=len(first))))
    second = np.where(second == first, -1, second)
    told = np.array(draw(st.lists(st.integers(0, 3), min_size=len(first), max_size=len(first))))
    return np.stack([first, second], axis=1), told


@pytest.mark.parametrize("name", ["identity", "hungarian"])
def test_every_score_is_that_of_the_golden_file(name):
    golden = np.load(GOLDEN / f"metrics_{name}.npz")
    truth, told = cut(golden["gt_multi"], golden["lengths"]), cut(golden["pred"], golden["lengths"])
    image = metrics.identity(golden["possible_gt_labels"])
    if golden["optimal_assignment"]:
        image = metrics.hungarian(golden["gt_multi"][:, 0], golden["pred"])
    assert sorted(image.items()) == [tuple(row) for row in golden["assignment"].tolist()]
    found = metrics.statistics(truth, told, golden["background_indices"].tolist(), image)
    wanted = {key.removeprefix("stat_"): golden[key] for key in golden if key.startswith("stat_")}
    assert set(wanted) <= set(found)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-12, err_msg=key)


@given(sequences)
@calm
def test_segments_give_the_labels_back(labels):
    names, first, lengths = metrics.segments(labels)
    assert lengths.sum() == len(labels) and (np.diff(first) == lengths[:-1]).all() and (names[1:] != names[:-1]).all()
    assert np.repeat(names, lengths).tolist() == labels.tolist()


@given(videos(video()))
@calm
def test_the_best_assignment_is_never_worse_than_identity_and_renaming_changes_nothing(found):
    truth, told = [t for t, _ in found], [p for _, p in found]
    flat, said = np.concatenate(truth)[:, 0], np.concatenate(told)
    best = metrics.hungarian(flat, said)
    own = metrics.statistics(truth, told, [0])
    optimal = metrics.statistics(truth, told, [0], best)
    assert optimal["mof"][0] >= own["mof"][0]
    renamed = [(7 * p + 3) % 29 for p in told]
    again = metrics.statistics(truth, renamed, [], metrics.hungarian(flat, np.concatenate(renamed)))
    assert again["mof"] == metrics.statistics(truth, told, [], best)["mof"]


@given(videos(video()))
@calm
def test_scores_do_not_depend_on_the_order_of_videos(found):
    truth, told = [t for t, _ in found], [p for _, p in found]
    one = metrics.statistics(truth, told, [0])
    other = metrics.statistics(truth[::-1], told[::-1], [0])
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


@given(videos(sequences))
@calm
def test_a_perfect_prediction_scores_one_everywhere(found):
    truth = [labels[:, None] for labels in found]
    scores = metrics.pooled([metrics.statistics(truth, found, [0])])
    assert scores["mean_normed_levenshtein"] == scores["total_levenshtein"] == 0
    whole = ("mof", "precision", "recall", "f1", "iou", "center_step_recall", "single_step_recall", "edit")
    assert all(scores[name] == pytest.approx(1) for name in whole)
    if any((labels > 0).any() for labels in found):
        steps = ("mof_non_bg", "iou_multi_non_bg", "f1_10", "f1_25", "f1_50", "step_recall_non_bg")
        assert all(scores[name] == pytest.approx(1) for name in steps)


@given(sequences, sequences, sequences)
@calm
def test_the_edit_distance_is_a_metric(one, two, three):
    distance = metrics.levenshtein
    assert distance(one, one) == 0 and distance(one, two) == distance(two, one)
    assert distance(one, three) <= distance(one, two) + distance(two, three)
    assert abs(len(one) - len(two)) <= distance(one, two) <= max(len(one), len(two))


def test_f1_counts_a_true_segment_once():
    truth, told = np.array([0, 1, 1, 1, 1, 0]), np.array([0, 1, 1, 0, 1, 0])
    found = metrics.statistics([truth[:, None]], [told], [0])
    assert found["f1_25"] == (2.0, 3)  # the first of two predicted segments is right; the other is one too many
    assert found["f1_50"] == (2.0, 3)
    assert metrics.statistics([truth[:, None]], [np.array([0, 1, 0, 0, 0, 0])], [0])["f1_50"] == (0.0, 2)


def test_the_frame_nearest_the_middle_is_shown():
    truth = np.array([1, 1, 2, 2, 2, 1])[:, None]
    found = metrics.statistics([truth], [np.array([1, 2, 2, 2, 2, 1])], [])
    assert found["center_step_recall"] == (2.0, 2)  # of 1 (frames 0 and 5) the earlier of two as near
    assert found["single_step_recall"] == (1 + 3 / 4, 2)


def test_one_frame_of_each_step_is_shown_for_average_recall():
    truth = [np.array([[1, -1], [1, 2], [0, -1]])]
    assert metrics.average_recall(truth, [np.array([[0.1, 0.2], [0.1, 0.9], [0.0, 0.0]])], [1, 2]) == (2.0, 2.0)
    assert metrics.average_recall(truth, [np.array([[0.1, 0.2], [0.1, 0.1], [0.3, 0.0]])], [1, 2]) == (0.0, 2.0)


def test_what_is_undefined_in_a_task_is_left_out_of_the_mean_and_counted():
    still = metrics.statistics([np.zeros((4, 1), int)], [np.zeros(4, int)], [0])
    moving = metrics.statistics([np.array([[1], [1]])], [np.array([1, 0])], [0])
    means, left = metrics.averaged([still, moving])
    assert means["mof_non_bg"] == 0.5 and left["mof_non_bg"] == 1 and "mof" not in left
    assert means["mof"] == 0.75 and metrics.pooled([still, moving])["mof"] == 5 / 6
    assert means["f1_non_bg"] == pytest.approx(0.5) and left["f1_non_bg"] == 1


def test_more_predicted_labels_than_true_ones_get_dummies():
    image = metrics.hungarian(np.array([5, 5, 9]), np.array([0, 1, 2]))
    assert len(image) == 3 and sorted(image.values()) == [0, 1, 2] and set(image) == {5, 9, 2}


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        metrics.statistics([np.zeros((4, 1), int)], [np.zeros(3, int)])
