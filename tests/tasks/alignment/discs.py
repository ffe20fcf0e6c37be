"""A tiny dataset: a disc that moves right, grows, moves back and sinks, in phases of random length, first and last trimmed.

The world of the specification's demonstration. Relative time tells little, and the disc passes the same places twice.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from kinoflow.store import shards, tables
from kinoflow.store.tables import READABLE, Segment, Video
from kinoflow.tasks.alignment.options import AlignmentOptions

SIDE, FPS = 20, 10
PHASES = ("right", "grow", "back", "sink")


@dataclass(frozen=True)
class Discs:
    """The tables and the frame shards."""

    videos: Path
    segments: Path
    shards: list[Path]
    labels: dict[str, np.ndarray]  # number of the phase of each frame


def film(rng: np.random.Generator, least: int = 6, most: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (L, SIDE, SIDE, 3) uint8 and the phase of each, (L,)."""
    lengths = rng.integers(least, most + 1, 4)
    x = np.concatenate(
        [
            np.linspace(5, 15, lengths[0]),
            np.full(lengths[1], 15.0),
            np.linspace(15, 5, lengths[2]),
            np.full(lengths[3], 5.0),
        ]
    )
    size = np.concatenate(
        [np.full(lengths[0], 2.0), np.linspace(2, 4, lengths[1]), np.full(lengths[2] + lengths[3], 4.0)]
    )
    y = np.concatenate([np.full(lengths[:3].sum(), 7.0), np.linspace(7, 15, lengths[3])])
    labels = np.repeat(np.arange(4), lengths)
    first, last = rng.integers(0, lengths[0] // 2 + 1), rng.integers(0, lengths[3] // 2 + 1)
    keep = slice(first, len(labels) - last)
    x, y, size, labels = x[keep], y[keep], size[keep], labels[keep]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    if rng.random() < 0.5:
        columns = columns[:, ::-1]
    ground = 0.5 * rng.random((SIDE, SIDE, 3)) + 0.25 * rng.random(3)
    colour = rng.uniform(0.4, 1.0, 3)
    gap = np.hypot(rows - y[:, None, None], columns - x[:, None, None]) - size[:, None, None]
    alpha = np.clip(0.5 - gap, 0, 1)[..., None]
    frames = ground * (1 - alpha) + colour * alpha + rng.normal(0, 0.05, (len(x), SIDE, SIDE, 3))
    return (np.clip(frames, 0, 1) * 255).astype(np.uint8), labels


def make(folder: Path, training: int = 30, test: int = 12, seed: int = 0, **lengths: int) -> Discs:
    """Write two shards of raw frames and the tables: whole videos, their phases as segments."""
    folder.mkdir(parents=True, exist_ok=True)
    films, rows, found = [], [], {}
    for i in range(training + test):
        frames, labels = film(np.random.default_rng((seed, i)), **lengths)
        name, split = f"v{i:02d}.mp4", "train" if i < training else "test"
        found[name] = (frames, labels)
        films.append(Video(video=name, path=name, split=split, frames=len(frames), fps=FPS, status=READABLE))
        rows.append(
            Segment(segment=f"{name}#0", video=name, start=0, end=len(frames) / FPS, action="disc", split=split)
        )
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
        for k, (start, end) in enumerate(pairwise(edges)):
            times = {"start": start / FPS, "end": end / FPS}
            rows.append(
                Segment(
                    segment=f"{name}#{k + 1}",
                    video=name,
                    **times,
                    action="disc",
                    phase=PHASES[labels[start]],
                    split=split,
                )
            )
    tables.write(folder / "videos.csv", films, Video)
    tables.write(folder / "segments.csv", rows, Segment)
    paths = [folder / f"{k:03d}.h5" for k in range(2)]
    for k, path in enumerate(paths):
        attrs = {"store": "raw", "options": '{"size": 20, "store": "raw"}'}
        with shards.writing(path, attrs, frames=True) as writer:
            for name in sorted(found)[k::2]:
                writer.add(name, found[name][0], np.arange(len(found[name][0])) / FPS)
    return Discs(
        folder / "videos.csv", folder / "segments.csv", paths, {name: labels for name, (_, labels) in found.items()}
    )


def options(steps: int = 4, **more) -> AlignmentOptions:
    """A small network without positions."""
    values = {
        "network": {
            "backbone": "tiny",
            "frozen": 0,
            "pool": 2,
            "hidden": 32,
            "width": 32,
            "layers": 1,
            "heads": 4,
            "feed_forward": 64,
            "embedding": 16,
            "projection_hidden": 16,
            "positions": "none",
        },
        "sampling": {"frames": 12},
        "augment": {
            "size": SIDE,
            "crop": True,
            "values": "plain",
            "blur": "none",
            "strength": 0.5,
            "evaluate": "resize",
        },
        "training": {"steps": steps, "batch": 4, "learning_rate": 1e-3},
    }
    for key, value in more.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return AlignmentOptions.model_validate(values)
