"""From tables and frames to clips with labels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.alignment import discs as tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.store import shards, tables
from kinoflow.store.tables import READABLE, Segment, Video
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment.data import Clip


class Even:
    """Videos of 20 frames, 10 a second."""

    def times(self, video):
        return np.arange(20) / 10


def clip(labels, name="a", **more):
    return Clip(name, "v", 0, np.arange(len(labels)) / 10, tuple(labels), **more)


def tables_of(folder, rows):
    names = sorted({row["video"] for row in rows})
    tables.write(
        folder / "v.csv", [Video(video=n, path=n, split="train", task="t" + n, status=READABLE) for n in names], Video
    )
    made = [Segment(segment=f"{row['video']}#{i}", **row) for i, row in enumerate(rows)]
    tables.write(folder / "s.csv", made, Segment)
    return folder / "s.csv", folder / "v.csv"


ROWS = [
    {"video": "a", "start": 0.2, "end": 1.2, "action": "pour milk", "verb": "pour"},
    {"video": "a", "start": 0.2, "end": 0.6, "action": "pour milk", "verb": "pour", "phase": "lift"},
    {"video": "a", "start": 0.6, "end": 1.2, "action": "pour milk", "verb": "pour", "phase": "tilt"},
    {"video": "a", "start": 1.2, "end": 1.8, "action": "push pan", "verb": "push"},
    {"video": "a", "start": 1.2, "end": 1.8, "action": "push pan", "verb": "push", "phase": "act"},
]


def test_a_whole_video_is_labelled_by_its_phases(tmp_path):
    (found,) = data.clips(*tables_of(tmp_path, ROWS), Even(), tiny.options())["train"]
    assert found.labels == ("",) * 2 + ("lift",) * 4 + ("tilt",) * 6 + ("act",) * 6 + ("",) * 2
    assert (found.name, found.first, found.frames, found.set) == ("a", 0, 20, "")


def test_segments_of_one_verb_are_clips_with_their_own_phases(tmp_path):
    wanted = tiny.options(clips="verb", only=["pour"], sets="action")
    (found,) = data.clips(*tables_of(tmp_path, ROWS), Even(), wanted)["train"]
    assert (found.name, found.first, found.frames, found.set) == ("a#0", 2, 10, "pour milk")
    assert found.labels == ("lift",) * 4 + ("tilt",) * 6


def test_a_whole_video_may_be_labelled_by_its_actions_and_belong_to_a_task(tmp_path):
    (found,) = data.clips(*tables_of(tmp_path, ROWS), Even(), tiny.options(label="verb", sets="task"))["train"]
    assert found.labels == ("",) * 2 + ("pour",) * 10 + ("push",) * 6 + ("",) * 2 and found.set == "ta"


def test_a_verb_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="only: no segment has the verb 'stir'; there are 'pour', 'push'"):
        data.clips(*tables_of(tmp_path, ROWS), Even(), tiny.options(clips="verb", only=["stir"]))


def test_a_segment_of_an_unknown_video_is_refused(tmp_path):
    segments, videos = tables_of(tmp_path, ROWS)
    tables.write(videos, [], Video)
    with pytest.raises(DataError, match="the video 'a' of 'a#0' is not in"):
        data.clips(segments, videos, Even(), tiny.options())


def test_clips_without_frames_are_left_out_and_none_is_an_error(tmp_path, caplog):
    segments, videos = tables_of(
        tmp_path, [*ROWS, {"video": "a", "start": 5.0, "end": 6.0, "action": "x", "verb": "pour"}]
    )
    by_split = data.clips(segments, videos, Even(), tiny.options(clips="verb"))
    assert [each.name for each in data.chosen(by_split, ["train"], "train_on")] == ["a#0", "a#3"]
    assert "1 clips have no frame" in caplog.text
    with pytest.raises(DataError, match="no clip has a frame"):
        data.chosen({"train": [clip([])]}, ["train"], "train_on")
    with pytest.raises(ConfigError, match=r"train_on: no clip is in the split 'tarin' \(splits there: 'train'\)"):
        data.chosen(by_split, ["tarin"], "train_on")


# ---------------------------------------------------------------- cutting


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.floats(0, 1), st.text(max_size=3))
def test_cutting_leaves_a_frame_of_the_first_and_the_last_phase(labels, share, name):
    whole = clip(sorted(labels), name)
    found = data.cut(whole, share)
    assert found.frames >= 1 and found.labels == whole.labels[found.first : found.first + found.frames]
    assert {found.labels[0], found.labels[-1]} == {whole.labels[0], whole.labels[-1]}
    assert np.array_equal(found.times, whole.times[found.first : found.first + found.frames])


def test_cutting_depends_on_the_name_alone_and_differs_between_clips():
    labels = ["a"] * 50 + ["b"] * 50
    cuts = [(found.first, found.frames) for found in (data.cut(clip(labels, f"c{i}"), 1.0) for i in range(20))]
    assert cuts[0] == (data.cut(clip(labels, "c0"), 1.0).first, data.cut(clip(labels, "c0"), 1.0).frames)
    assert len(set(cuts)) > 15 and max(first for first, _ in cuts) > 30
    assert data.cut(clip(labels), 0.0).frames == 100


# ---------------------------------------------------------------- classes and sets


def test_classes_stand_in_the_order_of_time():
    found = [clip(["reach", "pour", "lower"]), clip(["reach", "reach", "", "lower"])]
    assert data.classes_of(found) == ("reach", "pour", "lower")
    assert found[1].numbers(("reach", "pour", "lower")).tolist() == [0, 0, -1, 2]


def test_numbered_phases_are_in_the_order_of_their_numbers_whenever_they_come():
    late = [clip([f"phase {n}" for n in (2, 10, 0, 1)]), clip(["", "phase 10", "phase 0"])]
    assert data.classes_of(late) == ("phase 0", "phase 1", "phase 2", "phase 10")
    assert data.classes_of([clip(["b 1", "a 0"])]) == ("b 1", "a 0")
    assert data.classes_of([clip(["phase 1", "rest", "phase 0"])]) == ("phase 1", "rest", "phase 0")
    assert data.classes_of([clip([""])]) == ()


def test_clips_of_a_set_stand_together():
    found = data.by_set([clip("a", set="b"), clip("b", set="a"), clip("c", set="b")])
    assert list(found) == ["a", "b"] and [each.labels[0] for each in found["b"]] == ["a", "c"]


def test_the_labelled_share_is_the_first_clips_and_at_least_one():
    found = [clip("a", name=str(i)) for i in range(10)]
    assert [each.name for each in data.labelled_share(found, 0.29)] == ["0", "1"]
    assert len(data.labelled_share(found * 9, 0.7)) == math.floor(0.7 * 90)
    assert len(data.labelled_share(found, 0.01)) == 1 and len(data.labelled_share(found, 0.3)) == 3


def test_some_clips_are_chosen_by_their_names_alone_and_keep_their_order():
    found = [clip("a", name=f"c{i}") for i in range(20)]
    kept = [each.name for each in data.some(found, 5)]
    assert len(kept) == 5 and kept == sorted(kept, key=lambda name: int(name[1:]))
    assert {each.name for each in data.some(found[::-1], 5)} == set(kept)
    assert data.some(found, None) == data.some(found, 20) == found


# ---------------------------------------------------------------- sources


def test_exactly_what_the_network_reads_is_taken(discs, tmp_path):
    for some in ({"frames": []}, {"frames": discs.shards, "root": tmp_path}, {"features": discs.shards}):
        with pytest.raises(ConfigError, match="network.backbone: tiny reads one of frames or root"):
            data.sources(tiny.options(), **{"frames": [], "features": [], "root": None} | some)


def test_rows_of_feature_shards_are_read_as_they_are(tmp_path):
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)
    with shards.writing(tmp_path / "f.h5", {}, frames=False, width=3) as writer:
        writer.add("v", rows, np.arange(7) / 2)
    wanted = tiny.options(network={"backbone": "features", "pool": 1})
    found = data.sources(wanted, [], [tmp_path / "f.h5"], None)
    assert found.width == 3 and found.made is None
    assert np.array_equal(found.read.frames("v", np.array([6, 0])), rows[[6, 0]].astype(np.float32))
    with pytest.raises(DataError, match="the video 'w' is in none of the shards"):
        found.read.times("w")


def test_a_shard_without_videos_has_no_width(tmp_path):
    with shards.writing(tmp_path / "empty.h5", {}, frames=False, width=0):
        pass
    with shards.writing(tmp_path / "f.h5", {}, frames=False, width=3) as writer:
        writer.add("v", np.zeros((2, 3), np.float32), np.arange(2))
    wanted = tiny.options(network={"backbone": "features", "pool": 1})
    assert data.sources(wanted, [], [tmp_path / "empty.h5", tmp_path / "f.h5"], None).width == 3


def test_a_frame_shard_is_no_feature_shard_and_the_other_way_round(discs, tmp_path):
    with pytest.raises(DataError, match="this shard holds frames; give one of features"):
        data.sources(tiny.options(network={"backbone": "features", "pool": 1}), [], discs.shards, None)
    with shards.writing(tmp_path / "f.h5", {}, frames=False, width=3):
        pass
    with pytest.raises(DataError, match="this shard holds no pictures"):
        data.sources(tiny.options(), [tmp_path / "f.h5"], [], None)
