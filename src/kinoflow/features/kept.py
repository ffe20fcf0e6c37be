"""Rows that need not be computed again: those of the shard made before, and those of a shard that is not complete yet."""

import io
import shutil
from pathlib import Path

import numpy as np

from kinoflow.store.files import read_keys, write_bytes
from kinoflow.store.shards import Shard

Rows = tuple[np.ndarray, np.ndarray]  # features (R, D) and their times (R,)


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
