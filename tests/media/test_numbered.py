"""Folders of numbered pictures are probed and become frames like videos do."""

import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import moving_square

from kinoflow.errors import DataError
from kinoflow.media.numbered import picture_files, probe_pictures
from kinoflow.media.options import FolderFramesOptions, FramesOptions, NumberedOptions
from kinoflow.media.picture_frames import picture_frames
from kinoflow.options import check
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, read


def coded(pixels, form="JPEG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


class Place:
    """A root with three clips of numbered JPEG pictures, their list, probe table and frame shard."""

    def __init__(self, folder):
        self.root, self.list, self.table = folder / "frames", folder / "000.json", folder / "probe.csv"
        self.shard = folder / "shards" / "000.h5"
        for clip, count in (("7", 4), ("12", 6), ("deep/3", 2)):
            (self.root / clip).mkdir(parents=True)
            for i, frame in enumerate(moving_square(count, 32, 48, seed=count), 1):
                (self.root / clip / f"{i:05d}.jpg").write_bytes(coded(frame, quality=90))

    def probe(self, **options):
        names = {str(p.parent.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()}
        seen = {name: sum(p.stat().st_mtime_ns for p in [*(self.root / name).iterdir()]) for name in names}
        self.list.write_text(json.dumps({name: [0, 0, str(time)] for name, time in seen.items()}))
        probe_pictures(self.root, self.list, self.table, NumberedOptions(**options), code="1")
        return {row.video: row for row in read(self.table, Probed)}

    def frames(self, **options):
        picture_frames(self.root, self.table, self.shard, FolderFramesOptions(**{"size": 32, **options}), code="1")
        return Shard(self.shard)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_clip_is_a_video_at_the_rate_of_its_pictures(place):
    rows = place.probe()
    assert {name: (row.frames, row.duration, row.width, row.height) for name, row in rows.items()} == {
        "7": (4, 4 / 12, 48, 32),
        "12": (6, 0.5, 48, 32),
        "deep/3": (2, 2 / 12, 48, 32),
    }
    assert all(row.kept and row.sha256 and row.quick for row in rows.values())


def test_pictures_of_the_wanted_size_are_kept_byte_for_byte(place):
    place.probe()
    shard = place.frames()
    assert shard.picture("7", 2) == (place.root / "7/00003.jpg").read_bytes()
    assert np.allclose(shard.times("7"), np.arange(4) / 12)


def test_the_shard_says_how_a_video_would_get_such_frames(place):
    place.probe()
    shard = place.frames(store="raw", size=16)
    made = check(FramesOptions, json.loads(shard.attrs["options"]), "shard")
    assert made == FramesOptions(store="raw", size=16)
    assert shard.frames("7").shape == (4, 16, 24, 3)


def test_scaled_pictures_look_like_the_pictures(place):
    place.probe()
    small = place.frames(store="raw", size=16).frames("12")
    with Image.open(place.root / "12/00004.jpg") as image:
        wanted = np.asarray(image.reduce(2)).astype(int)
    assert np.abs(small[3].astype(int) - wanted).mean() < 4


def test_a_count_and_a_rate_choose_pictures(place):
    place.probe()
    assert np.allclose(place.frames(count=2).times("12"), [1 / 12, 4 / 12])
    assert np.allclose(place.frames(rate=6).times("12"), [0, 2 / 12, 4 / 12])


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda folder: (folder / "00002.jpg").unlink(), "'00002.jpg' is missing"),
        (lambda folder: (folder / "00002.jpg").write_bytes(b"no"), "'00002.jpg' is broken: no picture"),
        (
            lambda folder: (folder / "00003.jpg").write_bytes((folder / "00003.jpg").read_bytes()[:300]),
            "'00003.jpg' is broken",
        ),
        (
            lambda folder: (folder / "00003.jpg").write_bytes(coded(np.zeros((8, 8, 3), np.uint8))),
            "'00003.jpg' has 8 x 8 pixels, the first picture 48 x 32",
        ),
        (lambda folder: [file.rename(folder / f"x{file.name}") for file in [*folder.iterdir()]], "holds no picture"),
    ],
)
def test_a_clip_that_is_not_whole_is_unreadable_and_costs_no_other(place, spoil, reason):
    spoil(place.root / "12")
    rows = place.probe()
    assert reason in rows["12"].reason and not rows["12"].kept
    assert sorted(place.frames().videos) == ["7", "deep/3"]


def test_the_reason_names_every_picture_that_is_missing_or_broken(place):
    folder = place.root / "12"
    (folder / "00002.jpg").unlink(), (folder / "00004.jpg").unlink()
    (folder / "00001.jpg").write_bytes(b"no")
    (folder / "00005.jpg").write_bytes(coded(np.zeros((8, 8, 3), np.uint8)))
    assert place.probe()["12"].reason == (
        "4 pictures cannot be used: '00002.jpg' is missing, '00004.jpg' is missing, '00001.jpg' is broken: no picture,"
        " '00005.jpg' has 8 x 8 pixels, the first whole picture 48 x 32"
    )


def test_of_many_lost_pictures_the_first_twenty_are_named_and_the_others_counted(place):
    (place.root / "12/00006.jpg").rename(place.root / "12/90006.jpg")
    reason = place.probe()["12"].reason
    assert reason.startswith("90000 pictures cannot be used: '00006.jpg' is missing, '00007.jpg' is missing, ")
    assert reason.count("is missing") == 20 and reason.endswith("'00025.jpg' is missing and 89980 more")
    with pytest.raises(DataError, match="and 89980 more"):
        picture_files(place.root / "12", NumberedOptions())


def test_only_a_changed_clip_is_worked_on_again(place, caplog):
    caplog.set_level(logging.INFO, "kinoflow")
    place.probe()
    before = place.frames()
    old = before.picture("7", 1)
    caplog.clear()
    (place.root / "12/00007.jpg").write_bytes((place.root / "12/00001.jpg").read_bytes())
    place.probe()
    after = place.frames()
    assert [record.args[0] for record in caplog.records if record.msg.startswith(("probed", "decoded"))] == ["12", "12"]
    assert after.picture("7", 1) == old and len(after.times("12")) == 7


def test_a_clip_that_changes_under_the_run_stops_it(place):
    place.probe()
    (place.root / "7/00002.jpg").write_bytes((place.root / "7/00001.jpg").read_bytes())
    with pytest.raises(DataError, match="'7' passed the probe, but it has changed"):
        place.frames()
    assert not place.shard.exists()


def test_names_may_hold_the_clip_and_count_from_zero(tmp_path):
    folder = tmp_path / "a[1]"
    folder.mkdir()
    for name in ("a[1]-0.png", "a[1]-1.png", "b-2.png", ".a[1]-2.png"):
        (folder / name).touch()
    options = NumberedOptions(pattern="{name}-{frame}.png", first=0)
    assert [file.name for file in picture_files(Path(folder), options)] == ["a[1]-0.png", "a[1]-1.png"]
