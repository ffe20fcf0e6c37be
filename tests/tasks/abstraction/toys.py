"""The toy dataset as files, and runs on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.store.shards import writing
from kinoflow.store.tables import READABLE, Segment, Video, write
from kinoflow.tasks.abstraction import set_files, taxonomy_files, vectors
from kinoflow.tasks.abstraction.evaluate import abstraction_evaluate
from kinoflow.tasks.abstraction.items import load_items
from kinoflow.tasks.abstraction.options import (
    AbstractionOptions,
    AbstractionTestOptions,
    SamplingOptions,
    VectorsOptions,
)
from kinoflow.tasks.abstraction.sets import draw_odd, draw_rankings, draw_sets
from kinoflow.tasks.abstraction.toy import WIDTH, clips, lines
from kinoflow.tasks.abstraction.train import abstraction_train

# Section k of the spec.
PUBLISHED = {
    "network": {"bottleneck": 128, "width": 128},
    "embedding_weight": 10.0,
    "training": {
        "steps": 600,
        "batch": 128,
        "optimiser": "adam",
        "learning_rate": 2e-3,
        "weight_decay": 1e-5,
        "schedule": "cosine",
        "per": "step",
    },
}


@dataclass(frozen=True)
class Toy:
    """The files of a toy dataset."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / {"tree": "tree.txt", "shard": "000.h5"}.get(name, name)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def inputs(self) -> dict:
        """What a training reads."""
        return {
            "sets": self / "train.json",
            "taxonomy": self / "taxonomy.json",
            "vectors": self / "vectors.safetensors",
            "segments": self / "segments.csv",
            "features": [self.shard],
        }

    def tests(self) -> dict:
        """What a test reads."""
        files = {name: self / f"{name}.json" for name in ("rankings", "odd")}
        return files | {"sets": self / "test.json", "segments": self / "segments.csv", "features": [self.shard]}


def make(folder: Path, seed: int = 0, train=8000, test=1000, rankings=200, odd=800) -> Toy:
    """Write the toy dataset, its taxonomy and vectors, its sets and records."""
    toy = Toy(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(toy, seed)
    tree = taxonomy_files.read(toy.tree)
    taxonomy_files.write(toy / "taxonomy.json", tree)
    semantic = vectors.make(tree, VectorsOptions(kind="graph", width=32, seed=seed))
    vectors.write(toy / "vectors.safetensors", semantic)
    options, rng = SamplingOptions(start="node"), np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        items = load_items(toy / "segments.csv", toy / "videos.csv", tree, [split])
        set_files.write_sets(toy / f"{split}.json", draw_sets(tree, items, count, options, rng), tree)
    sized = [draw_rankings(tree, items, semantic.nodes, n, rankings, options, rng) for n in (1, 2, 3, 4)]
    set_files.write_rankings(toy / "rankings.json", [record for group in sized for record in group])
    sized = [draw_odd(tree, items, n, odd, options, rng) for n in (3, 4, 5)]
    set_files.write_rankings(toy / "odd.json", [record for group in sized for record in group])
    return toy


def _write(toy: Toy, seed: int) -> None:
    """Write features, tables and tree: every clip is a video of its own."""
    names, features, classes = clips(seed)
    films, rows = [], []
    with writing(toy.shard, {"blocks": "{}"}, frames=False, width=WIDTH, dtype="float32") as writer:
        for name, feature, label in zip(names, features, classes, strict=True):
            split = name.partition("-")[0]
            writer.add(name, feature[None], [0.5])
            films.append(Video(video=name, path=name, split=split, duration=1.0, status=READABLE))
            rows.append(Segment(segment=f"{name}#0", video=name, start=0.0, end=1.0, action=label, split=split))
    write(toy / "videos.csv", films, Video)
    write(toy / "segments.csv", rows, Segment)
    toy.tree.write_text("".join(f"{line}\n" for line in lines()))


def options(steps: int | None = None, **more) -> AbstractionOptions:
    """The toy's options, some of them changed."""
    values = {**PUBLISHED, "training": PUBLISHED["training"] | ({"steps": steps} if steps else {})}
    for key, value in more.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return AbstractionOptions.model_validate(values)


def train(toy: Toy, folder: Path, wanted: AbstractionOptions, seed: int = 0, **more) -> Path:
    """Train on the toy into a folder; return the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = {"model": folder / "model.safetensors", "history": folder / "history.csv", "place": folder / ".work"}
    given = toy.inputs() | {"dataset": "toy", "device": "cpu", "code": "test"} | more
    abstraction_train(**given, **outputs, options=wanted, seed=seed)
    return outputs["model"]


def evaluate(toy: Toy, model: Path, wanted: AbstractionTestOptions | None = None, **more) -> dict:
    """Test a checkpoint on the toy; return the measures."""
    import json

    folder = model.parent
    outputs = {"metrics": folder / "metrics.json", "predictions": folder / "predictions.csv"}
    outputs["placed"] = folder / "placed.csv"
    given = toy.tests() | {"device": "cpu"} | more
    abstraction_evaluate(model, **given, **outputs, options=wanted or AbstractionTestOptions(resamples=100))
    return json.loads(outputs["metrics"].read_text())
