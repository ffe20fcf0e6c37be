"""Features in an LMDB in the layout of RULSTM: a source of frames, like those of `sources`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.tasks.anticipation.sources import LOOKBACK

KEY = "{video}_frame_{number:010d}.jpg"  # its values are raw float32
LOOK = 3.0  # seconds for which a child process goes through an LMDB


class Lmdb:
    """RULSTM's LMDB of frame features; only the frames that are asked for are read.

    The library believes what the file says of itself, and a damaged one would end the process without a word: the file must
    be as long as it says, and for some seconds a child process goes through it first.

    lookback: a frame that is not stored is replaced by the nearest one at most so many frames before it, else by zeros.
    """

    def __init__(self, root: Path, lookback: int = LOOKBACK):
        self.root, self.lookback = Path(root), lookback
        self._open: Any = None
        environment = self._environment()
        try:
            first = isolated(_look, environment, seconds=2 * LOOK, megabytes=1000)
        except StoppedError as error:
            raise self._damaged(error) from None
        if first is None:
            raise DataError(f"{root}: this LMDB is empty")
        self.width = len(self._vector(*first))

    def __getstate__(self) -> tuple[Path, int, int]:
        return self.root, self.lookback, self.width

    def __setstate__(self, state: tuple[Path, int, int]) -> None:
        self.root, self.lookback, self.width = state
        self._open = None  # a process that loads data opens it itself

    def _environment(self) -> Any:
        if self._open is None:
            try:
                import lmdb
            except ImportError:
                raise ConfigError(
                    "root: features in an LMDB need the package lmdb; install it (pip install lmdb)"
                ) from None
            try:
                found = lmdb.open(str(self.root), readonly=True, lock=False, readahead=False)
                size, pages = (self.root / "data.mdb").stat().st_size, found.info()["last_pgno"] + 1
                if size < pages * found.stat()["psize"]:
                    raise self._damaged(f"it is cut off: {size} bytes of {pages} pages")
            except lmdb.Error as error:
                raise DataError(f"{self.root}: this is no readable LMDB: {error}") from None
            self._open = found
        return self._open

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Give a transaction that reads; DataError for what the library finds to be damaged."""
        environment = self._environment()
        import lmdb

        try:
            with environment.begin() as reading:
                yield reading
        except lmdb.Error as error:
            raise self._damaged(error) from None

    def _damaged(self, why: object) -> DataError:
        return DataError(f"{self.root}: this LMDB is damaged ({why}); fetch it again")

    def _vector(self, key: bytes, value: bytes) -> np.ndarray:
        if len(value) % 4 or not value:
            raise DataError(f"{self.root}: the value of {key!r} has {len(value)} bytes, which is no row of float32")
        return np.frombuffer(value, np.float32)

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: all frames of a video would be read."""
        raise ConfigError("sampling.read: an LMDB is read frame by frame; take read: frames")

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return the features of frames, (n, D) float32; DataError if none of them is stored."""
        found = np.zeros((len(numbers), self.width), np.float32)
        seen = 0
        with self._reading() as reading:
            stored = {number: self._nearest(reading, video, number) for number in {*map(int, numbers)}}
        for i, number in enumerate(map(int, numbers)):
            vector = stored[number]
            if vector is not None:
                if len(vector) != self.width:
                    raise DataError(
                        f"{self.root}: the frame {number} of {video!r} has {len(vector)} columns, others {self.width}"
                    )
                found[i], seen = vector, seen + 1
        if not seen:
            raise DataError(
                f"{self.root}: none of the frames {min(numbers)} to {max(numbers)} of {video!r} is stored; give the LMDB of this dataset"
            )
        return found

    def _nearest(self, reading: Any, video: str, number: int) -> np.ndarray | None:
        for earlier in range(number, max(number - self.lookback, 1) - 1, -1):
            key = KEY.format(video=video, number=earlier).encode("utf-8", "surrogateescape")
            value = reading.get(key)
            if value is not None:
                return self._vector(key, value)
        return None


def _look(environment: Any) -> tuple[bytes, bytes] | None:
    """Go through the entries of an LMDB for some seconds; return the first, None if there is none."""
    first, end, told = None, time.monotonic() + LOOK, environment.stat()["entries"]
    with environment.begin(buffers=True) as reading, reading.cursor() as cursor:
        for number, (key, value) in enumerate(cursor):
            if number == told:
                raise ValueError(f"it has more than the {told} entries that it tells of")
            first = first or (bytes(key), bytes(value))
            value[-1:].tobytes()
            if time.monotonic() > end:
                break
    return first
