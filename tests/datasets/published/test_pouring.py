"""Pouring: from TFRecord files to clips and tables."""

import pytest
from tests.conftest import moving_square
from tests.datasets.published.releases import (
    bytes_feature,
    entry,
    int_feature,
    jpeg,
    message,
    pouring,
    sequence_example,
    tfrecord,
)

from kinoflow.datasets.published.pouring import convert_pouring
from kinoflow.datasets.published.tfrecord import crc32c
from kinoflow.errors import DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.store.tables import read_csv


def convert(folder, records):
    convert_pouring(records, folder / "videos", folder / "labels.csv", folder / "splits.csv")
    return [[row for _, row in read_csv(folder / name, ())] for name in ("labels.csv", "splits.csv")]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return pouring(tmp_path_factory.mktemp("pouring"), frames=10, side=64, crc=crc32c)


def test_every_record_becomes_a_clip_with_its_phases(release, tmp_path):
    labels, splits = convert(tmp_path, release)
    assert {row["video"]: row["split"] for row in splits} == {
        "creme_0.mp4": "train",
        "creme_1.mp4": "train",
        "milk_0.mp4": "validation",
    }
    own = [row for row in labels if row["video"] == "creme_0.mp4"]
    assert (own[0]["action"], own[0]["phase"], own[0]["start"], own[0]["end"]) == ("pouring", "", "", "")
    assert [row["phase"] for row in own[1:]] == [f"phase {i}" for i in range(5)]
    assert [float(row["end"]) for row in own[1:]] == pytest.approx([0.08 * i for i in range(1, 6)])


def test_other_numbers_of_clips_than_published_are_told(release, tmp_path, caplog):
    convert(tmp_path, release)
    assert "numbers of clips differ from the published ones: train 2, not 70; validation 1, not 14" in caplog.text


def test_a_clip_has_the_frames_of_its_record(release, tmp_path):
    convert(tmp_path, release)
    blocks = list(decode_video(tmp_path / "videos" / "creme_1.mp4", FramesOptions(size=64)))
    frames, times = blocks[0]
    assert frames.shape == (11, 64, 64, 3) and times[-1] == pytest.approx(10 / 25)
    assert abs(frames.astype(int) - moving_square(11, 64, 64, 1)).mean() < 25


def test_a_second_conversion_makes_no_clip_again(release, tmp_path, caplog):
    convert(tmp_path, release)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").glob("*.mp4")}
    (tmp_path / "videos" / "milk_0.mp4").unlink()
    tables = convert(tmp_path, release)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").glob("*.mp4")}
    assert {name for name in after if after[name] != before[name]} == {"milk_0.mp4"} and len(tables[1]) == 3


def test_a_flipped_byte_is_told_by_file_and_record(release, tmp_path):
    (tmp_path / "records").mkdir()
    for path in release.glob("*.tfrecord"):
        (tmp_path / "records" / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "records" / "pouring_val-0-of-1.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pouring_val-0-of-1.tfrecord, record 0: its bytes are damaged"):
        convert(tmp_path, tmp_path / "records")


def test_a_missing_part_is_told(release, tmp_path):
    (tmp_path / "records").mkdir()
    path = release / "pouring_train-1-of-2.tfrecord"
    (tmp_path / "records" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="number 0 of its 2 parts"):
        convert(tmp_path, tmp_path / "records")


@pytest.mark.parametrize(
    ("pictures", "labels", "name", "sentence"),
    [
        ([b"x"], [0, 1], "a", "1 pictures, 2 labels and the length 1"),
        ([], [], "a", "0 pictures"),
        ([b"no JPEG"], [0], "a", "picture 0 is no whole JPEG"),
        ([b"x"], [0], "../a", "is no name of a clip"),
    ],
)
def test_a_record_that_does_not_fit_is_one_sentence(tmp_path, pictures, labels, name, sentence):
    tfrecord(tmp_path / "pouring_val-0-of-1.tfrecord", [sequence_example(name, pictures, labels)])
    with pytest.raises(DataError, match=sentence):
        convert(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("video", "labels", "sentence"),
    [
        (message(1, int_feature(7)), message(1, int_feature(0)), "video is a list of JPEG files, frame_labels"),
        (message(1, bytes_feature(b"x")), message(1, bytes_feature(b"0")), "frame_labels of whole numbers"),
        (message(1, bytes_feature(b"x")), message(1, message(2, message(1, bytes(4)))), "of whole numbers"),
        (bytes([8, 5]), message(1, int_feature(0)), "record 0: this is no sequence example"),
    ],
    ids=["numbers for pictures", "bytes for labels", "floats for labels", "a number for a feature"],
)
def test_a_record_whose_lists_are_of_another_type_is_one_sentence(tmp_path, video, labels, sentence):
    context = entry("name", bytes_feature(b"a")) + entry("len", int_feature(1))
    example = message(1, context) + message(2, entry("video", video) + entry("frame_labels", labels))
    tfrecord(tmp_path / "pouring_val-0-of-1.tfrecord", [example])
    with pytest.raises(DataError, match=sentence):
        convert(tmp_path, tmp_path)


def test_a_clip_of_one_frame_is_a_clip(tmp_path):
    picture = jpeg(moving_square(1, 32, 32)[0])
    tfrecord(tmp_path / "pouring_val-0-of-1.tfrecord", [sequence_example("a", [picture], [2])])
    labels, _ = convert(tmp_path, tmp_path)
    assert [(row["phase"], row["start"], row["end"]) for row in labels] == [("", "", ""), ("phase 2", "0.0", "0.04")]
