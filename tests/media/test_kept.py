"""A shard of pictures is filled video by video; what is done is not made again, whatever happens to the others."""

import numpy as np
import pytest

from kinoflow.errors import DataError
from kinoflow.media.kept import fill
from kinoflow.store.files import read_keys
from kinoflow.store.shards import Shard

ATTRS = {"store": "raw", "options": "{}"}


def picture(video):
    return np.full((2, 3, 3), len(video), np.uint8)


def filled(path, keys, failing=()):
    """Fill a shard; return the videos whose pictures were made for it."""
    made = []

    def make(video, put):
        if video in failing:
            raise DataError(f"{video} is broken")
        made.append(video)
        put([picture(video).tobytes()], np.zeros(1), (2, 3))

    try:
        fill(path, keys, ATTRS, make, "flow", "clips")
    finally:
        filled.made = made
    return made


def test_every_video_is_made_once_and_in_its_order(tmp_path):
    keys = {"bb": "1", "a": "2", "ccc": "3"}
    assert filled(tmp_path / "000.h5", keys) == ["bb", "a", "ccc"]
    shard = Shard(tmp_path / "000.h5")
    assert sorted(shard.videos) == sorted(keys) and all(
        np.array_equal(shard.frames(video), picture(video)[None]) for video in keys
    )
    assert read_keys(tmp_path / "000.h5") == keys and not (tmp_path / ".work/000.h5").exists()
    assert filled(tmp_path / "000.h5", keys) == []


def test_a_video_of_another_key_is_made_again_and_one_of_another_name_is_not(tmp_path):
    filled(tmp_path / "000.h5", {"a": "1", "bb": "2"})
    assert filled(tmp_path / "000.h5", {"moved": "1", "bb": "3"}) == ["bb"]
    assert np.array_equal(Shard(tmp_path / "000.h5").frames("moved"), picture("a")[None])


def test_a_failure_costs_no_other_video_its_work(tmp_path):
    keys = {"a": "1", "bb": "2", "ccc": "3", "dddd": "4"}
    with pytest.raises(DataError, match=r"^bb is broken \(2 of 4 clips failed; the work on the others is kept\)$"):
        filled(tmp_path / "000.h5", keys, failing=("bb", "ccc"))
    assert filled.made == ["a", "dddd"] and not (tmp_path / "000.h5").exists()
    assert filled(tmp_path / "000.h5", keys) == ["bb", "ccc"]
    assert sorted(Shard(tmp_path / "000.h5").videos) == sorted(keys)
