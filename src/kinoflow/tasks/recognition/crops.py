"""Cutting, mirroring and scaling the pictures of one clip, all alike.

Pictures are uint8 arrays (n, H, W, C): C = 3 colours, 2 for optical flow (x and y, 128 = no motion), 1 for gray.
"""

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.random import Generator
from PIL import Image

PLACES = (  # of fixed crops, (x, y) in quarters of the room that is left: corners, centre, sides, between
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)
CORNERS_AND_CENTRE = PLACES[:5]
NEAR = 3  # pixels; a crop whose side differs from the wanted one by less needs no scaling


def resize(frames: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale frames (n, H, W, C) to (n, height, width, C): bilinear, antialiased, rounded to whole values."""
    if frames.shape[1:3] == (height, width):
        return frames
    out = np.empty((len(frames), height, width, frames.shape[3]), np.uint8)
    for frame, scaled in zip(frames, out, strict=True):
        if frame.shape[2] == 3:
            scaled[:] = _scaled(frame, width, height)
        else:  # Pillow would take two planes for gray and opacity
            for plane in range(frame.shape[2]):
                scaled[..., plane] = _scaled(frame[..., plane], width, height)
    return out


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def scale_short(frames: np.ndarray, size: int) -> np.ndarray:
    """Scale frames so that their short side is ``size`` pixels and the long one in proportion, cut to whole pixels."""
    height, width = frames.shape[1:3]
    long = size * max(height, width) // min(height, width)
    return resize(frames, size, long) if width <= height else resize(frames, long, size)


def centre_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """Cut the square of ``size`` pixels out of the middle; half pixels go to the even side."""
    height, width = frames.shape[1:3]
    return _cut(frames, round((width - size) / 2), round((height - size) / 2), size, size)


def _cut(frames: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    return frames[:, y : y + height, x : x + width]


# ---------------------------------------------------------------- at fixed places


def offsets(
    width: int, height: int, crop_width: int, crop_height: int, places: Sequence[tuple[int, int]] = PLACES
) -> list[tuple[int, int]]:
    """Return the left and upper edges (x, y) of crops in pictures of ``width`` x ``height`` at ``places``."""
    step_x, step_y = (width - crop_width) // 4, (height - crop_height) // 4
    return [(x * step_x, y * step_y) for x, y in places]


def three_places(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """Return the places of 3 crops: left, right, centre, and of upright pictures top, bottom, centre."""
    return ((2, 0), (2, 4), (2, 2)) if height > width else ((0, 2), (4, 2), (2, 2))


def test_crops(frames: np.ndarray, size: int, scale: int, crops: int, full: bool, flow: bool = False) -> list:
    """Cut ``crops`` (1, 3, 5 or 10) squares (n, size, size, C) out of frames scaled to a short side of ``scale`` pixels.

    1: the centre; 3: both ends of the long side, and its middle; 5: the corners and the centre; 10: each of these 5
    plain, then mirrored (of ``flow``, x is turned round too). full: squares of ``scale`` in place of ``size`` pixels.
    """
    frames, side = scale_short(frames, scale), scale if full else size
    if crops == 1:
        return [centre_crop(frames, side)]
    height, width = frames.shape[1:3]
    places = three_places(width, height) if crops == 3 else CORNERS_AND_CENTRE
    cut = [_cut(frames, x, y, side, side) for x, y in offsets(width, height, side, side, places)]
    return cut if crops < 10 else [version for crop in cut for version in (crop, mirror(crop, flow))]


# ---------------------------------------------------------------- by chance


def crop_sizes(width: int, height: int, size: int, scales: Sequence[float]) -> list[tuple[int, int]]:
    """Return the (width, height) of all multi-scale crops for an input of ``size``; equal ones count repeatedly.

    Sides are ``scales`` of the short side; width and height are at most one scale apart.
    """
    short = min(width, height)
    sides = [int(short * scale) for scale in scales]
    # The published code also takes the wanted size where the picture is smaller, and cuts beyond its edge.
    sides = [size if abs(side - size) < NEAR and size <= short else max(1, side) for side in sides]
    return [(w, h) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]


def draw_crop(
    width: int, height: int, size: int, scales: Sequence[float], rng: Generator | Random
) -> tuple[int, int, int, int]:
    """Draw a multi-scale crop at one of 13 places: (width, height, x, y) in pixels, inside the picture."""
    below = rng.randrange if isinstance(rng, Random) else rng.integers
    sizes = crop_sizes(width, height, size, scales)
    crop = sizes[below(len(sizes))]
    places = offsets(width, height, *crop)
    return *crop, *places[below(len(places))]


def cut_crop(frames: np.ndarray, crop: tuple[int, int, int, int]) -> np.ndarray:
    """Cut a crop that ``draw_crop`` drew: (n, height, width, C)."""
    width, height, x, y = crop
    return _cut(frames, x, y, width, height)


def shift_crop(frames: np.ndarray, size: int, x: int, y: int) -> np.ndarray:
    """Cut the square of ``size`` pixels that lies ``x`` pixels right of and ``y`` below the middle; edges are repeated."""
    height, width = frames.shape[1:3]
    top, left = round((height - size) / 2) + y, round((width - size) / 2) + x
    rows = frames.take(np.arange(top, top + size).clip(0, height - 1), axis=1)
    # Columns by slices: taking them by number copies 3 bytes at a time.
    before, after = min(max(-left, 0), size), min(max(left + size - width, 0), size)
    out = np.empty((len(frames), size, size, frames.shape[3]), np.uint8)
    out[:, :, :before] = rows[:, :, :1]
    out[:, :, before : size - after] = rows[:, :, left + before : left + size - after]
    out[:, :, size - after :] = rows[:, :, -1:]
    return out


def mirror(frames: np.ndarray, flow: bool = False) -> np.ndarray:
    """Mirror frames left to right; of ``flow`` fields (n, H, W, 2), motion along x is turned round (255 - x)."""
    mirrored = frames[:, :, ::-1]
    if not flow:
        return mirrored
    turned = np.empty_like(frames)
    np.subtract(255, mirrored[..., 0], out=turned[..., 0])
    turned[..., 1] = mirrored[..., 1]
    return turned
