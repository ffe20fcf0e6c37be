"""Real annotation files, counted; sequences by hand; and what is refused."""

import csv
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation.rows import epic55

from kinoflow.datasets import actions as table
from kinoflow.datasets.actions import Action, Classes, Rows
from kinoflow.datasets.published import breakfast_actions, egtea, epic, rulstm, runs, salads
from kinoflow.datasets.published.files import Files
from kinoflow.errors import ConfigError, DataError
from kinoflow.store import tables
from kinoflow.store.tables import Segment, Video
from kinoflow.tasks.anticipation.sequences import action_sequences
from kinoflow.tasks.anticipation.text_options import SequencesOptions

CLASSES = Classes("toy", 30.0, ("a", "b"), ("a", "b"))


# ---------------------------------------------------------------- real files


def test_epic_55_has_the_published_counts(shared):
    actions, classes = epic55(shared)
    rows = Rows.of(actions)
    assert classes.heads == {"action": 2513, "verb": 125, "noun": 352}
    assert {name: len(numbers) for name, numbers in classes.many_shot.items()} == {
        "verb": 26,
        "noun": 71,
        "action": 819,
    }
    train, validation = (rows.take(rows.split == split) for split in ("train", "validation"))
    assert (len(train), len(validation)) == (23493, 4979)
    assert (len(set(train.video)), len(set(validation.video))) == (232, 40)
    assert not set(train.video) & set(validation.video)
    assert len(set(rows.recording)) == 28
    assert (len(set(train.action)), len(set(validation.action))) == (2291, 931)
    unseen = ~np.isin(validation.action, train.action)
    assert round(100 * unseen.mean(), 1) == 7.0
    assert round(100 * table.overlapping(actions) / len(actions)) == 28


def test_epic_100_has_the_published_counts(shared):
    actions, classes = epic.read(Files(shared / "data" / "epic100"), "epic100")
    rows = Rows.of(actions)
    assert classes.heads == {"action": 3806, "verb": 97, "noun": 300}
    assert [int((rows.split == split).sum()) for split in ("train", "validation")] == [67217, 9668]
    inside = {name: sum(name in text.split() for text in rows.subsets) for name in epic.SUBSETS}
    assert inside == {"tail_verb": 1760, "tail_noun": 1900, "tail_action": 3105, "unseen": 1065}
    assert set(rows.recording[["unseen" in text for text in rows.subsets]]) == {"P18", "P32"}


@pytest.mark.parametrize(
    ("split", "sizes", "common"), [(1, (8299, 2022), 65), (2, (8299, 2022), 42), (3, (8300, 2021), 58)]
)
def test_egtea_has_the_published_counts(shared, split, sizes, common):
    actions, classes = egtea.read(Files(shared / "data" / "egtea"), split)
    rows = Rows.of(actions)
    assert classes.heads == {"action": 106, "verb": 19, "noun": 51}
    sides = [rows.take(rows.split == side) for side in ("train", "validation")]
    assert tuple(map(len, sides)) == sizes
    assert len(set(sides[0].video) & set(sides[1].video)) == common
    assert len(set(rows.video)) == 86


def test_a_recording_of_salads_is_the_sequence_counted_by_hand(shared):
    actions, classes = salads.read(Files(shared / "data" / "annotations" / "50salads"))
    first = [classes.names[row.action] for row in actions if row.video == "01-1"]
    assert first == SALAD
    assert len({row.video for row in actions}) == 20
    assert {row.recording for row in actions if row.split == "test"} == {"01", "02"}
    row = next(row for row in actions if row.video == "01-1")
    assert (row.uid, row.start) == ("01-1#000", 0.0)
    assert row.end == (106878578 - 53704269) / 1e6


# cut -d' ' of the file sorted by its first column, levels taken off, neighbours that touch counted once
SALAD = [
    *("cut_tomato", "place_tomato_into_bowl", "cut_tomato", "place_tomato_into_bowl", "cut_cheese"),
    *("place_cheese_into_bowl", "cut_lettuce", "place_lettuce_into_bowl", "add_salt", "add_vinegar", "add_oil"),
    *("add_pepper", "mix_dressing"),
]


def test_a_video_of_breakfast_is_the_sequence_counted_by_hand(shared):
    actions, classes = breakfast_actions.read(Files(shared / "data" / "annotations" / "breakfast"), people=("P34",))
    found = [(classes.names[row.action], row.start, row.end) for row in actions if row.video == "P16_cam01_P16_tea"]
    assert found == BREAKFAST
    assert len({row.video for row in actions}) == 45
    assert len({row.video for row in actions if row.split == "test"}) == 8
    assert len(classes.names) == 48


# uniq -c of the file, at 15 lines a second
BREAKFAST = [
    ("SIL", 0.0, 3 / 15),
    ("add_teabag", 3 / 15, 42 / 15),
    ("pour_water", 42 / 15, 262 / 15),
    ("SIL", 262 / 15, 362 / 15),
]


# ---------------------------------------------------------------- our own tables


def segment(name: str, start: float, action: str, **more) -> Segment:
    verb, _, noun = action.partition(" ")
    return Segment(segment=name, video=name[0], start=start, end=start + 1, action=action, verb=verb, noun=noun, **more)


def test_tables_of_segments_become_sequences_and_phases_are_left_out(tmp_path):
    videos = [
        Video(video="x", path="x", split="train", recording="k1", status="readable"),
        Video(video="y", path="y", split="test", status="readable"),
    ]
    rows = [
        segment("x2", 5, "open jar"),
        segment("x1", 1, "pull tray"),
        segment("y1", 0, "open box"),
        segment("x3", 1, "open jar", phase="reach"),
    ]
    tables.write(tmp_path / "videos.csv", videos, Video)
    tables.write(tmp_path / "segments.csv", rows, Segment)
    out = tmp_path / "actions.csv", tmp_path / "classes.json"
    action_sequences(
        *out,
        SequencesOptions(rate=12),
        videos=tmp_path / "videos.csv",
        segments=tmp_path / "segments.csv",
        dataset="toy",
    )
    classes = table.read_classes(out[1])
    assert classes.names == ("open box", "open jar", "pull tray")
    assert classes.texts == ("open <v> box", "open <v> jar", "pull <v> tray")
    assert (classes.verbs, classes.nouns, classes.verb, classes.noun) == (
        ("open", "pull"),
        ("box", "jar", "tray"),
        (0, 0, 1),
        (0, 1, 2),
    )
    found = table.read_rows(out[0], classes)
    assert found.uid.tolist() == ["x1", "x2", "y1"]
    assert found.recording.tolist() == ["k1", "k1", "y"]
    assert found.action.tolist() == [2, 1, 0]
    assert classes.key == table.read_classes(out[1]).key


def test_a_kind_without_its_files_is_refused(tmp_path):
    for options in (SequencesOptions(), SequencesOptions(kind="egtea")):
        with pytest.raises(ConfigError, match="kind"):
            action_sequences(tmp_path / "a", tmp_path / "b", options)


# ---------------------------------------------------------------- order and errors


def action(uid: str, start: float, end: float, video: str = "v", number: int = 0, **more) -> Action:
    return Action(uid=uid, video=video, start=start, end=end, action=number, split="train", **more)


@settings(deadline=None, max_examples=40)
@given(st.permutations([("10", 0.0, 2.0), ("9", 0.0, 2.0), ("2", 0.0, 1.0), ("1", 3.0, 4.0)]))
def test_rows_are_sorted_by_times_and_then_by_the_number_of_the_uid(rows):
    assert [row.uid for row in table.in_order(action(*row) for row in rows)] == ["2", "9", "10", "1"]


def test_numbers_in_names_sort_as_numbers():
    assert sorted(["P01_10", "P01_9", "P01"], key=table.natural) == ["P01", "P01_9", "P01_10"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([action("1", 1, 1)], "not after its start"),
        ([action("1", 0, 1), action("1", 2, 3)], "the uid 1 was there before"),
        ([action("1", 0, 1, number=2)], "the table of classes has 2"),
        ([action("1", 0, 1, verb=0)], "the verb 0"),
    ],
)
def test_wrong_rows_are_refused_with_their_place(rows, said):
    with pytest.raises(DataError, match=said) as error:
        table.checked(rows, CLASSES, lambda i: f"here, line {i + 1}")
    assert "here, line" in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1, v, 1, 2, 0, 0", "6 columns"),
        ("1, v, one, 2, 0, 0, 0", "whole numbers"),
        ("1, v, 5, 5, 0, 0, 0", "not after its start"),
        ("1, v, 1, 5, 1, 0, 0", "its action"),
    ],
)
def test_wrong_lines_of_epic_are_refused(tmp_path, line, said):
    (tmp_path / "actions.csv").write_text("id,action,verb,noun\n0, take_pan,0,0\n1, put_pan,1,0\n")
    (tmp_path / "training.csv").write_text("007, v, 1, 9, 0, 0, 0\n")
    (tmp_path / "validation.csv").write_text(line + "\n")
    with pytest.raises(DataError, match=said):
        epic.read(Files(tmp_path), "epic55")


def test_zeros_in_front_of_a_uid_do_not_count(tmp_path):
    path = tmp_path / "segments.csv"
    path.write_text("00330, P01_02, 0000000152, 0000000205, 000, 004, 0194\n")
    ((_, row),) = rulstm.read_segments(path, "train")
    assert (row.uid, row.start, row.recording) == ("330", 152 / 30, "P01")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("abc"), max_size=20))
def test_runs_put_together_are_the_labels_again(labels):
    found = runs.runs(labels)
    assert [label for label, first, end in found for _ in range(first, end)] == labels
    assert all(one[0] != other[0] for one, other in pairwise(found))


def test_parts_by_person_cover_everybody_once():
    people = [f"P{i}" for i in range(7)]
    parts = [runs.tested(people, (), split, 4) for split in range(1, 5)]
    assert sorted(person for part in parts for person in part) == people
    with pytest.raises(ConfigError, match="nobody is left"):
        runs.tested(people, people, 1, 4)
    with pytest.raises(ConfigError, match="no video of 'P9'"):
        runs.tested(people, ("P9",), 1, 4)


def test_a_segment_of_egtea_whose_verb_or_noun_is_not_its_actions_is_refused(tmp_path):
    (tmp_path / "actions.csv").write_text("0,0_0,Take_cup\n1,1_1,Put_pan\n")
    (tmp_path / "validation1.csv").write_text("2, OP01-R01-X, 90, 120, 1, 1, 1\n")
    for parts, fits in (("0, 0", True), ("1, 0", False), ("0, 1", False)):
        (tmp_path / "training1.csv").write_text(f"1, OP01-R01-X, 30, 60, {parts}, 0\n")
        if fits:
            assert len(egtea.read(Files(tmp_path), 1)[0]) == 2
        else:
            with pytest.raises(DataError, match=f"training1.csv, line 1: the segment 1 has the verb {parts[0]} and"):
                egtea.read(Files(tmp_path), 1)


@pytest.mark.parametrize(
    ("read", "header", "row"),
    [
        (egtea.read, "0,0_0,Take_cup\n", "1,99999999_0,Put_pan\n"),
        (egtea.read, "0,0_0,Take_cup\n", "1,0_-1,Put_pan\n"),
        (lambda files: epic.read(files, "epic55"), "id,action,verb,noun\n", "0,put_pan,0,99999999\n"),
    ],
)
def test_numbers_of_more_verbs_and_nouns_than_there_are_anywhere_are_refused_at_once(tmp_path, read, header, row):
    (tmp_path / "actions.csv").write_text(header + row)
    with pytest.raises(DataError, match=r"actions.csv, line 2: verbs and nouns have numbers from 0 to 99999; fetch"):
        read(Files(tmp_path))


def test_tables_that_are_none_are_refused(tmp_path):
    (tmp_path / "classes.json").write_text('{"dataset": "x"}')
    with pytest.raises(DataError, match="no table of classes"):
        table.read_classes(tmp_path / "classes.json")
    with pytest.raises(DataError, match="cannot be read"):
        table.read_classes(tmp_path / "none.json")


def test_labels_of_frames_and_original_labels_of_breakfast(tmp_path):
    (tmp_path / "mapping.txt").write_text("0 SIL\n1 take_cup\n")
    (tmp_path / "P01_cam01_P01_tea.txt").write_text("SIL\nSIL\ntake_cup\nodd\n")
    (tmp_path / "P02_cam01_P02_tea.labels").write_text("1-30 SIL  \n31-45 take_cup\n")
    rows, _ = breakfast_actions.read(Files(tmp_path))
    assert [(row.recording, row.action, row.start, row.end) for row in rows] == [
        ("P01", 0, 0.0, 2 / 15),
        ("P01", 1, 2 / 15, 3 / 15),
        ("P02", 0, 0.0, 2.0),
        ("P02", 1, 2.0, 3.0),
    ]


def test_frames_of_official_time_stamps_must_be_those_of_rulstm(tmp_path):
    (tmp_path / "actions.csv").write_text("id,action,verb,noun\n0, take_pan,0,0\n")
    (tmp_path / "training.csv").write_text("7, v, 1, 1982, 0, 0, 0\n")
    (tmp_path / "validation.csv").write_text("8, w, 1, 30, 0, 0, 0\n")
    labels = tmp_path / "EPIC_train_action_labels.csv"
    header = ["uid", "start_timestamp", "stop_timestamp"]
    for stamp, fits in (("00:01:06.10", True), ("00:01:06.20", False)):
        with open(labels, "w", newline="") as file:
            csv.writer(file).writerows([header, ["7", "00:00:00.01", stamp]])
        if fits:
            assert len(epic.read(Files(tmp_path), "epic55")[0]) == 2
        else:
            with pytest.raises(DataError, match="the segment 7 has the frames"):
                epic.read(Files(tmp_path), "epic55")


def test_a_folder_of_another_dataset_is_refused(shared):
    with pytest.raises(DataError, match="there is no actions.csv"):
        egtea.read(Files(shared / "data" / "epic55"), 1)
