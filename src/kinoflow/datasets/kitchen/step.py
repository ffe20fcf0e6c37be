"""The motion of one step: everything random about it is drawn here, once, for all its frames."""

from itertools import pairwise

import numpy as np

from kinoflow.datasets.kitchen.world import VERBS

TICKS = 12  # per second: motion per frame is given for this frame rate
DRIFT = (0.20, 0.34)  # periods per tick by which a texture drifts: direction shows between neighbouring frames only ...
SKIP = 0.30  # ... because with this chance per tick its phase is drawn anew
REST = 0.08  # share of a step in which the hand rests at least, at the beginning and at the end
PHASES = ("reach", "act", "release")
POUR_PHASES = ("reach", "lift", "pour", "lower", "release")
POUR_WEIGHTS = (0.8, 1.0, 1.6, 1.0, 0.8)  # of the phases' durations


def course(time: np.ndarray, rest: np.ndarray, bend: float) -> np.ndarray:
    """Return how far a motion from 0 to 1 has come: at rest, moving at varying speed, at rest.

    time: (T,) share of the step. rest: (2,) shares at rest before and after. bend: -1..1, first fast or first slow.
    Reversed in time it is one minus the course with the two rests exchanged: nothing but direction tells the two apart.
    """
    moved = np.clip((time - rest[0]) / (1 - rest.sum()), 0, 1)
    return moved + bend * np.sin(2 * np.pi * moved) / (2 * np.pi)


class Step:
    """One step of a video, ``frames`` long.

    variant, side: look of the noun (0, 1, 2), and the hand (-1, 1): sub-variants that the name does not tell.
    phase: (frames,) index into ``phases``.
    progress: (frames,) 0..1, how far away from the cook the slow motion has come.
    wiggle: (frames,) displacement by the trembling hand, scene units.
    drift: (frames,) phase of the fast texture, periods.
    chop: (frames,) height of the knife, 0..1.
    grains: (frames, 7, 2) places of the grains, 0..1.
    within: (frames,) share of the present phase that is over (pour).
    full: how far the bowl is filled in the end, scene units (pour).
    """

    def __init__(self, action: str, rng: np.random.Generator, fps: int, tremble: float):
        self.action = action
        self.verb, self.noun = action.split()
        verb, pace = VERBS[self.verb], TICKS / fps
        self.group = verb.group
        self.frames = round(rng.uniform(*verb.seconds) * fps)
        self.variant = int(rng.integers(3))
        self.side = int(rng.integers(2)) * 2 - 1
        self.x = 0.5 + rng.uniform(-0.05, 0.05)
        self._draw_course(rng, verb.slow)
        if self.verb == "pour":
            self._draw_pour(rng)
        self._draw_tremble(rng, tremble, pace)
        self._draw_drift(rng, verb.fast, pace)
        self.chop = np.abs(np.sin(np.cumsum(rng.uniform(0.5, 0.9, self.frames) * pace)))
        held = (np.arange(self.frames) * min(1.0, pace)).astype(int)  # grains jump once a tick at most
        self.grains = rng.random((self.frames, 7, 2))[held]

    @property
    def label(self) -> int:
        """Number of the sub-variant, 0..5."""
        return self.variant * 2 + (self.side > 0)

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """The phases as (name, first frame, last frame + 1); they tile the step."""
        edges = [0, *(np.flatnonzero(np.diff(self.phase)) + 1).tolist(), self.frames]
        return [(self.phases[self.phase[start]], start, end) for start, end in pairwise(edges)]

    def _time(self) -> np.ndarray:
        return (np.arange(self.frames) + 0.5) / self.frames

    def _draw_course(self, rng: np.random.Generator, slow: int) -> None:
        """Rest, move, rest: away from the cook along a course, or back along one minus a course."""
        time = self._time()
        rest = np.sort(rng.uniform(REST, 0.2, 2)) if self.group == "slow" else np.array([REST, REST])
        rest = rest[rng.permutation(2)]
        progress = course(time, rest, rng.uniform(-0.6, 0.6))
        self.progress = progress if slow >= 0 else 1 - progress
        self.phases, self.phase = PHASES, np.digitize(time, [rest[0], 1 - rest[1]])

    def _draw_pour(self, rng: np.random.Generator) -> None:
        """Five phases of independent durations."""
        time = self._time()
        ends = np.cumsum(rng.uniform(0.5, 1.7, 5) * POUR_WEIGHTS)
        ends /= ends[-1]
        starts = np.concatenate([[0], ends[:-1]])
        self.phases, self.phase = POUR_PHASES, np.digitize(time, ends[:-1])
        self.within = (time - starts[self.phase]) / (ends - starts)[self.phase]
        self.full = rng.uniform(0.1, 0.17)

    def _draw_tremble(self, rng: np.random.Generator, tremble: float, pace: float) -> None:
        wave = np.cumsum(rng.uniform(1.3, 2.7, self.frames) * pace) + rng.uniform(0, 6.3)
        strength = tremble if self.group in ("slow", "both") else 0.25 * tremble
        self.wiggle = strength * np.sin(wave)

    def _draw_drift(self, rng: np.random.Generator, fast: int, pace: float) -> None:
        """Draw a drift whose phase jumps: at regular distances a steady one would look as if it had a direction.

        Below 12 frames per second it drifts slower: half a period a frame has no direction.
        """
        skipped = rng.random(self.frames) < 1 - (1 - SKIP) ** pace
        jumps, drifts = rng.uniform(0, 1, self.frames), rng.uniform(*DRIFT, self.frames)
        self.drift = np.cumsum(np.where(skipped, jumps, fast * drifts * min(1.0, pace))) + rng.random()
