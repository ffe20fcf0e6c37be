"""Videos of a shard of pictures that need not be made again: those of the shard made before, and those of one not complete.

Each video that is made goes into a small shard of its own at once (in ``.work``, which is no output), so that neither
another video's failure nor a killed run costs it.
"""

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from kinoflow.errors import DataError
from kinoflow.progress import Progress, log
from kinoflow.store.files import read_keys, write_keys
from kinoflow.store.shards import Shard, ShardWriter, writing

Put = Callable[
    [Iterable[bytes], Any, tuple[int, int]], None
]  # stored pictures, times (T,) in seconds, height and width


def fill(
    path: Path, keys: dict[str, str], attrs: dict[str, Any], make: Callable[[str, Put], None], what: str, items: str
) -> None:
    """Write the shard of pictures of the videos of ``keys``, {video: what tells what its pictures are made from}.

    ``make`` is called with a video whose pictures must be made, and with what to hand them to. A video that fails stops the
    stage with a DataError, but not before the others are done; their pictures are not made again.

    what, items: what is made (flow), and of what (clips), for people
    """
    kept, failed = Kept(path), []
    progress = Progress(f"{what} {path.stem}", total=len(keys), items=items)
    with writing(path, attrs, frames=True) as writer, progress:
        for video, key in keys.items():
            try:
                if key not in kept:
                    make(video, partial(kept.put, key, attrs))
                kept.give(key, video, writer)
            except DataError as error:
                log.warning("%s", error)
                failed.append(error)
            progress.step()
        if failed:
            raise DataError(
                f"{failed[0]} ({len(failed)} of {len(keys)} {items} failed; the work on the others is kept)"
            )
    write_keys(path, keys)
    kept.clear()


class Kept:
    """What is known of the shard at a path, by the keys that tell what its videos were made from."""

    def __init__(self, path: Path):
        self._videos = {key: video for video, key in read_keys(path).items()}
        self._shard = Shard(path) if self._videos else None
        self._folder = path.parent / ".work" / path.name

    def __contains__(self, key: str) -> bool:
        return key in self._videos or self._file(key).exists()

    def put(
        self, key: str, attrs: dict[str, Any], pictures: Iterable[bytes], times: Any, shape: tuple[int, int]
    ) -> None:
        """Keep one video: its stored pictures, their times (T,) in seconds, height and width."""
        with writing(self._file(key), attrs, frames=True) as writer:
            writer.add(key, pictures, times, shape)

    def give(self, key: str, video: str, writer: ShardWriter) -> None:
        """Add the pictures of a key to a shard, as those of ``video``."""
        known = self._videos.get(key)
        source, name = (self._shard, known) if self._shard and known is not None else (Shard(self._file(key)), key)
        height, width = (int(side) for side in source.shape[source.videos.index(name)])
        times = source.times(name)
        writer.add(video, (source.picture(name, i) for i in range(len(times))), times, (height, width))

    def clear(self) -> None:
        """Forget what was kept aside: the shard is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.h5"
