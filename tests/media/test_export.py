"""Videos become folders of numbered pictures: complete, or made again."""

import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.export import export_frames
from kinoflow.media.options import ExportOptions, FramesOptions, PicturesOptions
from kinoflow.media.pictures import pictures
from kinoflow.store.shards import Shard


class Place:
    """A folder of two videos, their list, and the folder that they are exported to."""

    def __init__(self, folder, make_video):
        self.root, self.list, self.folder = folder / "videos", folder / "000.json", folder / "pictures"
        for name, seed in (("abseiling/one.mp4", 0), ("two.mp4", 1)):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            make_video(self.root / name, seed=seed)
        self.name("abseiling/one.mp4", "two.mp4")

    def name(self, *videos):
        self.list.write_text(json.dumps({video: [0, 0, "x"] for video in videos}))

    def run(self, code="1", workers=1, **options):
        export_frames(self.root, self.list, self.folder, ExportOptions(**{"height": 24, **options}), code, workers)

    def files(self):
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and ".keys" not in path.parts
        }


@pytest.fixture
def place(tmp_path, make_video):
    return Place(tmp_path, make_video)


@pytest.fixture
def exported(caplog):
    """Return a function that gives the videos really exported since it was last asked."""
    caplog.set_level(logging.INFO, "kinoflow")

    def since():
        videos = [record.args[0] for record in caplog.records if record.msg.startswith("exported")]
        caplog.clear()
        return videos

    return since


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_frame_becomes_a_picture_of_the_height_asked_for(place):
    place.run(height=36, quality=100)
    names = [f"{clip}/img_{i:05d}.jpg" for clip in ("abseiling/one", "two") for i in range(1, 13)]
    assert list(place.files()) == names
    found = np.stack([pixels(place.folder / "two" / f"img_{i:05d}.jpg") for i in range(1, 13)])
    decoded = np.concatenate([block for block, _ in decode_video(place.root / "two.mp4", FramesOptions(size=36))])
    assert found.shape == (12, 36, 48, 3)
    assert np.abs(found.astype(float) - decoded).mean() < 5


@pytest.mark.parametrize("height, width", [(331, 441), (25, 33)])
def test_the_width_is_rounded_to_the_nearest_pixel(place, height, width):
    place.name("two.mp4")
    place.run(height=height)
    assert pixels(place.folder / "two" / "img_00001.jpg").shape == (height, width, 3)


def test_pictures_are_called_by_the_pattern(place):
    place.run(pattern="{name}-{frame:06d}.jpg")
    assert next(iter(place.files())) == "abseiling/one/one-000001.jpg"


def test_the_bytes_do_not_depend_on_the_number_of_workers(place):
    place.run()
    before = place.files()
    shutil.rmtree(place.folder)
    place.run(workers=3)
    assert place.files() == before


def test_what_is_complete_stays_and_what_is_not_is_made_again(place, exported, make_video):
    place.run()
    before = place.files()
    assert exported() == ["abseiling/one.mp4", "two.mp4"]
    place.run()
    assert exported() == []
    (place.folder / "two" / "img_00003.jpg").unlink()  # somebody tidied up
    place.run()
    assert exported() == ["two.mp4"] and place.files() == before
    make_video(place.root / "two.mp4", seed=5)
    place.run()
    assert exported() == ["two.mp4"] and place.files() != before
    place.run(quality=50)
    assert len(exported()) == 2
    place.run(quality=50, code="2")
    assert len(exported()) == 2


def test_a_run_that_was_killed_leaves_no_half_folder(place, monkeypatch, exported):
    from kinoflow.media import export

    whole, calls = export.encode_jpeg, []

    def killed(picture, quality):
        calls.append(1)
        if len(calls) == 17:  # in the midst of the second video
            raise KeyboardInterrupt
        return whole(picture, quality)

    monkeypatch.setattr(export, "encode_jpeg", killed)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    assert (place.folder / "abseiling" / "one").exists() and not (place.folder / "two").exists()
    exported()
    place.run()
    assert exported() == ["two.mp4"] and len(place.files()) == 24


def test_a_folder_that_is_not_ours_is_left_alone(place):
    (place.folder / "two").mkdir(parents=True)
    (place.folder / "two" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"'two.mp4' \(its folder .*two is there, but was not made by this stage"):
        place.run()
    assert (place.folder / "two" / "notes.txt").read_text() == "mine"


def test_videos_that_cannot_be_decoded_are_named_when_the_others_are_done(place):
    (place.root / "bad.mp4").write_bytes(b"no video at all")
    place.name("abseiling/one.mp4", "bad.mp4", "gone.mp4", "two.mp4")
    with pytest.raises(DataError) as error:
        place.run(workers=2)
    assert str(error.value).startswith("2 of 4 videos cannot be exported: 'bad.mp4' (")
    assert "'gone.mp4' (it cannot be read: No such file or directory)" in str(error.value)
    assert len(place.files()) == 24


@pytest.mark.parametrize(
    "videos, sentence",
    [
        (("a.mp4", "a.avi"), "'a.avi' and 'a.mp4' would become the same folder"),
        (("a.mp4", "a/b.mp4"), "the folder of 'a/b.mp4' would lie in that of 'a.mp4'"),
    ],
)
def test_videos_that_would_share_a_folder_are_refused(place, videos, sentence):
    place.name(*videos)
    with pytest.raises(DataError, match=sentence):
        place.run()


@pytest.mark.parametrize("name", ["../two.mp4", "/two.mp4", "a/../../two.mp4", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(place, tmp_path, name):
    (place.root.parent / "two.mp4").write_bytes((place.root / "two.mp4").read_bytes())
    place.name(name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="is no name below a folder"):
        place.run()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_video_of_another_shard_does_not_take_the_folder_over(place, make_video):
    place.run()
    make_video(place.root / "two.mkv.mp4").rename(place.root / "two.mkv")
    place.name("two.mkv")
    with pytest.raises(DataError, match=r"'two.mkv' \(its folder .*two holds the pictures of 'two.mp4'"):
        place.run()
    (place.root / "two.mp4").unlink()  # it was replaced
    place.run()


def test_what_is_no_list_and_no_number_of_workers_is_refused(place):
    with pytest.raises(ConfigError, match="--workers: 0"):
        place.run(workers=0)
    place.list.write_text("[]")
    with pytest.raises(DataError, match="this is no list of videos; write it with `kinoflow lists`"):
        place.run()


def test_exported_folders_pack_into_a_shard(place, tmp_path):
    place.run()
    (tmp_path / "list.txt").write_text("abseiling/one 12 0\ntwo 12 1")
    pictures(tmp_path / "list.txt", place.folder, tmp_path / "x.h5", PicturesOptions(rate=12.0))
    shard = Shard(tmp_path / "x.h5")
    assert shard.frames("two").shape == (12, 24, 32, 3) and shard.picture("two", 0) in place.files().values()


def test_phone_videos_stand_upright(shared, tmp_path):
    folder = shared / "data" / "torture"
    (tmp_path / "l.json").write_text(json.dumps({"rotate90.mp4": [0, 0, ""]}))
    export_frames(folder, tmp_path / "l.json", tmp_path / "out", ExportOptions(height=40, quality=100))
    found = pixels(tmp_path / "out" / "rotate90" / "img_00001.jpg")
    blocks = decode_video(folder / "rotate90.mp4", FramesOptions(size=min(found.shape[:2]) // 2 * 2))
    upright = next(blocks)[0][0]
    assert found.shape[0] == 40 and (found.shape[0] > found.shape[1]) == (upright.shape[0] > upright.shape[1])
    small = np.asarray(Image.fromarray(found).resize(upright.shape[1::-1]))
    assert np.abs(small.astype(float) - upright).mean() < 10
