"""Files that are absent, old or complete, and the keys by which single items of a file are carried over."""

import errno
import hashlib
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from kinoflow.errors import DataError

A_DAY = 86400.0  # seconds
HDF5_ROOM = 1 << 16  # bytes that HDF5 takes for itself
LONG_NAME = 150  # bytes; file systems allow 255, and a temporary name is longer than its file's


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quick_hash(path: str | os.PathLike, block: int = 1 << 16) -> str:
    """Return the SHA-256 of a file's size, head, middle and tail, in hexadecimal.

    Reads at most three blocks of ``block`` bytes; misses an edit elsewhere that keeps the size.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size}\n".encode())
        for start in sorted({0, max(0, size // 2 - block // 2), max(0, size - block)}):
            file.seek(start)
            digest.update(file.read(block))
        return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """Return a short hash of JSON values: equal values, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a new name beside ``path``, unique to this process; what stands there is renamed when the block ended well.

    A block that fails or is interrupted leaves the old file, and nothing of the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    new = path.with_name(f"{_stem(path)}.{_machine()}-{os.getpid()}.new")
    try:
        yield new
        new.replace(path)
    except OSError as error:  # a full disk does not say which file it had no room for, a renaming names two
        if error.filename2:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        error.filename = error.filename or os.fspath(path)
        raise
    finally:
        new.unlink(missing_ok=True)


def _stem(path: Path) -> str:
    """Return what temporary names of ``path`` begin with: its own name, or a hash of one that leaves no room."""
    name = os.fsencode(path.name)
    return path.name if len(name) < LONG_NAME else hashlib.sha256(name).hexdigest()[:16]


def _machine() -> str:
    """Name where process numbers count: the host, and on it the container."""
    return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _clear(path: Path) -> None:
    """Remove what killed writers of ``path`` left. Where it cannot be known whether one lives, its file stays for a day."""
    pattern, here = re.compile(rf"{re.escape(_stem(path))}\.(.+)-([0-9]+)\.new"), _machine()
    for name in os.listdir(path.parent):
        found = pattern.fullmatch(name) if name.endswith(".new") else None
        if found:
            left = path.with_name(name)
            alive = Path("/proc", found[2]).exists() if found[1] == here else _age(left) < A_DAY
            if not alive:
                left.unlink(missing_ok=True)


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:  # its writer is done
        return 0.0


def make_room(path: str | os.PathLike, size: int) -> None:
    """Raise OSError now if the system has no room for ``size`` bytes more (and some for HDF5 itself) in the file at ``path``.

    An HDF5 file whose writing failed can be neither closed nor forgotten: the interpreter dies with it.
    """
    start = Path(path).stat().st_size if Path(path).exists() else 0
    with tempfile.TemporaryFile(dir=Path(path).parent) as file:
        try:
            os.posix_fallocate(file.fileno(), start, size + HDF5_ROOM)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):  # a file system that cannot tell
                raise


def inner_name(name: str, where: str) -> str:
    """Return a name that stands in a table or a list, if a file below a folder of ours may have it.

    Raises DataError, begun with ``where``: it leads out of the folder, or is no name of a file at all.
    """
    place = PurePosixPath(name)
    try:
        fits = (
            bool(place.name) and not place.is_absolute() and ".." not in place.parts and b"\0" not in os.fsencode(name)
        )
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise DataError(f"{where}: {name!r} is no name below a folder; names have no / before them, no .. and no NUL")
    return name


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file in one piece."""
    with replacing(path) as new:
        new.write_bytes(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text as UTF-8; bytes of file names that are no UTF-8 survive (surrogate escapes)."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON with sorted keys, ASCII only (any file name survives), ending with a newline."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1) + "\n")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError if it is none, or nested so deeply that reading it takes no end of stack."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# Why each item of a file may be carried over stands beside the file, never in it: the file's bytes must depend on its
# content alone, or an edit that changes no value would look like new data to the next stage.


def _keys_path(path: str | os.PathLike) -> Path:
    return Path(path).parent / ".keys" / f"{Path(path).name}.json"


def read_keys(path: str | os.PathLike) -> dict[str, str]:
    """Return {item: key}, or nothing if the file is not the very one that the keys were written for."""
    keys = _keys_path(path)
    if not (Path(path).exists() and keys.exists()):
        return {}
    try:
        state = parse_json(keys.read_text())
        return dict(state["keys"]) if state["of"] == sha256_of(path) else {}
    except (ValueError, KeyError, TypeError):
        return {}  # keys that cannot be read speak of no file: everything is made anew


def write_keys(path: str | os.PathLike, keys: dict[str, str]) -> None:
    """Keep ``keys`` for the file that now stands at ``path``."""
    write_json(_keys_path(path), {"of": sha256_of(path), "keys": keys})
