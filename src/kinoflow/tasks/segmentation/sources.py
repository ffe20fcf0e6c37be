"""Rows of features of one file that is in no dataset: features themselves, or a video whose features are made here."""

import tempfile
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arrays import read_matrix
from kinoflow.features.covariance import Projection, project
from kinoflow.features.pca_files import Group, PcaBasis, read_basis
from kinoflow.store.shards import Shard
from kinoflow.tasks.segmentation.data import check_finite, chosen_columns
from kinoflow.tasks.segmentation.options import SegmentOptions
from kinoflow.tasks.segmentation.trained import Trained, extractor_of

FILES = (".npy", ".npz", ".h5", ".hdf5")


def rows_of(source: Path, trained: Trained, options: SegmentOptions, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that a model reads, (T, D) float32, and their times, (T,) seconds.

    Raises DataError or ConfigError, naming the file, if it has no such rows.
    """
    features, times = (
        _features(source, trained, options) if source.suffix.lower() in FILES else _made(source, trained, device)
    )
    if features.shape[1] != trained.width:
        features = _reduced(features, trained, options.task, source)
    step = trained.options.rows.subsample
    found = chosen_columns(features[::step], trained.columns, trained.options.rows)
    check_finite(found, f"{source}: its features")
    if not len(found):
        raise DataError(f"{source}: it has no rows")
    return found, times[::step]


def _features(source: Path, trained: Trained, options: SegmentOptions) -> tuple[np.ndarray, np.ndarray]:
    shard = _shard(source)
    if shard is not None:
        video = options.item or (shard.videos[0] if len(shard.videos) == 1 else "")
        if video not in shard:
            some = ", ".join(map(repr, shard.videos[:3]))
            raise ConfigError(f"item: {source} holds {len(shard.videos)} videos; name one of them, such as {some}")
        return shard.rows(video), shard.times(video)
    try:
        found = read_matrix(source, options.key)
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    seconds = 1 / options.rate if options.rate else trained.seconds / trained.options.rows.subsample
    return found, (np.arange(len(found)) + 0.5) * seconds


def _shard(source: Path) -> Shard | None:
    if source.suffix.lower() not in (".h5", ".hdf5"):
        return None
    try:
        shard = Shard(source)
    except DataError:
        return None  # another program's HDF5 file, read by its key
    if shard.bytes is not None:
        raise DataError(f"{source}: this shard holds frames; give features, or the video itself")
    return shard


def _made(source: Path, trained: Trained, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Make the features of a video as those of the training were made."""
    from kinoflow.features.extract import Extractor
    from kinoflow.features.options import FeaturesOptions
    from kinoflow.features.plan import planned
    from kinoflow.features.sources import DecodedVideos
    from kinoflow.features.transforms import decoding
    from kinoflow.media.options import FramesOptions
    from kinoflow.options import check
    from kinoflow.store.tables import READABLE, Probed

    how = extractor_of(trained.features)
    if how.get("backbone") == "trained":
        raise ConfigError(
            f"{source}: the checkpoint was trained on features of another run's network; make features with"
            " `kinoflow recognition-features` and that run's checkpoint, and give these"
        )
    if "backbone" not in how:
        raise ConfigError(
            f"{source}: the checkpoint was trained on feature files from outside; give such a file, not a video"
        )
    if how["from"] == "frames" and trained.pictures is None:
        raise ConfigError(
            f"{source}: the checkpoint does not say how frames are read; give features, or train with --frames"
        )
    asked = trained.features.get("weights", "drawn")
    if asked != "drawn" and "weights" not in trained.carried:
        raise ConfigError(f"{source}: the checkpoint lacks the network that makes features; train with --weights")
    extraction = check(FeaturesOptions, how, f"{source}: the checkpoint's features")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        if "weights" in trained.carried:
            weights.write_bytes(trained.carried["weights"])
        plan = planned(extraction, str(weights) if weights.exists() else None, device)
        if how["from"] == "frames":
            pictures = check(FramesOptions, trained.pictures, f"{source}: the checkpoint's frames")
        else:
            pictures = decoding(plan.pictures)
        row = Probed(video=source.name, status=READABLE, kept=True)
        with plan.how.settled():
            found, times = Extractor(plan, DecodedVideos(source.parent, [row], pictures)).rows(source.name)
    return found.astype(extraction.dtype), times


def _reduced(features: np.ndarray, trained: Trained, task: str, source: Path) -> np.ndarray:
    """Return the components of features that are not reduced yet; DataError if they fit neither the model nor its PCA."""
    basis = _basis(trained)
    if basis is None or features.shape[1] != basis.width:
        more = f" (or {basis.width} before its PCA)" if basis else ""
        raise DataError(
            f"{source}: it has {features.shape[1]} columns, but the model was trained on features of {trained.width}{more}"
        )
    parts = []
    for name, columns in basis.blocks.items():
        group = Group(task if any(group.task for group in basis.groups) else "", name)
        if group not in basis.groups:
            known = ", ".join(sorted({repr(group.task) for group in basis.groups}))
            raise ConfigError(f"task: the PCA of the features has no task {task!r}; known are {known}")
        ready = Projection.of(basis.groups[group], basis.options["whiten"])
        parts.append(project(features[:, slice(*columns)], ready))
    return np.concatenate(parts, axis=1)


def _basis(trained: Trained) -> PcaBasis | None:
    if "basis" not in trained.carried:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "basis.safetensors"
        path.write_bytes(trained.carried["basis"])
        return read_basis(path)
