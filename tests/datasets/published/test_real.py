"""The real annotation files: their sizes, their traps, and what happens to each of their rows."""

import json

import pytest

from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.dataset import read_published
from kinoflow.datasets.published.list_files import list_files
from kinoflow.datasets.published.options import AnnotationsOptions, ListFilesOptions, PublishedOptions
from kinoflow.datasets.roles import read_labels, read_splits
from kinoflow.store.clip_lists import read_list_file

KINETICS = {"kinetics_label_map.txt": "label_map_k400.txt", "kinetics_val.csv": "kinetics-400_val.sample.csv"}
SOMETHING = {
    "something-something-v2-labels.json": "something-something-v2-labels.json",
    "something-something-v2-validation.json": "something-something-v2-validation.sample.json",
    "something-something-v2-test.json": "something-something-v2-test.sample.json",
}


@pytest.fixture
def real(shared, tmp_path):
    """Return a function that puts real files of a dataset into a folder, under the names by which they are published."""

    def place(dataset, files):
        folder = tmp_path / "annotations"
        folder.mkdir()
        for name, source in files.items():
            (folder / name).symlink_to(shared / "data" / "annotations" / dataset / source)
        return folder

    return place


def lists(annotations, frames, out, **options):
    list_files(annotations, frames, out, ListFilesOptions(**options))
    return {path.name: path.read_text().splitlines() for path in out.iterdir()}


def made_up(root, found):
    """Make a folder of one picture for every clip."""
    for entries in found.splits.values():
        for entry in entries:
            (root / entry.folders[0]).mkdir(parents=True, exist_ok=True)
            (root / entry.folders[0] / "img_00001.jpg").touch()


@pytest.mark.parametrize(
    "kind, dataset, options, classes, sizes, unused",
    [
        ("ucf101", "ucf101", {}, 101, {"train": 9537, "test": 3783}, 0),
        ("hmdb51", "hmdb51", {}, 51, {"train": 3570, "test": 1530}, 1666),
    ],
)
def test_the_splits_of_ucf101_and_hmdb51_have_their_published_sizes(
    shared, kind, dataset, options, classes, sizes, unused
):
    found = read_published(shared / "data" / "annotations" / dataset, PublishedOptions(kind=kind, **options))
    assert len(found.classes) == classes and found.unused == unused
    assert {split: len(entries) for split, entries in found.splits.items()} == sizes
    videos = [entry.video for entries in found.splits.values() for entry in entries]
    assert len(set(videos)) == len(videos)
    assert {entry.label for entry in found.splits["train"]} == set(range(classes))


def test_every_clip_of_ucf101_has_its_line(shared, tmp_path):
    folder = shared / "data" / "annotations" / "ucf101"
    found = read_published(folder, PublishedOptions(kind="ucf101"))
    videos = tmp_path / "videos"
    for name in found.classes:
        (videos / name).mkdir(parents=True)
    for entries in found.splits.values():
        for entry in entries:
            (videos / entry.video).touch()
    written = lists(folder, videos, tmp_path / "lists", kind="ucf101", media="videos", first_class=1)
    assert len(written["train_videofolder.txt"]) == 9537 and len(written["test_videofolder.txt"]) == 3783
    assert (
        written["train_videofolder.txt"] == (folder / "trainlist01.txt").read_text().splitlines()
    )  # the published list
    assert written["category.txt"] == (folder / "label_map_mmaction2.txt").read_text().splitlines()
    assert not [name for name in written if name.startswith("missing")]


def test_groups_of_ucf101_are_recordings_that_stay_on_one_side(shared):
    found = read_published(shared / "data" / "annotations" / "ucf101", PublishedOptions(kind="ucf101"))
    groups = {split: {entry.recording for entry in entries} for split, entries in found.splits.items()}
    assert not groups["train"] & groups["test"] and len(groups["test"]) == 101 * 7
    assert "v_HandStandPushups_g01" in groups["test"]


def test_every_clip_of_hmdb51_has_its_line(shared, tmp_path):
    folder = shared / "data" / "annotations" / "hmdb51"
    found = read_published(folder, PublishedOptions(kind="hmdb51"))
    frames = tmp_path / "frames"
    for i, name in enumerate(found.classes):
        frames.joinpath(name).mkdir(parents=True)
        clips = [entry for entries in found.splits.values() for entry in entries if entry.label == i]
        frames.joinpath(clips[0].folders[0]).mkdir()  # one of each class is there
    written = lists(folder, frames, tmp_path / "lists", kind="hmdb51")
    assert len(written["train_videofolder.txt"]) + len(written["test_videofolder.txt"]) == 51
    assert len(written["missing_train_videofolder.txt"]) == 3570 - len(written["train_videofolder.txt"])
    assert len(written["missing_test_videofolder.txt"]) == 1530 - len(written["test_videofolder.txt"])
    assert written["category.txt"] == sorted(written["category.txt"])


def test_the_validation_rows_of_kinetics_are_missing_without_media_and_listed_with_it(real, tmp_path):
    folder, frames = real("kinetics400", KINETICS), tmp_path / "frames"
    frames.mkdir()
    before = lists(folder, frames, tmp_path / "before", kind="kinetics")
    assert before["val_videofolder.txt"] == [] and len(before["missing_val_videofolder.txt"]) == 3000
    found = read_published(folder, PublishedOptions(kind="kinetics"))
    assert len(found.classes) == 400 and found.classes == sorted(found.classes)
    made_up(frames, found)
    after = lists(folder, frames, tmp_path / "after", kind="kinetics")
    assert len(after["val_videofolder.txt"]) == 3000 and after["missing_val_videofolder.txt"] == []
    assert after["val_videofolder.txt"][0] == "abseiling/0wR5jVB-WPk_000417 1 0"
    clips = read_list_file(tmp_path / "after" / "val_videofolder.txt", classes=400)
    assert len({clip.label for clip in clips}) == 61


def test_the_test_table_of_kinetics_names_no_classes(real):
    files = KINETICS | {"kinetics_test.csv": "kinetics-400_test.sample.csv"}
    found = read_published(real("kinetics400", files), PublishedOptions(kind="kinetics"))
    assert len(found.splits["test"]) == 500 and {entry.label for entry in found.splits["test"]} == {None}
    assert found.splits["test"][0].folders[0] == "test/--6bJUbfpnQ_000017"


def test_the_rows_of_something_v2_are_missing_without_media_and_listed_with_it(real, tmp_path):
    folder, frames = real("something_v2", SOMETHING), tmp_path / "frames"
    frames.mkdir()
    before = lists(folder, frames, tmp_path / "before", kind="something_v2")
    for split in ("val", "test"):
        assert before[f"{split}_videofolder.txt"] == [] and len(before[f"missing_{split}_videofolder.txt"]) == 60
    found = read_published(folder, PublishedOptions(kind="something_v2"))
    assert len(found.classes) == 174
    made_up(frames, found)
    after = lists(folder, frames, tmp_path / "after", kind="something_v2")
    assert set(after) == {"category.txt", "val_videofolder.txt", "test_videofolder.txt"}
    assert len(after["val_videofolder.txt"]) == len(after["test_videofolder.txt"]) == 60
    items = json.loads((folder / "something-something-v2-validation.json").read_text())
    templates = [item["template"].replace("[", "").replace("]", "") for item in items]
    assert [after["category.txt"][int(line.split()[2])] for line in after["val_videofolder.txt"]] == templates


def test_answers_to_the_test_split_of_something_v2_give_it_classes(real, tmp_path):
    folder = real("something_v2", SOMETHING | {"test-answers.csv": "test-answers.sample.csv"})
    answers = dict(line.split(";") for line in (folder / "test-answers.csv").read_text().splitlines())
    clip = next(iter(answers))
    (folder / "something-something-v2-test.json").unlink()
    (folder / "something-something-v2-test.json").write_text(json.dumps([{"id": clip}, {"id": "1"}]))
    annotations(folder, tmp_path / "labels.csv", tmp_path / "splits.csv", AnnotationsOptions(kind="something_v2"))
    labels = {line.cells["video"]: line.cells for line in read_labels(tmp_path / "labels.csv").lines}
    assert labels[f"{clip}.webm"]["action"] == answers[clip] and "1.webm" not in labels
    assert labels["74225.webm"]["text"] == "spinning cube that quickly stops spinning"
    sides = {line.cells["video"]: line.cells["split"] for line in read_splits(tmp_path / "splits.csv").lines}
    assert len(sides) == 62 and sides["1.webm"] == "test" and sides["74225.webm"] == "validation"


@pytest.mark.parametrize(
    "kind, size, source", [("something_v1", 174, "label_map.txt"), ("jester", 27, "jester-v1-labels.csv")]
)
def test_names_of_something_v1_and_jester_with_made_up_rows(shared, tmp_path, kind, size, source):
    names = (shared / "data" / "annotations" / kind / source).read_text().splitlines()
    stem = "jester-v1" if kind == "jester" else "something-something-v1"
    folder, frames = tmp_path / "annotations", tmp_path / "frames"
    folder.mkdir()
    (folder / f"{stem}-labels.csv").write_text("\n".join(names))
    (folder / f"{stem}-train.csv").write_text("".join(f"{i};{name}\n" for i, name in enumerate(names)))
    (folder / f"{stem}-test.csv").write_text("1000\n1001\n")
    found = read_published(folder, PublishedOptions(kind=kind))
    assert found.classes == sorted(names) and len(found.classes) == size
    made_up(frames, found)
    written = lists(folder, frames, tmp_path / "lists", kind=kind)
    rank = {name: i for i, name in enumerate(sorted(names))}
    assert written["train_videofolder.txt"] == [f"{i} 1 {rank[name]}" for i, name in enumerate(names)]
    assert written["test_videofolder.txt"] == ["1000 1 0", "1001 1 0"]
    in_file_order = read_published(folder, PublishedOptions(kind=kind, order="file"))
    assert [entry.label for entry in in_file_order.splits["train"]] == list(range(size))


def test_the_names_of_something_v1_and_v2_are_the_same_in_the_same_order_once_sorted(shared):
    folder = shared / "data" / "annotations"
    one = (folder / "something_v1" / "label_map.txt").read_text().splitlines()
    two = json.loads((folder / "something_v2" / "something-something-v2-labels.json").read_text())
    assert sorted(one) == list(two) and one != list(two)
