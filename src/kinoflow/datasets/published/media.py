"""Which folder of pictures, or which video file, below a root is a clip of a published dataset."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kinoflow.datasets.listing import scan
from kinoflow.datasets.published.entries import Entry
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store.tables import write

SHOWN = 3  # clips for example in a log line


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A row of the report of what is missing."""

    split: str
    clip: str  # the place, below the root, where it is looked for first
    action: str
    reason: str


class Folders:
    """Clips that are folders of pictures.

    known: the folders that there are; None: look below the root for each.
    """

    def __init__(self, root: Path, known: Iterable[str] | None = None):
        self._root, self._known = root, None if known is None else set(known)

    def expected(self, entry: Entry) -> str:
        """Return the place of a clip in the published layout."""
        return entry.folders[0]

    def find(self, entry: Entry) -> str | None:
        """Return the folder of a clip, below the root; None if there is none."""
        return next((folder for folder in entry.folders if self._is_there(folder)), None)

    def _is_there(self, folder: str) -> bool:
        return Path(self._root, folder).is_dir() if self._known is None else folder in self._known

    def count(self, folder: str) -> int:
        """Return the number of files in a folder, without hidden ones."""
        try:
            with os.scandir(os.path.join(self._root, folder)) as entries:
                return sum(not entry.name.startswith(".") for entry in entries)
        except OSError as error:
            raise DataError(f"{os.path.join(self._root, folder)!r} cannot be listed: {error.strerror}") from None


class Videos:
    """Clips that are video files: found by their names in whatever folder, with whatever suffix.

    names: the files that there are, paths below their root
    """

    def __init__(self, names: Iterable[str]):
        self._names: dict[str, list[str]] = {}
        for video in sorted(names, key=os.fsencode):
            self._names.setdefault(PurePosixPath(video).stem, []).append(video)

    @classmethod
    def below(cls, root: Path, include: Iterable[str], exclude: Iterable[str]) -> "Videos":
        """Look for the files below a folder."""
        return cls(video for videos in scan(root, 1, include, exclude, "names").values() for video in videos)

    def expected(self, entry: Entry) -> str:
        """Return the place of a clip in the published layout."""
        return entry.video

    def find(self, entry: Entry) -> str | None:
        """Return the video of a clip, below the root; None if there is none.

        Of several files of that name, the one in the published place counts, then the only one with the published suffix;
        else DataError.
        """
        found = self._names.get(PurePosixPath(entry.video).stem, [])
        suffix = PurePosixPath(entry.video).suffix
        if len(found) < 2 or entry.video in found:
            return entry.video if entry.video in found else next(iter(found), None)
        alike = [video for video in found if suffix and video.endswith(suffix)]
        if len(alike) != 1:
            one, other = (alike or found)[:2]
            raise DataError(f"the clip {entry.video!r} may be {one!r} or {other!r}; leave one of them out with exclude")
        return alike[0]


def report(path: Path | None, missing: list[Missing], total: int) -> None:
    """Say what is missing, and write the table of it if it is asked for."""
    if path:
        write(path, missing, Missing)
    if missing:
        first = ", ".join(f"{row.clip!r} ({row.reason})" for row in missing[:SHOWN])
        more = ", ..." if len(missing) > SHOWN else ""
        log.warning("%d of %d clips are missing: %s%s", len(missing), total, first, more)
