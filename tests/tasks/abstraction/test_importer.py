"""Checkpoints of the published code."""

import json

import numpy as np
import pytest
import torch
from tests.tasks.abstraction.golden import arrays

from kinoflow.errors import DataError
from kinoflow.store.shards import writing
from kinoflow.store.tables import Segment, write
from kinoflow.tasks.abstraction import set_files, taxonomy_files, vectors
from kinoflow.tasks.abstraction.checkpoints import read_checkpoint
from kinoflow.tasks.abstraction.evaluate import abstraction_evaluate
from kinoflow.tasks.abstraction.importer import abstraction_import
from kinoflow.tasks.abstraction.items import listed
from kinoflow.tasks.abstraction.options import AbstractionTestOptions, SamplingOptions
from kinoflow.tasks.abstraction.sets import draw_rankings, draw_sets

TREE = "root\n  a\n    a0\n    a1\n    a2\n  b\n    b0\n    b1\n    b2\n"  # nine nodes


class Gadget:
    """Runs code where it is unpickled carelessly."""

    def __reduce__(self):
        return (print, ("run",))


def release(folder, name="sam_forward", **more):
    """The files of a release: a checkpoint with the published names, a taxonomy, vectors; the published arrays beside."""
    values = arrays(name)
    state = {"linear.weight": values["scale_w"][None], "linear.bias": values["scale_b"]}
    for head, short in (("last_linear", "node"), ("embedding_linear", "emb")):
        given = {"weight": values.get(f"{short}_w", np.zeros((9 if short == "node" else 5, 6)))}
        given["bias"] = values.get(f"{short}_b", np.zeros(len(given["weight"])))
        state |= {f"{head}.{part}": value for part, value in given.items()}
    for i, scale in enumerate(values["scales"].tolist()):
        for layer, short in ((1, 1), (3, 2)):
            state[f"relations.{i}.relate.{layer}.weight"] = values[f"rel{scale}_w{short}"]
            state[f"relations.{i}.relate.{layer}.bias"] = values[f"rel{scale}_b{short}"]
    tensors = {f"module.{name}": torch.from_numpy(value) for name, value in state.items()}
    whole = {"epoch": 7, "state_dict": tensors, "optimizer": {"state": {}}, "best_acc1": 41.5} | more
    torch.save(whole, folder / "old.pth.tar")
    (folder / "tree.txt").write_text(TREE)
    tree = taxonomy_files.read(folder / "tree.txt")
    rng = np.random.default_rng(0)
    vectors.write(
        folder / "vectors.safetensors",
        vectors.Vectors("graph", tree.nodes, rng.standard_normal((9, 5)).astype(np.float32)),
    )
    return values


def imported(folder, **more):
    files = (folder / name for name in ("old.pth.tar", "tree.txt", "vectors.safetensors", "model.safetensors"))
    abstraction_import(*files, **more)
    return read_checkpoint(folder / "model.safetensors")


@pytest.mark.parametrize("name", ["sam_forward", "sam_scales_a", "sam_scales_b"])
def test_an_old_checkpoint_says_what_it_said_before(tmp_path, name):
    values = release(tmp_path, name)
    found = imported(tmp_path, dataset="moments")
    assert found.network.scales == tuple(values["scales"].tolist()) and found.dataset == "moments"
    with torch.no_grad():
        told = found.network(torch.from_numpy(values["x_n4"]).float(), features=True)
    assert np.allclose(told.features, values["feat_n4"], atol=1e-5)
    assert np.allclose(told.embeddings, values["emb_n4"], atol=1e-5)
    assert np.allclose(told.logits, values["logits_n4"], atol=1e-5)


def test_an_old_checkpoint_is_tested_as_one_of_ours(tmp_path):
    release(tmp_path)
    found, rng = imported(tmp_path, dataset="moments"), np.random.default_rng(0)
    tree, names = found.taxonomy, [f"clip{number}" for number in range(24)]
    items = listed(names, [[number % tree.num_class] for number in range(24)])
    x, sampling = rng.random((24, 6), np.float32), SamplingOptions()
    with writing(tmp_path / "x.h5", {"blocks": "{}"}, frames=False, width=6, dtype="float32") as writer:
        for name, row in zip(names, x, strict=True):
            writer.add(name, row[None], [0.5])
    write(tmp_path / "segments.csv", [], Segment)
    sets = draw_sets(tree, items, 20, sampling, rng)
    set_files.write_sets(tmp_path / "sets.json", sets, tree)
    drawn = [each for n in (1, 2, 3, 4) for each in draw_rankings(tree, items, np.eye(9), n, 5, sampling, rng)]
    set_files.write_rankings(tmp_path / "rankings.json", drawn)
    given = ("model.safetensors", "sets.json", "rankings.json", "segments.csv")
    made = ("metrics.json", "predictions.csv", "placed.csv")
    paths = [tmp_path / name for name in (*given, *made)]
    abstraction_evaluate(
        *paths[:4], [tmp_path / "x.h5"], *paths[4:], AbstractionTestOptions(resamples=20), device="cpu"
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with torch.no_grad():
        logits = found.network(torch.from_numpy(x[sets.items])).logits
    assert metrics["naming"]["exact"]["all"] == pytest.approx((logits.argmax(1).numpy() == sets.labels).mean())
    assert metrics["completion"]["records"] == 20 and metrics["odd_one_out"]["embedding"]["applies"]


def test_the_pooled_variant_uses_the_weights_of_scales(tmp_path):
    values = release(tmp_path, "sam_pooled_full")
    found = imported(tmp_path, pooled=True)
    with torch.no_grad():
        told = found.network(torch.from_numpy(values["x_n3"]).float(), features=True)
    assert np.allclose(told.features[:, -1:], values["out_n3"], atol=1e-5)


def test_code_in_a_checkpoint_is_not_run(tmp_path, capsys):
    release(tmp_path, note=Gadget())
    with pytest.raises(DataError, match="loading it would run code"):
        imported(tmp_path)
    assert "run" not in capsys.readouterr().out


def test_a_file_of_another_network_is_refused(tmp_path):
    release(tmp_path, state_dict={"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(DataError, match="this is no checkpoint of set abstraction: it has no linear.weight"):
        imported(tmp_path)


def test_a_taxonomy_with_another_number_of_nodes_is_refused(tmp_path):
    release(tmp_path)
    (tmp_path / "tree.txt").write_text(TREE + "    b3\n")
    tree = taxonomy_files.read(tmp_path / "tree.txt")
    made = vectors.Vectors("graph", tree.nodes, np.ones((10, 5), np.float32))
    vectors.write(tmp_path / "vectors.safetensors", made)
    with pytest.raises(DataError, match="trained with 9 nodes, but .* have 10"):
        imported(tmp_path)
