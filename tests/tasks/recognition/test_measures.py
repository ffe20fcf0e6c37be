"""The measures of a tested head."""

import json

import numpy as np
import pytest

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition.measures import Outcome, check_groups, measures
from kinoflow.tasks.recognition.options import ClipTestOptions

VERBS = ("cut", "pull", "push", "roll", "season", "sweep")


def outcome(pairs, classes=VERBS, training=None):
    """Of (label, predicted) pairs."""
    scores = np.array([[float(name == predicted) for name in classes] for _, predicted in pairs])
    return Outcome(scores, [label for label, _ in pairs], classes, training or [1] * len(classes))


def test_shares_by_hand():
    found = measures(
        outcome([("cut", "cut"), ("cut", "push"), ("pull", "pull"), ("roll", "cut")], training=[9, 1, 1, 1, 1, 1]),
        ClipTestOptions(),
    )
    assert (found["clips"], found["unlabelled"], found["unseen"], found["classes"]) == (4, 0, 0, 6)
    assert found["top1"] == 0.5
    assert found["class_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["upper_bound"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["recall"] == {"cut": 0.5, "pull": 1.0, "roll": 0.0}
    assert found["chance"] == {"top1": pytest.approx(1 / 6), "top5": pytest.approx(5 / 6)}
    assert found["majority"]["top1"] == 0.5


def test_the_label_among_five_best_counts():
    scores = np.array([[5.0, 4, 3, 2, 1, 0]] * 2)
    found = measures(Outcome(scores, ["season", "sweep"], VERBS, [1] * 6), ClipTestOptions())
    assert (found["top1"], found["top5"]) == (0.0, 0.5)


def test_with_less_than_five_classes_there_is_no_top_5():
    found = measures(outcome([("a", "a")], ("a", "b")), ClipTestOptions())
    assert found["top5"] is None and found["chance"]["top5"] is None


def test_clips_of_unseen_classes_count_as_wrong():
    found = measures(outcome([("cut", "cut"), ("fry", "cut")]), ClipTestOptions())
    assert (found["unseen"], found["clips"], found["top1"], found["top5"]) == (1, 2, 0.5, 0.5)
    assert found["recall"] == {"cut": 1.0, "fry": 0.0}
    assert found["class_accuracy"] == 0.5
    assert found["majority"]["top1"] == 0.5


def test_clips_without_a_label_do_not_count():
    found = measures(outcome([("cut", "cut"), ("", "push")]), ClipTestOptions())
    assert (found["clips"], found["unlabelled"], found["top1"]) == (1, 1, 1.0)
    assert measures(outcome([("", "cut")]), ClipTestOptions()) == {"classes": 6, "clips": 0, "unlabelled": 1}


def test_a_group_is_the_mean_recall_of_its_classes_with_all_as_candidates():
    pairs = [("push", "push"), ("push", "cut"), ("push", "pull"), ("pull", "pull"), ("cut", "push")]
    found = measures(outcome(pairs), ClipTestOptions(groups={"slow": ("push", "pull"), "other": ("a", "b")}))
    assert found["groups"] == {"slow": pytest.approx((1 / 3 + 1) / 2)}


def test_a_bit_is_told_among_its_classes_alone():
    scores = np.array([[9.0, 0, 0, 1, 0, 2], [9, 0, 0, 2, 0, 1], [9, 0, 0, 2, 0, 1]])
    found = measures(
        Outcome(scores, ["sweep", "sweep", "roll"], VERBS, [1] * 6),
        ClipTestOptions(bits={"fast": (("roll",), ("sweep",))}),
    )
    assert found["bits"] == {"fast": pytest.approx((0.5 + 1) / 2)}
    assert found["top1"] == 0.0


def test_a_group_without_clips_has_no_recall():
    found = measures(outcome([("cut", "cut")]), ClipTestOptions(groups={"slow": ("push", "pull")}))
    assert found["groups"]["slow"] is None


def test_a_group_that_no_head_has_is_refused():
    test = ClipTestOptions(groups={"slow": ("push", "pul")})
    with pytest.raises(ConfigError, match="groups.slow: no head has all of these classes .'pul' is missing."):
        check_groups(test, {"verb": VERBS, "noun": ("pan",)})
    check_groups(ClipTestOptions(bits={"fast": (("roll",), ("sweep",))}), {"noun": ("pan",), "verb": VERBS})


def test_measures_are_json():
    found = measures(outcome([("cut", "cut"), ("fry", "cut")]), ClipTestOptions(groups={"slow": ("push", "pull")}))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
