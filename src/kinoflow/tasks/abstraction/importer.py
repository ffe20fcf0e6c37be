"""Checkpoints of the published code, turned into ours. Loading one never runs code from it."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kinoflow.errors import DataError
from kinoflow.features.origin import Origin
from kinoflow.features.weights import read
from kinoflow.stage import In, Out
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction import vectors as semantic
from kinoflow.tasks.abstraction.checkpoints import Trained, save
from kinoflow.tasks.abstraction.model import SetModel
from kinoflow.tasks.abstraction.options import AbstractionOptions, NetworkOptions
from kinoflow.training import checkpoint as checkpoints

RELATION = re.compile(r"relations\.(\d+)\.relate\.([13])\.(weight|bias)")
PARTS = {"1": "first", "3": "second"}
HEADS = {"last_linear": "node", "embedding_linear": "embedding"}
POOLED = {"linear.weight": "scale_weight", "linear.bias": "scale_bias"}


def abstraction_import(
    checkpoint: In, taxonomy: In, vectors: In, model: Out, pooled: bool = False, dataset: str = ""
) -> None:
    """Turn a checkpoint of the published code (.pth.tar) into one of ours. Nothing in the file is run.

    checkpoint: the file, for example AbstractionEmbedding_moments_SAM_1-2-3-4_best.pth.tar
    taxonomy: the taxonomy that it was trained with, as the release has it
    vectors: the vectors of its nodes, as `kinoflow taxonomy` or `kinoflow abstraction-metadata` writes them
    model: the checkpoint to write
    pooled: take it for the pooled variant, which uses the weights of scales
    dataset: the name of the dataset that it was trained on
    """
    tree, known = taxonomy_files.read(taxonomy), semantic.read(vectors)
    known.check(tree, vectors)
    network = network_of(read(checkpoint), checkpoint, pooled)
    for told, there, what in (
        (network.node.out_features, len(tree), "nodes"),
        (network.embedding.out_features, known.nodes.shape[1], "numbers in a vector"),
    ):
        if told != there:
            raise DataError(
                f"{checkpoint}: it was trained with {told} {what}, but {taxonomy} and {vectors} have {there};"
                " give the files of the same release"
            )
    options = AbstractionOptions(network=network.network, rows=None)
    save(model, Trained(network, tree, known.nodes, options, {}, Origin(), dataset), seed=0)


def network_of(state: Mapping[str, Tensor], path: Path, pooled: bool = False) -> SetModel:
    """Return the network of a published state {name: tensor}, with or without ``module.`` before its names.

    Raises DataError, naming the file, if it is of another network.
    """
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    firsts = {
        int(found[1]): plain[key] for key in plain if (found := RELATION.fullmatch(key)) and key.endswith("1.weight")
    }
    needed = ("linear.weight", "last_linear.weight", "embedding_linear.weight", "relations.0.relate.3.weight")
    lost = next((key for key in needed if key not in plain), None)
    if lost or sorted(firsts) != list(range(len(firsts))):
        raise DataError(
            f"{path}: this is no checkpoint of set abstraction: it has no {lost or 'relations.0.relate.1.weight'}"
        )
    largest, width = plain["linear.weight"].shape[-1], firsts[len(firsts) - 1].shape[1]
    inputs = width // largest  # the weights of scales reach up to the largest, which is that of the last relation
    if inputs * largest != width or any(each.shape[1] % inputs for each in firsts.values()):
        raise DataError(
            f"{path}: the relations' widths {[each.shape[1] for each in firsts.values()]} fit no scales up to {largest}"
        )
    scales = tuple(firsts[i].shape[1] // inputs for i in range(len(firsts)))
    options = NetworkOptions(
        kind="pooled" if pooled else "sam",
        scales=scales,
        bottleneck=len(firsts[0]),
        width=len(plain["relations.0.relate.3.weight"]),
    )
    network = SetModel(options, inputs, len(plain["embedding_linear.weight"]), len(plain["last_linear.weight"]))
    checkpoints.load_into(network, _renamed(plain, scales, inputs, pooled), path)
    return network.eval()


def _renamed(plain: Mapping[str, Tensor], scales: tuple[int, ...], inputs: int, pooled: bool) -> dict[str, Tensor]:
    """Return the weights under our names; those of scales only for the pooled variant, for nothing else uses them."""
    found = {"spread": torch.ones(inputs)}
    for key, value in plain.items():
        if relation := RELATION.fullmatch(key):
            found[f"relations.{scales[int(relation[1])]}.{PARTS[relation[2]]}.{relation[3]}"] = value
        elif key in POOLED:
            found |= {POOLED[key]: value.flatten()} if pooled else {}
        else:
            layer, _, part = key.rpartition(".")
            found[f"{HEADS.get(layer, layer)}.{part}"] = value
    return found
