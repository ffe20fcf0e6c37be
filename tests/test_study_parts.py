"""A study cut down to some rooms holds their runs, all that these need, and nothing else."""

from pathlib import Path

import pytest
from tests.test_study import study

from kinoflow.config import load
from kinoflow.errors import ConfigError
from kinoflow.layout import Layout
from kinoflow.study import ROOMS, Study
from kinoflow.study_parts import READING, SOURCES, chosen

ROOT = Path(__file__).parents[1]


def keys(found: Study) -> dict[str, list[str]]:
    """Return the keys of every section that has some."""
    return {part: sorted(getattr(found, part)) for part in (*SOURCES, *ROOMS, "claims") if getattr(found, part)}


def only(*rooms: str, **changed) -> dict[str, list[str]]:
    found = chosen(study(rooms=rooms, **changed))
    Study.model_validate(found.model_dump(by_alias=True))  # nothing that it names is missing
    Layout(found, {})
    return keys(found)


LSNET = {"datasets": ["mine"], "frames": ["small"], "features": ["rows"], "recognition": ["known"]}


def test_a_study_without_the_key_is_whole():
    whole = study()
    assert chosen(whole) is whole


@pytest.mark.parametrize(
    "room, held",
    [
        ("recognition", {"datasets": ["mine"], "frames": ["small"], "recognition": ["known"]}),
        ("segmentation", {**LSNET, "pca": ["few"], "segmentation": ["steps"]}),
        (
            "alignment",
            {"datasets": ["mine"], "frames": ["small"], "recognition": ["known"], "alignment": ["same"]},
        ),
        (
            "anticipation",
            {
                **{**LSNET, "pca": ["few"], "actions": ["steps"], "corpora": ["recipes"], "language": ["words"]},
                **{"teachers": ["next"], "anticipation": ["taught"]},
            },
        ),
        ("abstraction", {**LSNET, "taxonomies": ["tree"], "sets": ["some"], "abstraction": ["sam"]}),
    ],
)
def test_a_room_brings_what_its_runs_need_and_nothing_else(room, held):
    assert only(room) == held


def test_all_rooms_hold_all_that_some_run_needs():
    whole = keys(study())
    rooms = ("recognition", "segmentation", "alignment", "anticipation", "abstraction")
    assert only(*rooms) == {**whole, "datasets": ["mine"], "features": ["rows"]}


def test_ensembles_and_summaries_come_with_anticipation():
    more = {
        "teachers": {"other": {"actions": "steps"}},
        "ensembles": {"both": {"teachers": ["next", "other"]}},
        "summaries": {"mean": {"room": "teachers", "runs": ["next"]}},
    }
    held = only("anticipation", anticipation={"taught": {"teacher": "both"}}, **more)
    assert held["teachers"] == ["next", "other"]
    assert held["ensembles"] == ["both"] and held["summaries"] == ["mean"]


def test_ensembles_of_clips_come_with_recognition():
    more = {"clip_fusions": {"both": {"runs": ["known", "known"]}}}
    assert only("recognition", **more)["clip_fusions"] == ["both"]
    assert "clip_fusions" not in only("segmentation", **more)


def test_claims_of_the_rooms_alone_are_decided():
    claims = {
        "a": {"claim": "one", "room": "recognition", "treatment": "known", "baseline": 0.5, "metric": "x"},
        "b": {"claim": "two", "room": "teachers", "treatment": "next", "baseline": 0.5, "metric": "x"},
        "c": {"claim": "three", "room": "abstraction", "treatment": "sam", "baseline": 0.5, "metric": "x"},
    }
    assert only("abstraction", claims=claims)["claims"] == ["c"]
    assert only("anticipation", "recognition", claims=claims)["claims"] == ["a", "b"]


def test_a_room_without_runs_is_refused():
    bare = study(rooms=["abstraction"]).model_copy(update={"abstraction": {}})
    with pytest.raises(ConfigError, match="^rooms: the study trial has no runs of abstraction; leave it out$"):
        chosen(bare)


STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow/studies").rglob("*.yaml"))]


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_study_can_be_cut_down_to_each_of_its_rooms(file):
    whole = load([file], {}, ROOT / "workflow/datasets")
    for room in READING:
        if getattr(whole, room):
            part = load([file], {"rooms": [room]}, ROOT / "workflow/datasets")
            assert getattr(part, room) == getattr(whole, room)
            Layout(part, {})
