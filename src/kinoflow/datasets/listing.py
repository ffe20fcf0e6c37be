"""What lies in a folder of videos, shard by shard, and whether it is still the same.

The workflow's main process looks at the folder whenever rules are read, so this is standard library only, opens nothing
that looks untouched, and takes seconds for a million files. A video's *token* stands for its bytes: size and time when
first seen, kept as long as the content is the same. Nothing here knows Snakemake.
"""

import fnmatch
import hashlib
import heapq
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store import tables
from kinoflow.store.files import parse_json, quick_hash, sha256_of, write_text
from kinoflow.store.folders import content_hash, quick_content_hash

Seen = tuple[int, int]  # size in bytes, time of last change in ns; (0, 0) where nobody looked
State = tuple[int, int, str]  # the same and the token
LOOKS: dict[str, Callable[[str], str]] = {"sha256": sha256_of, "quick": quick_hash}  # columns of the probe table
LOOKS_INSIDE: dict[str, Callable[[str], str]] = {"sha256": content_hash, "quick": quick_content_hash}  # of folders


def shard_names(shards: int) -> list[str]:
    """Return the names of ``shards`` shards: 000, 001, ..."""
    return [f"{i:03d}" for i in range(shards)]


def shard_of(video: str, shards: int) -> str:
    """Return the shard of a video, by its name alone.

    Not crc32: its low bits put v0.mp4 ... v7.mp4 into one shard of four.
    """
    return f"{_number(video, shards):03d}"


def _number(video: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(video)).digest()[:8], "big") % shards


# ---------------------------------------------------------------- looking at the folder


def scan(
    root: str | os.PathLike,
    shards: int,
    include: Iterable[str] = ("*",),
    exclude: Iterable[str] = (),
    watch: str = "content",
) -> dict[str, dict[str, Seen]]:
    """Return {shard: {path below root: (size, mtime_ns)}} of every file that may be a video; with ``watch: names`` (0, 0).

    Every file that is not hidden and not in a hidden folder may be one: no list of suffixes knows them all, the probe does.
    ``include``, ``exclude``: globs on the path below the root, in which * also matches /; a folder whose path with / at its
    end is excluded is not entered. Links to folders are followed, but no folder is read twice: a folder that is also
    linked stands under its own name. A link that leads nowhere is listed, so that the probe names it as lost.

    Raises DataError naming a folder that cannot be listed.
    """
    found: list[dict[str, Seen]] = [{} for _ in range(shards)]
    wanted, unwanted, names = _matcher(include), _matcher(exclude), watch == "names"
    for path, entry in _entries(os.fspath(root), unwanted):
        if wanted(path) and not unwanted(path):
            seen = _look(entry, names)
            if seen:
                found[_number(path, shards)][path] = seen
    return dict(zip(shard_names(shards), found, strict=True))


def scan_folders(
    root: str | os.PathLike,
    shards: int,
    include: Iterable[str] = ("*",),
    exclude: Iterable[str] = (),
    watch: str = "content",
) -> dict[str, dict[str, Seen]]:
    """Return {shard: {path below root: (size, mtime_ns)}} of every folder with files in it, but the root itself.

    As ``scan``, with folders in place of files. Size and time are those of all files of a folder, with the last change of the
    folder itself; with ``watch: quick`` the number of its files and its own time only: nothing in it is looked at.
    """
    found: list[dict[str, Seen]] = [{} for _ in range(shards)]
    wanted, unwanted = _matcher(include), _matcher(exclude)
    files = _entries(os.fspath(root), unwanted)  # those of a folder come one after the other
    for folder, group in itertools.groupby(files, key=lambda file: file[0].rpartition("/")[0]):
        if folder and wanted(folder) and not unwanted(folder):
            entries = [entry for _, entry in group]
            found[_number(folder, shards)][folder] = _look_inside(os.path.join(root, folder), entries, watch)
    return dict(zip(shard_names(shards), found, strict=True))


def _look_inside(folder: str, entries: list[os.DirEntry], watch: str) -> Seen:
    if watch == "names":
        return 0, 0
    try:
        own = Path(folder).stat().st_mtime_ns
    except OSError as error:
        raise _hidden_from_us(folder, error) from None
    if watch == "quick":
        return len(entries), own
    seen = [_look(entry, False) or (0, 0) for entry in entries]
    return sum(size for size, _ in seen), max(own, *(time for _, time in seen))


def _matcher(globs: Iterable[str]) -> Callable[[str], object]:
    return re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)").match


def _entries(root: str, unwanted: Callable[[str], object]) -> Iterator[tuple[str, os.DirEntry]]:
    """Yield (path below root, entry) of everything that is no folder; real folders first, so links never decide a name."""
    folders, links, known = [""], [], set()
    while folders or links:
        below = folders.pop() if folders else heapq.heappop(links)
        try:
            place = Path(root, below).stat()
            if (place.st_dev, place.st_ino) in known:
                continue
            known.add((place.st_dev, place.st_ino))
            with os.scandir(os.path.join(root, below)) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = below + entry.name
                    if not _is_folder(entry):
                        yield path, entry
                    elif not unwanted(f"{path}/"):
                        if entry.is_symlink():
                            heapq.heappush(links, f"{path}/")
                        else:
                            folders.append(f"{path}/")
        except OSError as error:
            raise _hidden_from_us(os.path.join(root, below), error) from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a folder that is closed to us: `_look` tells
        return False


def _look(entry: os.DirEntry, names: bool) -> Seen | None:
    """Return (size, mtime_ns) of a file, (0, 0) of a link that leads nowhere, None for what is no file."""
    try:
        if entry.is_file():
            if names:
                return 0, 0
            stat = entry.stat()
            return stat.st_size, stat.st_mtime_ns
        if entry.is_symlink():
            entry.stat()  # fails if it leads nowhere
        return None
    except OSError as error:
        if entry.is_symlink():
            return 0, 0
        if isinstance(error, FileNotFoundError):
            return None  # removed since its folder was listed
        raise _hidden_from_us(entry.path, error) from None


def _hidden_from_us(path: str, error: OSError) -> DataError:
    advice = "give this user the right to read it, or leave its folder out with exclude, as in exclude: ['folder/*']"
    return DataError(f"{path!r} cannot be looked into ({error.strerror}): {advice}")


# ---------------------------------------------------------------- the same content, or another?


def name_states(
    root: str | os.PathLike, videos: dict[str, Seen], known: dict[str, State], table: str | Path, watch: str = "content"
) -> dict[str, State]:
    """Return {video: (size, mtime_ns, token)}: a video keeps its token as long as its bytes are the same.

    ``known`` is the list of the last run. Only a video whose time differs from it is opened (``watch``: content, the whole
    of it; quick, three samples; names, never) and compared with what its probe wrote into ``table``.
    """
    column = "quick" if watch == "quick" else "sha256"
    hashes: dict[str, str] | None = None
    states: dict[str, State] = {}
    for video, seen in videos.items():
        old = known.get(video)
        same = old is not None and (watch == "names" or old[:2] == seen)
        if old and not same and old[0] == seen[0]:
            hashes = _hashes(table, column) if hashes is None else hashes
            same = bool(hashes.get(video)) and hashes[video] == _hash(os.path.join(root, video), column)
        states[video] = (*seen, old[2] if old and same else f"{seen[0]}-{seen[1]}")
    return states


def _hashes(table: str | Path, column: str) -> dict[str, str]:
    if not Path(table).exists():
        return {}
    try:
        return tables.read_columns(table, "video", column)
    except DataError as error:
        log.info("touched videos count as changed, because their probe table cannot be used: %s", error)
        return {}


def _hash(path: str, column: str) -> str | None:
    try:
        return (LOOKS_INSIDE if Path(path).is_dir() else LOOKS)[column](path)
    except OSError:
        return None  # gone, or closed to us: not the same as when it was probed; the next probe gives the reason


# ---------------------------------------------------------------- the lists


def take_stock(
    root: str | os.PathLike,
    videos: dict[str, Seen],
    data: str | Path,
    shard: str,
    watch: str = "content",
    keep: bool = True,
) -> dict[str, State]:
    """Return the states of one shard's videos (a value of ``scan``), and with ``keep`` write them as the shard's list.

    data: the dataset's folder, with lists/<shard>.json and probe/<shard>.csv of the last run, if there was one.
    """
    file = list_file(data, shard)
    known = read_list(file)
    states = name_states(root, videos, known, Path(data, "probe", f"{shard}.csv"), watch)
    if keep and not (states == known and file.exists()):
        write_text(file, json.dumps(states, sort_keys=True) + "\n")  # without indent, which is ten times slower
    return states


def list_file(data: str | Path, shard: str) -> Path:
    """Return the path of a shard's list."""
    return Path(data, "lists", f"{shard}.json")


def read_list(file: str | Path) -> dict[str, State]:
    """Return {video: (size, mtime_ns, token)} as the last run saw it; nothing if there was none."""
    try:
        states = parse_json(Path(file).read_text())
        return {video: (size, time, token) for video, (size, time, token) in states.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{file}: this is no list of videos; remove it, the next run writes it anew") from None


def remove_lists(data: str | Path, keep: Iterable[str]) -> None:
    """Remove the lists of shards that are not in ``keep``: those of a run with more shards."""
    names = set(keep)
    for file in Path(data, "lists").glob("*.json"):
        if file.stem not in names:
            file.unlink()


def digest(states: dict[str, State]) -> str:
    """Return 16 hexadecimal digits that change when a video of the shard is added, removed or replaced."""
    lines = (f"{token} {video}\0" for video, (_, _, token) in sorted(states.items()))
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()[:16]
