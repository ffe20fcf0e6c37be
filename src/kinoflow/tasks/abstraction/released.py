"""The stage `abstraction-released`: the published files of a dataset as the files that the room's other stages read."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.stage import Folder, Out
from kinoflow.store.shards import writing
from kinoflow.store.tables import READABLE, Segment, Video
from kinoflow.store.tables import write as write_table
from kinoflow.tasks.abstraction import published, set_files, taxonomy_files
from kinoflow.tasks.abstraction import vectors as semantic
from kinoflow.tasks.abstraction.options import ReleasedOptions
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

LENGTH = 1.0  # seconds that stand for a whole video, whose length the files do not tell
SPLITS = ("train", "val", "test")


class Part(NamedTuple):
    """What the published files say of one split: names and features (N, D) in the order of their rows, the list's rows."""

    split: str
    names: tuple[str, ...]
    features: np.ndarray
    listed: list[set_files.Listed]


def abstraction_released(
    metadata: Folder,
    videos: Out,
    segments: Out,
    features: Out,
    taxonomy: Out,
    vectors: Out,
    train: Out,
    test: Out,
    rankings: Out,
    options: ReleasedOptions,
) -> None:
    """Turn published files, as `kinoflow abstraction-metadata` brings them, into those that the other stages read.

    metadata: the folder of the published files; those of the test split may be missing
    videos: the table of videos to write
    segments: the table of labelled segments to write: every video is one, of its first class
    features: the shard of features to write, one row for a video
    taxonomy: the taxonomy to write
    vectors: the vectors of nodes and videos to write
    train: the sets to train on, to write: those of the split train
    test: the sets to name in the test, to write: those of the split val
    rankings: the rankings to write; they are the sets with an odd one, too
    """
    dataset = options.dataset
    graph = taxonomy_files.read(metadata / f"{dataset}_graph.json")
    parts = [part for split in SPLITS if (part := _part(metadata, dataset, split)) is not None]
    if not parts:
        raise DataError(
            f"{metadata}: there are no features of {dataset}; fetch them with kinoflow abstraction-metadata"
        )
    _write_tables(videos, segments, graph, parts)
    with writing(features, {"source": f"published features of {dataset}"}, frames=False) as writer:
        for part in parts:
            for name, row in zip(part.names, part.features, strict=True):
                writer.add(name, row[None].astype(np.float32), [LENGTH / 2])
    taxonomy_files.write(taxonomy, graph)
    semantic.write(vectors, _vectors(metadata, dataset, graph))
    for split, path in (("train", train), ("val", test)):
        sets = set_files.read_sets(_file(metadata, dataset, "abstraction_sets", split), graph)
        set_files.write_sets(path, sets, graph)
        log.info("%s: %d sets of %d videos", split, len(sets), len(sets.names))
    human = _file(metadata, dataset, "abstraction_sets", "test")
    found = set_files.read_rankings(human) if human.is_file() else []
    if not found:
        log.warning("%s is not there: nothing will be ranked", human)
    set_files.write_rankings(rankings, found)


def _file(metadata: Path, dataset: str, kind: str, split: str) -> Path:
    return metadata / published.file_names([dataset], [kind], [split])[0]


def _part(metadata: Path, dataset: str, split: str) -> Part | None:
    """Read list and features of a split; None of the test split if it is not there."""
    listfile, features = (_file(metadata, dataset, kind, split) for kind in ("listfile", "features"))
    if split == "test" and not (listfile.is_file() and features.is_file()):
        return None
    embeddings = _file(metadata, dataset, "embeddings", split)
    names, x = published.read_features(features, published.row_names(dataset, split, listfile, embeddings))
    listed = set_files.read_listfile(listfile, ".mp4" if dataset == "kinetics" else "")
    return Part(split, names, x, listed)


def _write_tables(videos: Out, segments: Out, taxonomy: Taxonomy, parts: list[Part]) -> None:
    rows, clips, seen = [], [], {}
    for part in parts:
        classes = {row.name: row.labels for row in part.listed}
        for name in part.names:
            if seen.setdefault(name, part.split) != part.split:
                raise DataError(
                    f"the video {name!r} is in the splits {seen[name]} and {part.split}; take it out of one"
                )
            rows.append(Video(video=name, path=name, split=part.split, recording=name, status=READABLE))
            labels = [label for label in classes.get(name, ()) if 0 <= label < taxonomy.num_class]
            action = taxonomy.category(labels[0]) if labels else ""
            common = {"video": name, "action": action, "split": part.split}
            clips.append(Segment(segment=name, start=0.0, end=LENGTH, **common))
    write_table(videos, rows, Video)
    write_table(segments, clips, Segment)


def _vectors(metadata: Path, dataset: str, taxonomy: Taxonomy) -> semantic.Vectors:
    """Read the vectors of nodes, and of the videos of every split that has them."""
    path = _file(metadata, dataset, "category_embeddings", "")
    names, rows = published.read_vectors(path)
    place = {name: number for number, name in enumerate(names)}
    if missing := [name for name in taxonomy.nodes if name not in place]:
        raise DataError(
            f"{path}: the node {missing[0]!r} of the taxonomy has no vector there ({len(missing)} have none)"
        )
    nodes = rows[[place[name] for name in taxonomy.nodes]]
    items: dict[str, int] = {}
    own = []
    for split in SPLITS:
        embeddings = _file(metadata, dataset, "embeddings", split)
        if embeddings.is_file():
            of_split, vectors = published.read_vectors(embeddings)
            fresh = [number for number, name in enumerate(of_split) if name not in items]
            items |= {of_split[number]: len(items) + row for row, number in enumerate(fresh)}
            own.append(vectors[fresh])
    return semantic.Vectors("published", taxonomy.nodes, nodes, items, np.concatenate(own) if own else None)
