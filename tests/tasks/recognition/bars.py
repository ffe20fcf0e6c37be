"""A tiny dataset of real videos: a bar that goes left or right, from any place on, so that single frames tell nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.media.write import write_video
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.tables import READABLE, Probed, Segment, Video
from kinoflow.tasks.recognition.options import RecognitionOptions

SIDE, FRAMES, FPS = 32, 12, 12
WAYS = {"left": -3, "right": 3}  # pixels per frame
KINDS = ("dark", "light")  # the bars: a second label


@dataclass(frozen=True)
class Bars:
    """The folder of the videos, the tables, and the frame shards."""

    root: Path
    videos: Path
    segments: Path
    shards: list[Path]


def film(way: str, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A bar 6 pixels wide that leaves at one side and comes back at the other: (FRAMES, SIDE, SIDE, 3) uint8."""
    ground, bar = (120, 20) if kind == "dark" else (120, 230)
    row = np.full(SIDE, ground)
    row[:6] = bar
    start = rng.integers(SIDE)
    picture = [np.roll(row, start + i * WAYS[way]) for i in range(FRAMES)]
    noise = rng.integers(-10, 11, (FRAMES, SIDE, SIDE, 3))
    return (np.array(picture)[:, None, :, None] + noise).astype(np.uint8)


def make(folder: Path, training: int = 32, test: int = 8) -> Bars:
    """Write the videos, two tables and two shards of raw frames."""
    root, rng, rows, films, found = folder / "videos", np.random.default_rng(0), [], [], []
    for i in range(training + test):
        way, kind, split = list(WAYS)[i % 2], KINDS[i // 2 % 2], "train" if i < training else "test"
        name = f"v{i:02d}.mp4"
        write_video(root / name, film(way, kind, rng), FPS, crf=12)
        about = {"video": name, "frames": FRAMES, "fps": float(FPS), "duration": FRAMES / FPS, "status": READABLE}
        found.append(Probed(**about, sha256=sha256_of(root / name), kept=True))
        films.append(Video(**about, path=name, split=split))
        names = {"action": f"{way} {kind}", "verb": way, "noun": kind, "split": split}
        rows.append(Segment(segment=f"{name}#0", video=name, start=0, end=1, **names))
        rows.append(Segment(segment=f"{name}#1", video=name, start=0, end=0.5, phase="begin", **names))
    tables.write(folder / "videos.csv", films, Video)
    tables.write(folder / "segments.csv", rows, Segment)
    shards = [folder / f"{k:03d}.h5" for k in range(2)]
    for k, shard in enumerate(shards):
        tables.write(folder / f"{k}.csv", found[k::2], Probed)
        frames(root, folder / f"{k}.csv", shard, FramesOptions(size=SIDE, store="raw"), code="test")
    return Bars(root, folder / "videos.csv", folder / "segments.csv", shards)


def options(steps: int = 30, **more) -> RecognitionOptions:
    """A small TSM that learns the bars in a few dozen steps."""
    values = {
        "heads": {"verb": {}, "noun": {"weight": 0.5}},
        "input": {"size": SIDE},
        "sampling": {"segments": 6},
        "network": {"backbone": "small", "dropout": 0.1},
        "augment": {"crop": "shift", "shift": 2, "contrast": 0.2},
        "training": {
            "steps": steps,
            "batch": 16,
            "optimiser": "adamw",
            "learning_rate": 5e-3,
            "schedule": "one_cycle",
            "per": "step",
            "weight_decay": 1e-2,
            "clip": 5,
        },
        "policy": "even",
    }
    for key, value in more.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return RecognitionOptions.model_validate(values)
