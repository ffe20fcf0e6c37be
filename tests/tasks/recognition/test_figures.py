"""The section on recognition runs: made from what real tests of small networks leave, and from made-up scores."""

import json
import random
import re

import pytest
from tests.tasks.recognition.finished import TEST, VERBS, Study, figure, kinds, options, table, warnings

from kinoflow.errors import DataError
from kinoflow.report.options import ReportOptions
from kinoflow.report.page import report
from kinoflow.report.results import told
from kinoflow.report.section import Callout, Figure, Table
from kinoflow.store import tables
from kinoflow.store.tables import Segment
from kinoflow.tasks.recognition import results
from kinoflow.tasks.recognition.evaluate import recognition_evaluate
from kinoflow.tasks.recognition.mistakes import DRAWN, PAIRS
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import ClipTestOptions

EVIL = ("<script>alert(1)</script>", "two\nlines\u202e", "a & b ``` $x$", "caf\udce9", "e" * 300)
NETWORKS = {
    "a-lsnet": {"input": {"kind": "gray", "frames": 3}},
    "b-short": {"input": {"kind": "gray", "frames": 3}, "network": {"shift": None}},
    "c-tsm": {},
    "d-tsn": {"network": {"shift": None}},
}


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


# ---------------------------------------------------------------- what stands there


def test_every_block_is_there_for_four_networks_of_three_seeds(study):
    for number, (name, more) in enumerate(NETWORKS.items()):
        study.run(name, seeds=3, right=0.6 if number == 0 else 0.2, rows=8, **more)
    found = study.section()
    assert (found.title, found.order) == ("Recognition: kitchen", 30)
    assert [name for name, *_ in table(found, "The networks").items()] == ["d-tsn", "c-tsm", "b-short", "a-lsnet"]
    assert [row[0] for row in table(found, "The networks").values()] == ["TSN", "TSM", "short windows only", "LSNet"]
    for start in ("verb: 5", "noun: 5", "Mean recall of the classes of each group", "Properties of classes"):
        assert table(found, start)
    for start in ("Shares of clips", "Training curves", "Confusion matrix", "Clips told right", "Clips told wrong"):
        assert figure(found, start)
    assert not warnings(found)
    assert "a-lsnet" in next(block.text for block in found.blocks if isinstance(block, Callout))
    assert found.summary.startswith("a-lsnet tells 80.0% of 5 test clips right (verb); d-tsn ")
    assert found.summary.endswith(", chance 20.0%.")


def test_accuracies_stand_beside_chance_majority_and_the_gain_over_the_plain_network(study):
    study.run("better", seeds=3, right=0.6)
    study.run("plain", seeds=2, right=0.2, network={"shift": None})
    rows = table(study.section(), "verb: 5")
    assert rows["better"] == (3, "80.0% (60.0–100.0)", "100.0%", "80.0% (60.0–100.0)", "+40.0 points")
    assert rows["plain"][-1] == ""
    assert rows["chance"] == (None, "20.0%", "100.0%", "20.0%", "")
    assert rows["majority"] == (None, "20.0%", "100.0%", "", "")


def test_ensembles_stand_beside_their_runs(study, tmp_path):
    study.run("better", right=0.6)
    paths = [tmp_path / f"ensembles/both/seed-{seed}/metrics.json" for seed in (0, 1)]
    for path, top1 in zip(paths, (0.5, 0.75), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"clips": 5, "verb": {"top1": top1, "top5": None, "class_accuracy": 0.25}}))
    found = study.section(fusions=paths, together={"both": "better + 0.5 plain"})
    rows = table(found, "verb: runs together")
    assert rows == {"both": ("better + 0.5 plain", 2, "62.5% (50.0–75.0)", "", "25.0%")}
    assert not [block for block in found.blocks if getattr(block, "caption", "").startswith("noun: runs together")]


def test_what_a_network_costs_is_that_of_the_network(study):
    study.run("tsm")
    trained = study.train("other", 0, options())
    (trained / "model.safetensors").unlink()
    trained.rmdir(), trained.parent.rmdir()
    run = results.read_runs(
        *(study.files(n) for n in ("metrics.json", "history.csv", "predictions.csv", "confusion.csv")),
        study.files("model.safetensors"),
        {},
    )[0]
    network = Recogniser(options().network, 3, 4, {"verb": 5, "noun": 2})
    assert run.parameters == sum(parameter.numel() for parameter in network.parameters())
    heads = 4 * (5 + 2) * network.width
    assert run.work > heads and (run.work - heads) % 4 == 0  # four segments of pictures alike


def test_groups_and_bits_are_told_with_their_chance(study):
    study.run("tsm", seeds=1, right=0.2)  # of pull, push, roll, slice, sweep in this order: pull alone
    found = study.section()
    assert table(found, "Mean recall") == {"tsm": ("50.0%", "0.0%"), "chance": ("50.0%", "50.0%")}
    assert table(found, "Properties")["chance"] == ("50.0%",)
    drawn = figure(found, "Shares of clips")
    assert "all verbs: tsm 20.0%; slow: tsm 50.0%; both: tsm 0.0%" in drawn.alt
    assert "what is reached without seeing any motion" in drawn.caption


def test_without_groups_the_figure_shows_all_clips_told_right(tmp_path):
    study = Study(tmp_path, test=ClipTestOptions())
    study.run("tsm", seeds=3)
    found = study.section()
    assert "all verbs: tsm 80.0% (60.0–100.0)" in figure(found, "Shares of clips").alt
    assert not [caption for caption in kinds(found) if caption.startswith(("Mean recall", "Properties"))]


def test_one_seed_has_no_range_and_one_run_is_not_called_the_best(study):
    study.run("tsm", rows=8)
    found = study.section()
    assert table(found, "verb: 5")["tsm"] == (1, "60.0%", "100.0%", "60.0%")
    assert "Dots: the run's only seed" in figure(found, "Shares of clips").caption
    assert not [block for block in found.blocks if isinstance(block, Callout)]


def test_the_confusions_are_those_of_the_middle_seed_with_groups_side_by_side(study):
    study.run("tsm", seeds=3, right=0.4)
    drawn = figure(study.section(), "Confusion matrix")
    assert "tsm, seed 1: 3 of 5 clips" in drawn.caption
    names = [text for text in re.findall(r">([a-z]+)</text>", drawn.svg) if text in VERBS]
    assert names[:5] == ["push", "pull", "roll", "sweep", "slice"]


def test_of_400_classes_the_most_confused_are_listed(tmp_path):
    study = Study(tmp_path, tuple(f"class {k:03d}" for k in range(400)), ClipTestOptions(), head="action")
    study.run("tsm", right=0.9)
    found = study.section(frames=False)
    listed = next(block for block in found.blocks if isinstance(block, Table) and "confusions" in block.caption)
    assert len(listed.rows) == PAIRS and listed.rows[0] == ("class 360", "class 361", 1, 1.0)
    assert listed.notes == (f"The first {PAIRS} of 40 confusions.",)
    assert not [block for block in found.blocks if isinstance(block, Figure) and "matrix" in block.alt]
    assert (tmp_path / "section.json").stat().st_size < 100_000


def test_as_many_classes_as_can_be_read_are_drawn(tmp_path):
    study = Study(tmp_path, tuple(f"class {k:03d}" for k in range(DRAWN)), ClipTestOptions(), head="action")
    study.run("tsm")
    assert figure(study.section(frames=False), "Confusion matrix")


# ---------------------------------------------------------------- what must be warned of


def test_tests_on_training_clips_are_called_tests_of_memory(study):
    study.run("honest", right=0.2)
    study.run("learnt", splits=("train",))
    study.run("partly", splits=("train", "test"))
    said = warnings(study.section())
    assert len(said) == 2
    assert said[0].startswith("Memory test: all 10 test clips of `learnt`")
    assert said[1].startswith("Memory test: 10 of 15 test clips of `partly`")


def test_clips_of_recordings_held_out_are_no_training_clips(study):
    study.run("held", splits=("train",), hold_out=["t2.mp4"])
    (said,) = warnings(study.section())
    assert "5 of 10 test clips" in said


def test_classes_never_seen_in_training_are_named(study):
    study.run(
        "tsm", labels=lambda row, head: "juggle" if row.verb == "slice" and head == "verb" else getattr(row, head)
    )
    (said,) = warnings(study.section())
    assert said.startswith("`verb`: Not in the training clips of `tsm`: 1 class with 1 clip (`juggle`).")


def test_clips_without_labels_are_said_to_tell_nothing(study):
    study.run("tsm", labels=lambda row, head: "")
    found = study.section()
    assert any("nothing can be measured" in text for text in warnings(found))
    assert not [block for block in found.blocks if isinstance(block, Figure) and block.image]


# ---------------------------------------------------------------- what may be missing or hostile


def test_a_run_without_history_rows_is_said_to_have_none(study):
    study.run("lost")
    study.run("there", seeds=2, rows=2)
    drawn = figure(study.section(), "Training curves")
    assert "Nothing was recorded of lost." in drawn.caption
    assert "there" in drawn.alt and "lost" not in drawn.alt


def test_without_any_history_there_are_no_curves(study):
    study.run("tsm")
    assert not [block for block in study.section().blocks if "Training curves" in getattr(block, "alt", "")]


def test_seeds_with_different_steps_and_long_trainings_are_drawn(study):
    study.run("tsm", seeds=2, rows=3000)
    rows = study.files("history.csv")[0].read_text().splitlines()
    study.files("history.csv")[0].write_text("\n".join(rows[:7]) + "\n")
    assert len(figure(study.section(), "Training curves").svg) < 100_000


def test_hostile_names_are_shown_and_break_nothing(tmp_path):
    study = Study(tmp_path, EVIL, ClipTestOptions(), head="action")
    study.run(
        "tsm", seeds=2, rows=1, labels=lambda row, head: "\x1b[31m<b>never</b>" if row.action == EVIL[0] else row.action
    )
    found = study.section()
    page = tmp_path / "report.html"
    report(page, [tmp_path / "section.json"], ReportOptions(), "s")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text
    assert r"two\nlines\u202e" in figure(found, "Confusion matrix").svg
    assert r"caf\xe9" in text


def test_without_frames_there_are_no_pictures(study):
    study.run("tsm")
    assert not [block for block in study.section(frames=False).blocks if isinstance(block, Figure) and block.image]


def test_without_the_tests_options_measures_stand_without_chance(study):
    study.run("tsm")
    found = study.section(tests=False)
    assert list(table(found, "Mean recall")) == ["tsm"]


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "model.safetensors"])
def test_a_missing_file_is_named(study, name):
    study.run("tsm", seeds=2)
    for path in study.files(name) if name == "model.safetensors" else study.files(name)[:1]:
        path.unlink()
    with pytest.raises(DataError, match=r"'tsm'.*give it too"):
        study.section()


def test_results_of_clips_that_are_gone_are_refused(study):
    study.run("tsm")
    tables.write(study.folder / "segments.csv", study.rows["train"], Segment)
    with pytest.raises(DataError, match="tsm: the tested clip .* test the run again"):
        study.section()


# ---------------------------------------------------------------- the same bytes


def test_the_same_results_give_the_same_bytes_in_any_order_of_files(study):
    for name, more in NETWORKS.items():
        study.run(name, seeds=2, rows=4, **more)
    study.section()
    first = (study.folder / "section.json").read_bytes()
    study.section(mix=random.Random(3))
    assert (study.folder / "section.json").read_bytes() == first
    assert str(study.folder).encode() not in first


def test_the_section_shows_what_a_real_test_of_networks_wrote(study):
    for seed in range(2):
        place = study.train("tsm", seed, options())
        recognition_evaluate(
            [place / "model.safetensors"],
            study.folder / "videos.csv",
            study.folder / "segments.csv",
            place / "metrics.json",
            place / "predictions.csv",
            place / "confusion.csv",
            TEST,
            frames=[study.folder / "f.h5"],
        )
        study._history(seed, 4).write_csv(place / "history.csv")
    study.tests["tsm"] = TEST
    found = study.section()
    tops = [json.loads(path.read_bytes())["verb"]["top1"] for path in study.files("metrics.json")]
    assert table(found, "verb: 5")["tsm"][1] == told(tops)
