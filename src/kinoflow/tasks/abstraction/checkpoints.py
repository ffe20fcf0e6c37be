"""The checkpoint of an abstraction run, which with its folder is all that is needed to name sets of clips.

model.safetensors        network, vectors of the nodes, taxonomy, scales, options, how the features are made
extractor.<suffix>       the weights of the network behind the features, where the training was given them
basis.safetensors        the components that features are reduced to, where there are some
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.store.files import parse_json, sha256_of, write_bytes
from kinoflow.store.shards import Shard
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel, rebuild
from kinoflow.tasks.abstraction.options import AbstractionOptions
from kinoflow.tasks.abstraction.scoring import Reader
from kinoflow.tasks.abstraction.taxonomy import Taxonomy
from kinoflow.training import checkpoint

ROOM = "abstraction"
DRAWN = "drawn"  # in place of the checksum of weights


@dataclass(frozen=True)
class Extractor:
    """How the features were made that a model reads.

    attrs: of their shards. frames: how the frames are made that they were computed from; None: not known. weights, basis:
    names of copies beside the checkpoint; "": there is none. basis_hash: SHA-256 of the components, "" without any.
    """

    attrs: dict[str, Any]
    frames: FramesOptions | None = None
    weights: str = ""
    basis: str = ""
    basis_hash: str = ""

    @classmethod
    def of(cls, attrs: dict[str, Any], weights: Path | None, basis: Path | None, frames: Path | None) -> Self:
        """Return what is known; DataError if the weights are not those that the features were made with."""
        if weights and attrs.get("weights") not in (None, sha256_of(weights)):
            raise DataError(
                f"{weights}: the features were not made with these weights; give the file that they were made with"
            )
        made = (
            check(FramesOptions, parse_json(Shard(frames).attrs.get("options", "{}")), str(frames)) if frames else None
        )
        return cls(
            attrs={key: value for key, value in attrs.items() if isinstance(value, str)},
            frames=made,
            weights=f"extractor{weights.suffix}" if weights else "",
            basis=f"basis{basis.suffix}" if basis else "",
            basis_hash=sha256_of(basis) if basis else "",
        )

    @property
    def options(self) -> dict[str, Any]:
        """The options of the extraction; empty for features from outside."""
        return parse_json(self.attrs.get("extractor", "{}"))

    @property
    def backbone(self) -> str:
        """The name of the network behind the features; "features" for those from outside."""
        return self.options.get("backbone", "features")

    def about(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        frames = self.frames and self.frames.model_dump(mode="json")
        copies = {"weights": self.weights, "basis": self.basis, "basis_hash": self.basis_hash}
        return {"attrs": self.attrs, "frames": frames} | copies

    @classmethod
    def from_about(cls, about: dict[str, Any], source: str) -> Self:
        """Return what ``about`` has told."""
        frames = about["frames"] and check(FramesOptions, about["frames"], source)
        return cls(**about | {"frames": frames})


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
    extractor: Extractor
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
            "extractor": self.extractor.about(),
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


def copy_extractor(model: Path, weights: Path | None, basis: Path | None) -> None:
    """Put the extractor's weights and components beside a checkpoint."""
    for file, name in ((weights, "extractor"), (basis, "basis")):
        if file:
            write_bytes(model.parent / f"{name}{file.suffix}", file.read_bytes())


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
        extractor=Extractor.from_about(about["extractor"], str(path)),
        dataset=about["dataset"],
    )


def run_label(model: Path) -> str:
    """Return what a checkpoint is called in what is said: by its folder, and the run's above where it is a seed's."""
    seed, run = model.parent.name, model.parent.parent.name
    return f"{run} {seed}" if run and seed.startswith("seed-") else seed or model.stem
