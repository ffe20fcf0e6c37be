"""The part of a file that has come so far: kept beside the target under a stable name, so that a killed run goes on there."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kinoflow.errors import DataError
from kinoflow.progress import Transfer, log, size
from kinoflow.store.files import parse_json, write_json

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Origin:
    """What a partial file is the beginning of: the address, the server's marks of this version, its size in bytes."""

    url: str = ""
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What If-Range may carry: a strong ETag or a date; "" if the server gave neither."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def differs(self, etag: str, modified: str) -> bool:
        """Tell whether an answer with these marks speaks of another version."""
        if self.etag and etag:
            return self.etag != etag
        return bool(self.modified and modified and self.modified != modified)


class Partial:
    """An open partial file, its running checksum, and where it comes from."""

    def __init__(self, target: Path, path: Path, fd: int):
        self.path, self._fd, self._note = path, fd, path.with_name(f"{path.name}.json")
        self.what = f"download {target.name}"
        self.size = os.fstat(fd).st_size
        self.origin = self._read_origin()
        self._digest = digest_of(path) if self.size else hashlib.sha256()
        self.doubtful = self.size > 0  # put together from several answers, so a wrong sum is worth a second try

    def _read_origin(self) -> Origin:
        try:
            return Origin(**parse_json(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Origin()  # a part of unknown origin: good only where a checksum tells in the end

    @property
    def sha256(self) -> str:
        """The checksum of what is there."""
        return self._digest.hexdigest()

    def restart(self, origin: Origin) -> None:
        """Drop what is there; begin with the first byte of ``origin``."""
        os.ftruncate(self._fd, 0)
        self.size, self._digest, self.doubtful = 0, hashlib.sha256(), False
        self.origin = origin
        write_json(self._note, asdict(origin))

    def note(self, origin: Origin) -> None:
        """Keep what an answer has told of the file that goes on here."""
        if origin != self.origin:
            self.origin = origin
            write_json(self._note, asdict(origin))

    def append(self, block: bytes) -> None:
        """Write ``block`` at the end, past no buffer: what came is kept whatever ends this process."""
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.pwrite(self._fd, rest, self.size + len(block) - len(rest)) :]
        except OSError as error:
            os.ftruncate(self._fd, self.size)
            raise no_space(self.path, error) from None
        self._digest.update(block)
        self.size += len(block)

    def finish(self, target: Path) -> None:
        """Give the file its name."""
        os.fsync(self._fd)
        self.path.replace(target)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what is there."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


@contextmanager
def partial_of(target: Path) -> Iterator[Partial]:
    """Open the partial file of ``target`` and hold it: one process at a time writes it, another one waits."""
    path = target.with_name(f".{target.name}.part")
    with held(path) as fd:
        yield Partial(target, path, fd)


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Open ``path``, made if it is absent, and lock it; yields the file descriptor. Waits while another process has it."""
    fd = _opened_and_locked(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _opened_and_locked(path: Path) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise no_space(path, error) from None
        try:
            _lock(fd, path)
            if _is_at(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # the one that had it has renamed or removed it in the meantime


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("another process is at work on %s; waiting for it", path)
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.info("this file system has no locks: do not run two downloads into %s at once", path.parent)


def digest_of(path: Path) -> "hashlib._Hash":
    """Return the running SHA-256 of a file's bytes; says how far it is where that takes long."""
    digest, total = hashlib.sha256(), path.stat().st_size
    progress = Transfer(f"verify {path.name}", total)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            progress.step(len(block))
    return digest


def no_space(path: Path, error: OSError) -> DataError:
    """Return the sentence for a write that failed."""
    if error.errno in FULL:
        return DataError(f"{path}: the disk is full; make room there, then the same command continues")
    return DataError(f"{path}: cannot be written: {error.strerror}")


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise DataError, which says how much is missing, unless ``folder`` has room for ``needed`` bytes."""
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if status.f_blocks and needed > free:  # a file system that counts no blocks tells nothing
        raise DataError(
            f"{what}: needs {size(needed)}, and {folder} has {size(free)} free; make room there, or use another disk"
        )
