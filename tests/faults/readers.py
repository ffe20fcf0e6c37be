"""Every reader of a file, each with a small good file in its format: what the fuzzing begins from."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults import readers_of_annotations, readers_of_files
from tests.faults.formats import Reader, one

# ---------------------------------------------------------------- tables, shards, lists


def _store() -> Iterator[Reader]:
    from kinoflow.store import clip_lists, files, shards, tables

    def features(folder: Path) -> None:
        with shards.writing(folder / "f.h5", {"options": "{}"}, frames=False) as writer:
            writer.add("a.mp4", np.arange(12, dtype=np.float16).reshape(4, 3), np.arange(4.0))
            writer.add("b.mp4", np.ones((2, 3), np.float16), np.arange(2.0))

    def frames(folder: Path, store: str) -> None:
        with shards.writing(folder / f"{store}.h5", {"store": store, "options": "{}"}, frames=True) as writer:
            x = np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3)
            coded = x if store == "raw" else [shards.encode_jpeg(frame, 90) for frame in x]
            writer.add("a.mp4", coded, np.arange(3.0), (4, 6))

    def whole(path: Path) -> None:
        shard = shards.Shard(path)
        for video in shard.videos:
            shard.times(video)
            shard.rows(video).sum() if shard.shape is None else shard.frames(video).sum()

    row = tables.Probed(video="a.mp4", status="readable", fps=25.0, frames=3, duration=1.0, kept=True)
    yield Reader(
        "table",
        lambda f: tables.write(f / "t.csv", [row], tables.Probed),
        "t.csv",
        lambda p: tables.read(p, tables.Probed),
    )
    cut = tables.Segment(segment="1", video="a.mp4", start=0.5, end=1.0, action="wave")
    yield Reader(
        "segments",
        lambda f: tables.write(f / "s.csv", [cut] * 3, tables.Segment),
        "s.csv",
        lambda p: tables.read(p, tables.Segment),
    )
    yield one("columns", "c.csv", "video,sha256\na,1\nb,2\n", lambda p: tables.read_columns(p, "video", "sha256"))
    yield Reader("features shard", features, "f.h5", whole)
    yield Reader("raw frames shard", lambda f: frames(f, "raw"), "raw.h5", whole)
    yield Reader("jpeg frames shard", lambda f: frames(f, "jpeg"), "jpeg.h5", whole)
    yield one("clip list", "list.txt", "a/b 12 0\nc d 3 1\n", clip_lists.read_list_file)
    yield one(
        "keys",
        ".keys/t.csv.json",
        '{"of": "3", "keys": {"a": "b"}}',
        lambda p: (p.parents[1] / "t.csv").write_text("x") and files.read_keys(p.parents[1] / "t.csv"),
    )


def _config() -> Iterator[Reader]:
    from kinoflow import arguments, config
    from kinoflow.media.options import FramesOptions
    from kinoflow.options import check

    study = """
study: trial
datasets:
  mine:
    source: {kind: folder, path: videos}
    index: {labels: labels.csv}
frames: {small: {dataset: mine, size: 32, store: raw}}
features: {net: {from: frames, frames: small, backbone: small, stride: 2}}
pca: {two: {features: net, components: 2}}
"""
    yield one("config", "study.yaml", study, lambda p: config.load([p], {}, p.parent))
    values = '{"size": 32, "store": "raw", "rate": 4.0, "quality": 90}'
    yield one(
        "options", "o.json", values, lambda p: check(FramesOptions, arguments._options_text(f"@{p}"), "--options")
    )


def _labels() -> Iterator[Reader]:
    from kinoflow.datasets import actions, index, listing, roles
    from kinoflow.datasets.options import IndexOptions
    from kinoflow.media import probe
    from kinoflow.store import tables

    rows = [
        tables.Probed(video=f"{v}.mp4", status="readable", duration=9.0, kept=True, fps=25.0, frames=225) for v in "ab"
    ]

    def beside(text: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            (folder / "user.csv").write_text(text)
            tables.write(folder / "inventory.csv", rows, tables.Probed)

        return write

    def indexed(path: Path, **which: Path) -> None:
        folder = path.parent
        index.index(folder / "inventory.csv", folder / "v.csv", folder / "s.csv", IndexOptions(), **which)

    labels = "video,start,end,action,verb,task\na.mp4,0,2,wave,w,x\nb,1.5,2,rest,r,y\n"
    yield Reader("labels", beside(labels), "user.csv", lambda p: indexed(p, labels=p))
    yield Reader(
        "splits",
        beside("video,split,recording\na.mp4,train,r1\nb.mp4,test,r2\n"),
        "user.csv",
        lambda p: indexed(p, splits=p),
    )
    yield Reader("inventory", beside(labels), "inventory.csv", lambda p: indexed(p, labels=p.parent / "user.csv"))
    seen = '{"a.mp4": [12, 1700000000, "12-17"], "b.mp4": [13, 1800000000, "13-18"]}'
    yield one("list", "000.json", seen, listing.read_list)
    yield one("list of probe", "000.json", seen, probe._tokens)
    yield one("roles", "000.json", '{"a.mp4": ["train", "", "a"], "b.mp4": ["test", "t", "b"]}', roles.read_roles)
    yield one("classes", "c.json", json.dumps(_classes_values()), actions.read_classes)
    table = "uid,video,start,end,action,verb,noun,split,recording,subsets\n1,v,0.0,1.5,0,-1,-1,train,r,\n2,v,2.0,3.5,1,-1,-1,train,r,\n"
    yield one("actions", "a.csv", table, lambda p: actions.read_rows(p, actions.classes_of(_classes_values())))


def _classes_values() -> dict[str, Any]:
    return {
        "dataset": "toy", "rate": 30.0, "names": ["open jar", "take jar"], "texts": ["open <v> jar", "take <v> jar"],
        "verb": [], "noun": [], "verbs": [], "nouns": [], "many_shot": {"action": [0]},
    }  # fmt: skip


# ---------------------------------------------------------------- the report


def _reports() -> Iterator[Reader]:
    from kinoflow.report import claims, outcome, results, section, usage
    from kinoflow.report.section import Column, Figure, Section, Table, Text, Tree

    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="4"/></svg>'
    blocks = (
        Text("t"),
        Table("n", (Column("c", "number", "d"),), ((1,),)),
        Figure("a", svg=svg),
        Tree("f", (section.Branch("b"),)),
    )
    yield Reader("section", lambda f: section.write(f / "s.json", Section("t", 1, blocks)), "s.json", section.read)
    metrics = '{"accuracy": 0.5, "classes": {"a": 1, "b": null}, "name": "x"}'
    yield one("metrics", "room/run/seed-0/metrics.json", metrics, outcome._metrics)
    yield one("numbers", "m.json", metrics, results.numbers)
    yield one("history", "h.csv", "step,epoch,train/loss\n1,1,0.5\n2,1,nan\n", results.history)
    decided = claims.claim("tsm", "better", ("a", {0: 0.5, 1: 0.6}), ("b", 0.4), "accuracy")
    yield Reader("claims", lambda f: claims.write_claims(f / "claims.csv", [decided]), "claims.csv", claims.read_claims)
    yield one(
        "benchmarks", "u/probe/0.tsv", "s\tcpu_time\tmax_rss\n1.5\t0.5\t30\n", lambda p: usage._jobs([p.parents[1]])
    )
    yield one(
        "benchmark lines",
        "u/probe/0.jsonl",
        '{"s": 1.5, "cpu_time": 0.5, "max_rss": 3}\n',
        lambda p: usage._jobs([p.parents[1]]),
    )


def _media() -> Iterator[Reader]:
    from PIL import Image

    from kinoflow.media import numbered
    from kinoflow.media.options import NumberedOptions
    from kinoflow.store.files import write_json

    out = io.BytesIO()
    Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)).save(out, "JPEG")
    picture = out.getvalue()

    def clip(folder: Path) -> None:
        (folder / "root/clip").mkdir(parents=True, exist_ok=True)
        for i in (1, 2):
            (folder / f"root/clip/{i:05d}.jpg").write_bytes(picture)
        write_json(folder / "list.json", {"clip": [2, 1, "2-1"]})

    def probed(path: Path) -> None:
        top = path.parents[2]
        numbered.probe_pictures(top / "root", top / "list.json", top / "t.csv", NumberedOptions())

    yield Reader("numbered picture", clip, "root/clip/00001.jpg", probed)


def all_readers() -> list[Reader]:
    """Return the readers, a few of each package."""
    own = (_store, _config, _labels, _reports, _media)
    return [reader for part in (*own, *readers_of_files.PARTS, *readers_of_annotations.PARTS) for reader in part()]
