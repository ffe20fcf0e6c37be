"""Folders of numbered pictures become frame shards as they are, or not at all."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.conftest import moving_square

from kinoflow.command import run
from kinoflow.datasets.index import index
from kinoflow.datasets.inventory import inventory
from kinoflow.datasets.options import IndexOptions
from kinoflow.datasets.published.annotations import annotations
from kinoflow.datasets.published.list_files import list_files
from kinoflow.datasets.published.options import AnnotationsOptions, ListFilesOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.options import PicturesOptions
from kinoflow.media.pictures import pictures
from kinoflow.options import check
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, Segment, read


def coded(pixels, form="JPEG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


class Place:
    """A root with two clips of numbered JPEG pictures, and their list file."""

    def __init__(self, folder):
        self.root, self.list, self.shard = folder / "frames", folder / "list.txt", folder / "shard.h5"
        self.clips = {"b/two": moving_square(4, 24, 32), "one": moving_square(3, 32, 24, seed=1)}
        for clip, frames in self.clips.items():
            (self.root / clip).mkdir(parents=True)
            for i, frame in enumerate(frames, 1):
                (self.root / clip / f"img_{i:05d}.jpg").write_bytes(coded(frame, quality=90))
        self.list.write_text("b/two 4 1\none 3 0")

    def file(self, clip, i):
        return self.root / clip / f"img_{i:05d}.jpg"

    def pack(self, table=None, **options):
        pictures(self.list, self.root, self.shard, PicturesOptions(**options), table)
        return Shard(self.shard)

    def refusal(self, **options):
        with pytest.raises(DataError) as error:
            self.pack(**options)
        assert not self.shard.exists()
        return str(error.value)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_jpeg_files_are_kept_byte_for_byte(place):
    shard = place.pack(rate=12.0)
    assert shard.videos == ["b/two", "one"] and shard.attrs["store"] == "jpeg"
    for clip, frames in place.clips.items():
        assert [shard.picture(clip, i) for i in range(len(frames))] == [
            place.file(clip, i + 1).read_bytes() for i in range(len(frames))
        ]
        assert shard.frames(clip).shape == frames.shape
        assert np.allclose(shard.times(clip), np.arange(len(frames)) / 12)


def test_the_shard_does_not_depend_on_the_order_of_the_list(place):
    place.pack()
    before = place.shard.read_bytes()
    place.list.write_text("one 3 7\n\nb/two 4 1\none 3 7\n")
    place.pack()
    assert place.shard.read_bytes() == before


def test_pictures_of_any_format_become_raw_pixels(place):
    for clip, frames in place.clips.items():
        for i, frame in enumerate(frames):
            (place.root / clip / f"{i}.png").write_bytes(coded(frame, "PNG"))
    shard = place.pack(pattern="{frame}.png", first=0, store="raw")
    for clip, frames in place.clips.items():
        assert (shard.frames(clip) == frames).all()
    place.shard.unlink()
    assert "'b/two/0.png' (PNG and no JPEG: take store: raw)" in place.refusal(pattern="{frame}.png", first=0)


def test_the_folder_may_be_called_other_than_in_the_list(place):
    place.root.joinpath("one").rename(place.root / "00000one")
    place.list.write_text("some/prefix/one 3 0")
    assert place.pack(folder="{name:0>8}").videos == ["some/prefix/one"]


# ---------------------------------------------------------------- strict


def test_every_missing_and_broken_picture_is_named(place):
    place.file("one", 2).unlink()
    whole = place.file("b/two", 1).read_bytes()
    place.file("b/two", 1).write_bytes(whole[: len(whole) // 2])
    place.file("b/two", 3).write_bytes(b"")
    place.file("b/two", 4).write_bytes(coded(moving_square(1, 24, 30)[0]))
    said = place.refusal()
    assert said.startswith(f"4 pictures below {place.root} cannot be used: 'b/two/img_00001.jpg' (broken: ")
    for text in (
        "'b/two/img_00003.jpg' (broken: no picture)",
        "'b/two/img_00004.jpg' (it has 30 x 24 pixels, the clip's first picture 32 x 24)",
        "'one/img_00002.jpg' (missing)",
    ):
        assert text in said
    assert "..." not in said and "\n" not in said


def test_of_very_many_the_first_twenty_are_named_and_all_counted(place):
    place.list.write_text("one 30 0\nb/two 4 1\nthree 5 2")
    said = place.refusal()
    assert said.startswith("32 pictures below") and said.count("(missing)") == 20 and ", ...;" in said
    place.list.write_text("three 500 2")
    assert (
        "500 pictures" in (said := place.refusal()) and "'three' (there is no such folder" in said and "..." not in said
    )


def test_no_other_clip_s_picture_stands_in_for_a_missing_one(place):
    place.pack()
    place.file("one", 1).unlink()
    before = place.shard.read_bytes()
    with pytest.raises(DataError, match=r"'one/img_00001.jpg' \(missing\)"):
        place.pack()
    assert place.shard.read_bytes() == before  # the old shard stays


def test_clips_that_are_too_short_are_left_out_and_named(place, caplog):
    place.list.write_text("b/two 4 1\none 3 0\nempty 0 0")
    assert place.pack(shortest=4).videos == ["b/two"]
    assert "2 clips with less than 4 pictures are left out: 'one' (3), 'empty' (0)" in caplog.text
    with pytest.raises(DataError, match="no clip of this list has 5 pictures"):
        place.pack(shortest=5)


# ---------------------------------------------------------------- flow


def flow_fields(frames, height=16, width=24, seed=0):
    """Fields that JPEG keeps well: smooth, (T, H, W, 2) uint8."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    rows = [np.stack([128 + a * x / width, 128 - b * y / height], axis=2) for a, b in rng.uniform(-60, 60, (frames, 2))]
    return np.rint(rows).astype(np.uint8)


@pytest.mark.parametrize(
    "names, options, count",
    [
        (
            ("7/flow_x_{:05d}.jpg", "7/flow_y_{:05d}.jpg"),
            {"pattern": "flow_x_{frame:05d}.jpg", "pattern_y": "flow_y_{frame:05d}.jpg"},
            5,
        ),
        (
            ("000007/000007-x_{:05d}.jpg", "000007/000007-y_{:05d}.jpg"),
            {
                "folder": "{name:0>6}",
                "pattern": "{name:0>6}-x_{frame:05d}.jpg",
                "pattern_y": "{name:0>6}-y_{frame:05d}.jpg",
                "counted": "files",
            },
            10,
        ),
        (("7/{:06d}.jpg",), {"pattern": "{frame:06d}.jpg"}, 5),
    ],
    ids=["ucf101", "something_v1", "something_v2"],
)
@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_the_published_layouts_of_flow_become_two_channels(tmp_path, names, options, count, store):
    fields = flow_fields(5)
    for i, field in enumerate(fields, 1):
        planes = [field[..., 0], field[..., 1]]
        if len(names) == 1:
            planes = [np.dstack([*planes, np.full_like(planes[0], 128)])]
        for name, plane in zip(names, planes, strict=True):
            path = tmp_path / name.format(i)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(coded(plane, quality=95, subsampling=0))
    (tmp_path / "list.txt").write_text(f"7 {count} 0")
    options = PicturesOptions(content="flow", store=store, **options)
    pictures(tmp_path / "list.txt", tmp_path, tmp_path / "flow.h5", options)
    shard = Shard(tmp_path / "flow.h5")
    found = shard.frames("7")
    assert found.shape == fields.shape and shard.channels == 2
    assert np.abs(found.astype(int) - fields).max() <= (3 if len(names) == 2 else 6)


def test_pairs_of_flow_that_do_not_fit_are_refused(place):
    flow = {"content": "flow", "pattern_y": "y_{frame:05d}.jpg"}
    assert "7 pictures below" in (said := place.refusal(**flow)) and "'one/y_00001.jpg' (missing)" in said
    assert "line 2: 3 files are no pairs of x and y" in place.refusal(**flow, counted="files")
    place.list.write_text("one 3 0")
    for i in (1, 2, 3):
        place.file("one", i).write_bytes(coded(moving_square(1)[0, :, :, 0]))
    assert "gray, so it does not hold x and y" in place.refusal(content="flow")


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"pattern": "img.jpg"}, "pattern: 'img.jpg' is no template: {frame} must stand in it"),
        ({"pattern": "{frame:05q}.jpg"}, "is no template"),
        ({"pattern": "{frame.x}"}, "is no template"),
        ({"pattern": "a/{frame}"}, "names no file that can be seen"),
        ({"folder": "clips"}, "folder: 'clips' is no template: {name} must stand in it"),
        ({"folder": "/{name}"}, "leave the leading / out"),
        ({"pattern_y": "y_{frame}.jpg"}, "a second file is for content: flow"),
        ({"content": "flow", "pattern": "{frame}", "pattern_y": "{frame}"}, "must differ from pattern"),
    ],
)
def test_a_pattern_that_names_no_picture_is_refused(values, sentence):
    with pytest.raises(ConfigError) as error:
        check(PicturesOptions, values, "options")
    assert sentence in str(error.value)


# ---------------------------------------------------------------- to the tables


def test_frame_folders_get_from_annotation_files_to_segments(tmp_path):
    """Jester by hand: lists, shard, probe table, labels, index."""
    source, root = tmp_path / "annotations", tmp_path / "frames"
    source.mkdir()
    (source / "jester-v1-labels.csv").write_text("Swiping Left\nNo gesture\n")
    (source / "jester-v1-train.csv").write_text("34870;Swiping Left\n9223;No gesture\n")
    for clip, count in (("34870", 24), ("9223", 6)):
        (root / clip).mkdir(parents=True)
        for i in range(1, count + 1):
            (root / clip / f"{i:05d}.jpg").write_bytes(coded(moving_square(1, 24, 32, seed=i)[0]))
    list_files(source, root, tmp_path / "lists", ListFilesOptions(kind="jester", class_count=2))
    options = PicturesOptions(pattern="{frame:05d}.jpg", rate=12.0)
    shard, table = tmp_path / "000.h5", tmp_path / "000.csv"
    pictures(tmp_path / "lists" / "train_videofolder.txt", root, shard, options, table)
    labels, splits = tmp_path / "labels.csv", tmp_path / "splits.csv"
    annotations(source, labels, splits, AnnotationsOptions(kind="jester", class_count=2), root)
    inventory([table], tmp_path / "inventory.csv", tmp_path / "unreadable.csv")
    made = [tmp_path / name for name in ("inventory.csv", "videos.csv", "segments.csv")]
    index(*made, IndexOptions(), labels, splits)
    rows = {row.video: (row.action, row.start, row.end, row.split) for row in read(made[2], Segment)}
    assert rows == {"34870": ("Swiping Left", 0.0, 2.0, "train"), "9223": ("No gesture", 0.0, 0.5, "train")}
    probed = {row.video: (row.fps, row.frames, row.width, row.height) for row in read(table, Probed)}
    assert probed["9223"] == (12.0, 6, 32, 24) and set(probed) == set(Shard(shard).videos)


def test_the_command_packs_a_list(place, capfd):
    words = ["--list", str(place.list), "--root", str(place.root), "--shard", str(place.shard)]
    assert run("kinoflow.media.pictures:pictures", pictures, [*words, "--pattern", "img_{frame:05d}.jpg"]) == 0
    assert run("kinoflow.media.pictures:pictures", pictures, [*words, "--pattern", "{frame:04d}.jpg"]) == 1
    assert "'b/two/0001.jpg' (missing)" in capfd.readouterr().err
