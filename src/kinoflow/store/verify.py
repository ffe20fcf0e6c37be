"""Files that are in place or on this machine: their checksums, published or recorded at the first sight."""

import shutil
from pathlib import Path
from typing import NamedTuple

from kinoflow.errors import DataError
from kinoflow.store.files import replacing, write_text
from kinoflow.store.partial import check_space, digest_of, no_space


class Fetched(NamedTuple):
    """A file that is in place: its size in bytes and its checksum."""

    size: int
    sha256: str


def take(source: Path, path: Path, sha256: str | None = None) -> Fetched:
    """Verify the local file ``source``, then put it at ``path``: a hard link, or a copy where that is not possible."""
    source, path = Path(source), Path(path)
    if not source.is_file():
        raise DataError(f"{source}: there is no such file; correct the address")
    found = _fetched(source)
    compare(str(source), path, found.sha256, sha256, "")
    with replacing(path) as new:
        try:
            new.hardlink_to(source.resolve())
        except OSError:  # another file system, or one without hard links
            _copy(source, new, found)
        record(path, found.sha256, sha256)
    return found


def _copy(source: Path, new: Path, found: Fetched) -> None:
    check_space(new.parent, found.size, str(source))
    try:
        shutil.copyfile(source, new)
    except OSError as error:
        raise no_space(new, error) from None
    if _fetched(new) != found:
        raise DataError(f"{source}: it changed while it was copied; try again when it is at rest")


def verified(path: Path, sha256: str | None = None) -> Fetched:
    """Return size and checksum of a file that is in place; raise DataError if it is not the right one."""
    if not path.is_file():
        raise DataError(f"{path}: here should be a file; move away what is there")
    found = _fetched(path)
    compare(str(path), path, found.sha256, sha256, "; move it away to have it fetched again")
    record(path, found.sha256, sha256)
    return found


def expected_sum(path: Path, sha256: str | None) -> str:
    """Return the checksum that a file must have: the published one, or that of the first download, "" if there is none."""
    if sha256:
        return sha256
    kept = _record_path(path)
    return kept.read_text(encoding="utf-8", errors="surrogateescape")[:64] if kept.exists() else ""


def _fetched(path: Path) -> Fetched:
    try:
        return Fetched(path.stat().st_size, digest_of(path).hexdigest())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _record_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def record(path: Path, found: str, published: str | None) -> None:
    """Keep the checksum ``found`` of a file without a published one, unless one is kept already."""
    if not (published or _record_path(path).exists()):
        write_text(_record_path(path), f"{found}  {path.name}\n")


def compare(what: str, path: Path, found: str, published: str | None, advice: str) -> None:
    """Raise DataError unless ``found`` is the checksum that the file at ``path`` must have. ``what``: where it was found."""
    expected = expected_sum(path, published)
    if found.startswith(expected):
        return
    if published:
        raise DataError(f"{what}: its sha256 is {found}, the published one is {published}{advice}")
    raise DataError(
        f"{what}: its sha256 is {found}, at the first download it was {expected}; if the owner has a new version, "
        f"delete {_record_path(path)} to accept it{advice}"
    )
