"""Published files become those that the other stages read: rows of features with their names, sets, vectors, rankings."""

import json

import numpy as np
import pytest
from tests.tasks.abstraction.clips import kitchen, of_each_class

from kinoflow.errors import DataError
from kinoflow.store.shards import Shard
from kinoflow.tasks.abstraction import published, set_files, taxonomy_files, vectors
from kinoflow.tasks.abstraction.items import item_features, load_items
from kinoflow.tasks.abstraction.options import ReleasedOptions, SamplingOptions
from kinoflow.tasks.abstraction.released import abstraction_released
from kinoflow.tasks.abstraction.set_files import Listed
from kinoflow.tasks.abstraction.sets import draw_rankings, draw_sets

OUT = ("videos.csv", "segments.csv", "x.h5", "graph.json", "v.safetensors", "train.json", "test.json", "rankings.json")


def release(folder, dataset: str, splits=("train", "val", "test")):
    """Write what was released for a dataset with the kitchen's classes; row i of a split's list has the feature i."""
    import torch

    folder.mkdir()
    graph, rng = kitchen(), np.random.default_rng(0)
    taxonomy_files.write(folder / f"{dataset}_graph.json", graph)
    published.write_vectors(folder / f"{dataset}_category_embeddings.pth", graph.nodes, rng.standard_normal((58, 4)))
    suffix = ".mp4" if dataset == "kinetics" else ""
    for split in splits:
        bare = of_each_class(graph, 3)
        names = [f"{split}/{number}{suffix}" for number in range(len(bare))]
        items = type(bare)(tuple(names), *list(vars(bare).values())[1:])
        rows = [Listed(name, 30, (int(label),)) for name, label in zip(names, bare.first, strict=True)]
        set_files.write_listfile(folder / f"{dataset}_{split}_listfile.txt", rows, suffix)
        backwards = names[::-1]
        published.write_vectors(
            folder / f"{dataset}_{split}_embeddings.pth", backwards, rng.standard_normal((len(names), 4))
        )
        in_order = backwards if dataset == "moments" and split != "test" else names
        x = torch.tensor([[float(names.index(name))] * 2 for name in in_order])
        torch.save(x, folder / f"resnet3d50_{dataset}_{split}_features.pth")
        if split == "test":
            drawn = draw_rankings(graph, items, np.eye(58), 2, 5, SamplingOptions(), rng)
            set_files.write_rankings(folder / f"{dataset}_human_abstraction_sets.json", drawn)
        else:
            sets = draw_sets(graph, items, 20, SamplingOptions(), rng)
            set_files.write_sets(folder / f"{dataset}_{split}_abstraction_sets.json", sets, graph)
    return folder


@pytest.mark.parametrize("dataset", ["moments", "kinetics"])
def test_a_release_becomes_a_dataset_of_ours(tmp_path, dataset):
    folder = release(tmp_path / "metadata", dataset)
    files = [tmp_path / name for name in OUT]
    abstraction_released(folder, *files, ReleasedOptions(dataset=dataset))
    table, segments, shard, graph, semantics, train, test, rankings = files
    taxonomy = taxonomy_files.read(graph)
    for split in ("train", "val", "test"):
        items = load_items(segments, table, taxonomy, [split], features=[shard])
        found = item_features(items, [shard])
        assert [int(name.split("/")[1].removesuffix(".mp4")) for name in items.names] == found[:, 0].tolist()
        np.testing.assert_array_equal(items.first, [int(x) // 3 for x in found[:, 0]])
        own = dict(zip(*published.read_vectors(folder / f"{dataset}_{split}_embeddings.pth"), strict=True))
        of_items = vectors.read(semantics).of_items(items)
        np.testing.assert_array_equal(of_items, [own[name] for name in items.names])
    assert vectors.read(semantics).names == taxonomy.nodes
    for ours, split in ((train, "train"), (test, "val")):
        theirs = json.loads((folder / f"{dataset}_{split}_abstraction_sets.json").read_text())
        assert json.loads(ours.read_text()) == theirs
    assert set_files.read_rankings(rankings) == set_files.read_rankings(
        folder / f"{dataset}_human_abstraction_sets.json"
    )
    assert len(Shard(shard).videos) == 3 * 123


def test_a_release_without_its_test_split_has_no_rankings(tmp_path, caplog):
    folder = release(tmp_path / "metadata", "kinetics", ("train", "val"))
    files = [tmp_path / name for name in OUT]
    abstraction_released(folder, *files, ReleasedOptions(dataset="kinetics"))
    assert set_files.read_rankings(files[-1]) == [] and "nothing will be ranked" in caplog.text


def test_what_is_missing_in_a_release_is_named(tmp_path):
    folder = release(tmp_path / "metadata", "kinetics", ("train", "val"))
    files = [tmp_path / name for name in OUT]
    graph = kitchen()
    published.write_vectors(folder / "kinetics_category_embeddings.pth", graph.nodes[:-2], np.ones((56, 4)))
    with pytest.raises(DataError, match="the node 'vegetable' of the taxonomy has no vector there .2 have none"):
        abstraction_released(folder, *files, ReleasedOptions(dataset="kinetics"))
    (folder / "kinetics_val_listfile.txt").unlink()
    with pytest.raises(DataError, match="kinetics_val_listfile.txt: this list cannot be read"):
        abstraction_released(folder, *files, ReleasedOptions(dataset="kinetics"))
