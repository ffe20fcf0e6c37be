import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from kinoflow.errors import DataError
from kinoflow.media import frames as module
from kinoflow.media.decode import decode_video
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions, ProbeOptions
from kinoflow.media.probe import probe
from kinoflow.options import resolved
from kinoflow.store.shards import Shard


class Place:
    """A folder of videos, with its list, its probe table and its frame shard."""

    def __init__(self, folder, make_video):
        self.root, self.list, self.table = folder / "raw", folder / "000.json", folder / "probe" / "000.csv"
        self.shard = folder / "frames" / "000.h5"
        self.root.mkdir()
        self.make = make_video
        for seed in range(3):
            make_video(self.root / f"{seed}.mp4", seed=seed, width=48 + 16 * seed)
        self.probe()

    def probe(self):
        names = os.listdir(self.root)
        self.list.write_text(json.dumps({name: [0, 0, Path(self.root, name).stat().st_mtime_ns] for name in names}))
        probe(self.root, self.list, self.table, ProbeOptions(), code="1")

    def run(self, code="1", **options):
        frames(self.root, self.table, self.shard, FramesOptions(**{"size": 32, **options}), code=code)
        return Shard(self.shard)


@pytest.fixture
def place(tmp_path, make_video):
    return Place(tmp_path, make_video)


@pytest.fixture
def worked_on(caplog):
    """Return a function that gives the videos really decoded since it was last asked."""
    caplog.set_level(logging.INFO, "kinoflow")

    def since():
        videos = [record.args[0] for record in caplog.records if record.msg.startswith("decoded")]
        caplog.clear()
        return videos

    return since


def decoded(path, **options):
    blocks = list(decode_video(path, FramesOptions(**{"size": 32, **options})))
    return np.concatenate([block for block, _ in blocks]), np.concatenate([times for _, times in blocks])


@pytest.mark.parametrize("choice", [{}, {"count": 4}, {"rate": 5.0}])
def test_raw_frames_are_those_of_the_decoder(place, choice):
    shard = place.run(store="raw", **choice)
    assert shard.videos == ["0.mp4", "1.mp4", "2.mp4"]
    for video in shard.videos:
        pictures, times = decoded(place.root / video, **choice)
        assert (shard.frames(video) == pictures).all()
        assert (shard.times(video) == times).all()


def test_jpeg_frames_come_close(place):
    shard = place.run(store="jpeg", quality=95)
    pictures, times = decoded(place.root / "1.mp4")
    assert np.abs(shard.frames("1.mp4").astype(float) - pictures).mean() < 6
    assert (shard.times("1.mp4") == times).all()
    with Image.open(io.BytesIO(shard.picture("1.mp4", 3))) as picture:
        assert (picture.format, picture.size) == ("JPEG", pictures.shape[2:0:-1])


def test_the_shard_says_what_made_it(place):
    attrs = place.run(count=2).attrs
    assert attrs == {"store": "jpeg", "options": resolved(FramesOptions(size=32, count=2))}


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_one_more_video_is_the_only_one_decoded(place, worked_on, store):
    place.run(store=store)
    assert worked_on() == ["0.mp4", "1.mp4", "2.mp4"]
    place.make(place.root / "1b.mp4", seed=9)
    place.probe()
    place.run(store=store)
    assert worked_on() == ["1b.mp4"]
    updated = place.shard.read_bytes()
    shutil.rmtree(place.shard.parent)
    place.run(store=store)
    assert place.shard.read_bytes() == updated


def test_a_removed_video_leaves_no_trace(place, worked_on):
    place.run()
    (place.root / "1.mp4").unlink()
    place.probe()
    worked_on()
    assert place.run().videos == ["0.mp4", "2.mp4"]
    assert worked_on() == []
    updated = place.shard.read_bytes()
    shutil.rmtree(place.shard.parent)
    place.run()
    assert place.shard.read_bytes() == updated


def test_a_moved_folder_with_the_same_content_decodes_nothing(place, worked_on):
    place.run()
    place.root = place.root.rename(place.root.with_name("elsewhere"))
    worked_on()
    place.run()
    assert worked_on() == []


@pytest.mark.parametrize("other", [{"size": 34}, {"quality": 91}, {"count": 3}, {"code": "2"}])
def test_other_options_or_code_decode_all_again(place, worked_on, other):
    place.run()
    worked_on()
    place.run(**other)
    assert len(worked_on()) == 3


def test_videos_that_are_not_kept_are_left_out(place):
    (place.root / "broken.mp4").write_bytes(b"no video")
    place.probe()
    assert place.run().videos == ["0.mp4", "1.mp4", "2.mp4"]


def test_an_empty_shard_is_a_shard(place):
    shutil.rmtree(place.root)
    place.root.mkdir()
    place.probe()
    assert place.run().videos == []


def test_names_may_hold_any_byte(place):
    names = [os.fsdecode(name) for name in (b"\xff\xfe.mp4", b"two\nlines.mp4", b"; #%.mp4")]
    for name in names:
        shutil.copy(place.root / "0.mp4", os.path.join(place.root, name))
    place.probe()
    shard = place.run()
    assert shard.videos == sorted(os.listdir(place.root), key=os.fsencode)
    assert (shard.frames(names[0]) == shard.frames("0.mp4")).all()


# ---------------------------------------------------------------- what was readable and is not any more


def test_a_video_that_fails_is_named_and_the_work_on_the_others_is_kept(place, worked_on):
    victim = place.root / "1.mp4"
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + b"!")
    with pytest.raises(DataError, match=r"'1\.mp4' has changed since the probe looked at it"):
        place.run()
    assert not place.shard.exists()
    assert worked_on() == ["0.mp4", "2.mp4"]
    victim.write_bytes(content)
    place.run()
    assert worked_on() == ["1.mp4"]
    after = place.shard.read_bytes()
    assert not (place.shard.parent / ".work" / place.shard.name).exists()
    shutil.rmtree(place.shard.parent)
    place.run()
    assert place.shard.read_bytes() == after


def test_an_old_shard_serves_as_well_as_the_work_kept_aside(place, worked_on):
    place.run()
    place.make(place.root / "3.mp4", seed=3)
    place.make(place.root / "4.mp4", seed=4)
    place.probe()
    gone = (place.root / "4.mp4").rename(place.root.parent / "4.mp4")
    before = place.shard.read_bytes()
    worked_on()
    with pytest.raises(DataError, match=r"'4\.mp4' was there for the probe, but cannot be read"):
        place.run()
    place.shard.write_bytes(before)  # as Snakemake does when a job fails
    gone.rename(place.root / "4.mp4")
    place.run()
    assert worked_on() == ["3.mp4", "4.mp4"]


def test_a_video_without_any_frame_is_named_with_what_to_do(place, monkeypatch):
    def fails(path, options):
        if path.endswith("1.mp4"):
            raise DataError("no frame comes out of it")
        return decode_video(path, options)

    monkeypatch.setattr(module, "decode_video", fails)
    with pytest.raises(
        DataError, match=r"'1\.mp4' passed the probe, but no frame .* check: decode \(1 of 3 videos failed"
    ):
        place.run()


def test_a_shard_of_other_content_is_not_believed(place, worked_on):
    place.run()
    with h5py.File(place.shard, "r+") as file:
        file["time"][0] = 5.0
    worked_on()
    assert place.run().times("0.mp4")[0] == 0.0
    assert len(worked_on()) == 3


# ---------------------------------------------------------------- as a command


def test_the_command_writes_the_same_shard(place):
    place.run(count=3)
    expected = place.shard.read_bytes()
    shutil.rmtree(place.shard.parent)
    words = [
        "frames",
        "--root",
        place.root,
        "--table",
        place.table,
        "--shard",
        place.shard,
        "--size",
        "32",
        "--count",
        "3",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "kinoflow", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "decoded '1.mp4'" in done.stderr
    assert place.shard.read_bytes() == expected
    assert sorted(path.name for path in place.shard.parent.iterdir()) == [".keys", "000.h5"]
