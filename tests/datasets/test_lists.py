import json
import os

import pytest

from kinoflow import cli
from kinoflow.datasets import listing
from kinoflow.datasets.lists import lists
from kinoflow.datasets.options import ScanOptions


@pytest.fixture
def root(tmp_path):
    (tmp_path / "videos").mkdir()
    for i in range(12):
        (tmp_path / f"videos/v{i}.mp4").write_bytes(b"%d" % i)
    return tmp_path / "videos"


def test_every_shard_has_a_list_also_an_empty_one(root, tmp_path):
    lists(root, tmp_path / "data", ScanOptions(shards=40))
    files = sorted((tmp_path / "data/lists").iterdir())
    assert [file.stem for file in files] == listing.shard_names(40)
    videos = [video for file in files for video in listing.read_list(file)]
    assert sorted(videos) == sorted(f"v{i}.mp4" for i in range(12))


def test_the_lists_are_those_of_the_main_process(root, tmp_path):
    lists(root, tmp_path / "data", ScanOptions(shards=4, exclude=("v1*",)))
    for shard, videos in listing.scan(root, 4, exclude=["v1*"]).items():
        states = listing.take_stock(root, videos, tmp_path / "data", shard, keep=False)
        assert states == listing.read_list(tmp_path / f"data/lists/{shard}.json")


def test_lists_beyond_the_number_of_shards_are_removed(root, tmp_path):
    lists(root, tmp_path / "data", ScanOptions(shards=8))
    lists(root, tmp_path / "data", ScanOptions(shards=2))
    assert sorted(os.listdir(tmp_path / "data/lists")) == ["000.json", "001.json"]


def test_the_lists_are_written_by_hand_too(root, tmp_path, capsys):
    words = ["lists", "--root", str(root), "--data", str(tmp_path / "data"), "--options", json.dumps({"shards": 2})]
    assert cli.main(words) == 0
    assert "12 files in 2 shards" in capsys.readouterr().err
    assert cli.main(["lists", "--root", "/nowhere", "--data", str(tmp_path)]) == 1
    assert "--root: there is no folder /nowhere" in capsys.readouterr().err
