"""List files as labels: their classes, the number that they count from, and what they refuse."""

import pytest

from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.dataset import read_published
from kinoflow.datasets.published.list_files import list_files
from kinoflow.datasets.published.options import AnnotationsOptions, ListFilesOptions, PublishedOptions
from kinoflow.errors import DataError
from kinoflow.store.tables import read_csv

FOLDERS = {
    "train_videofolder.txt": "a b/one 12 1\ntwo 7 0",
    "val_videofolder.txt": "three 5 1\n",
    "category.txt": "resting\nwaving\n",
}
VIDEOS = {"trainlist.txt": "Wave/v_1.avi 2\r\nRest/v_2.avi 1\r\n", "test.txt": "Rest/v_3.avi 1\nWave/v_4.avi 2\n"}


def written(folder, files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def read(folder, files, **options):
    return read_published(written(folder, files), PublishedOptions(kind="list_files", **options))


def labels(found):
    return {split: [(row.video, row.label) for row in rows] for split, rows in found.splits.items()}


def test_numbers_are_those_of_the_list_of_names(tmp_path):
    found = read(tmp_path, FOLDERS)
    assert found.classes == ["resting", "waving"] and found.listed and found.folders
    assert labels(found) == {"train": [("a b/one", 1), ("two", 0)], "validation": [("three", 1)]}
    assert found.splits["train"][0].folders == ("a b/one",)


def test_lists_of_videos_count_from_the_number_that_is_declared(tmp_path):
    found = read(tmp_path, VIDEOS, first_class=1)
    assert found.classes == ["0", "1"] and not found.folders and not found.listed
    assert labels(found) == {
        "train": [("Wave/v_1.avi", 1), ("Rest/v_2.avi", 0)],
        "test": [("Rest/v_3.avi", 0), ("Wave/v_4.avi", 1)],
    }
    with pytest.raises(DataError, match="trainlist.txt, line 1: there is no class 2: classes begin at 0 and end at 1"):
        read(tmp_path, {"classes.txt": "resting\nwaving\n"}, first_class=0)


def test_a_class_that_does_not_occur_counts_where_their_number_is_told(tmp_path):
    assert read(tmp_path, VIDEOS, first_class=1, class_count=3).classes == ["0", "1", "2"]
    with pytest.raises(DataError, match="there are 2 classes, and list_files has 5"):
        read(tmp_path / "other", FOLDERS, class_count=5)


def test_a_test_list_without_answers_tells_no_class(tmp_path):
    found = read(tmp_path, FOLDERS | {"test_videofolder.txt": "four 8 0\nfive 9 0\n"})
    assert [row.label for row in found.splits["test"]] == [None, None]
    assert found.splits["train"][1].label == 0


def test_lists_become_labels_and_splits(tmp_path):
    for name in ("a b/one", "two"):
        (tmp_path / "frames" / name).mkdir(parents=True)
    files = [tmp_path / name for name in ("labels.csv", "splits.csv", "classes.txt", "missing.csv")]
    options = AnnotationsOptions(kind="list_files")
    source = written(tmp_path / "lists", FOLDERS)
    annotations(source, *files[:2], options, tmp_path / "frames", classes=files[2], missing=files[3])
    rows = [(row["video"], row["action"]) for _, row in read_csv(files[0], ())]
    assert rows == [("a b/one", "waving"), ("two", "resting")]
    assert files[2].read_text() == "resting\nwaving\n"
    assert [(row["clip"], row["reason"]) for _, row in read_csv(files[3], ())] == [("three", "no folder")]


def test_lists_that_we_write_are_read_to_the_same(tmp_path):
    for name in ("a b/one", "two", "three"):
        (tmp_path / "frames" / name).mkdir(parents=True)
        (tmp_path / "frames" / name / "1.jpg").touch()
    source = written(tmp_path / "lists", FOLDERS)
    list_files(source, tmp_path / "frames", tmp_path / "again", ListFilesOptions(kind="list_files"))
    written(tmp_path / "again", {"category.txt": FOLDERS["category.txt"]})
    assert labels(read(tmp_path / "again", {})) == labels(read(source, {}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "x"}, "there is no train_videofolder.txt, val_videofolder.txt or test_videofolder.txt"),
        (FOLDERS | {"category.txt": "a\na\n"}, "category.txt: the class 'a' stands there twice"),
        (FOLDERS | {"train_videofolder.txt": "one 12 2\n"}, "train_videofolder.txt, line 1: there is no class 2"),
        (FOLDERS | {"train_videofolder.txt": "one 12 1\none 12 0\n"}, "line 2: 'one' stands in .* with other numbers"),
        (FOLDERS | {"train_videofolder.txt": "one\n"}, "line 1: 'one' is no line of such a list"),
        (FOLDERS | {"train.txt": "one 12 1\n"}, "may both be the file that is looked for"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, files)
