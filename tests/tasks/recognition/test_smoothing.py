"""Labels that do not flicker: the published demonstration's rules, and what must hold for any scores."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition import smoothing
from kinoflow.tasks.recognition.options import StreamOptions
from kinoflow.tasks.recognition.smoothing import Settling, Smoother

PLAIN = StreamOptions(average=1, settle=False)
CLASSES = ("none", "wave", "swipe", "shake")
FOUND = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def told(options: StreamOptions, rows: np.ndarray, **more) -> list[str]:
    smoother = Smoother(options, CLASSES, **more)
    return [smoother(row)[0] for row in rows]


def sure(*classes: int) -> np.ndarray:
    """Scores of frames that leave no doubt."""
    return 20.0 * np.eye(len(CLASSES))[list(classes)]


def test_settling_agrees_with_the_published_demonstration():
    with np.load(ROOT / "tests/golden/lsnet/online.npz") as golden:
        settling = Settling(start=2, hidden={3, 7, 8, 21, 22}, alike={0: 2})
        assert [settling(int(each)) for each in golden["smooth_in"]] == golden["smooth_out"].tolist()


@given(FOUND)
def test_a_change_is_told_only_after_two_that_agree(found):
    settling = Settling(start=0)
    out = [0, 0, *map(settling, found)]
    for before, last, now in zip(out, out[1:], out[2:], strict=False):
        assert now == last or last == before


@given(FOUND)
def test_what_is_told_was_found_or_told_before(found):
    settling, last = Settling(start=9), 9
    for each in found:
        now = settling(each)
        assert now in (each, last)
        last = now


@given(FOUND, st.sets(st.integers(0, 3)))
def test_hidden_classes_are_never_told(found, hidden):
    settling = Settling(hidden=hidden)
    assert not {settling(each) for each in found} & hidden


def test_without_settling_every_change_is_told():
    assert told(PLAIN, sure(1, 2, 1, 3)) == ["wave", "swipe", "wave", "shake"]


def test_settling_alone():
    assert told(StreamOptions(average=1), sure(1, 2, 1, 3, 3)) == ["wave", "wave", "wave", "shake", "shake"]


def test_averaging_chooses_what_the_summed_scores_choose():
    rows = np.random.default_rng(0).normal(size=(40, 4))
    summed = [CLASSES[rows[max(0, i - 11) : i + 1].sum(axis=0).argmax()] for i in range(40)]
    assert told(StreamOptions(average=12, settle=False), rows) == summed


def test_probabilities_are_those_of_the_mean_scores():
    smoother = Smoother(StreamOptions(average=2), CLASSES)
    smoother(np.array([9.0, 9.0, 9.0, 9.0]))
    smoother(np.array([0.0, 2.0, 0.0, 0.0]))
    _, shares = smoother(np.array([0.0, 0.0, 2.0, 0.0]))  # the first one is out of the window
    np.testing.assert_allclose(shares, np.exp([0, 1, 1, 0]) / np.exp([0, 1, 1, 0]).sum())


def test_networks_that_average_probabilities_do_so_here():
    smoother = Smoother(StreamOptions(average=2, settle=False), CLASSES, probabilities=True)
    smoother(sure(1)[0])
    _, shares = smoother(sure(2)[0])
    np.testing.assert_allclose(shares, [0, 0.5, 0.5, 0], atol=1e-7)


def test_below_the_threshold_the_last_label_stays():
    rows = np.concatenate([sure(1), 0.1 * sure(2), sure(2)])  # 0.1: probability .71
    assert told(StreamOptions(average=1, settle=False, threshold=0.8), rows) == ["wave", "wave", "swipe"]


def test_before_anything_is_sure_nothing_is_told():
    options = StreamOptions(average=1, threshold=0.5, hidden=("shake",))
    assert told(options, np.concatenate([np.zeros((1, 4)), sure(3, 2)])) == ["", "", "swipe"]


def test_start_hidden_and_alike_are_names_of_classes():
    options = StreamOptions(average=1, settle=False, start="swipe", hidden=("shake",), alike={"none": "wave"})
    assert told(options, sure(3, 0, 3, 1)) == ["swipe", "wave", "wave", "wave"]


@pytest.mark.parametrize("field", ["start", "hidden", "alike"])
def test_a_class_that_the_model_does_not_know_is_refused(field):
    value = {"start": "jump", "hidden": ("jump",), "alike": {"none": "jump"}}[field]
    with pytest.raises(ConfigError, match=rf"{field}: 'jump' is none of the model's 4 classes \('none', 'wave'"):
        Smoother(StreamOptions(**{field: value}), CLASSES)


def test_examples_in_docstrings():
    assert doctest.testmod(smoothing).failed == 0
