"""A folder beside the outputs where a training keeps its state, so that the same command continues it."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinoflow.store.files import key_of


@contextmanager
def workplace(folder: str | os.PathLike, inputs: Iterable[str | os.PathLike], *identity: Any) -> Iterator[Path]:
    """Give a folder below ``folder`` that belongs to these inputs and this identity (options, seed, code: JSON values).

    What stands beside it is of other options, code or inputs and goes. ``folder`` goes when the block ends well; it stays
    when the block fails or is killed. Inputs are known by name, size and time. Under torchrun only the first process
    makes and removes.
    """
    folder = Path(folder)
    seen = [(os.fsencode(path).hex(), Path(path).stat()) for path in inputs]
    states = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in seen]
    mine = folder / key_of(identity, states)
    first = os.environ.get("RANK", "0") == "0"
    if first:
        mine.mkdir(parents=True, exist_ok=True)
        for other in set(folder.iterdir()) - {mine}:
            shutil.rmtree(other) if other.is_dir() and not other.is_symlink() else other.unlink()
    yield mine
    if first:
        shutil.rmtree(folder)
