"""A folder beside the outputs where a training keeps its state, so that the same command continues it."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinoflow.progress import log
from kinoflow.store.files import key_of

SNAPSHOT = "identity.json"  # beside a saved state: what it is of
_identities: dict[Path, tuple[Any, ...]] = {}  # of the workplaces that are in use


@contextmanager
def workplace(folder: str | os.PathLike, inputs: Iterable[str | os.PathLike], *identity: Any) -> Iterator[Path]:
    """Give a folder below ``folder`` that belongs to these inputs and this identity (options, seed, code: JSON values).

    What stands beside it is of other options, code or inputs; it goes, after it is told which options differ (without a
    saved state: that something does). ``folder`` goes when the block ends well; it stays when the block fails or
    is killed. Inputs are known by name, size and time. Under torchrun only the first process makes and removes.
    """
    folder = Path(folder)
    seen = [(os.fsencode(path).hex(), Path(path).stat()) for path in inputs]
    states = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in seen]
    mine = folder / key_of(identity, states)
    first = os.environ.get("RANK", "0") == "0"
    if first:
        mine.mkdir(parents=True, exist_ok=True)
        for other in set(folder.iterdir()) - {mine}:
            _tell(other, identity)
            shutil.rmtree(other) if other.is_dir() and not other.is_symlink() else other.unlink()
    _identities[mine] = identity
    try:
        yield mine
    finally:
        del _identities[mine]
    if first:
        shutil.rmtree(folder)


def note(place: Path) -> None:
    """Write down what a state is of that was saved in ``place``; nothing in a folder that is no workplace."""
    if place in _identities:
        (place / SNAPSHOT).write_text(json.dumps(_identities[place]), encoding="utf-8")


def _tell(place: Path, identity: tuple[Any, ...]) -> None:
    """Say how a training that left its state in ``place`` differs from the one of this identity."""
    if not place.is_dir() or not {path.name for path in place.iterdir()} - {SNAPSHOT}:
        return
    try:
        was = _options(json.loads((place / SNAPSHOT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # nothing was saved, or the machine failed while it was
        said = "its options, seed, inputs or code differ"
    else:
        now = _options(identity)
        changed = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
        pairs = ", ".join(f"{key} ({was.get(key, 'none')}, now {now.get(key, 'none')})" for key in changed)
        said = f"these options differ: {pairs}" if changed else "its seed, inputs or code differ"
    log.warning("%s: the training that was stopped is given up, and begins anew: %s", place.parent, said)


def _options(identity: Any) -> dict[str, Any]:
    """Return the options in an identity, by their dotted names: those of its parts that are JSON mappings."""
    found: dict[str, Any] = {}
    for part in identity:
        try:
            values = json.loads(part) if isinstance(part, str) else None
        except ValueError:
            continue
        if isinstance(values, dict):
            found |= _flat(values)
    return found


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
