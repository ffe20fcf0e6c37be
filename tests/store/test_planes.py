"""Two-channel pictures: as one gray JPEG, as raw bytes, and in shards."""

import io

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kinoflow.errors import DataError
from kinoflow.store.planes import decode_planes, encode_planes
from kinoflow.store.shards import Shard, encode_jpeg, writing


def smooth(height: int, width: int, channels: int = 2) -> np.ndarray:
    """A picture (H, W, C) uint8 whose channels have nothing to do with each other."""
    y, x = np.mgrid[:height, :width]
    waves = [127.5 + 100 * np.sin(x / (5 + 4 * c) + y / (9 - 3 * c) + c) for c in range(channels)]
    return np.stack(waves, -1).astype(np.uint8)


def write(path, videos, store="raw", **attrs):
    with writing(path, {"store": store, "channels": 2, **attrs}, frames=True) as writer:
        for name, x in videos.items():
            pictures = x if store == "raw" else (encode_planes(frame, 95) for frame in x)
            writer.add(name, pictures, np.arange(len(x)) / 4, x.shape[1:3])
    return Shard(path)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.integers(1, 3))
def test_planes_of_any_size_come_back_nearly_as_they_were(height, width, channels):
    frame = smooth(height, width, channels)
    back = decode_planes(encode_planes(frame, 95), channels, height)
    assert back.shape == frame.shape and back.dtype == np.uint8
    assert np.abs(back.astype(int) - frame).max() <= 8


@pytest.mark.parametrize("height", [8, 13])
def test_no_plane_shines_through_into_the_other(height):
    """A square of JPEG that held the end of one and the beginning of the other would ring in both."""
    frame = np.zeros((height, 24, 2), np.uint8)
    frame[..., 1] = 255
    assert (decode_planes(encode_planes(frame, 50), 2, height) == frame).all()


@pytest.mark.parametrize("quality", [1, 50, 90])
def test_no_motion_is_kept_exactly_at_any_quality(quality):
    """128 is where JPEG counts from."""
    frame = np.full((20, 30, 2), 128, np.uint8)
    assert (decode_planes(encode_planes(frame, quality), 2, 20) == 128).all()


def test_a_viewer_shows_the_planes_below_one_another():
    with Image.open(io.BytesIO(encode_planes(smooth(16, 24), 90))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "L", (24, 32))


def test_pictures_of_another_kind_are_a_value_error():
    with pytest.raises(ValueError):
        decode_planes(encode_jpeg(smooth(16, 24, 3), 90), 2, 8)
    with pytest.raises(ValueError, match="32 rows of pixels are not 2 planes of 24"):
        decode_planes(encode_planes(smooth(16, 24), 90), 2, 24)


# ---------------------------------------------------------------- in shards


@pytest.mark.parametrize("store, off", [("raw", 0), ("jpeg", 8)])
def test_a_shard_of_two_channels_gives_them_back(tmp_path, store, off):
    videos = {"a": np.stack([smooth(12, 20)] * 3), "b": np.stack([smooth(15, 9)[::-1], smooth(15, 9)])}
    shard = write(tmp_path / "a.h5", videos, store)
    assert shard.channels == 2
    for name, x in videos.items():
        assert shard.frames(name).shape == x.shape
        assert np.abs(shard.frames(name).astype(int) - x).max() <= off
        assert (shard.frames(name, [1]) == shard.frames(name)[1:2]).all()


def test_a_shard_that_does_not_say_holds_three_channels(tmp_path):
    with writing(tmp_path / "a.h5", {"store": "raw"}, frames=True) as writer:
        writer.add("v", np.zeros((1, 4, 6, 3), np.uint8), [0.0])
    assert Shard(tmp_path / "a.h5").channels == 3


def test_frames_with_other_channels_than_the_shard_are_a_bug(tmp_path):
    with pytest.raises(ValueError, match=r"x must be \(T, H, W, 2\) uint8"):
        write(tmp_path / "a.h5", {"v": np.zeros((1, 4, 6, 3), np.uint8)})


def test_the_content_of_a_video_is_told_by_its_bytes_size_times_and_coding(tmp_path):
    def content(x, seconds=0.5, video="v", others=(), **attrs):
        with writing(tmp_path / "a.h5", {"store": "raw", "channels": 2, **attrs}, frames=True) as writer:
            for name in (video, *others):
                writer.add(name, (frame.tobytes() for frame in x), np.arange(len(x)) * seconds, x.shape[1:3])
        return Shard(tmp_path / "a.h5").content(video)

    x = np.stack([smooth(12, 20)] * 2)
    different = [content(x), content(x[:1]), content(x[::-1] + 1), content(x.reshape(2, 20, 12, 2)), content(x, 1.0)]
    different += [content(x.reshape(2, 10, 16, 3), channels=3), content(x, store="jpeg")]
    assert len(set(different)) == len(different)
    assert content(x, video="w", others=("a", "z"), options="{}") == content(x)


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("damage", ["cut", "no picture", "other size", "empty"])
def test_a_coded_picture_that_is_broken_is_named(tmp_path, channels, damage):
    def code(frame):
        return encode_planes(frame, 90) if channels == 2 else encode_jpeg(frame, 90)

    good = code(smooth(16, 24, channels))
    bad = {"cut": good[:-200], "no picture": b"text", "other size": code(smooth(8, 8, channels)), "empty": b""}[damage]
    with writing(tmp_path / "a.h5", {"store": "jpeg", "channels": channels}, frames=True) as writer:
        writer.add("v", iter([good, bad]), [0.0, 1.0], (16, 24))
    shard = Shard(tmp_path / "a.h5")
    assert shard.frames("v", [0]).shape == (1, 16, 24, channels)
    with pytest.raises(
        DataError, match=r"a\.h5: the picture number 1 of 'v' is no whole JPEG of 16 x 24 pixels; delete"
    ):
        shard.frames("v")


def test_channels_that_are_no_number_are_refused_in_a_sentence(tmp_path):
    write(tmp_path / "a.h5", {"v": np.zeros((1, 4, 6, 2), np.uint8)})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["channels"] = "two"
    with pytest.raises(DataError, match="this is no shard of kinoflow"):
        Shard(tmp_path / "a.h5")
