"""How a step looks at one of its frames: the thing, the tool and the hand, for each verb."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinoflow.datasets.kitchen.kitchens import Look
from kinoflow.datasets.kitchen.scene import WHITE, Colour, Scene, rgb
from kinoflow.datasets.kitchen.step import Step
from kinoflow.datasets.kitchen.things import COLOURS, INK, STEEL, paint_container, paint_hand, paint_noun

NEAR, FAR = 0.66, 0.34  # places (y) between which tools and wares move
CARRIED_NEAR, CARRIED_FAR = 0.84, 0.44  # the same for foods
STRIPE = 0.105  # period of every drifting texture, scene units
COMING = 0.75  # how far below its place the hand comes from

# A wooden pin on dough, a brush on the bare board: light and dark.
PIN = {"dough": (rgb("f0d9b5"), rgb("8a5a2b")), "board": (rgb("d7f0ff"), rgb("33658a"))}


@dataclass(frozen=True)
class _Moment:
    """A step at one frame, and where to paint it."""

    scene: Scene
    look: Look
    step: Step
    frame: int
    arm: float | None  # 0 gone .. 1 there, in the pauses; None inside the step

    @property
    def away(self) -> float:
        """How far the hand is from its place, towards the cook."""
        return 0.0 if self.arm is None else (1 - self.arm) * COMING

    @property
    def progress(self) -> float:
        return self.step.progress[self.frame]

    @property
    def wiggle(self) -> float:
        return self.step.wiggle[self.frame]

    def noun(self, x: float, y: float) -> None:
        paint_noun(self.scene, self.look, self.step.noun, self.step.variant, x, y)

    def hand(self, x: float, y: float, fist: bool = True, side: int | None = None) -> None:
        paint_hand(self.scene, self.look, x, y, fist=fist, side=self.step.side if side is None else side)


def paint_step(scene: Scene, look: Look, step: Step, frame: int, arm: float | None = None) -> None:
    """Paint a frame of a step over the empty kitchen.

    arm: how near the hand is (0 gone, 1 there) in the pauses before and after; None inside the step.
    """
    _ACTS[step.verb](_Moment(scene, look, step, frame, arm))


def stripes(phase: float, light: np.ndarray, dark: np.ndarray, *, radial: bool = False, y: float = 0.0) -> Colour:
    """Return a texture whose phase (in periods) alone carries the fast direction; ``y`` moves it."""

    def colour(u, v, d):
        along = np.sqrt(u * u + v * v) if radial else v + y
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * (along / STRIPE - phase))
        return dark + (light - dark) * np.clip(1.6 * wave - 0.3, 0, 1)[..., None].astype(np.float32)

    return colour


def _shove(at: _Moment) -> None:
    """Push, pull."""
    y = NEAR + (FAR - NEAR) * at.progress + at.wiggle
    at.noun(at.step.x, y - 0.06)
    at.hand(at.step.x, y + 0.16 + at.away)


def _carry(at: _Moment) -> None:
    """Put, take."""
    y = CARRIED_NEAR + (CARRIED_FAR - CARRIED_NEAR) * at.progress + at.wiggle
    at.noun(at.step.x, y)
    carrying = at.arm is None and at.step.phase[at.frame] == 1
    at.hand(at.step.x + 0.02, y + 0.1 + at.away, fist=not carrying)


def _move_lid(at: _Moment) -> None:
    """Open, close."""
    step, lid = at.step, 0.3 * at.progress + at.wiggle
    paint_container(at.scene, step.noun, step.variant, step.x, 0.36, lid)
    at.hand(step.x, 0.44 + 0.3 * at.progress + at.wiggle + at.away)


def _whisk(at: _Moment) -> None:
    """Blend, froth: rings run out or in."""
    scene, step, x = at.scene, at.step, at.step.x
    at.noun(x, 0.45)
    main = COLOURS[step.noun][step.variant][0]
    rings = stripes(step.drift[at.frame], main * 0.7 + 0.3, main * 0.5, radial=True)
    if step.noun == "batter":
        scene.disc(x, 0.45, 0.195, rings)
    else:
        scene.box(x, 0.45, 0.2, 0.19, rings)
    scene.bar(x, 0.45, x + 0.08 * step.side, 0.68 + at.wiggle, 0.018, STEEL, edge=INK * 1.5)
    scene.disc(x, 0.45, 0.05, STEEL, edge=INK * 1.5)
    at.hand(x + 0.08 * step.side, 0.74 + at.wiggle + at.away)


def _scrape(at: _Moment) -> None:
    """Grate, peel: bars run towards the cook or away."""
    step, x = at.step, at.step.x
    at.noun(x, 0.37)
    bars = stripes(step.drift[at.frame], STEEL, STEEL * 0.4)
    at.scene.box(x, 0.52, 0.17, 0.19, bars, edge=at.look.accent, edge_width=0.03)
    at.hand(x + 0.02 * step.side, 0.76 + at.wiggle + at.away)


def _work_surface(at: _Moment) -> None:
    """Roll, sweep, drag, scrub: a pin or brush moves, and its grain drifts."""
    scene, step, x = at.scene, at.step, at.step.x
    y = NEAR + (FAR - NEAR) * at.progress + at.wiggle
    if step.noun == "dough":
        at.noun(x, 0.46)
    light, dark = PIN[step.noun]
    scene.shadow(x, y, 0.3, 0.11)
    for end in (-1, 1):
        scene.bar(x + 0.24 * end, y, x + 0.34 * end, y, 0.03, dark, edge=dark * 0.6)
    # The grain is fixed to the scene: on the trembling tool its drift could not be read.
    grain = stripes(step.drift[at.frame], light, dark, y=y)
    scene.box(x, y, 0.26, 0.125, grain, edge=dark * 0.6, corner=0.05)
    at.hand(x + 0.16 * step.side, y + 0.13 + at.away)


def _slice(at: _Moment) -> None:
    scene, step = at.scene, at.step
    at.noun(step.x, 0.46)
    x, up = step.x - 0.1 + 0.2 * (at.frame / step.frames), 0.10 * step.chop[at.frame]
    scene.box(x, 0.42 - up, 0.03, 0.17, STEEL, edge=INK, angle=0.12 * step.side)
    scene.bar(x, 0.6 - up, x + 0.02 * step.side, 0.72 - up, 0.027, at.look.accent * 0.8, edge=INK)
    at.hand(x + 0.02 * step.side, 0.74 - up + at.away)


def _season(at: _Moment) -> None:
    scene, step, x = at.scene, at.step, at.step.x
    at.noun(x, 0.46)
    for u, v in step.grains[at.frame]:
        scene.disc(x + 0.24 * (u - 0.5), 0.36 + 0.22 * v, 0.012, WHITE * 0.97)
    scene.box(x, 0.27 + at.wiggle, 0.055, 0.09, at.look.accent, edge=INK, corner=0.03)
    scene.disc(x, 0.35 + at.wiggle, 0.045, STEEL, edge=INK)
    at.hand(x + 0.09 * step.side, 0.33 + at.wiggle + at.away)


def _pour(at: _Moment) -> None:
    """Reach, lift, pour, lower, release: going and coming pass the same places, the filled bowl tells them apart."""
    step = at.step
    phase, within = step.phase[at.frame], step.within[at.frame]
    bowl = 0.62 - 0.3 * (step.side > 0)
    start = 1.0 - bowl + 0.02 * step.side
    toward = 1 if bowl > start else -1
    _paint_bowl(at, bowl, 0 if phase < 2 else within if phase == 2 else 1)
    lift = (0, within, 1, 1 - within, 0)[phase]
    x = start + (bowl - 0.2 * toward - start) * lift
    y = 0.6 - 0.22 * lift + 0.3 * at.wiggle
    tilt = toward * (0, 0, min(1, 4 * within, 4 * (1 - within)), 0, 0)[phase] * 1.1
    if phase == 2 and 0.12 < within < 0.88:
        main, second = COLOURS[step.noun][step.variant]
        at.scene.bar(x + 0.1 * toward, y - 0.06, bowl, 0.42, 0.02, main, edge=second)
    _paint_vessel(at, x, y, tilt)
    if at.arm is None:
        down = (1 - within, 0, 0, 0, within)[phase] * 0.5
    else:
        down = 0.5 + at.away
    at.hand(x - 0.03 * toward, y + 0.13 + down, fist=phase in (1, 2, 3), side=-toward)


def _paint_bowl(at: _Moment, x: float, filled: float) -> None:
    scene, step, accent = at.scene, at.step, at.look.accent
    main, second = COLOURS[step.noun][step.variant]
    scene.shadow(x, 0.42, 0.2, 0.2)
    scene.disc(x, 0.42, 0.19, accent, edge=accent * 0.6, edge_width=0.02)
    scene.disc(x, 0.42, 0.165, accent * 0.45 + 0.5)
    scene.disc(x, 0.42, step.full * (0.15 + 0.85 * filled), main, edge=second)


def _paint_vessel(at: _Moment, x: float, y: float, tilt: float) -> None:
    """A carton of milk, or a slim bottle of oil with a dark neck."""
    scene, step = at.scene, at.step
    main, second = COLOURS[step.noun][step.variant]
    scene.shadow(x, y, 0.1, 0.12)
    if step.noun == "milk":
        scene.box(x, y, 0.1, 0.14, main * 0.95, edge=second * 0.7, angle=tilt, corner=0.015, edge_width=0.02)
        scene.box(x, y, 0.1, 0.035, at.look.accent, angle=tilt, corner=0.0)
    else:
        scene.bar(x, y, x + 0.15 * np.sin(tilt), y - 0.15 * np.cos(tilt), 0.028, INK)
        scene.box(x, y, 0.06, 0.13, main * 0.9, edge=second * 0.7, angle=tilt, corner=0.055, edge_width=0.02)


_ACTS: dict[str, Callable[[_Moment], None]] = {
    "push": _shove,
    "pull": _shove,
    "put": _carry,
    "take": _carry,
    "open": _move_lid,
    "close": _move_lid,
    "blend": _whisk,
    "froth": _whisk,
    "grate": _scrape,
    "peel": _scrape,
    "roll": _work_surface,
    "sweep": _work_surface,
    "drag": _work_surface,
    "scrub": _work_surface,
    "slice": _slice,
    "season": _season,
    "pour": _pour,
}
