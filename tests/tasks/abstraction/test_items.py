"""Clips: which rows are clips, what is left out and told, and the mean of their features."""

import numpy as np
import pytest
from tests.tasks.abstraction.clips import kitchen, shard, tables

from kinoflow.errors import ConfigError, DataError
from kinoflow.store.tables import Segment, Video, write
from kinoflow.tasks.abstraction.edits import without
from kinoflow.tasks.abstraction.items import item_features, listed, load_items
from kinoflow.tasks.abstraction.options import SamplingOptions
from kinoflow.tasks.abstraction.sets import draw_sets


@pytest.fixture(scope="module")
def taxonomy():
    return kitchen()


@pytest.fixture
def files(tmp_path):
    return tables(tmp_path)


def test_clips_are_the_rows_that_are_no_phases(files, taxonomy):
    items = load_items(*files, taxonomy, ["train"])
    assert len(items) == 8 * 12
    assert items.names[:2] == ("v00.mp4#0", "v00.mp4#1")
    assert (items.end - items.start == 1).all()
    verb, _, noun, _ = items.texts[0].split()
    assert taxonomy.category(items.first[0]) == f"{verb} {noun}"
    assert items.place["v00.mp4#1"] == 1
    assert items.take([5, 3]).names == (items.names[5], items.names[3])


def test_rows_of_one_stretch_are_a_clip_of_several_classes(tmp_path, taxonomy):
    first, second, third = taxonomy.categories[:3]
    rows = [("a.mp4", first), ("a.mp4", second), ("b.mp4", third), ("b.mp4", "no class")]
    segments = [
        Segment(segment=f"{video}#{number}", video=video, start=0.0, end=1.0, action=action, split="train")
        for number, (video, action) in enumerate(rows)
    ]
    write(tmp_path / "segments.csv", segments, Segment)
    films = [
        Video(video=name, path=name, split="train", recording=name, status="readable") for name in ("a.mp4", "b.mp4")
    ]
    write(tmp_path / "videos.csv", films, Video)
    files = (tmp_path / "segments.csv", tmp_path / "videos.csv")
    items = load_items(*files, taxonomy, ["train"], max_missing=0.25)
    assert items.names == ("a.mp4#0", "b.mp4#2") and items.labels.tolist() == [[0, 1], [2, -1]]
    sets = draw_sets(taxonomy, items, 50, SamplingOptions(members=2, max_root_fraction=1), np.random.default_rng(0))
    assert {*map(tuple, np.sort(sets.items).tolist())} == {(0, 1)}  # never a video beside itself
    assert set(sets.classes.ravel().tolist()) == {0, 1, 2}


def test_held_out_recordings_are_left_out_or_alone(files, taxonomy):
    everything = load_items(*files, taxonomy, ["train"])
    rest = load_items(*files, taxonomy, ["train"], hold_out=["tr0"])
    held = load_items(*files, taxonomy, ["train"], hold_out=["tr0"], only_held_out=True)
    assert {*rest.names, *held.names} == set(everything.names) and len(rest) + len(held) == len(everything)
    assert set(held.recordings) == {"tr0"}


def test_what_cannot_be_used_is_counted_and_named_once(files, taxonomy, tmp_path, caplog):
    path = shard(tmp_path / "x.h5", [f"v{number:02}.mp4" for number in range(1, 12)])
    everything = load_items(*files, taxonomy, ["train"])
    gone = sorted({taxonomy.category(label) for label in everything.first})[0]
    smaller = without(taxonomy, [taxonomy.label(gone)])
    items = load_items(*files, smaller, ["train"], features=[path], max_missing=0.5)
    count = sum(taxonomy.category(label) == gone for label in everything.first)
    assert f"{count} of classes without a node ({gone!r})" in caplog.text
    assert "12 without features ('v00.mp4')" in caplog.text
    assert "v00.mp4" not in items.videos and gone not in {smaller.category(label) for label in items.first}
    assert len(caplog.records) == 1
    with pytest.raises(DataError, match=r"more than max_missing \(0\.05\) allows"):
        load_items(*files, smaller, ["train"], features=[path], max_missing=0.05)


def test_a_split_or_column_that_is_not_there_is_named(files, taxonomy):
    with pytest.raises(ConfigError, match=r"no segment is in the split 'val' \(splits there: 'test', 'train'\)"):
        load_items(*files, taxonomy, ["val"])
    with pytest.raises(ConfigError, match="head: 'dish' is no column of labels"):
        load_items(*files, taxonomy, ["train"], head="dish")


def test_a_feature_is_the_mean_of_the_rows_inside(files, taxonomy, tmp_path):
    paths = [shard(tmp_path / f"{part}.h5", [f"v{n:02}.mp4" for n in range(part, 12, 2)]) for part in (0, 1)]
    items = load_items(*files, taxonomy, ["train"], features=paths)
    found = item_features(items, paths)
    assert found.shape == (96, 3) and found.dtype == np.float32
    assert np.array_equal(item_features(items, [shard(tmp_path / "empty.h5", [], width=0), *paths]), found)
    assert found[:3, 0].tolist() == [1.5, 5.5, 9.5]  # rows 0-3, 4-7, 8-11
    assert item_features(items, paths, rows=2)[0, 0] == 2.0  # rows 1 and 3
    short = listed(["a", "b"], [[0], [0]])
    short = type(short)(
        short.names, short.labels, ("v00.mp4",) * 2, np.array([0.9, 90.0]), np.array([1.0, 91.0]), ("",) * 2, ("",) * 2
    )
    assert item_features(short, paths)[:, 0].tolist() == [3.0, 47.0]  # the nearest row


def test_a_clip_without_rows_is_named(files, taxonomy, tmp_path):
    items = load_items(*files, taxonomy, ["train"])
    with pytest.raises(DataError, match=r"the video 'v01.mp4' of 'v01.mp4#0' has no rows"):
        item_features(items, [shard(tmp_path / "x.h5", ["v00.mp4"])])
