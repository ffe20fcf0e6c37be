"""Kinetics as header-less lists path,label."""

import pytest

from kinoflow.datasets.published.dataset import read_published
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError


def read(folder, text, names="", count=2):
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_text(text)
    if names:
        (folder / "kinetics_label_map.txt").write_text(names)
    return read_published(folder, PublishedOptions(kind="kinetics_csv", class_count=count))


def test_names_are_classes(tmp_path):
    found = read(tmp_path, "train/b/xyz_000001_000011.mp4,shooting goal (soccer)\ntrain/a/abc.mp4,abseiling\n")
    assert found.classes == ["abseiling", "shooting goal (soccer)"]
    assert [(row.video, row.label) for row in found.splits["train"]] == [
        ("train/b/xyz_000001_000011.mp4", 1),
        ("train/a/abc.mp4", 0),
    ]


def test_numbers_are_those_of_the_list_of_names(tmp_path):
    found = read(tmp_path, "a/x.mp4,1\nb/y.mp4,0\n", "abseiling\nzumba\n")
    assert found.classes == ["abseiling", "zumba"] and [row.label for row in found.splits["train"]] == [1, 0]


def test_numbers_stand_for_themselves_without_names(tmp_path):
    found = read(tmp_path, "a/x.mp4,2\n", count=3)
    assert found.classes == ["0", "1", "2"] and found.splits["train"][0].label == 2


def test_a_number_of_more_classes_than_there_are_anywhere_is_refused_at_once(tmp_path):
    with pytest.raises(DataError, match="train.csv, line 2: classes have numbers up to 99999, not 99999999; fetch"):
        read(tmp_path, "a/x.mp4,2\na/y.mp4,99999999\n")


def test_the_four_broken_clips_are_left_out(tmp_path):
    text = "".join(
        f"a/{clip}.mp4,1\n"
        for clip in ("4o5v7aDXU9k_000001_000011", "uLaU_15HYdo", "pNvkk7VDOws_0_1", "HvaU7W635to", "ok")
    )
    found = read(tmp_path, text)
    assert [row.video for row in found.splits["train"]] == ["a/ok.mp4"] and found.unused == 4


@pytest.mark.parametrize("text", ["a/x.mp4", "a/x.mp4,", "/abs/x.mp4,1", "../x.mp4,1"])
def test_a_line_that_does_not_fit_is_one_sentence(tmp_path, text):
    with pytest.raises(DataError, match="train.csv, line 1: .* should be a path below the folder"):
        read(tmp_path, text + "\n")


def test_another_number_of_classes_is_told(tmp_path):
    with pytest.raises(DataError, match="there are 1 classes, and kinetics_csv has 2"):
        read(tmp_path, "a/x.mp4,one\n")
