"""One video: its plan (all that is drawn at random), its pictures, its truth.

A video depends on the seed, its name, its kitchen and its steps alone: never on other videos or on who renders it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinoflow.datasets.kitchen.acts import paint_step
from kinoflow.datasets.kitchen.grammar import PlannedVideo
from kinoflow.datasets.kitchen.kitchens import Look, background, illumination, kitchen_look
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.step import TICKS, Step
from kinoflow.media.write import write_video

NOISE_FRAMES, NOISE_SIZE = 8, 96  # sensor noise is drawn at one size, so that nothing else depends on the picture's
GOP_SECONDS = 4


class Shot(NamedTuple):
    """One frame of a video."""

    step: int
    frame: int  # of the step
    arm: float | None  # how near the hand is in the pauses (0 gone, 1 there); None inside the step
    noise: int


class Act(NamedTuple):
    """The truth about one step, in frames; ``phases`` holds (name, start, end)."""

    action: str
    start: int
    end: int
    variant: int
    phases: list[tuple[str, int, int]]


@dataclass(frozen=True)
class Film:
    """A video whose every frame is decided but none is painted."""

    size: int
    look: Look
    swirl: float  # of the marble
    light: float
    noise: np.ndarray  # (8, 96, 96, 1) float32
    steps: list[Step]
    shots: list[Shot]


def plan_film(video: PlannedVideo, options: KitchenOptions) -> Film:
    """Draw everything random about a video."""
    rng = np.random.default_rng([options.seed, zlib.crc32(video.name.encode())])
    look = kitchen_look(options.seed, video.kitchen)
    swirl = rng.uniform(0, 6) if look.surface == "marble" else 0.0
    light = rng.uniform(0.94, 1.06)
    noise = rng.standard_normal((NOISE_FRAMES, NOISE_SIZE, NOISE_SIZE, 1)) * look.noise
    steps = [Step(action, rng, options.fps, options.tremble) for action in video.steps]
    shots = [shot for i, step in enumerate(steps) for shot in _shots(i, step, rng, options.fps)]
    return Film(options.size, look, swirl, light, noise.astype(np.float32), steps, shots)


def _shots(number: int, step: Step, rng: np.random.Generator, fps: int) -> list[Shot]:
    """The hand comes, does the step, and goes: travel would give slow verbs away, so it stays outside the step."""
    come, go = (round(int(rng.integers(3, 7)) * fps / TICKS) for _ in range(2))
    frames: list[tuple[int, float | None]] = [(0, (i + 1) / (come + 1)) for i in range(come)]
    frames += [(i, None) for i in range(step.frames)]
    frames += [(step.frames - 1, 1 - (i + 1) / (go + 1)) for i in range(go)]
    noise = rng.integers(NOISE_FRAMES, size=len(frames)).tolist()
    return [Shot(number, frame, arm, grain) for (frame, arm), grain in zip(frames, noise, strict=True)]


def pictures(film: Film) -> Iterator[np.ndarray]:
    """Paint the frames of a video one by one, (size, size, 3) uint8."""
    scene = background(film.look, film.size, film.swirl)
    empty = scene.pixels.copy()
    light = illumination(film.look, scene) * film.light
    places = np.arange(film.size) * NOISE_SIZE // film.size
    noise = film.noise[:, places][:, :, places]
    for shot in film.shots:
        scene.pixels[:] = empty
        paint_step(scene, film.look, film.steps[shot.step], shot.frame, shot.arm)
        picture = scene.pixels * light + noise[shot.noise]
        yield (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def truth(film: Film) -> list[Act]:
    """Return what happens when, step by step; the pauses between belong to none."""
    starts: dict[int, int] = {}
    for i, shot in enumerate(film.shots):
        if shot.arm is None:
            starts.setdefault(shot.step, i)
    acts = []
    for number, step in enumerate(film.steps):
        start = starts[number]
        phases = [(name, start + first, start + last) for name, first, last in step.spans]
        acts.append(Act(step.action, start, start + step.frames, step.label, phases))
    return acts


def make_video(path: Path, video: PlannedVideo, options: KitchenOptions) -> None:
    """Render and encode one video; the same arguments give the same bytes."""
    film = plan_film(video, options)
    write_video(path, pictures(film), options.fps, crf=options.crf, gop=GOP_SECONDS * options.fps)
