from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.media.picture import Converter, fit, quarter_turns

SIDES = st.integers(64, 4096)
ASPECTS = st.fractions(Fraction(1, 3), Fraction(3), max_denominator=200)
TURNS = st.integers(0, 3)
SIZES = st.integers(8, 200).map(lambda n: 2 * n)


def shown_size(width, height, turns, aspect):
    shown = (Fraction(height), width * aspect)
    return shown[::-1] if turns % 2 else shown


@given(SIDES, SIDES, TURNS, ASPECTS, SIZES)
def test_keep_gives_the_short_side_its_size_and_keeps_the_shape(width, height, turns, aspect, size):
    high, wide = fit(width, height, turns, aspect, FramesOptions(size=size)).shape
    rows, columns = shown_size(width, height, turns, aspect)
    assert min(high, wide) == size
    assert high % 2 == wide % 2 == 0
    short_is_height = rows <= columns
    exact = size * (columns / rows if short_is_height else rows / columns)
    assert abs((wide if short_is_height else high) - exact) <= 1


@given(SIDES, SIDES, TURNS, ASPECTS, SIZES, st.sampled_from(["crop", "squash"]))
def test_crop_and_squash_give_squares(width, height, turns, aspect, size, shape):
    plan = fit(width, height, turns, aspect, FramesOptions(size=size, shape=shape))
    assert plan.shape == (size, size)


@given(SIDES, SIDES, TURNS, ASPECTS, SIZES)
def test_crop_is_the_centre_of_what_keep_gives(width, height, turns, aspect, size):
    whole = fit(width, height, turns, aspect, FramesOptions(size=size))
    crop = fit(width, height, turns, aspect, FramesOptions(size=size, shape="crop"))
    assert (crop.width, crop.height) == (whole.width, whole.height)
    assert whole.shape == (size + 2 * crop.top, size + 2 * crop.left)


@given(SIDES, SIDES, TURNS, ASPECTS, SIZES, st.sampled_from(["keep", "crop", "squash"]))
def test_what_is_scaled_is_turned_into_what_is_cut(width, height, turns, aspect, size, shape):
    plan = fit(width, height, turns, aspect, FramesOptions(size=size, shape=shape))
    turned = (plan.width, plan.height) if plan.turns % 2 else (plan.height, plan.width)
    assert plan.top + plan.shape[0] <= turned[0]
    assert plan.left + plan.shape[1] <= turned[1]
    assert plan.width % 2 == plan.height % 2 == 0


@given(SIDES, SIDES, TURNS, ASPECTS)
def test_what_is_not_asked_for_is_not_done(width, height, turns, aspect):
    stored = fit(width, height, 0, Fraction(1), FramesOptions())
    assert fit(width, height, turns, aspect, FramesOptions(upright=False, square_pixels=False)) == stored


def test_sizes_by_example():
    def size(*what, **how):
        return fit(*what, FramesOptions(**how)).shape

    one = Fraction(1)
    assert size(1920, 1080, 0, one) == (256, 456)  # 455.1
    assert size(1080, 1920, 0, one) == (456, 256)
    assert size(1920, 1080, 1, one) == (456, 256)
    assert size(640, 480, 0, one, size=96) == (96, 128)
    assert size(704, 576, 0, Fraction(16, 11), size=288) == (288, 512)  # PAL wide screen
    assert size(170, 128, 0, Fraction(64, 51), size=128) == (128, 214)  # 213.3


def test_a_strip_that_would_blow_up_is_refused_with_what_to_do():
    with pytest.raises(DataError, match="shape: squash"):
        fit(16000, 8, 0, Fraction(1), FramesOptions(size=1024))
    assert fit(16000, 8, 0, Fraction(1), FramesOptions(size=1024, shape="squash")).shape == (1024, 1024)


@pytest.mark.parametrize(
    ("degrees", "turns"), [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (270, 3), (89, 1), (-1, 0)]
)
def test_rotation_counts_quarter_turns_counter_clockwise(degrees, turns):
    assert quarter_turns(degrees) == turns


COLOURS = {"red": (220, 30, 40), "green": (20, 200, 60), "blue": (40, 50, 210), "grey": (128, 128, 128)}
FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "rgb24", "bgra", "gbrp", "nv12"]


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("stored", FORMATS)
def test_colours_survive_every_pixel_format(name, stored):
    colour = np.array(COLOURS[name])
    picture = np.broadcast_to(colour.astype(np.uint8), (66, 98, 3)).copy()
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stored, threads=1)
    out = Converter(FramesOptions(size=32), None, frame)(frame)
    assert out.shape == (32, 48, 3)
    assert np.abs(out.astype(int) - colour).max() <= 4


@pytest.mark.parametrize(("height", "width"), [(77, 101), (31, 33), (16, 16), (480, 853)])
@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic"])
def test_odd_sizes_are_scaled_whole(height, width, interpolation):
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    picture = np.repeat(np.broadcast_to(ramp, (height, width))[..., None], 3, axis=2).copy()
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    out = Converter(FramesOptions(size=16, shape="squash", interpolation=interpolation), None, frame)(frame)
    assert out.shape == (16, 16, 3)
    expected = (np.arange(16) + 0.5) / 16 * 255
    assert np.abs(out.mean((0, 2)) - expected).max() < 12


def test_a_picture_of_another_size_gets_the_size_of_the_first():
    first, second = (
        av.VideoFrame.from_ndarray(np.full((h, w, 3), 90, np.uint8), format="rgb24") for h, w in ((64, 96), (50, 40))
    )
    convert = Converter(FramesOptions(size=32), None, first)
    assert convert(first).shape == convert(second).shape == (32, 48, 3)
