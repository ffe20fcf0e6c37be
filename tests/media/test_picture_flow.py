"""Folders of published optical flow are probed and become flow shards: the bytes that were published."""

import json

import numpy as np
import pytest
from PIL import Image

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.numbered import probe_pictures
from kinoflow.media.options import FolderFlowOptions, FolderFramesOptions, NumberedOptions
from kinoflow.media.picture_flow import picture_flow
from kinoflow.options import check
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, read

FIELDS = np.random.default_rng(0).integers(0, 256, (3, 20, 28, 2), np.uint8)
TWO = {"pattern": "flow_x_{frame:05d}.png", "pattern_y": "flow_y_{frame:05d}.png", "rate": 10}
NAMED = {"pattern": "{name}-x_{frame:05d}.png", "pattern_y": "{name}-y_{frame:05d}.png", "rate": 10}
ONE = {"pattern": "{frame:06d}.png", "rate": 10}


def write(folder, numbering, fields=FIELDS):
    """Write fields (n, H, W, 2) as pictures without loss."""
    folder.mkdir(parents=True)
    for number, field in enumerate(fields, 1):
        names = [
            numbering[key].format(frame=number, name=folder.name)
            for key in ("pattern", "pattern_y")
            if key in numbering
        ]
        if len(names) == 1:
            blue = np.full((*field.shape[:2], 1), 7, np.uint8)
            Image.fromarray(np.concatenate([field, blue], axis=2)).save(folder / names[0])
        for name, plane in zip(names, np.moveaxis(field, 2, 0), strict=False) if len(names) == 2 else ():
            Image.fromarray(plane).save(folder / name)


def made(place, numbering, **options):
    names = sorted(path.name for path in (place / "flow").iterdir())
    (place / "000.json").write_text(json.dumps({name: [0, 0, "1"] for name in names}))
    probe_pictures(place / "flow", place / "000.json", place / "probe.csv", NumberedOptions(**numbering), code="1")
    wanted = FolderFlowOptions.model_validate({"store": "raw", "pictures": numbering} | options)
    picture_flow(place / "flow", place / "probe.csv", place / "000.h5", wanted, code="1")
    return {row.video: row for row in read(place / "probe.csv", Probed)}, Shard(place / "000.h5")


@pytest.mark.parametrize("numbering", [TWO, NAMED, ONE])
def test_published_layouts_become_fields_of_x_and_y(tmp_path, numbering):
    write(tmp_path / "flow/000007", numbering)
    write(tmp_path / "flow/000012", numbering, FIELDS[:2, :, ::2])
    rows, shard = made(tmp_path, numbering)
    assert [(row.frames, row.duration, row.width) for row in rows.values()] == [(3, 0.3, 28), (2, 0.2, 14)]
    assert shard.channels == 2 and np.array_equal(shard.frames("000007"), FIELDS)
    assert np.array_equal(shard.frames("000012"), FIELDS[:2, :, ::2])
    assert np.allclose(shard.times("000007"), [0, 0.1, 0.2])


def test_compressed_fields_are_close(tmp_path):
    smooth = np.broadcast_to(np.linspace(90, 160, 28, dtype=np.uint8)[:, None], (20, 28, 2))
    write(tmp_path / "flow/7", TWO, [smooth])
    found = made(tmp_path, TWO, store="jpeg", quality=95)[1].frames("7")
    assert np.abs(found[0].astype(int) - smooth).max() < 6


def test_a_clip_that_lacks_a_picture_of_y_is_not_used(tmp_path):
    for name in ("7", "8"):
        write(tmp_path / "flow" / name, TWO)
    (tmp_path / "flow/7/flow_y_00002.png").unlink()
    rows, shard = made(tmp_path, TWO)
    assert rows["7"].reason == "the picture 'flow_y_00002.png' is missing" and shard.videos == ["8"]


def test_gray_pictures_do_not_hold_x_and_y(tmp_path):
    write(tmp_path / "flow/7", TWO)
    with pytest.raises(DataError, match=r"'flow_x_00001.png' is gray, .* say pictures.pattern_y"):
        made(tmp_path, {"pattern": TWO["pattern"]})


def test_frames_are_not_made_of_two_files():
    with pytest.raises(ConfigError, match="pattern_y: it is for optical flow"):
        check(FolderFramesOptions, {"pictures": TWO}, "options")
