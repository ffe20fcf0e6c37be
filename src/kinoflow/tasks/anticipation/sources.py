"""Where features come from: shards, files of one video each, or the true labels (an oracle).

A source gives the features of a video at once with their times (``rows``), or those of some numbered frames (``frames``):
T rows, n frames, D features. Frame number k of ``fps`` a second is the moment k / fps.
"""

import gzip
import io
import tokenize
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arrays import read_matrix
from kinoflow.store.shards import Shard, with_rows
from kinoflow.tasks.anticipation.windows import NONE, labels_at

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".npy.gz", ".txt.gz", ".gz")
ORACLE_STEP = 0.25  # seconds between rows of the oracle
SLACK = 1e-6  # seconds by which written times may be off
LOOKBACK = 9  # frames


class Source(Protocol):
    """What gives features."""

    width: int  # D

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return all features of a video (T, D), and their times (T,) seconds, not decreasing."""
        ...

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return the features of numbered frames, (n, D) float32; DataError if the video has none of them."""
        ...


def latest(times: np.ndarray, moments: np.ndarray, reach: float) -> np.ndarray:
    """Return the number of the row that stands for each moment, (n,) int64: the latest that is not after it, or the first.

    times: (T,) of the rows. reach: seconds that a row may be away from a moment, or as far as rows are from each other where
    that is more; -1 where none is so near.
    """
    if not len(times):
        return np.full(len(moments), NONE, np.int64)
    spacing = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    which = np.maximum(np.searchsorted(times, moments + SLACK, "right") - 1, 0)
    return np.where(np.abs(moments - times[which]) <= max(reach, spacing) + SLACK, which, NONE)


def check_some(which: np.ndarray, video: str, moments: np.ndarray) -> None:
    """Raise DataError if no row stands for any of the moments (seconds) of a video."""
    if len(which) and not (which >= 0).any():
        raise DataError(
            f"the video {video!r} has nothing from {min(moments):.2f} s to {max(moments):.2f} s; make its features or frames"
            " again from the whole video, or leave its actions out"
        )


class Timed:
    """Sources that know the time of every row: a frame is the latest row that is not after it, or the first.

    lookback: frames that a row may be away from a frame, where rows are not further from each other; zeros stand for others.
    """

    fps: float
    lookback: int = LOOKBACK

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features (T, D) and times (T,)."""
        raise NotImplementedError

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return the features of frames, (n, D) float32; DataError if the video has none of them."""
        rows, times = self.rows(video)
        return rows_at(rows, times, np.asarray(numbers) / self.fps, self.lookback / self.fps, video)


def rows_at(rows: np.ndarray, times: np.ndarray, moments: np.ndarray, reach: float, video: str) -> np.ndarray:
    """Return the rows (n, D) float32 that stand for moments, zeros where none does; DataError if none does at all."""
    which = latest(times, moments, reach)
    check_some(which, video, moments)
    found = np.zeros((len(which), rows.shape[1]), np.float32)
    found[which >= 0] = rows[which[which >= 0]]
    return found


class Stored:
    """Which shard holds a video, and under what name.

    Annotations call a video ``P01_01`` that lies as ``P01/P01_01.MP4``: where no shard has the name itself, it is the video
    whose name without folders and extension is that of the other.
    """

    def __init__(self, kind: str):
        """kind: what the shards hold, for what is said of them."""
        self.kind, self._shards, self._meant = kind, dict[str, Shard](), dict[str, set[str]]()

    def __len__(self) -> int:
        return len(self._shards)

    def add(self, shard: Shard) -> None:
        """Take a shard; DataError if another one has a video of it."""
        for video in shard.videos:
            if video in self._shards:
                other = self._shards[video].path
                raise DataError(f"the video {video!r} is in two shards, {other} and {shard.path}; give one of them")
            self._shards[video] = shard
            for name in _names(video):
                self._meant.setdefault(name, set()).add(video)

    def find(self, video: str) -> tuple[Shard, str] | None:
        """Return the shard of a video and its name there; None if there is none, DataError if several may be meant."""
        if video in self._shards:
            return self._shards[video], video
        whole, bare = _names(video)
        found = sorted(
            self._meant.get(whole, set()) | {each for each in self._meant.get(bare, ()) if _names(each)[0] == bare}
        )
        if len(found) > 1:
            raise DataError(
                f"the video {video!r} may be {found[0]!r} or {found[1]!r} of the {self.kind} shards; give shards of one of them"
            )
        return (self._shards[found[0]], found[0]) if found else None

    def get(self, video: str) -> tuple[Shard, str]:
        """Return the shard of a video and its name there; DataError if there is none."""
        found = self.find(video)
        if found is None:
            raise DataError(f"the video {video!r} is in none of the {self.kind} shards; give all of the dataset's")
        return found


def _names(video: str) -> tuple[str, str]:
    """Return the name without folders, and without extension too."""
    name = PurePosixPath(video).name
    return name, PurePosixPath(name).stem


class Shards(Timed):
    """Feature shards, through their maps."""

    def __init__(self, paths: Iterable[str | Path], fps: float, lookback: int = LOOKBACK):
        self.fps, self.lookback, self._shards = fps, lookback, Stored("feature")
        shards = [Shard(path) for path in paths]
        if not shards:
            raise ConfigError("features: give the shards of a feature or PCA set")
        for shard in shards:
            if shard.shape is not None:
                raise DataError(f"{shard.path}: this shard holds frames, no features; give one of `kinoflow features`")
            self._shards.add(shard)
        first, *others = with_rows(shards)
        self.width, self.attrs = int(first.x.shape[1]), first.attrs
        for shard in others:
            if shard.x.shape[1] != self.width:
                raise DataError(
                    f"{shard.path}: {shard.x.shape[1]} columns, and {first.path} has {self.width}; give shards of one kind"
                )

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features (T, D) and times (T,); DataError if no shard has the video."""
        shard, name = self._shards.get(video)
        return shard.rows(name), shard.times(name)


class Files(Timed):
    """A folder with a file for each video: npy, npz, HDF5, or gz of npy or of text; row i is the frame number i + 1."""

    def __init__(self, root: Path, fps: float, lookback: int = LOOKBACK):
        self.root, self.fps, self.lookback = Path(root), fps, lookback
        self._last: tuple[str, np.ndarray] = ("", np.empty((0, 0)))
        some = sorted(path for path in self.root.iterdir() if path.name.endswith(SUFFIXES))
        if not some:
            raise DataError(f"{root}: there is no file of features ({', '.join(SUFFIXES)}) in this folder")
        self.width = self._read(some[0]).shape[1]

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return features (T, D) and times (T,); DataError if there is no file of the video."""
        if self._last[0] != video:
            self._last = video, self._read(self._file(video))
        found = self._last[1]
        return found, (np.arange(len(found)) + 1) / self.fps

    def _file(self, video: str) -> Path:
        names = [video + suffix for suffix in SUFFIXES] + [Path(video).stem + suffix for suffix in SUFFIXES]
        found = next((self.root / name for name in names if (self.root / name).is_file()), None)
        if found is None:
            raise DataError(f"{self.root}: there is no file of features of the video {video!r}, {names[0]} for example")
        return found

    def _read(self, path: Path) -> np.ndarray:
        try:
            found = _unpacked(path) if path.name.endswith(".gz") else read_matrix(path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        width = getattr(self, "width", found.shape[1])
        if found.shape[1] != width:
            raise DataError(f"{path}: {found.shape[1]} columns, other files have {width}; leave it out")
        return found


def _unpacked(path: Path) -> np.ndarray:
    """Return the matrix of a gz file; DataError with the reason alone."""
    try:
        content = gzip.decompress(path.read_bytes())
        if content.startswith(b"\x93NUMPY"):
            found = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            found = np.loadtxt(io.BytesIO(content or b"nothing"), np.float32, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error, SyntaxError, tokenize.TokenError) as error:
        raise DataError(f"it is no gz file of an array of numbers ({error})") from None
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise DataError(f"its array has the shape {found.shape} and the type {found.dtype}; (T, D) numbers are needed")
    return found


class Labels(Timed):
    """The oracle: the true action of each moment, one-hot; zeros where nothing is done."""

    def __init__(self, actions: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], classes: int, fps: float):
        """actions: {video: (start, end, number) of its actions, by start}."""
        self.actions, self.width, self.fps = actions, classes, fps

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return one-hot rows (T, C) and their times, four a second."""
        start, end, labels = self.actions[video]
        times = np.arange(0.0, float(end.max()) + ORACLE_STEP, ORACLE_STEP)
        return self._told(times, start, end, labels), times

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        """Return one-hot rows (n, C) of frames."""
        return self._told(np.asarray(numbers) / self.fps, *self.actions[video])

    def _told(self, times: np.ndarray, start: np.ndarray, end: np.ndarray, labels: np.ndarray) -> np.ndarray:
        found = labels_at(times, start, end, labels)
        rows = np.zeros((len(times), self.width), np.float32)
        rows[np.flatnonzero(found >= 0), found[found >= 0]] = 1
        return rows


@dataclass(frozen=True)
class View:
    """Which square of frames is seen. short: pixels of the short side. place: of the square along the longer and the shorter
    side, 0 to 1. flip: mirrored.
    """

    short: int
    place: tuple[float, float] = (0.5, 0.5)
    flip: bool = False


class Pictures:
    """Frames out of shards, for students with a backbone of their own: (n, 3, S, S) or (n, 3, t, S, S) float32.

    clip: frames of a clip (0: single pictures). view: what is seen where no other is asked for. lookback: as of `Timed`.
    Values as ViT wants them: (x - .5) / .5.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        fps: float,
        size: int,
        clip: int = 0,
        view: View | None = None,
        lookback: int = LOOKBACK,
    ):
        self.fps, self.size, self.clip, self.width, self.lookback = fps, size, clip, 0, lookback
        self.view = view or View(size)
        self._shards = Stored("frame")
        for shard in map(Shard, paths):
            if shard.shape is None or shard.channels != 3:
                raise DataError(f"{shard.path}: this shard holds no pictures; give one that `kinoflow frames` has made")
            self._shards.add(shard)
        if not len(self._shards):
            raise ConfigError("frames: this student has a backbone that reads frames; give the frame shards")

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Refuse: pictures are not averaged."""
        raise ConfigError("sampling.read: a backbone reads single frames; take read: frames")

    def frames(self, video: str, numbers: np.ndarray, view: View | None = None) -> np.ndarray:
        """Return the pictures, or clips that end with them; zeros for those that are missing, DataError if all are."""
        shard, name = self._shards.get(video)
        moments = np.asarray(numbers) / self.fps
        last = latest(shard.times(name), moments, self.lookback / self.fps)
        check_some(last, video, moments)
        which = np.maximum(last[:, None] - np.arange(max(self.clip, 1))[::-1], 0)  # (n, t)
        single, where = np.unique(which, return_inverse=True)
        shown = self._prepared(shard.frames(name, single), view or self.view)
        pictures = shown[where.reshape(which.shape)]  # (n, t, 3, S, S)
        pictures[last < 0] = 0
        return pictures.transpose(0, 2, 1, 3, 4) if self.clip else pictures[:, 0]

    def _prepared(self, frames: np.ndarray, view: View) -> np.ndarray:
        import cv2

        height, width = frames.shape[1:3]
        side = max(1, round(min(height, width) * self.size / view.short))
        down, across = view.place if height > width else view.place[::-1]
        top, left = int((height - side) * down), int((width - side) * across)
        cut = frames[:, top : top + side, left : left + side]
        if view.flip:
            cut = np.ascontiguousarray(cut[:, :, ::-1])
        if side != self.size:
            how = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
            cut = np.stack([cv2.resize(each, (self.size, self.size), interpolation=how) for each in cut])
        return ((cut.astype(np.float32) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)


def seen_as_bytes(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as `Pictures` gives them, as they were before: uint8 of the same shape."""
    return np.clip(np.rint((pictures * 0.5 + 0.5) * 255), 0, 255).astype(np.uint8)
