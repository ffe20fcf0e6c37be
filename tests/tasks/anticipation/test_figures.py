"""The report's section on students."""

import json

import numpy as np
import pytest
from matplotlib import figure as canvas
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.report import section as sections
from kinoflow.report.section import Callout, Figure, Heading, Table, Text
from kinoflow.store import shards
from kinoflow.tasks.anticipation import drawing
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.figures import anticipation_section
from kinoflow.tasks.anticipation.options import AnticipationSectionOptions, AnticipationTestOptions

PLAIN = {"cls_action": 1, "past_cls_action": 0.5}
FILES = {"metrics": "metrics.json", "predictions": "predictions.csv", "scores": "scores.h5"}


@pytest.fixture(scope="module")
def study(world, train, tmp_path_factory):
    """Two runs with and without a teacher, two seeds each; frames of the videos; a function that makes the section."""
    folder = tmp_path_factory.mktemp("study")
    for seed in (0, 1):
        for name, losses in (("base", PLAIN), ("taught", {**PLAIN, "distill": 1.5})):
            place = folder / name / f"seed-{seed}"
            model = train(place, options(12, losses=losses), seed=seed)
            outputs = {key: place / file for key, file in FILES.items()}
            anticipation_evaluate(
                [model], world.actions, world.classes, options=AnticipationTestOptions(), features=world.features,
                teacher=[world.teacher], device="cpu", **outputs,
            )  # fmt: skip
    with shards.writing(folder / "frames.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for video in sorted(set(world.rows.video)):
            writer.add(video, np.random.default_rng(0).integers(0, 256, (80, 24, 24, 3), np.uint8), np.arange(80) / 4)

    def make(**more):
        told = {key: more.pop(key, {}) for key in ("together", "teachers")}
        wanted = AnticipationSectionOptions(pairs=more.pop("pairs", {"taught": "base"}), videos=2, **told)
        lists = {key: sorted(folder.glob(f"*/seed-*/{file}")) for key, file in FILES.items()}
        lists |= {"histories": sorted(folder.glob("*/seed-*/history.csv"))} | more.pop("files", {})
        models = sorted(folder.glob("*/seed-*/model.safetensors"))
        given = {"features": world.features, "frames": [folder / "frames.h5"]} | more
        anticipation_section(
            **lists,
            models=models,
            actions=world.actions,
            classes=world.classes,
            section=folder / "s.json",
            options=wanted,
            **given,
        )
        return sections.read(folder / "s.json")

    return make


def test_the_section_shows_numbers_gains_examples_curves_and_attention(study):
    found = study()
    assert found.order == 60 and found.title == "Anticipation: tiny"
    assert {block.text for block in found.blocks if isinstance(block, Heading)} == {
        "Which actions the teacher helps to foresee",
        "Training",
        "What comes next?",
        "Where it looks",
    }
    assert len([block for block in found.blocks if isinstance(block, Figure)]) == 4
    tables = {block.caption: block for block in found.blocks if isinstance(block, Table)}
    rows = {row[0]: row for row in tables["Next actions foreseen"].rows}
    assert list(rows) == ["base", "taught", "teacher", "majority", "chance"]
    assert rows["chance"][2] == "16.7%" and rows["taught"][3] and not rows["base"][3]
    assert (
        found.summary
        == f"taught foresees {rows['taught'][2]} of the next actions, {rows['taught'][3]} points over base, which has no teacher."
    )
    told = tables["The five likeliest next actions"].rows
    assert len(told) == 2 * 3 and [row[2] for row in told[:3]] == ["teacher", "taught", "base"]
    errors = [row for row in tables["Who errs where"].rows if row[0] == "taught"]
    assert [row[1] for row in errors[:2]] == [
        "teacher wrong, base wrong, student wrong",
        "teacher wrong, base wrong, student right",
    ]
    assert len(errors) == 8
    assert f"tested on {sum(row[2] for row in errors):.0f} actions" in found.blocks[0].text
    assert tables["Classes that are expected together"].rows
    assert any(isinstance(block, Callout) and "points top-1" in block.text for block in found.blocks)
    assert "order" in found.blocks[0].text and "until the action before ends" in found.blocks[0].text


def test_the_section_is_the_same_every_time_and_needs_no_frames_features_or_pairs(study):
    assert study() == study()
    bare = study(pairs={}, features=None, frames=None)
    assert not [block for block in bare.blocks if isinstance(block, Figure) and block.image]
    assert "Where it looks" not in {block.text for block in bare.blocks if isinstance(block, Heading)}


def test_every_teacher_has_a_row_of_its_own(study):
    def teachers(**of):
        (table,) = (
            block for block in study(teachers=of).blocks if isinstance(block, Table) and "foreseen" in block.caption
        )
        return [row for row in table.rows if row[0].startswith("teacher")]

    (one,) = teachers(base="rule", taught="rule")
    first, second = teachers(base="rule", taught="other")
    assert (one[0], first[0], second[0]) == ("teacher rule", "teacher rule", "teacher other")
    assert one[1:] == first[1:] == second[1:]  # both are tested with the same records


def test_sums_and_means_of_students_have_a_table(study, tmp_path):
    for seed in (0, 1):
        for room, action in (
            ("fusions", {"top1": 0.25 + seed / 10}),
            ("summaries", {"top1": {"mean": 0.5, "tests": 2}}),
        ):
            (tmp_path / f"{room}/both/seed-{seed}").mkdir(parents=True)
            (tmp_path / f"{room}/both/seed-{seed}/metrics.json").write_text(json.dumps({"action": action}))
    files = {room: sorted(tmp_path.glob(f"{room}/*/*/metrics.json")) for room in ("fusions", "summaries")}
    found = study(together={"fusions.both": "base + 2 taught"}, **files)
    (table,) = (block for block in found.blocks if isinstance(block, Table) and block.caption == "Students together")
    assert [row[:4] for row in table.rows] == [
        ("both", "base + 2 taught", 2, "30.0% (25.0–35.0)"),
        ("both", "", 2, "50.0%"),
    ]


def test_pairs_of_unknown_runs_and_missing_files_are_refused(study, tmp_path):
    with pytest.raises(ConfigError, match="there is no run 'nobody'; the runs are base, taught"):
        study(pairs={"nobody": "base"})
    with pytest.raises(DataError, match="histories: there is no file of the run 'base', seed 0"):
        study(files={"histories": []})
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match="results lie at"):
        study(files={"metrics": [tmp_path / "metrics.json"]})


def test_a_teacher_that_changes_nothing_helps_no_action(study):
    found = study(pairs={"base": "base"})
    assert Text("None: `base` and `base` foresee as much of every action.") in found.blocks
    assert not [block for block in found.blocks if isinstance(block, Figure) and block.alt.startswith("Gains")]


def test_a_history_of_one_row_is_a_point_beside_ticks_that_differ():
    histories = {"alone": [[{"step": 1.0, "train/action_top1": 0.03}]]}
    figure = canvas.Figure(layout="constrained")
    drawing._curves(figure, histories, {"training: top-1": "train/action_top1"})
    (axes,) = figure.axes
    figure.canvas.draw()
    ticks = [text.get_text() for text in axes.get_yticklabels()]
    assert axes.lines[0].get_marker() == "o" and len(set(ticks)) == len(ticks) > 1
    figure = canvas.Figure(layout="constrained")
    rows = [{"step": float(step), "train/action_top1": step / 10} for step in (1, 2, 3)]
    drawing._curves(figure, {"alone": [rows]}, {"training: top-1": "train/action_top1"})
    figure.canvas.draw()
    assert figure.axes[0].lines[0].get_marker() in ("", "None")
    assert all("." not in text.get_text() for text in figure.axes[0].get_yticklabels())


def test_names_of_the_world_are_in_the_pictures(study):
    (gains, *_) = [block for block in study().blocks if isinstance(block, Figure)]
    assert any(name in gains.svg for name in tiny.NAMES)
