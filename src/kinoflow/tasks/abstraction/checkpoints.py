"""The checkpoint of an abstraction run, which with its folder is all that is needed to name sets of clips.

It holds the network, vectors of the nodes, the taxonomy, scales and options; beside it lie the files that features take
(``kinoflow.features.origin``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinoflow.errors import DataError
from kinoflow.features.origin import Origin
from kinoflow.options import check
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel, rebuild
from kinoflow.tasks.abstraction.options import AbstractionOptions
from kinoflow.tasks.abstraction.scoring import Reader
from kinoflow.tasks.abstraction.taxonomy import Taxonomy
from kinoflow.training import checkpoint

ROOM = "abstraction"


@dataclass(frozen=True)
class Trained:
    """A network, and all that is needed to use it.

    vectors: (C, E) of the nodes. majority: the most frequent label of training subsets, by their size.
    """

    network: SetModel | ClipClassifier
    taxonomy: Taxonomy
    vectors: np.ndarray
    options: AbstractionOptions
    majority: dict[int, int]
    origin: Origin
    dataset: str

    def reader(self, batch: int = 256) -> Reader:
        """Return what tells of sets; semantic vectors that were not learned do not count."""
        return Reader(self.network, batch, embedded=self.options.embedding_weight > 0)

    def about(self, seed: int) -> dict[str, Any]:
        """Return what a checkpoint says of itself, as JSON values."""
        return {
            "room": ROOM,
            "options": self.options.model_dump(mode="json"),
            "network": self.network.about(),
            "taxonomy": taxonomy_files.to_json(self.taxonomy),
            "majority": {str(size): label for size, label in self.majority.items()},
            "origin": self.origin.about(),
            "dataset": self.dataset,
            "seed": seed,
        }


class _Bundle(nn.Module):
    """What a checkpoint holds in tensors."""

    def __init__(self, network: nn.Module, vectors: np.ndarray):
        super().__init__()
        self.network = network
        self.register_buffer("node_vectors", torch.from_numpy(np.ascontiguousarray(vectors, np.float32)))


def save(path: Path, trained: Trained, seed: int) -> None:
    """Write a checkpoint; the same state, the same bytes."""
    checkpoint.save(path, _Bundle(trained.network, trained.vectors), trained.about(seed))


@checkpoint.rebuilding
def read_checkpoint(path: Path) -> Trained:
    """Return the network of a checkpoint of this room; DataError if it is another file."""
    tensors, about = checkpoint.read(path)
    if about.get("room") != ROOM:
        raise DataError(
            f"{path}: this is no checkpoint of an abstraction run; give a model.safetensors that one has written"
        )
    try:
        taxonomy = taxonomy_files.from_json(about["taxonomy"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    network, shape = rebuild(about["network"]), tensors["node_vectors"].shape
    bundle = _Bundle(network, np.zeros(shape, np.float32))
    checkpoint.load_into(bundle, tensors, path)
    return Trained(
        network=network.eval(),
        taxonomy=taxonomy,
        vectors=bundle.node_vectors.numpy(),
        options=check(AbstractionOptions, about["options"], str(path)),
        majority={int(size): label for size, label in about["majority"].items()},
        origin=Origin.from_about(about["origin"], str(path)),
        dataset=about["dataset"],
    )
