"""From tables and frames to clips."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.datasets.index import index
from kinoflow.datasets.options import IndexOptions
from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.options import AnnotationsOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import Videos
from kinoflow.store import tables
from kinoflow.store.shards import encode_jpeg, writing
from kinoflow.store.tables import Probed, Segment, Video
from kinoflow.tasks.recognition import data
from kinoflow.tasks.recognition.options import HeadOptions, RecognitionOptions


class Clock:
    """A source of times alone: the same for every video."""

    def __init__(self, *times: float):
        self._times = np.array(times)

    def times(self, video: str) -> np.ndarray:
        return self._times


def row(start: float = 0.0, end: float = 1.0, video: str = "a.mp4", split: str = "train", **names: str) -> Segment:
    names = {"action": "cut", "segment": f"{video}#0"} | names
    return Segment(video=video, start=start, end=end, split=split, **names)


def tables_of(folder, rows, **splits):
    """Write videos.csv and segments.csv; splits: of the videos a.mp4, b.mp4."""
    videos = [Video(video=f"{name}.mp4", path=f"{name}.mp4", split=splits[name], status="readable") for name in splits]
    tables.write(folder / "videos.csv", videos, Video)
    tables.write(folder / "segments.csv", rows, Segment)
    return folder / "segments.csv", folder / "videos.csv"


def noise(frames: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 16, 20, channels), np.uint8)


def shard_of(path, **videos):
    with writing(path, {"store": "raw"}, frames=True) as writer:
        for name, frames in videos.items():
            writer.add(f"{name}.mp4", frames, np.arange(len(frames)) / 4)
    return path


def pictures(paths):
    return data.Sources(paths, None).of(RecognitionOptions(), None)


# ---------------------------------------------------------------- rows


def test_phases_are_no_clips(tmp_path):
    rows = [row(segment="1"), row(segment="2", phase="reach"), row(segment="3")]
    found = data.steps(*tables_of(tmp_path, rows, a="train"))
    assert [r.segment for r in found["train"]] == ["1", "3"]


def test_a_segment_without_a_split_has_that_of_its_video(tmp_path):
    found = data.steps(*tables_of(tmp_path, [row(split="")], a="test"))
    assert list(found) == ["test"]


def test_a_segment_of_an_unknown_video_is_refused(tmp_path):
    with pytest.raises(DataError, match="'b.mp4'"):
        data.steps(*tables_of(tmp_path, [row(video="b.mp4")], a="train"))


def test_a_split_without_segments_is_refused_by_the_name_of_its_option():
    with pytest.raises(
        ConfigError, match="validate_on: no segment is in the split 'val' .splits there: 'test', 'train'"
    ):
        data.chosen({"train": [row()], "test": [row()]}, ("train", "val"), "validate_on")


def test_recordings_that_are_held_out_are_told_apart(tmp_path):
    rows, kitchens = [row(video=f"{name}.mp4") for name in "abc"], {"a": "k1", "b": "k2", "c": "k1"}
    films = [Video(video=f"{n}.mp4", path=n, recording=k, status="readable") for n, k in kitchens.items()]
    tables.write(tmp_path / "videos.csv", films, Video)
    assert data.held_out(rows, ["k1"], tmp_path / "videos.csv") == ([rows[1]], [rows[0], rows[2]])
    assert data.held_out(rows, [], tmp_path / "videos.csv") == (rows, [])
    with pytest.raises(ConfigError, match="hold_out: no segment to train on is of the recording 'k3'"):
        data.held_out(rows, ["k3"], tmp_path / "videos.csv")


# ---------------------------------------------------------------- frames of a clip


def test_the_frames_of_a_clip_are_those_in_its_half_open_interval():
    (clip,) = data.clips([row(0.5, 1.0)], Clock(0, 0.25, 0.5, 0.75, 1.0))
    assert (clip.first, clip.frames) == (2, 2)


def test_a_written_time_that_was_rounded_finds_its_frame():
    third = 1 / 3
    (clip,) = data.clips([row(0.3333333, 0.6666667)], Clock(0, third - 5e-7, 2 * third))
    assert (clip.first, clip.frames) == (1, 1)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30, unique=True).map(sorted), st.floats(0, 99), st.floats(0.01, 50)
)
def test_every_frame_of_a_clip_lies_in_it_and_none_is_forgotten(times, start, length):
    (clip,) = data.clips([row(start, start + length)], Clock(*times))
    inside = [i for i, t in enumerate(times) if start - data.SLACK <= t < start + length - data.SLACK]
    assert list(range(clip.first, clip.first + clip.frames)) == inside


def test_a_clip_shorter_than_the_window_is_refused_by_name():
    found = data.clips([row(0, 0.4, segment="a.mp4#0007")], Clock(0, 0.25, 0.5))
    with pytest.raises(DataError, match="'a.mp4#0007' of 'a.mp4' has 2 frames, but the network's input needs 3"):
        data.check_lengths(found, 3)
    data.check_lengths(found, 2)


# ---------------------------------------------------------------- classes


def listed(classes, *names, own=()):
    rows = [row(action=name) for name in names]
    return data.class_lists({"action": HeadOptions(classes=classes)}, rows, own)["action"]


def test_classes_are_sorted_or_in_file_order_or_as_given():
    names = ("take", "cut", "take", "put")
    assert listed("sorted", *names) == ("cut", "put", "take")
    assert listed("file", *names) == ("take", "cut", "put")
    assert listed(("put", "take", "wash", "cut"), *names) == ("put", "take", "wash", "cut")


def test_file_order_is_that_of_the_dataset_s_own_list_where_it_has_all_labels():
    own = ("wash", "take", "put", "cut")
    assert listed("file", "cut", "take", "cut", own=own) == own
    assert listed("sorted", "take", "cut", own=own) == ("cut", "take")
    assert listed("file", "take", "knead", own=own) == ("take", "knead")


def test_a_given_list_that_lacks_a_class_is_refused():
    with pytest.raises(ConfigError, match="heads.action.classes: 'put' is in the training segments"):
        listed(("cut", "take"), "cut", "put", "take")


def test_a_given_list_with_a_class_twice_is_refused():
    with pytest.raises(ConfigError, match="'cut' stands there twice"):
        listed(("cut", "take", "cut"), "cut", "take")


def test_the_head_with_the_largest_weight_is_the_main_one():
    heads = {"noun": HeadOptions(weight=0.5), "verb": HeadOptions(), "action": HeadOptions()}
    assert data.by_weight(heads) == ["action", "verb", "noun"]


def test_one_class_is_nothing_to_learn():
    with pytest.raises(DataError, match="one class in the column 'action'"):
        listed("sorted", "cut", "cut")


def test_a_head_that_is_no_column_is_refused():
    with pytest.raises(ConfigError, match="heads: 'tool' is no column of labels: give one of action, verb, noun"):
        data.check_heads(["tool"], [row()])


def test_an_empty_column_is_refused():
    with pytest.raises(DataError, match="column 'verb' of segments.csv is empty in 1 of 1 segments"):
        data.check_heads(["verb"], [row()])


def test_targets_are_numbers_in_the_list():
    assert data.targets(["take", "cut"], ("cut", "put", "take")).tolist() == [2, 0]


def test_classes_that_training_never_saw_are_told(caplog):
    with caplog.at_level("WARNING", "kinoflow"):
        data.warn_of_unseen(["cut", "fry", "", "take", "fry"], "action", ("cut", "take"))
    assert caplog.messages == [
        "action: 2 clips have labels that no training clip has ('fry'): they stay, and count as wrong"
    ]


# ---------------------------------------------------------------- sources


def test_frames_come_from_whichever_shard_has_the_video(tmp_path):
    a, b = noise(6, 1), noise(4, 2)
    source = pictures([shard_of(tmp_path / "0.h5", a=a), shard_of(tmp_path / "1.h5", b=b)])
    assert np.array_equal(source.frames("b.mp4", np.array([3, 0, 0])), b[[3, 0, 0]])
    assert np.array_equal(source.frames("a.mp4", np.array([5])), a[[5]])
    assert source.times("b.mp4").tolist() == [0, 0.25, 0.5, 0.75]


def test_a_video_that_no_shard_has_is_an_error(tmp_path):
    source = pictures([shard_of(tmp_path / "0.h5", a=noise(2))])
    with pytest.raises(DataError, match="'b.mp4' is in none of the shards"):
        data.clips([row(video="b.mp4")], source)


def test_a_video_in_two_shards_is_an_error(tmp_path):
    paths = [shard_of(tmp_path / f"{i}.h5", a=noise(2)) for i in range(2)]
    with pytest.raises(DataError, match="'a.mp4' is in two shards"):
        pictures(paths)


def test_jpeg_pictures_are_decoded_in_the_order_asked_for(tmp_path):
    coded = [encode_jpeg(np.full((16, 16, 3), 60 * i, np.uint8), 95) for i in range(4)]
    with writing(tmp_path / "0.h5", {"store": "jpeg"}, frames=True) as writer:
        writer.add("a.mp4", coded, np.arange(4) / 4, (16, 16))
    found = pictures([tmp_path / "0.h5"]).frames("a.mp4", np.array([3, 1, 1, 0]))
    assert found.shape == (4, 16, 16, 3)
    assert np.abs(found.mean((1, 2, 3)) - [180, 60, 60, 0]).max() < 2


def test_sources_survive_being_sent_to_another_process(tmp_path):
    a = noise(3)
    source = pickle.loads(pickle.dumps(pictures([shard_of(tmp_path / "0.h5", a=a)])))
    assert np.array_equal(source.frames("a.mp4", np.arange(3)), a)


@pytest.mark.parametrize("choice", [{}, {"rate": 5.0}, {"count": 4}])
def test_frames_decoded_directly_are_those_of_the_frames_stage(tmp_path, make_video, choice):
    make_video(tmp_path / "a.mp4", frames=12)
    options = FramesOptions(size=32, **choice)
    frames, times = next(decode_video(tmp_path / "a.mp4", options))
    source = pickle.loads(pickle.dumps(Videos(tmp_path, options)))
    assert np.array_equal(source.times("a.mp4"), times)
    assert np.array_equal(source.frames("a.mp4", np.array([3, 1, 1, 2])), frames[[3, 1, 1, 2]])


def test_a_video_that_is_not_there_or_no_video_is_an_error(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"no video")
    source = Videos(tmp_path, FramesOptions(size=32))
    with pytest.raises(DataError, match="'a.mp4'"):
        source.times("a.mp4")
    with pytest.raises(DataError, match="'b.mp4'"):
        source.times("b.mp4")


# ---------------------------------------------------------------- splits without labels


def test_videos_of_a_published_test_split_without_labels_are_clips_to_test_but_not_to_train(tmp_path):
    source = tmp_path / "annotations"
    source.mkdir()
    (source / "something-something-v2-labels.json").write_text('{"Moving something":"0","Pushing something":"1"}')
    (source / "something-something-v2-train.json").write_text('[{"id":"1","template":"Moving [something]"}]')
    (source / "something-something-v2-test.json").write_text('[{"id":"7"},{"id":"8"},{"id":"9"}]')
    kept = {"status": "readable", "kept": True, "duration": 2.0, "fps": 12.0}
    films = [Probed(video=f"{i}.webm", **kept) for i in (1, 7, 8)] + [Probed(video="9.webm", status="unreadable")]
    tables.write(tmp_path / "inventory.csv", films, Probed)
    places = [tmp_path / name for name in ("inventory.csv", "videos.csv", "segments.csv", "labels.csv", "splits.csv")]
    options = AnnotationsOptions(kind="something_v2", class_count=2)
    annotations(source, *places[3:], options, inventory=places[0])
    index(*places[:3], IndexOptions(max_unreadable=0.5), *places[3:])
    assert [row.action for row in tables.read(places[2], Segment)] == ["Moving something"]
    found = data.to_test(places[2], places[1], ("test",))
    assert [(row.segment, row.start, row.end, row.action) for row in found] == [
        ("7.webm#0000", 0, 2, ""),
        ("8.webm#0000", 0, 2, ""),
    ]
    assert [row.segment for row in data.to_test(places[2], places[1], ("train",))] == ["1.webm#0000"]
    with pytest.raises(ConfigError, match="train_on: no segment is in the split 'test'"):
        data.chosen(data.steps(places[2], places[1]), ("test",), "train_on")
