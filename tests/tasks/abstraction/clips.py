"""Clips without videos: items below a taxonomy, tables of them, and feature shards."""

from pathlib import Path

import numpy as np

from kinoflow.datasets.kitchen.world import ACTIONS, taxonomy_graph
from kinoflow.store.shards import writing
from kinoflow.store.tables import Segment, Video, write
from kinoflow.tasks.abstraction.items import Items, listed
from kinoflow.tasks.abstraction.taxonomy import Taxonomy
from kinoflow.tasks.abstraction.taxonomy_files import from_json


def kitchen() -> Taxonomy:
    """The kitchen's taxonomy, 41 classes and 17 concepts."""
    return from_json(taxonomy_graph())


def of_each_class(taxonomy: Taxonomy, count: int = 6) -> Items:
    """``count`` clips of every class."""
    labels = [label for label in range(taxonomy.num_class) for _ in range(count)]
    return listed([f"clip {number}" for number in range(len(labels))], [[label] for label in labels])


def tables(folder: Path, videos: int = 12, clips: int = 12, seed: int = 0) -> tuple[Path, Path]:
    """segments.csv and videos.csv: two thirds of the videos are for training; one clip a second, each with a phase inside."""
    rng = np.random.default_rng(seed)
    rows, segments = [], []
    for number in range(videos):
        split = "test" if number % 3 == 2 else "train"
        name = f"v{number:02}.mp4"
        rows.append(Video(video=name, path=name, split=split, recording=f"{split[:2]}{number // 3}", status="readable"))
        for clip in range(clips):
            action = ACTIONS[rng.integers(0, len(ACTIONS))]
            verb, noun = action.split()
            common = {
                "video": name,
                "start": float(clip),
                "end": clip + 1.0,
                "action": action,
                "verb": verb,
                "noun": noun,
            }
            segments.append(Segment(segment=f"{name}#{clip}", text=f"{verb} the {noun} now", split=split, **common))
            segments.append(Segment(segment=f"{name}#{clip}p", phase="act", split=split, **common))
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "videos.csv", rows, Video)
    write(folder / "segments.csv", segments, Segment)
    return folder / "segments.csv", folder / "videos.csv"


def shard(path: Path, videos: list[str], rows: int = 48, width: int = 3, rate: float = 4.0) -> Path:
    """A feature shard: row i of every video holds i, at (i + 0.5) / rate seconds."""
    with writing(path, {}, frames=False, width=width, dtype=np.float32) as writer:
        for video in videos:
            x = np.repeat(np.arange(rows, dtype=np.float32)[:, None], width, 1)
            writer.add(video, x, (np.arange(rows) + 0.5) / rate)
    return path
