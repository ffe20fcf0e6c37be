"""Rows of features of one file that is in no dataset: features themselves, or a video whose features are made here."""

from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arrays import read_matrix
from kinoflow.features.covariance import Projection, project
from kinoflow.features.pca_files import Group, read_basis
from kinoflow.features.remake import check_readable, remade
from kinoflow.store.shards import Shard
from kinoflow.tasks.segmentation.data import check_finite, chosen_columns, row_edges, row_length
from kinoflow.tasks.segmentation.options import SegmentOptions
from kinoflow.tasks.segmentation.trained import Trained

FILES = (".npy", ".npz", ".h5", ".hdf5")


def rows_of(
    source: Path, trained: Trained, folder: Path, options: SegmentOptions, weights: Path | None, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that a model reads, (T, D) float32, and where they begin and end, (T + 1,) seconds, as `row_edges` does.

    folder: that of the checkpoint, with copies of weights and components. weights: a file, where there is no copy.
    Raises DataError or ConfigError, naming the file, if it has no such rows.
    """
    start, end = 0.0, None
    if source.suffix.lower() in FILES:
        features, times = _features(source, trained, options)
        if features.shape[1] != trained.width:
            features = _reduced(features, trained, folder, options.task, source)
    else:
        start, end = check_readable(str(source))
        with remade([source], trained.origin, folder, weights, device, options.task) as shard:
            (name,) = shard.videos
            features, times = np.array(shard.rows(name)), np.array(shard.times(name))
    step = trained.options.rows.subsample
    found = chosen_columns(features[::step], trained.columns, trained.options.rows)
    check_finite(found, f"{source}: its features")
    if not len(found):
        raise DataError(f"{source}: it has no rows")
    times = times[::step]
    return found, row_edges(times, row_length([times], trained.seconds), max(0.0, start), end)


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


def _reduced(features: np.ndarray, trained: Trained, folder: Path, task: str, source: Path) -> np.ndarray:
    """Return the components of features that are not reduced yet; DataError if they fit neither the model nor its PCA."""
    basis = read_basis(trained.origin.basis_file(folder)) if trained.origin.reduced else None
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
