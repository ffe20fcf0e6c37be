"""Where the features come from that a model was trained on: what its checkpoint says of it, and what lies beside it.

    model.safetensors        the model; how its features were made
    extractor.<suffix>       the weights of the network behind the features, where the training was given them
    basis.<suffix>           the components that the features were reduced to, where the training was given these

With these files a video alone is enough to use the model (``kinoflow.features.remake``).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.store.files import parse_json, sha256_of, write_bytes
from kinoflow.store.shards import Shard
from kinoflow.training.options import CHECKPOINTS

DRAWN = "drawn"  # in place of the checksum of weights


@dataclass(frozen=True)
class Origin:
    """How features were made.

    attrs: of their shards. frames: how the frames are made that they were computed from; None: not known. weights, basis:
    names of copies beside the checkpoint; "": there is none. basis_hash: SHA-256 of the components, "" without any.
    """

    attrs: dict[str, str] = field(default_factory=dict)
    frames: FramesOptions | None = None
    weights: str = ""
    basis: str = ""
    basis_hash: str = ""

    @classmethod
    def of(
        cls, attrs: dict[str, Any], weights: Path | None = None, basis: Path | None = None, frames: Path | None = None
    ) -> Self:
        """Return what is known of features by the attributes of their shard.

        weights: the file of the network's weights. basis: the components. frames: a shard of the frames below.
        Raises ConfigError or DataError, naming the file, if it has not made these features.
        """
        told = {key: value for key, value in sorted(attrs.items()) if isinstance(value, str) and key != "device"}
        known = cls(attrs=told)
        if known.outside and (weights or frames):
            raise ConfigError(
                f"{weights or frames}: the features come from outside, this file has not made them; leave it out"
            )
        if weights and attrs.get("weights") != sha256_of(weights):
            raise DataError(
                f"{weights}: the features were not made with these weights; give the file that they were made with"
            )
        if basis:
            _check_basis(basis, attrs)
        made = frames and check(FramesOptions, parse_json(Shard(frames).attrs.get("options", "{}")), str(frames))
        return cls(
            attrs=told,
            frames=made,
            weights=f"extractor{weights.suffix}" if weights else "",
            basis=f"basis{basis.suffix}" if basis else "",
            basis_hash=sha256_of(basis) if basis else "",
        )

    @property
    def options(self) -> dict[str, Any]:
        """The options of the extraction; empty where nothing is known of it."""
        return parse_json(self.attrs.get("extractor", "{}"))

    @property
    def outside(self) -> bool:
        """Whether the features are not those of a network that reads videos here."""
        return self.options.get("from") == "files" or "backbone" not in self.options

    @property
    def backbone(self) -> str:
        """The name of the network behind the features; "features" for those from outside."""
        return self.options.get("backbone", "features")

    @property
    def reduced(self) -> bool:
        """Whether a PCA has reduced the features."""
        return "pca" in self.attrs

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

    def weights_file(self, folder: Path, given: Path | None) -> Path | None:
        """Return the file of the weights; None if they are drawn.

        folder: that of the checkpoint. given: a file, in place of a copy. Raises ConfigError or DataError if it is not there,
        or is another one.
        """
        wanted = self.attrs.get("weights", DRAWN)
        if wanted == DRAWN:
            return None
        file = given or (_beside(folder, self.weights) if self.weights else None)
        if file is None or not file.exists():
            raise ConfigError(
                "the features were made with weights that are not beside the checkpoint: give by --weights the file whose"
                f" SHA-256 is {wanted} (the checkpoint of the run, or the file that `kinoflow features` was given)"
            )
        if sha256_of(file) != wanted:
            raise DataError(
                f"{file}: these are other weights than those that the features were made with (SHA-256 {wanted})"
            )
        return file

    def basis_file(self, folder: Path) -> Path:
        """Return the file of the components; ConfigError or DataError if it is not there, or is another one."""
        file = _beside(folder, self.basis or "basis.safetensors")
        if not file.exists():
            raise ConfigError(
                "the features are reduced, and their components are not beside the checkpoint: put basis.safetensors of the PCA"
                f" there{f', whose SHA-256 is {self.basis_hash}' if self.basis_hash else ''}"
            )
        if self.basis_hash and sha256_of(file) != self.basis_hash:
            raise DataError(f"{file}: these are other components than those that the features were reduced to")
        return file


def _beside(folder: Path, name: str) -> Path:
    """Return the path of a file beside a checkpoint; those of epochs lie one folder below it."""
    return (folder.parent if folder.name == CHECKPOINTS else folder) / name


def _check_basis(basis: Path, attrs: dict[str, Any]) -> None:
    from kinoflow.features.pca_files import read_basis

    if "pca" not in attrs:
        raise ConfigError(f"{basis}: the features were not reduced by a PCA; leave its components out")
    if read_basis(basis).options != parse_json(attrs["pca"]):
        raise DataError(f"{basis}: these components did not reduce the features; give those that did")


def copy_beside(model: Path, weights: Path | None, basis: Path | None) -> None:
    """Put copies of the extractor's weights and of the components beside a checkpoint."""
    for file, name in ((weights, "extractor"), (basis, "basis")):
        if file:
            write_bytes(model.parent / f"{name}{file.suffix}", file.read_bytes())
