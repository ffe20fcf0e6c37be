"""What is told of scores: three readings of verbs and nouns, both many-shot sets, parts of the validation."""

import numpy as np
from tests.tasks.anticipation import toy

from kinoflow.datasets.actions import Action, Rows
from kinoflow.tasks.anticipation.outcome import outcome


def rows(*subsets: str) -> Rows:
    return Rows.of(
        Action(
            uid=str(i),
            video="v",
            start=i,
            end=i + 1,
            action=i,
            verb=i // 2,
            noun=i % 2,
            split="validation",
            subsets=text,
        )
        for i, text in enumerate(subsets)
    )


def test_right_scores_are_all_right_in_every_reading():
    some = rows("", "", "", "", "", "")
    found = outcome(
        {"action": 50 * np.eye(6), "verb": np.eye(3)[[0, 0, 1, 1, 2, 2]], "noun": np.eye(2)[[0, 1] * 3]},
        some,
        toy.CLASSES,
    )
    action = found["action"]
    for name in (
        "top1",
        "top5",
        "class_mean",
        "class_mean_all",
        "recall5",
        "recall5_ms_or",
        "recall5_ms_official",
        "ms_top1",
    ):
        assert action[name] == 1, name
    assert action["classes_present"] == 6
    for head in ("verb", "noun"):
        assert {reading: values["top1"] for reading, values in found[head].items()} == {
            "marginal": 1,
            "decomposed": 1,
            "own": 1,
        }
    assert found["noun"]["own"].get("top5") is None  # there are two nouns
    assert found["subsets"] == {}


def test_parts_of_the_validation_are_measured_by_themselves():
    scores = np.zeros((3, 6))  # says action 0 of everything
    found = outcome({"action": scores}, rows("unseen", "tail_verb unseen", "tail_action"), toy.CLASSES)["subsets"]
    assert found["unseen"]["rows"] == 2
    assert found["unseen"]["action"]["top1"] == 0.5
    assert found["tail"]["rows"] == {"verb": 1, "action": 1}
    assert found["tail"]["verb"]["marginal"]["top1"] == 1  # verb 0 is right of action 1
    assert found["tail"]["action"]["top1"] == 0


def test_a_many_shot_set_without_any_row_is_none():
    found = outcome({"action": np.zeros((0 + 1, 6))}, rows("").take(np.array([0])), toy.CLASSES)["action"]
    assert found["recall5_ms_official"] == 1
    last = Rows.of([Action(uid="9", video="v", start=0, end=1, action=5, verb=2, noun=1, split="validation")])
    assert outcome({"action": np.zeros((1, 6))}, last, toy.CLASSES)["action"]["recall5_ms_official"] is None
