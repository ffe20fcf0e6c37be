"""The stages `taxonomy` and `abstraction-sets`: files in, files out, the same bytes, and what is refused."""

import json

import numpy as np
import pytest
from tests.tasks.abstraction.clips import shard, tables

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.abstraction import set_files, taxonomy_files, vectors
from kinoflow.tasks.abstraction.drawing import vectors_table
from kinoflow.tasks.abstraction.items import listed, load_items
from kinoflow.tasks.abstraction.make_sets import abstraction_sets, by_size
from kinoflow.tasks.abstraction.make_taxonomy import taxonomy
from kinoflow.tasks.abstraction.options import SetsOptions, TaxonomyOptions
from kinoflow.tasks.abstraction.sets import draw_rankings

FILES = ("taxonomy.json", "vectors.safetensors", "comparison.json")
SMALL = {"train": 200, "test": 60, "rankings": 6, "odd": 10}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tables(tmp_path_factory.mktemp("data"), videos=18, clips=30)


def make_taxonomy(folder, segments=None, classes=None, file=None, wordnet=None, corpus=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES]
    taxonomy(*paths, TaxonomyOptions(**options), segments, classes, file, wordnet, corpus)
    return paths


def make_sets(folder, data, graph, seed=0, features=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("train.json", "test.json", "rankings.json", "odd.json")]
    abstraction_sets(*data, graph[0], graph[1], *paths, SetsOptions(**{**SMALL, **options}), seed, features)
    return paths


@pytest.fixture(scope="module")
def graph(data, tmp_path_factory):
    return make_taxonomy(tmp_path_factory.mktemp("graph"), data[0])


def test_the_kitchen_has_its_taxonomy_and_vectors(graph):
    found, semantics = taxonomy_files.read(graph[0]), vectors.read(graph[1])
    semantics.check(found, graph[1])
    assert (len(found), semantics.nodes.shape) == (58, (58, 300))
    table = json.loads(graph[2].read_text())
    assert table["used"] == "graph codes"
    assert set(table["kinds"]) == {"graph codes", "graph laplacian", "gloss_lsa"}
    assert all(kind["falls"] for kind in table["kinds"].values())
    assert table["statistics"]["num_nodes"] == 58
    shown = vectors_table(table)
    assert [row[0] for row in shown.rows] == sorted(table["kinds"]) and shown.highlight == (1,)


def test_everything_is_the_same_the_second_time(data, graph, tmp_path):
    again = make_taxonomy(tmp_path / "graph", data[0])
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in graph]
    first, second, other = (make_sets(tmp_path / str(n), data, graph, seed) for n, seed in enumerate((0, 0, 1)))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(first, other, strict=True))


def test_sets_to_test_with_are_of_other_recordings(data, graph, tmp_path):
    train, test, rankings, odd = make_sets(tmp_path, data, graph)
    found = taxonomy_files.read(graph[0])
    learned, tested = (set_files.read_sets(path, found) for path in (train, test))
    assert (len(learned), len(tested)) == (200, 60)
    clips = {split: load_items(*data, found, [split]).place for split in ("train", "test")}
    assert set(learned.names) <= set(clips["train"]) and set(tested.names) <= set(clips["test"])
    completed, strange = set_files.read_rankings(rankings), set_files.read_rankings(odd)
    assert [len(ranking.references) for ranking in completed] == [1] * 6 + [2] * 6 + [3] * 6 + [4] * 6
    assert [len(ranking.references) for ranking in strange] == [2] * 10 + [3] * 10 + [4] * 10
    for ranking in (*completed, *strange):
        assert {*ranking.references, *ranking.queries} <= set(clips["test"])


def test_held_out_recordings_are_what_is_tested_while_tuning(data, graph, tmp_path):
    train, test, _, _ = make_sets(tmp_path, data, graph, hold_out=("tr0", "tr4"), rankings=1, odd=1)
    found = taxonomy_files.read(graph[0])
    held = load_items(*data, found, ["train"], hold_out=("tr0", "tr4"), only_held_out=True).place
    assert set(set_files.read_sets(test, found).names) <= set(held)
    assert not set(set_files.read_sets(train, found).names) & set(held)


def test_clips_without_features_are_in_no_set(data, graph, tmp_path, caplog):
    path = shard(tmp_path / "x.h5", [f"v{number:02}.mp4" for number in range(1, 18)])
    with pytest.raises(DataError, match="more than max_missing"):
        make_sets(tmp_path, data, graph, features=[path])
    files = make_sets(tmp_path, data, graph, features=[path], max_missing=0.1)
    found = taxonomy_files.read(graph[0])
    names = {name for path in files[:2] for name in set_files.read_sets(path, found).names}
    assert not any(name.startswith("v00") for name in names)
    assert "30 without features ('v00.mp4')" in caplog.text


def test_sizes_that_there_are_too_few_clips_for_are_told_and_left_out(data, graph, tmp_path, caplog):
    taxonomy_ = taxonomy_files.read(graph[0])
    names = "slice bread", "slice cheese", "slice tomato", "push pan"
    clips = listed([f"c{n}" for n in range(4)], [[taxonomy_.label(name)] for name in names])
    options = SetsOptions(sampling={"queries": 2}).sampling
    found = by_size(
        "sets of", (1, 2, 3, 4), lambda n, rng: draw_rankings(taxonomy_, clips, np.eye(58), n, 3, options, rng(0))
    )
    assert [len(each.references) for each in found] == [1] * 3 + [2] * 3
    assert "sets of 3 clips are left out: rankings: no concept below the root has 4 clips below it" in caplog.text
    with pytest.raises(ConfigError, match="no concept below the root has 5"):
        by_size("sets of", (4,), lambda n, rng: draw_rankings(taxonomy_, clips, np.eye(58), n, 3, options, rng(0)))


def test_splits_that_share_a_recording_are_refused(data, graph, tmp_path):
    with pytest.raises(DataError, match="the recording 'tr0' is among the clips to train and to test with"):
        make_sets(tmp_path, data, graph, test_splits=("train",))


def test_a_taxonomy_of_a_file_is_cut_to_the_dataset_and_may_be_changed(data, tmp_path):
    (tmp_path / "own.txt").write_text("thing\n  moving\n    pull pan\n    push pan\n    fly\n  odd\n    dance\n")
    (tmp_path / "classes.txt").write_text("pull pan\npush pan\nsing\n")
    own, classes = tmp_path / "own.txt", tmp_path / "classes.txt"
    with pytest.raises(DataError, match="1 of 3 classes have no node in the taxonomy: 'sing'; more than max_missing"):
        make_taxonomy(tmp_path / "a", classes=classes, file=own, source="file")
    found = make_taxonomy(tmp_path / "a", classes=classes, file=own, source="file", max_missing=0.5)
    assert taxonomy_files.read(found[0]).nodes == ("pull pan", "push pan", "moving", "thing")
    edit = {"swap": [("pull pan", "push pan")], "splice": True}
    spliced = make_taxonomy(tmp_path / "b", classes=classes, file=own, source="file", max_missing=0.5, edit=edit)
    assert taxonomy_files.read(spliced[0]).nodes == ("pull pan", "push pan", "moving", "thing")
    dropped = make_taxonomy(tmp_path / "c", data[0], edit={"drop": 10, "permute": "all"}, max_missing=0.5)
    assert taxonomy_files.read(dropped[0]).num_class == 31


def test_what_is_not_given_is_asked_for(data, tmp_path):
    with pytest.raises(ConfigError, match="source: file: give the file"):
        make_taxonomy(tmp_path, data[0], source="file")
    with pytest.raises(ConfigError, match="source: wordnet: give classes to place"):
        make_taxonomy(tmp_path, source="wordnet")
    with pytest.raises(ConfigError, match="segments, classes: give one of them"):
        make_taxonomy(tmp_path, data[0], data[1])
