"""Pieces of the section on recognition runs, and of what the page shows of their speed."""

import io

import pytest
from PIL import Image
from tests.tasks.recognition.finished import Study, figure, options, table

from kinoflow.report import section
from kinoflow.report.options import ReportOptions
from kinoflow.report.page import report
from kinoflow.report.results import told
from kinoflow.store.tables import Segment
from kinoflow.tasks.recognition import results
from kinoflow.tasks.recognition.evaluate import Prediction
from kinoflow.tasks.recognition.recall import guessed
from kinoflow.tasks.recognition.speed import recognition_speed
from kinoflow.tasks.recognition.strips import LARGEST, told_right, told_wrong


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def prediction(segment: str, label: str, predicted: str, probability: float) -> Prediction:
    rest = dict.fromkeys(("second", "third", "fourth", "fifth"), "")
    known = {"label": label, "predicted": predicted, "probability": probability}
    return Prediction(segment=segment, video="v", head="verb", **known, **rest)


def test_clips_told_right_are_spread_over_the_classes():
    rows = [prediction(f"{name}{k}", name, name, k / 10) for name in "abcdefgh" for k in range(3)]
    rows += [prediction("x", "a", "b", 1.0), prediction("y", "", "a", 1.0)]
    assert [row.segment for row in told_right(rows)] == ["b2", "d2", "f2", "h2"]
    assert [row.segment for row in told_right(rows[:4])] == ["a2", "b0"]


def test_clips_told_wrong_are_the_surest_of_each_confusion():
    rows = [prediction(f"{k}", "a", "b", k / 10) for k in range(5)]
    rows += [prediction("z", "b", "a", 0.2), prediction("y", "b", "c", 0.2), prediction("n", "", "a", 1.0)]
    assert [row.segment for row in told_wrong(rows)] == ["4", "y", "z"]


def test_pictures_of_clips_are_small_and_hold_eight_frames_of_each(study):
    study.run("tsm", right=0.6)
    found = study.section()
    for start, clips in (("Clips told right", 3), ("Clips told wrong", 2)):
        drawn = figure(found, start)
        picture = Image.open(io.BytesIO(drawn.image))
        assert len(drawn.image) <= LARGEST
        assert picture.width == 2 * 16 + 8 * 96 + 7 * 3  # 24 pixels are enlarged to 96
        assert drawn.alt.count("%") == clips


def step(verb: str, noun: str) -> Segment:
    return Segment(segment="s", video="v", start=0.0, end=1.0, verb=verb, noun=noun, action=f"{verb} {noun}")


def test_chance_inside_a_group_knows_the_object_and_no_motion():
    training = [step(*names.split()) for names in ("push pan", "pull pan", "open jar", "close jar", "season pan")]
    group = ("push", "pull", "open", "close")
    assert guessed("verb", group, training, training) == 0.5
    assert guessed("action", ("push pan", "pull pan"), training, training) == 0.5
    assert guessed("verb", group, training, [step("push", "pan"), step("push", "lid")]) == (0.5 + 0.25) / 2
    assert guessed("verb", group, training, [step("push", "jar")]) == 0
    assert guessed("verb", group, training, [step("season", "pan")]) is None


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), ([0.5], "50.0%"), ([1.0, 0.9], "95.0% (90.0–100.0)"), ([0.123456], "12.3%")]
)
def test_shares_are_told_with_their_range(values, text):
    assert told(values) == text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"network": {"shift": None}}, "TSN"),
        ({"network": {"one_sided": True}}, "TSM, one-sided"),
        ({"input": {"kind": "flow", "frames": 5}}, "TSM on optical flow"),
        ({"input": {"kind": "gray", "frames": 1}, "network": {"shift": None}}, "TSN on gray frames"),
        ({"input": {"kind": "gray", "frames": 3}}, "LSNet"),
        (
            {"input": {"kind": "gray", "frames": 3}, "network": {"backbone": "resnet18", "shift": None, "fuse": True}},
            "LSNet, early fusion",
        ),
        (
            {"network": {"backbone": "resnet50", "non_local": True, "temporal_pool": True}},
            "TSM, non-local, temporal pool",
        ),
    ],
)
def test_networks_are_told_in_words(more, said):
    assert results.described(options(**more)) == said


def test_speed_is_measured_of_clips_and_of_frames_where_these_can_be_streamed(study):
    study.train("tsm", 0, options())
    study.train("live", 0, options(network={"one_sided": True}))
    study.train("flow", 0, options(input={"kind": "flow", "frames": 5}, network={"shift": None}))
    recognition_speed(study.files("model.safetensors"), study.folder / "speed.json")
    rows = table(section.read(study.folder / "speed.json"), "How long")
    assert list(rows) == ["flow", "live", "tsm"]
    assert all(row[2] > 0 for row in rows.values())
    assert [row[3] is not None and row[3] > 0 for row in rows.values()] == [False, True, False]


def test_the_page_shows_speeds_with_time_and_memory_alone(study):
    study.run("live", network={"one_sided": True})
    study.section()
    recognition_speed(study.files("model.safetensors"), study.folder / "speed.json")
    page = study.folder / "report.html"
    report(page, [study.folder / "section.json"], ReportOptions(), "s", timings=[study.folder / "speed.json"])
    before, _, after = page.read_text().rpartition("Time and memory")
    assert "ms for a clip" in after and "ms for a clip" not in before
