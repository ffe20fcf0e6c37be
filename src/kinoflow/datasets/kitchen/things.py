"""How nouns and the cook's hand are painted. Sub-variants of a noun differ by colour, nouns by shape."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kinoflow.datasets.kitchen.kitchens import Look
from kinoflow.datasets.kitchen.scene import WHITE, Scene, rgb
from kinoflow.datasets.kitchen.world import NOUNS

INK, STEEL = rgb("2b2d42"), rgb("dfe5ea")
COLOURS = {noun: [(rgb(main), rgb(second)) for main, second in NOUNS[noun].looks] for noun in NOUNS}


class _Style(NamedTuple):
    main: np.ndarray
    second: np.ndarray
    accent: np.ndarray  # the kitchen's
    variant: int


def paint_noun(scene: Scene, look: Look, noun: str, variant: int, x: float, y: float) -> None:
    """Paint a thing with its centre at (x, y); ``variant`` (0, 1, 2) chooses its colours."""
    _PAINTERS[noun](scene, x, y, _Style(*COLOURS[noun][variant], look.accent, variant))


def paint_container(scene: Scene, noun: str, variant: int, x: float, y: float, lid: float) -> None:
    """Paint a jar or a box, its lid moved by ``lid`` towards the cook."""
    main, second = COLOURS[noun][variant]
    if noun == "jar":
        scene.shadow(x, y, 0.17, 0.17)
        scene.disc(x, y, 0.165, main, edge=main * 0.55, edge_width=0.02)
        scene.disc(x, y, 0.115, main * 0.45, edge=main * 0.35)
        scene.disc(x, y + lid, 0.15, second, edge=second * 0.6, edge_width=0.03)
    else:
        scene.shadow(x, y, 0.21, 0.16)
        scene.box(x, y, 0.2, 0.15, main, edge=main * 0.55, edge_width=0.02)
        scene.box(x, y, 0.155, 0.105, main * 0.4)
        scene.box(x, y + lid, 0.19, 0.14, second, edge=second * 0.6, edge_width=0.03)


def _tomato(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.12, 0.12)
    scene.disc(x, y, 0.115, style.main, edge=style.main * 0.55)
    for angle in np.arange(5) * 1.2566 + style.variant:
        scene.bar(x, y, x + 0.06 * np.cos(angle), y + 0.06 * np.sin(angle), 0.012, style.second)
    scene.disc(x - 0.045, y - 0.05, 0.02, WHITE, opacity=0.7)


def _cucumber(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.2, 0.07)
    scene.bar(x - 0.14, y + 0.02, x + 0.14, y - 0.02, 0.062, style.main, edge=style.main * 0.55)
    scene.bar(x - 0.12, y + 0.0, x + 0.12, y - 0.035, 0.014, style.second)


def _carrot(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.2, 0.06)
    for i, radius in enumerate((0.058, 0.05, 0.04, 0.028)):
        edge = style.main * 0.6 if i == 0 else None
        scene.bar(x - 0.13 + 0.075 * i, y, x - 0.06 + 0.075 * i, y, radius, style.main, edge=edge)
    scene.bar(x - 0.17, y, x - 0.24, y - 0.04, 0.02, style.second)
    scene.bar(x - 0.17, y, x - 0.24, y + 0.035, 0.02, style.second)


def _cheese(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.15, 0.1)
    scene.box(x, y, 0.14, 0.095, style.main, edge=style.second * 0.75, corner=0.025)
    for u, v, radius in ((-0.07, -0.03, 0.026), (0.03, 0.03, 0.032), (0.08, -0.04, 0.02)):
        scene.disc(x + u, y + v, radius, style.second)


def _bread(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.17, 0.1)
    scene.oval(x, y, 0.17, 0.1, style.main, edge=style.second * 0.7)
    for u in (-0.08, 0.0, 0.08):
        scene.bar(x + u - 0.02, y - 0.05, x + u + 0.02, y + 0.05, 0.012, style.second)


def _dough(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.22, 0.17)
    scene.oval(x, y, 0.22, 0.17, style.main, edge=style.second, angle=0.3 * style.variant)


def _batter(scene: Scene, x: float, y: float, style: _Style) -> None:
    """A round bowl."""
    scene.shadow(x, y, 0.25, 0.25)
    scene.disc(x, y, 0.245, style.accent, edge=style.accent * 0.6, edge_width=0.02)
    scene.disc(x, y, 0.2, style.main, edge=style.second)


def _sauce(scene: Scene, x: float, y: float, style: _Style) -> None:
    """A square dish with two handles."""
    scene.shadow(x, y, 0.27, 0.25)
    for end in (-1, 1):
        scene.bar(x + 0.24 * end, y - 0.06, x + 0.24 * end, y + 0.06, 0.05, INK, edge=INK * 0.5)
    scene.box(x, y, 0.235, 0.225, INK * 1.4, edge=INK, corner=0.03, edge_width=0.02)
    scene.box(x, y, 0.2, 0.19, style.main, edge=style.second)


def _pan(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.19, 0.19)
    scene.bar(x + 0.15, y + 0.1, x + 0.3, y + 0.2, 0.026, style.second, edge=INK)
    scene.disc(x, y, 0.18, style.main, edge=style.second, edge_width=0.025)
    scene.disc(x - 0.05, y - 0.05, 0.06, style.main * 0.6 + 0.35, opacity=0.6)


def _tray(scene: Scene, x: float, y: float, style: _Style) -> None:
    scene.shadow(x, y, 0.24, 0.14)
    scene.box(x, y, 0.24, 0.135, style.main, edge=style.second, corner=0.03, edge_width=0.025)
    scene.box(x, y, 0.17, 0.075, style.main * 0.5 + 0.45, opacity=0.8)


_PAINTERS: dict[str, Callable[[Scene, float, float, _Style], None]] = {
    "tomato": _tomato,
    "cucumber": _cucumber,
    "carrot": _carrot,
    "cheese": _cheese,
    "bread": _bread,
    "dough": _dough,
    "batter": _batter,
    "sauce": _sauce,
    "pan": _pan,
    "tray": _tray,
}


def paint_hand(scene: Scene, look: Look, x: float, y: float, *, fist: bool, side: int) -> None:
    """Paint a hand at (x, y), a fist or spread; its arm comes from the cook's edge, ``side`` 1 is a right hand."""
    skin, dark = look.skin, look.skin * 0.62
    scene.bar(x + 0.05 * side, y + 0.2, x + 0.22 * side, 1.3, 0.075, look.sleeve, edge=look.sleeve * 0.6)
    scene.bar(x + 0.01 * side, y + 0.04, x + 0.05 * side, y + 0.18, 0.048, skin, edge=dark)
    if fist:
        scene.disc(x, y, 0.074, skin, edge=dark)
    else:
        for finger in (-1.5, -0.5, 0.5, 1.5):
            tip = x + 0.046 * finger, y - 0.1 + 0.012 * abs(finger)
            scene.bar(x + 0.022 * finger, y, *tip, 0.019, skin, edge=dark, edge_width=0.009)
        scene.disc(x, y + 0.015, 0.06, skin, edge=dark)
    scene.bar(x - 0.05 * side, y + 0.02, x - 0.085 * side, y - 0.035, 0.021, skin, edge=dark, edge_width=0.009)
