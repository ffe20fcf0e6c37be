"""A few real videos with everything that the room reads."""

from pathlib import Path

import numpy as np
from tests.tasks.abstraction.toys import Toy

from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.tables import READABLE, Probed, Segment, Video
from kinoflow.tasks.abstraction import set_files, taxonomy_files, vectors
from kinoflow.tasks.abstraction.items import load_items
from kinoflow.tasks.abstraction.options import SamplingOptions, VectorsOptions
from kinoflow.tasks.abstraction.sets import draw_sets

TREE = "root\n  slow\n    class0\n    class1\n  fast\n    class2\n    class3\n"


def make(folder: Path, make_video) -> Toy:
    """Write eight real videos of four classes, their tables, frames, features and sets."""
    probed, videos, segments = [], [], []
    for i in range(8):
        each = f"v{i}.mp4"
        make_video(folder / each, frames=8, seed=i)
        probed.append(Probed(video=each, kept=True, status=READABLE, sha256=sha256_of(folder / each)))
        videos.append(Video(video=each, path=each, split="train", status=READABLE))
        segments.append(Segment(segment=f"{each}#0", video=each, start=0, end=1, action=f"class{i % 4}", split="train"))
    tables.write(folder / "probe.csv", probed, Probed)
    tables.write(folder / "videos.csv", videos, Video)
    tables.write(folder / "segments.csv", segments, Segment)
    frames(folder, folder / "probe.csv", folder / "frames.h5", FramesOptions(size=32), code="test")
    options = FeaturesOptions(backbone="small", stride=2)
    features(folder / "000.h5", options, frames=folder / "frames.h5", device="cpu", code="test")
    (folder / "tree.txt").write_text(TREE)
    tree = taxonomy_files.read(folder / "tree.txt")
    taxonomy_files.write(folder / "taxonomy.json", tree)
    vectors.write(folder / "vectors.safetensors", vectors.make(tree, VectorsOptions(kind="graph", width=8)))
    items = load_items(folder / "segments.csv", folder / "videos.csv", tree, ["train"])
    sets = draw_sets(tree, items, 40, SamplingOptions(), np.random.default_rng(0))
    set_files.write_sets(folder / "train.json", sets, tree)
    return Toy(folder)
