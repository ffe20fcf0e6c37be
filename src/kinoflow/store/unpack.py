"""Archives, unpacked without trusting anything that they say of themselves.

What an archive is, its first bytes tell, never its suffix. Members become plain files and folders below one new folder;
whatever else they want to be, or wherever else they want to go, is refused with the whole archive.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import socket
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kinoflow.errors import DataError
from kinoflow.progress import Transfer, size
from kinoflow.store.partial import check_space

MAX_MEMBERS = 5_000_000
MAX_RATIO = 250  # unpacked size over the archive's; real data stays below 20, deflate reaches 1032
SMALL = 64 << 20  # bytes below which no ratio is absurd
MAX_DEPTH = 100  # folders inside folders
MAX_HEADER = 16 << 20  # bytes of one header of a tar, read in one piece
MEMBER_OVERHEAD = 1 << 14  # bytes of headers and padding that a member of a tar may bring on average
BLOCK = 1 << 20

COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
FOREIGN = {b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip"}
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)
UNREADABLE = (RuntimeError, NotImplementedError)  # how zipfile refuses passwords and methods that it does not know


def unpack(archive: Path, folder: Path, max_bytes: int, max_members: int = MAX_MEMBERS) -> int:
    """Unpack a zip, a tar (plain, gz, bz2, xz) or a single compressed file into the new folder ``folder``.

    The folder stands there only when all is unpacked. Modes, owners and times are not taken over. Names may hold any bytes.
    Returns the bytes of all files. Raises DataError, which names archive and member, for absolute and parent paths, drive
    letters, links, devices, pipes, names that are there twice, more than ``max_bytes`` bytes or ``max_members`` members,
    absurd ratios, and damage.
    """
    archive, folder = Path(archive), Path(folder)
    if os.path.lexists(folder):
        raise DataError(f"{archive}: it would unpack into {folder}, which is there already; move that away")
    with _new_folder(folder) as new, Transfer(f"unpack {archive.name}", archive.stat().st_size) as progress:
        target = _Target(archive, new, max_bytes, max_members)
        try:
            with io.BufferedReader(_Counted(archive, progress), BLOCK) as source:
                _unpack_into(target, source)
        except DAMAGE as error:
            raise target.refusal(f"is damaged: {error or type(error).__name__}") from None
        except UNREADABLE as error:
            raise target.refusal(f"cannot be read: {error}; unpack it yourself") from None
        except OSError as error:
            if error.errno is None:  # how gzip and bz2 tell damage
                raise target.refusal(f"is damaged: {error}") from None
            raise target.refusal(f"cannot be unpacked into {folder.parent}: {error.strerror}") from None
        new.rename(folder)
    return target.bytes


class _Counted(io.FileIO):
    """A file that tells how many of its bytes were read."""

    def __init__(self, path: Path, progress: Transfer):
        super().__init__(path)
        self._progress = progress

    def readinto(self, buffer) -> int:
        count = super().readinto(buffer) or 0
        self._progress.step(count)
        return count


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder beside ``folder``, its name unique to this process; what is left in the end is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in list(folder.parent.iterdir()):
        writer = re.fullmatch(rf"\.{re.escape(folder.name)}:([^:]+)-(\d+)\.new", left.name)
        if writer and not (writer[1] == socket.gethostname() and Path("/proc", writer[2]).exists()):
            shutil.rmtree(left)  # its writer was killed
    new = folder.with_name(f".{folder.name}:{socket.gethostname()}-{os.getpid()}.new")
    try:
        new.mkdir()
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


class _Target:
    """The new folder: checks every name and counts every byte before it is written."""

    def __init__(self, archive: Path, folder: Path, max_bytes: int, max_members: int):
        self.archive, self.folder = archive, folder
        self.max_bytes, self.max_members = max_bytes, max_members
        self.absurd = max(SMALL, MAX_RATIO * archive.stat().st_size)
        self.bytes = self.members = 0
        self.member = ""

    def refusal(self, text: str) -> DataError:
        """Return the sentence that names archive and member."""
        member = f"the member {self.member!r} of this archive" if self.member else "this archive"
        return DataError(f"{self.archive}: {member} {text}")

    def begin(self, name: str, kind: str) -> None:
        """Take the next member; ``kind``: file, folder, or what else it is, which is refused."""
        self.member, self.members = name, self.members + 1
        if self.members > self.max_members:
            raise self.refusal(f"is one more than the {self.max_members} that are allowed")
        if kind not in ("file", "folder"):
            raise self.refusal(f"is a {kind}, which is never unpacked; unpack the archive yourself if you trust it")
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
            raise self.refusal("has an absolute path; such archives are not unpacked")
        if ".." in re.split(r"[/\\]", name):
            raise self.refusal("leads out of its folder (..); such archives are not unpacked")
        if "\0" in name or name.count("/") > MAX_DEPTH:
            raise self.refusal(f"has a name with a zero byte, or with more than {MAX_DEPTH} folders inside each other")

    def make_folder(self) -> None:
        """Make the folder that the member is."""
        try:
            self._path().mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self.refusal("is there both as a file and as a folder") from None

    def write(self, source: IO[bytes], expected: int) -> None:
        """Write the file that the member is; it says that it has ``expected`` bytes."""
        path = self._path()
        if path == self.folder:
            raise self.refusal("is a file without a name")
        self._check(expected)
        check_space(self.folder, expected, f"{self.archive}: its member {self.member!r}")
        with self._new_file(path) as file:
            while block := source.read(BLOCK):
                self._check(len(block))
                self.bytes += len(block)
                file.write(block)

    def _new_file(self, path: Path) -> IO[bytes]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return open(path, "xb")
        except (FileExistsError, NotADirectoryError):
            raise self.refusal("is there twice, or both as a file and as a folder") from None

    def _path(self) -> Path:
        return self.folder.joinpath(*(part for part in self.member.split("/") if part not in ("", ".")))

    def _check(self, more: int) -> None:
        if self.bytes + more > self.max_bytes:
            raise self.refusal(
                f"makes it more than the {size(self.max_bytes)} that may be unpacked; raise max_unpacked"
            )
        if self.bytes + more > self.absurd:
            raise self.refusal(f"makes it more than {MAX_RATIO} times the size of the archive, which looks like a bomb")


def _unpack_into(target: _Target, source: IO[bytes]) -> None:
    head = source.read(512)
    source.seek(0)
    if head.startswith(ZIPS):
        return _unpack_zip(target, source)
    if _is_tar(head):
        return _unpack_tar(target, source)
    for start, name in FOREIGN.items():
        if head.startswith(start):
            raise target.refusal(
                f"is a {name} archive, which kinoflow cannot read: unpack it yourself, set unpack: false"
            )
    for start, opened in COMPRESSIONS.items():
        if head.startswith(start):
            with opened(source) as stream:
                is_tar = _is_tar(stream.read(512))
            source.seek(0)
            with opened(source) as stream:
                return _unpack_tar(target, stream) if is_tar else _unpack_single(target, stream)
    raise target.refusal("is none: neither zip nor tar nor gz, bz2, xz by its first bytes; set unpack: false")


def _unpack_single(target: _Target, stream: IO[bytes]) -> None:
    name = re.sub(r"\.(gz|bz2|xz)$", "", target.archive.name, flags=re.IGNORECASE)
    target.begin(name, "file")
    target.write(stream, 0)


def _unpack_zip(target: _Target, source: IO[bytes]) -> None:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            name = _zip_name(info)
            target.begin(name, _zip_kind(info, name))
            if name.endswith("/"):
                target.make_folder()
            else:
                with archive.open(info) as stream:
                    target.write(stream, info.file_size)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return the name as the archive's bytes say it; zipfile reads those without the UTF-8 mark as code page 437."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    return os.fsdecode(info.orig_filename.encode("cp437"))


def _zip_kind(info: zipfile.ZipInfo, name: str) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive comes from a system without modes
    if kind == stat.S_IFLNK:
        return "symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "device or pipe"
    return "folder" if name.endswith("/") else "file"  # not as info.is_dir(), which asks a name cut at a zero byte


# ---------------------------------------------------------------- tar


def _is_tar(block: bytes) -> bool:
    """Tell whether these 512 bytes are the header of a tar: its checksum says so, the older ones have no other mark."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


class _Forward:
    """A stream for tarfile that only goes forward, bounds what is read in one piece, and remembers the last header."""

    def __init__(self, target: _Target, stream: IO[bytes]):
        self.target, self.stream, self.position, self.header = target, stream, 0, b""

    def tell(self) -> int:
        return self.position

    def seekable(self) -> bool:
        return True

    def seek(self, position: int) -> None:
        while position > self.position and self.read(min(BLOCK, position - self.position)):
            pass
        if position != self.position:
            raise tarfile.ReadError("unexpected end of data")

    def read(self, count: int) -> bytes:
        if count > MAX_HEADER:
            raise self.target.refusal(f"is followed by a header of more than {size(MAX_HEADER)}")
        data = self.stream.read(count)
        self.position += len(data)
        if count == tarfile.BLOCKSIZE:
            self.header = data
        if self.position > self.target.bytes + SMALL + self.target.members * MEMBER_OVERHEAD:
            raise self.target.refusal("is followed by more padding than an archive needs, which looks like a bomb")
        return data


def _unpack_tar(target: _Target, source: IO[bytes]) -> None:
    stream = _Forward(target, source)
    with tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # else it keeps millions
            target.begin(member.name, _tar_kind(member))
            if member.isdir():
                target.make_folder()
            else:
                target.write(archive.extractfile(member), member.size)
    if stream.header.strip(b"\0") or not stream.header:  # tarfile stops without a word at a header that it cannot read
        raise target.refusal("is the last that can be read: what follows is damaged or missing")
    while stream.read(BLOCK):  # to the end, where the compressed stream keeps its checksum
        pass


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym():
        return "symbolic link"
    if member.islnk():
        return "hard link"
    if member.isdir():
        return "folder"
    return "file" if member.isreg() else "device or pipe"
