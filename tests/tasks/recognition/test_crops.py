"""Cuts, mirrors and scales of pictures: the published pixels (golden), and what holds whatever the sizes."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinoflow.tasks.recognition import crops

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"
SCALES = (1.0, 0.875, 0.75, 0.66)

sides = st.integers(1, 400)
pictures = arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.just(3)))
fields = arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.just(2)))


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN / "transforms.npz"))


def noise(height: int, width: int, frames: int = 2, planes: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, planes), np.uint8)


def maps(field: np.ndarray) -> np.ndarray:
    """Put x and y maps (n, H, W, 2) one after the other, as the published code keeps them: (2 n, H, W)."""
    return field.transpose(0, 3, 1, 2).reshape(-1, *field.shape[1:3])


def flow_fields(golden) -> np.ndarray:
    return golden["flow_img"].reshape(2, 2, *golden["flow_img"].shape[1:]).transpose(0, 2, 3, 1)


# ---------------------------------------------------------------- the published numbers and pixels


@pytest.mark.parametrize("case", range(5))
def test_offsets_are_the_published_ones(golden, case):
    size = golden["size_w_h_cw_ch"][case].tolist()
    assert crops.offsets(*size) == list(map(tuple, golden[f"off13_{case}"].tolist()))
    five = crops.offsets(*size, crops.CORNERS_AND_CENTRE)
    assert five == list(map(tuple, golden[f"off5_{case}"].tolist()))


@pytest.mark.parametrize("case", ["340x256_in224_ns4", "320x240_in224_ns3", "455x256_in224_ns4", "226x300_in224_ns4"])
def test_crop_sizes_are_the_published_ones(golden, case):
    size, target, scales = case.split("_")
    width, height = map(int, size.split("x"))
    pairs = crops.crop_sizes(width, height, int(target[2:]), SCALES[: int(scales[2:])])
    assert sorted(set(pairs)) == list(map(tuple, golden[f"pairs_{case}"].tolist()))


def test_drawn_crops_are_the_published_ones(golden):
    for row in golden["draw_w_h_input_nscales_seed_cw_ch_ox_oy"].tolist():
        width, height, size, scales, seed, *wanted = row
        assert list(crops.draw_crop(width, height, size, SCALES[:scales], random.Random(seed))) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_drawn_crops_are_cut_and_scaled_as_published(golden, seed):
    images, size = golden["img"], int(golden["scale_size_crop"][1])
    crop = crops.draw_crop(40, 30, size, SCALES, random.Random(seed))
    np.testing.assert_array_equal(crops.resize(crops.cut_crop(images, crop), size, size), golden[f"msc_seed{seed}"])


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_pictures_and_flow_are_the_published_ones(golden, seed):
    flipped = random.Random(seed).random() < 0.5
    if seed < 3:
        got = crops.mirror(golden["img"]) if flipped else golden["img"]
        np.testing.assert_array_equal(got, golden[f"hflip_seed{seed}"])
    field = flow_fields(golden)
    got = maps(crops.mirror(field, flow=True) if flipped else field)
    np.testing.assert_array_equal(got, golden[f"flow_hflip_seed{seed}"])


def test_scaled_and_central_pixels_are_the_published_ones(golden):
    scale, size = golden["scale_size_crop"].tolist()
    scaled = crops.scale_short(golden["img"], scale)
    np.testing.assert_array_equal(scaled, golden["scaled"])
    np.testing.assert_array_equal(crops.centre_crop(scaled, size), golden["center"])


@pytest.mark.parametrize(
    ("name", "count", "full"),
    [("center", 1, False), ("full3", 3, False), ("over5", 5, False), ("over10", 10, False), ("full3_fullres", 3, True)],
)
def test_crops_of_a_test_are_the_published_ones(golden, name, count, full):
    scale, size = golden["scale_size_crop"].tolist()
    got = crops.test_crops(golden["img"], size, scale, count, full)
    assert len(got) == count
    np.testing.assert_array_equal(np.concatenate(got), golden[name])


def test_ten_crops_of_flow_are_the_published_ones(golden):
    scale, size = golden["scale_size_crop"].tolist()
    got = crops.test_crops(flow_fields(golden), size, scale, 10, False, flow=True)
    np.testing.assert_array_equal(np.concatenate([maps(crop) for crop in got]), golden["flow_over10"])


# ---------------------------------------------------------------- whatever the sizes


@given(sides, sides, st.integers(1, 300), st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(0, 999))
def test_drawn_crops_lie_inside_the_picture(width, height, size, scales, seed):
    w, h, x, y = crops.draw_crop(width, height, size, scales, np.random.default_rng(seed))
    assert w >= 1 and h >= 1 and x >= 0 and y >= 0
    assert x + w <= width and y + h <= height


def test_a_picture_just_smaller_than_the_input_is_not_cut_beyond_its_edge():
    assert crops.crop_sizes(222, 300, 224, (1.0,)) == [(222, 222)]
    assert crops.crop_sizes(226, 300, 224, (1.0,)) == [(224, 224)]


@given(st.integers(100, 400), st.integers(100, 400))
def test_four_scales_give_ten_sizes_and_three_give_seven(width, height):
    assert len(set(crops.crop_sizes(width, height, 16, SCALES))) == 10
    assert len(set(crops.crop_sizes(width, height, 16, SCALES[:3]))) == 7


@given(st.integers(1, 99), st.integers(1, 99), st.integers(0, 30), st.integers(0, 30))
def test_thirteen_places_hold_the_five_and_are_symmetric(w, h, room_x, room_y):
    width, height = w + 4 * room_x, h + 4 * room_y
    places = crops.offsets(width, height, w, h)
    assert len(places) == 13
    assert places[:5] == crops.offsets(width, height, w, h, crops.CORNERS_AND_CENTRE)
    assert sorted((width - w - x, y) for x, y in places) == sorted(places)
    assert sorted((x, height - h - y) for x, y in places) == sorted(places)


@given(pictures)
def test_mirroring_pictures_twice_changes_nothing(frames):
    np.testing.assert_array_equal(crops.mirror(crops.mirror(frames)), frames)


@given(fields)
def test_mirroring_flow_twice_changes_nothing(frames):
    once = crops.mirror(frames, flow=True)
    assert (once[:, :, ::-1, 0] == 255 - frames[..., 0]).all()
    np.testing.assert_array_equal(crops.mirror(once, flow=True), frames)


@given(pictures, st.integers(1, 14), st.integers(-20, 20), st.integers(-20, 20))
def test_a_shifted_crop_repeats_the_edges(frames, size, x, y):
    height, width = frames.shape[1:3]
    got = crops.shift_crop(frames, size, x, y)
    down = [min(max(round((height - size) / 2) + y + i, 0), height - 1) for i in range(size)]
    across = [min(max(round((width - size) / 2) + x + i, 0), width - 1) for i in range(size)]
    np.testing.assert_array_equal(got, frames[:, down][:, :, across])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_the_short_side_becomes_the_wanted_one_and_the_long_one_follows(width, height, size):
    assume(max(width, height) <= 20 * min(width, height))
    scaled = crops.scale_short(noise(height, width, 1), size)
    short, long = sorted(scaled.shape[1:3])
    assert short == size
    assert long == size * max(width, height) // min(width, height)
    assert (scaled.shape[1] >= scaled.shape[2]) == (height >= width or short == long)


def test_each_plane_of_flow_is_scaled_by_itself():
    field = noise(30, 40, planes=2)
    field[..., 1] = 0
    both = crops.resize(field, 20, 15)
    np.testing.assert_array_equal(both[..., :1], crops.resize(field[..., :1], 20, 15))
    assert not both[..., 1].any()


def test_three_crops_of_an_upright_picture_are_its_top_bottom_and_middle():
    lying = noise(24, 40)
    upright = lying.swapaxes(1, 2)
    got = crops.test_crops(upright, 20, 24, 3, False)
    for ours, turned in zip(got, crops.test_crops(lying, 20, 24, 3, False), strict=True):
        np.testing.assert_array_equal(ours, turned.swapaxes(1, 2))
    np.testing.assert_array_equal(got[0], upright[:, :20, 2:22])
    np.testing.assert_array_equal(got[1], upright[:, 20:, 2:22])
