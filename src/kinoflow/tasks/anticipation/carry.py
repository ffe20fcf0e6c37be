"""How features are made, carried inside a student's checkpoint, so that it reads videos by itself.

In a checkpoint: the extractor's weights as ``extractor.<name>``, of a PCA ``pca.mean``, ``pca.matrix`` and ``pca.remainder``;
beside them the options of frames and extractor.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.covariance import Projection, project
from kinoflow.features.options import FeaturesOptions
from kinoflow.media.options import FramesOptions
from kinoflow.options import check
from kinoflow.store.files import parse_json, sha256_of
from kinoflow.store.shards import Shard
from kinoflow.training import checkpoint

EXTRACTOR, PCA = "extractor", "pca"
DRAWN = "drawn"


def carried(
    features: Path, extractor: Path | None, basis: Path | None, pictures: Path
) -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """Return what a checkpoint says of how its features are made, and the modules with their weights.

    features: one of the shards. extractor: the file of the network's weights; None: drawn. basis: of the PCA, where there is
    one. pictures: one of the frame shards that the features were computed from.
    Raises DataError if the files are not those that made the features.
    """
    from kinoflow.features.extract import Extractor
    from kinoflow.features.plan import planned
    from kinoflow.features.sources import DecodedVideos

    attrs = Shard(features).attrs
    told = parse_json(attrs.get("extractor", "{}"))
    if "backbone" not in told:
        raise ConfigError(f"{features}: these features come from outside: a checkpoint cannot carry how they are made")
    weights = sha256_of(extractor) if extractor else DRAWN
    if weights != attrs["weights"]:
        raise DataError(
            f"extractor: {extractor or 'drawn weights'} did not make the features of {features}; give the file of weights that did"
        )
    if (PCA in attrs) != (basis is not None):
        raise ConfigError(
            f"basis: {features} was {'reduced by a PCA: give its basis' if PCA in attrs else 'not reduced: leave it out'}"
        )
    frames = parse_json(Shard(pictures).attrs.get("options", "{}"))
    options = check(FeaturesOptions, told, str(features))
    plan = planned(options, str(extractor) if extractor else "none", "cpu")
    network = Extractor(plan, DecodedVideos(Path(), [], FramesOptions())).backbone.network
    about: dict[str, Any] = {"frames": frames, "features": told}
    parts: dict[str, nn.Module] = {EXTRACTOR: network}
    if basis:
        parts[PCA] = _projection(basis, parse_json(attrs[PCA]))
    return about, parts


class Reduction(nn.Module):
    """A PCA's projection as weights."""

    def __init__(self, mean: Tensor, matrix: Tensor, remainder: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)
        self.register_buffer("remainder", remainder)


def _projection(path: Path, options: dict[str, Any]) -> Reduction:
    from kinoflow.features.pca_files import read_basis

    found = read_basis(path)
    if found.options != options:
        raise DataError(f"{path}: this basis did not reduce the features; give the one that did")
    if len(found.groups) != 1:
        raise ConfigError(
            f"{path}: a checkpoint carries a PCA of all columns and tasks together, not by_block or by_task"
        )
    (group,) = found.groups.values()
    ready = Projection.of(group, options["whiten"])
    return Reduction(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (ready.mean, ready.matrix, ready.remainder)))


class Eye:
    """What turns a video into the features that a student was trained on.

    about, tensors: of a checkpoint. ConfigError if it does not carry how its features are made.
    """

    def __init__(self, about: Mapping[str, Any], tensors: Mapping[str, Tensor]):
        from kinoflow.features.extract import Extractor
        from kinoflow.features.plan import planned
        from kinoflow.features.sources import DecodedVideos

        if not about:
            raise ConfigError(
                "this checkpoint does not carry how its features are made: give it feature files, or train it with --pictures"
                " and, where the features have them, --extractor and --basis"
            )
        options = check(FeaturesOptions, about["features"], "the checkpoint")
        frames = check(FramesOptions, about["frames"], "the checkpoint")
        self.decoded = partial(DecodedVideos, rows=[], options=frames)
        self.extractor = Extractor(planned(options, "none", "cpu"), self.decoded(Path()))
        parts = {
            name.removeprefix(f"{EXTRACTOR}."): t for name, t in tensors.items() if name.startswith(f"{EXTRACTOR}.")
        }
        checkpoint.load_into(self.extractor.backbone.network, parts, "the checkpoint")
        reduced = [tensors.get(f"{PCA}.{name}") for name in ("mean", "matrix", "remainder")]
        self.projection = None if reduced[0] is None else Projection(*(t.numpy() for t in reduced))

    def rows(self, video: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of a video (T, D) and their times (T,) seconds; DataError if no frame comes out of it."""
        plan = self.extractor.plan
        self.extractor.source = self.decoded(video.parent)
        with plan.how.settled():
            rows, times = self.extractor.rows(video.name)
        rows = rows.astype(plan.options.dtype)  # as they were stored, rounding and all
        return (project(rows, self.projection) if self.projection else rows), times
