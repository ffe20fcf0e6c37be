"""The looks of the twelve kitchens: counter, board, cook, viewpoint, light, sensor noise."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kinoflow.datasets.kitchen.scene import BLACK, SHADOW_BLUR, Scene, rgb


class _Palette(NamedTuple):
    counter: str
    counter2: str
    surface: str  # planks, tiles, marble or plain
    board: str
    sleeve: str
    accent: str  # tools and bowls


_PALETTES = (
    _Palette("c9b79c", "b8a184", "planks", "8a5a3c", "3f6ea5", "d1495b"),
    _Palette("dfe3e8", "c5ccd6", "tiles", "c08552", "c8553d", "2a9d8f"),
    _Palette("5f6f7a", "55646e", "marble", "d9b382", "e9c46a", "457b9d"),
    _Palette("efe6d5", "e3d6bd", "plain", "6b8f71", "6d597a", "e07a5f"),
    _Palette("7a9e9f", "6b8e90", "tiles", "e0c097", "b56576", "f2cc8f"),
    _Palette("a3754f", "8f6442", "planks", "e6d3b3", "2f5d50", "577590"),
    _Palette("b9c4c9", "a9b5bb", "marble", "7f5539", "588157", "bc4749"),
    _Palette("d8c3a5", "cdb590", "plain", "4f6d7a", "9c6644", "8ab17d"),
    _Palette("8d99ae", "7f8ca3", "planks", "edd9b7", "d62828", "f4a261"),
    _Palette("e8dcd0", "d6c6b6", "marble", "9c6b4f", "1d3557", "43aa8b"),
    _Palette("6f7d63", "64725a", "tiles", "d4a373", "f08a5d", "6a8caf"),
    _Palette("cfd8dc", "bcc8ce", "planks", "a47148", "7b2d26", "90be6d"),
)
_SKINS = ("f2c9a5", "d9a066", "a9714b", "7a4b32", "e8b48a")


@dataclass(frozen=True)
class Look:
    """What one kitchen and its cook look like; colours are (3,) float32."""

    counter: np.ndarray
    counter2: np.ndarray
    surface: str
    board: np.ndarray
    sleeve: np.ndarray
    accent: np.ndarray
    skin: np.ndarray
    flip: bool  # seen in a mirror
    zoom: float
    turn: float  # radians
    shift: tuple[float, float]  # share of the picture
    light: float  # brightness at the centre
    slope: tuple[float, float]  # its change across the scene
    noise: float  # standard deviation


def kitchen_look(seed: int, kitchen: int) -> Look:
    """Return the look of a kitchen: a fixed function of seed and number; its palette depends on the number alone."""
    rng = np.random.default_rng([seed, 77, kitchen])
    palette = _PALETTES[kitchen]
    return Look(
        counter=rgb(palette.counter),
        counter2=rgb(palette.counter2),
        surface=palette.surface,
        board=rgb(palette.board),
        sleeve=rgb(palette.sleeve),
        accent=rgb(palette.accent),
        skin=rgb(_SKINS[kitchen % len(_SKINS)]),
        flip=bool(rng.random() < 0.5),
        zoom=rng.uniform(0.92, 1.1),
        turn=rng.uniform(-0.12, 0.12),
        shift=tuple(rng.uniform(-0.03, 0.03, 2).tolist()),
        light=rng.uniform(0.88, 1.06),
        slope=tuple(rng.uniform(-0.14, 0.14, 2).tolist()),
        noise=rng.uniform(0.006, 0.014),
    )


def background(look: Look, size: int, swirl: float = 0.0) -> Scene:
    """Return the empty kitchen: counter and board. ``swirl`` shifts the veins of marble (radians)."""
    scene = Scene(size, look.flip, look.zoom, look.turn, look.shift)
    scene.pixels[:] = look.counter + (look.counter2 - look.counter) * _pattern(look.surface, scene, swirl)[..., None]
    scene.box(0.515, 0.525, 0.37, 0.33, BLACK, corner=0.05, opacity=0.25, blur=SHADOW_BLUR)
    scene.box(0.5, 0.5, 0.37, 0.33, look.board, edge=look.board * 0.72, corner=0.05)
    return scene


def _pattern(surface: str, scene: Scene, swirl: float) -> np.ndarray:
    """Return (size, size) how much of the second counter colour each pixel has."""
    if surface == "planks":
        return np.floor(scene.x / 0.18) % 2
    if surface == "tiles":
        joints = [np.abs((axis / 0.22) % 1 - 0.5) > 0.46 for axis in (scene.x, scene.y)]
        return (joints[0] | joints[1]).astype(np.float32) * 1.8
    if surface == "marble":
        return 0.5 + 0.5 * np.sin(9 * scene.x + 5 * np.sin(4 * scene.y + swirl) + 3 * scene.y)
    return scene.y


def illumination(look: Look, scene: Scene) -> np.ndarray:
    """Return the brightness of each pixel, (size, size, 1) float64."""
    slope_x, slope_y = (np.float64(slope) for slope in look.slope)
    return look.light * (1 + slope_x * (scene.x - 0.5) + slope_y * (scene.y - 0.5))[..., None]
