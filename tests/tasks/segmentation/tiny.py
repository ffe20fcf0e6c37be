"""A dataset of made-up features: two tasks whose steps look different, with pauses between them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinoflow.store import shards, tables
from kinoflow.store.tables import Segment, Video
from kinoflow.tasks.segmentation.options import SegmentationOptions

TASKS = {"coffee": ("fill", "press", "pour"), "tea": ("boil", "pour")}
LOOKS = ("", "boil", "fill", "pour", "press")  # "" is a pause
WIDTH, RATE = 6, 2.0  # columns; rows a second


@dataclass(frozen=True)
class Films:
    """Where the dataset lies."""

    folder: Path
    videos: Path
    segments: Path
    steps: Path
    narration: Path
    features: list[Path]

    @property
    def tables(self) -> dict[str, Path]:
        return {"videos": self.videos, "segments": self.segments}


def make(
    folder: Path, train: int = 10, test: int = 4, unlabelled: int = 1, related: int = 2, noise: float = 0.4
) -> Films:
    """Write tables and two shards; video k of a split is of task k mod 2; the last ``unlabelled`` of each have no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    means = rng.normal(0, 2, (len(LOOKS), WIDTH))
    videos, segments, windows, rows = [], [], [], {}
    for split, count in (("train", train), ("test", test), ("related", related)):
        for k in range(count):
            name, task = f"{split}{k:02d}.npy", list(TASKS)[k % 2]
            told = split != "related" and k < count - unlabelled
            times, labels = [], []
            for number, step in enumerate(TASKS[task]):
                labels += [""] * int(rng.integers(2, 4))
                start = len(labels)
                labels += [step] * int(rng.integers(4, 9))
                times.append((f"{name}#{number}", start / RATE, len(labels) / RATE, step))
            labels += [""] * 2
            x = means[[LOOKS.index(label) for label in labels]] + rng.normal(0, noise, (len(labels), WIDTH))
            rows[name] = x.astype(np.float32)
            where = task if split != "related" else f"other{k}"
            videos.append(
                Video(video=name, path=name, split=split, recording=f"person{k % 3}", task=where, status="readable")
            )
            if told:
                known = [Segment(segment=s, video=name, start=a, end=b, action=label) for s, a, b, label in times]
                segments += known
                windows += [(name, row.start - 0.5, row.end + 0.5, row.action) for row in known]
    tables.write(folder / "videos.csv", sorted(videos, key=lambda row: row.video), Video)
    tables.write(folder / "segments.csv", segments, Segment)
    lines = [f"{task},{k},{step}\n" for task, steps in TASKS.items() for k, step in enumerate(steps, 1)]
    (folder / "steps.csv").write_text("task,number,action\n" + "".join(lines))
    spoken = "".join(f"{video},{start},{end},{action}\n" for video, start, end, action in windows)
    (folder / "narration.csv").write_text("video,start,end,action\n" + spoken)
    write_features(folder, rows)
    paths = [folder / f"{number}.h5" for number in (0, 1)]
    return Films(folder, *(folder / f"{n}.csv" for n in ("videos", "segments", "steps", "narration")), paths)


def write_features(folder: Path, rows: dict[str, np.ndarray], blocks: str = '{"a": [0, 4], "b": [4, 6]}') -> None:
    for number in (0, 1):
        attrs = {"blocks": blocks, "extractor": "{}", "dtype": "float32"}
        with shards.writing(folder / f"{number}.h5", attrs, frames=False, width=WIDTH, dtype="float32") as writer:
            for name in sorted(rows)[number::2]:
                writer.add(name, rows[name], (np.arange(len(rows[name])) + 0.5) / RATE)


def stretch(films: Films, video: str, factor: float) -> None:
    """Make one video last so many times as long: its rows, segments and its duration."""
    rows = [(row, factor if row.video == video else 1.0) for row in tables.read(films.segments, Segment)]
    tables.write(films.segments, [replace(row, start=row.start * k, end=row.end * k) for row, k in rows], Segment)
    for path in films.features:
        shard = shards.Shard(path)
        with shards.writing(path, shard.attrs, frames=False, width=WIDTH, dtype="float32") as writer:
            for name in shard.videos:
                writer.add(name, np.array(shard.rows(name)), shard.times(name) * (factor if name == video else 1.0))


def options(**more) -> SegmentationOptions:
    """Options of a quick training."""
    values = {
        "model": {"states": 5, "rank": 3, "longest": 8},
        "batches": {"videos": 4, "by_task": False},
        "training": {"epochs": 3, "learning_rate": 0.05, "schedule": "one_cycle", "per": "step"},
        "hold_out": ["person0"],
        "test": {"by_task": False},
    }
    for key, value in more.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return SegmentationOptions.model_validate(values)


LABELLED = {"model": {"states": 0, "rank": None}}
