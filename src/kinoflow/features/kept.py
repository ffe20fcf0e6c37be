"""Filling a feature shard: rows that need not be computed again are taken from the shard made before, or, of a shard that is
not complete (the run was killed, or another video failed), from ``.work`` beside it."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kinoflow.errors import DataError
from kinoflow.progress import Progress, log
from kinoflow.store.files import read_keys, write_bytes, write_keys
from kinoflow.store.shards import Shard, writing

Rows = tuple[np.ndarray, np.ndarray]  # features (R, D) and their times (R,)


class Maker(Protocol):
    """What computes the rows of videos."""

    width: int  # D
    name: str  # of the network, for people

    def rows(self, video: str) -> Rows:
        """Return the features of one video, (R, D), and their times, (R,) seconds; DataError if there are none."""


def fill(path: Path, keys: dict[str, str], attrs: dict[str, Any], dtype: str, maker: Callable[[], Maker]) -> None:
    """Write the feature shard of the videos of ``keys``, {video: what tells what its rows are made from}.

    ``maker`` is called where a video's rows must be computed. A video that fails stops the stage with a DataError, but not
    before the others are done; their rows are not computed again.
    """
    old, kept = ShardRows(path), Kept(path)
    carried = {key for key in keys.values() if key in old or key in kept}
    made = None if keys and carried.issuperset(keys.values()) else maker()
    width = made.width if made else _rows(next(iter(carried)), old, kept)[0].shape[1]
    progress = Progress(f"features {path.stem}", total=len(keys), items="videos")
    failed: list[DataError] = []
    with writing(path, attrs, frames=False, width=width, dtype=dtype) as writer, progress:
        for video, key in keys.items():
            try:
                if key not in carried:
                    kept.put(key, stored(*made.rows(video), dtype, f"{video!r}: {made.name}"))
                    carried.add(key)
                    log.info("extracted %r", video)
                writer.add(video, *_rows(key, old, kept))
            except DataError as error:
                log.warning("%s", error)
                failed.append(error)
            progress.step()
        if failed:
            raise DataError(f"{failed[0]} ({len(failed)} of {len(keys)} videos failed; the work on the others is kept)")
    write_keys(path, keys)
    kept.clear()


def stored(found: np.ndarray, times: np.ndarray, dtype: str, what: str) -> Rows:
    """Return rows in the type in which they are stored; DataError if they are not finite or do not fit into it."""
    if not np.isfinite(found).all():
        raise DataError(f"{what} gives features that are not finite; its weights do not suit it")
    with np.errstate(over="ignore"):
        rows = found.astype(dtype)
    if not np.isfinite(rows).all() or (found.any() and not rows.any()):  # too large, or all rounded to zero
        raise DataError(
            f"{what} gives features up to {np.abs(found).max():.3g}, which do not fit into float16; set dtype: float32"
        )
    return rows, times


def _rows(key: str, old: "ShardRows", kept: "Kept") -> Rows:
    return old[key] if key in old else kept[key]


class ShardRows:
    """The rows of the shard that stands at a path, by the keys that tell what they were made from."""

    def __init__(self, path: Path):
        self._videos = {key: video for video, key in read_keys(path).items()}
        self._shard = Shard(path) if self._videos else None

    def __contains__(self, key: str) -> bool:
        return key in self._videos

    def __getitem__(self, key: str) -> Rows:
        """Return the rows of a key, views of the shard's map."""
        video = self._videos[key]
        return self._shard.rows(video), self._shard.times(video)


class Kept:
    """A folder beside a shard with the rows of its finished videos, a file for each, until the shard is complete."""

    def __init__(self, shard: Path):
        self._folder = shard.parent / ".work" / shard.name

    def __contains__(self, key: str) -> bool:
        return self._file(key).exists()

    def __getitem__(self, key: str) -> Rows:
        """Return the rows that were put in under a key."""
        with open(self._file(key), "rb") as file:
            return np.load(file, allow_pickle=False), np.load(file, allow_pickle=False)

    def put(self, key: str, rows: Rows) -> None:
        """Keep the rows of one video."""
        content = io.BytesIO()
        for array in rows:
            np.save(content, array, allow_pickle=False)
        write_bytes(self._file(key), content.getvalue())

    def clear(self) -> None:
        """Forget everything: the shard is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.npy"
