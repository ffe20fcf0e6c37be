"""Clips made out of a published release: mp4 files of equal frame rate, and the tables of their labels and splits.

A clip that is there already, made from the same source, is not made again: a conversion that was killed continues.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from kinoflow.datasets.splits import UNUSED
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store import tables
from kinoflow.store.files import read_keys, write_keys

FPS = 25  # of every clip
SAFE = re.compile(r"[\w-][\w.-]*", re.ASCII)  # a name that may be that of a file


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A row of the labels: the whole clip, or (``phase`` filled in) a stretch of it."""

    video: str
    start: str = ""
    end: str = ""  # both empty: the whole video
    action: str
    phase: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """A row of the splits."""

    video: str
    split: str
    recording: str = ""
    task: str = ""


@dataclass(frozen=True)
class Clip:
    """A clip, and what is known of each of its frames."""

    name: str  # of its file, without suffix
    split: str
    action: str
    phases: Sequence[str]  # of each frame; "" where none is known
    recording: str = ""
    task: str = ""

    @property
    def file(self) -> str:
        """The name of the video."""
        return f"{self.name}.mp4"


def safe_name(name: str, where: str) -> str:
    """Return a clip's name; DataError, begun with ``where``, if it cannot be that of a file."""
    if not SAFE.fullmatch(name):
        raise DataError(f"{where}: {name!r} is no name of a clip; letters, digits, - and _ make one")
    return name


def make(folder: Path, clip: str, key: str, frames: Callable[[], Iterable[np.ndarray]]) -> bool:
    """Write ``clip`` (a file's name) below ``folder`` from frames (H, W, 3) uint8, unless it was made with the same key.

    Return whether it was written.
    """
    from kinoflow.media.write import write_video

    path = folder / clip
    if read_keys(path).get(clip) == key:
        return False
    write_video(path, frames(), FPS)
    write_keys(path, {clip: key})
    log.info("made %r", clip)
    return True


def write_tables(labels: Path, splits: Path, clips: Iterable[Clip], videos: Path) -> None:
    """Write the tables of labels and splits of clips, sorted by name; DataError if a name stands twice or there is none.

    videos: the folder of the clips; those of another conversion or an older release in it become unused ones
    """
    found = sorted(clips, key=lambda clip: clip.name)
    twice = next((clip.name for clip, other in pairwise(found) if clip.name == other.name), None)
    if twice:
        raise DataError(f"the clip {twice!r} stands there twice; remove one of them")
    if not found:
        raise DataError(f"{labels}: there is no clip to write; look at what is missing")
    tables.write(labels, (row for clip in found for row in rows_of(clip)), Labelled)
    sides = [Side(video=c.file, split=c.split, recording=c.recording or c.file, task=c.task) for c in found]
    others = {path.name for path in videos.glob("[!.]*.mp4")} - {clip.file for clip in found}
    sides += [Side(video=name, split=UNUSED, recording=name) for name in others]
    tables.write(splits, sorted(sides, key=lambda side: side.video), Side)


def compare(what: str, found: Mapping[str, int], published: Mapping[str, int]) -> None:
    """Warn where there are more or fewer than a release was published with; both by the name of a part of it."""
    other = [
        f"{name} {found.get(name, 0)}, not {count}" for name, count in published.items() if found.get(name) != count
    ]
    if other:
        log.warning("numbers of %s differ from the published ones: %s", what, "; ".join(other))


def rows_of(clip: Clip) -> Iterator[Labelled]:
    """Yield the whole clip, then its phases: stretches of frames of one phase, in seconds.

    >>> [(row.phase, row.start, row.end) for row in rows_of(Clip("a", "train", "pour", ["", "lift", "lift", "pour"]))]
    [('', '', ''), ('lift', '0.04', '0.12'), ('pour', '0.12', '0.16')]
    """
    yield Labelled(video=clip.file, action=clip.action)
    first = 0
    for phase, stretch in groupby(clip.phases):
        end = first + sum(1 for _ in stretch)
        if phase:
            yield Labelled(video=clip.file, start=str(first / FPS), end=str(end / FPS), action=clip.action, phase=phase)
        first = end
