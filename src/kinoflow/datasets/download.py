"""The stage that brings a dataset's files into its raw folder: from the network, or from where a form has brought them."""

import os
import random
import re
import shutil
from pathlib import Path

from kinoflow.datasets.options import DownloadOptions, FileOptions
from kinoflow.errors import ConfigError, DataError, StepsError
from kinoflow.progress import log, size
from kinoflow.stage import Out, State
from kinoflow.store.fetch import fetch
from kinoflow.store.files import parse_json, write_json
from kinoflow.store.partial import held
from kinoflow.store.unpack import unpack
from kinoflow.store.verify import Fetched, expected_sum, take, verified

ARCHIVE_SUFFIX = re.compile(r"\.(tar\.(gz|bz2|xz)|tgz|tbz2?|txz|tar|zip|gz|bz2|xz)$", re.IGNORECASE)
NOTE = ".unpacked.json"  # inside an unpacked folder: the archive's checksum, and the bytes of its files


def download(raw: State, marker: Out, options: DownloadOptions) -> None:
    """Fetch, verify and unpack the files of a dataset.

    What is there and right stays; a run that was broken off goes on. A dataset behind a form stops with the steps to take.

    raw: the folder into which the files go
    marker: the list of what is in place, as JSON: names, sizes, checksums
    """
    folders = _folders(options)
    _make(raw)
    with held(raw / ".lock"):
        _stop_at_form(raw, options)
        state = _State(raw)
        found = {file.name: _bring(raw, file, options, state) for file in options.files}
        _unpack_all(raw, folders, found, int(options.max_unpacked * 1e9))
    files = [{"name": name, "size": file.size, "sha256": file.sha256} for name, file in sorted(found.items())]
    write_json(marker, {"files": files})


def _make(raw: Path) -> None:
    try:
        raw.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{raw}: this folder cannot be made: {error.strerror}") from None


# ---------------------------------------------------------------- fetching


class _State:
    """What was verified already, so that a rerun need not read 30 GB again; kept in a hidden file of the raw folder."""

    def __init__(self, raw: Path):
        self._raw, self._path = raw, raw / ".verified.json"
        try:
            self._seen = dict(parse_json(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._seen = {}  # then every file is read once more

    def get(self, name: str, sha256: str | None) -> Fetched | None:
        """Return what is known of a file that has not been touched since it was verified against this checksum."""
        path = self._raw / name
        expected = expected_sum(path, sha256)
        if path.is_file() and expected and self._seen.get(name) == [*_stamp(path), expected]:
            return Fetched(path.stat().st_size, expected)
        return None

    def put(self, name: str, found: Fetched) -> None:
        """Keep that a file is right."""
        self._seen[name] = [*_stamp(self._raw / name), found.sha256]
        write_json(self._path, self._seen)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _bring(raw: Path, file: FileOptions, options: DownloadOptions, state: _State) -> Fetched:
    """Bring one file into place unless it is there, and return its size and checksum."""
    path = raw / file.name
    if found := state.get(file.name, file.sha256):
        log.info("%s: in place, %s", file.name, size(found.size))
        return found
    outside = Path(options.place, file.name) if options.place else None
    if path.exists():
        found = verified(path, file.sha256)
    elif outside and not Path(options.place or "").is_dir():
        raise DataError(f"place: there is no folder {options.place}; correct it, or leave it out to fetch {file.name}")
    elif outside and outside.exists():
        found = take(outside, path, file.sha256)
        log.info("%s: taken from %s", file.name, outside.parent)
    else:
        found = fetch(file.url or "", path, file.sha256, options.attempts, options.patience, random.Random())
    state.put(file.name, found)
    return found


def _stop_at_form(raw: Path, options: DownloadOptions) -> None:
    """Raise DataError, with the steps to take, if a file that only a form can bring is nowhere."""
    if not options.form:
        return
    places = [raw, *([Path(options.place)] if options.place else [])]
    missing = [file for file in options.files if not any((place / file.name).exists() for place in places)]
    if not missing and (options.files or any(not path.name.startswith(".") for path in raw.iterdir())):
        return
    lines = ["the files of this dataset are behind a form; the steps to take:", "", options.form.strip(), ""]
    if missing:
        lines += ["Then put these files", *(f"    {_wanted(file)}" for file in missing), f"into {raw.resolve()}"]
    else:
        lines += [f"Then put its files into {raw.resolve()}"]
    lines += ["or into a folder of your own that the option `place` names, and give the same command again."]
    if options.place:
        lines += [f"(place is {options.place}: they are not there either)"]
    raise StepsError("\n".join(lines))


def _wanted(file: FileOptions) -> str:
    details = [f"from {file.url}"] * bool(file.url) + [f"sha256 {file.sha256}"] * bool(file.sha256)
    return f"{file.name} ({', '.join(details)})" if details else file.name


# ---------------------------------------------------------------- unpacking


def _folders(options: DownloadOptions) -> dict[str, str]:
    """Return {archive: folder to unpack it into}, both below the raw folder; raise ConfigError where two would mix."""
    folders: dict[str, str] = {}
    taken = {file.name for file in options.files}
    for file in options.files:
        if not file.unpack:
            continue
        folder = ARCHIVE_SUFFIX.sub("", file.name)
        folder = f"{folder}.unpacked" if folder == file.name else folder
        if any(folder == name or name.startswith(f"{folder}/") for name in taken):
            raise ConfigError(
                f"files: {file.name!r} would unpack into {folder!r}, a name that another file has or uses"
            )
        folders[file.name] = folder
        taken.add(folder)
    return folders


def _unpack_all(raw: Path, folders: dict[str, str], found: dict[str, Fetched], limit: int) -> None:
    """Unpack each archive that is not unpacked; all of them together to at most ``limit`` bytes."""
    for name, folder in folders.items():
        note = _note(raw / folder)
        if note is None:
            raise DataError(
                f"{raw / folder}: this was not unpacked by kinoflow, so {name} cannot go there; move it away, or set "
                f"unpack: false"
            )
        if note.get("archive") != found[name].sha256:
            note = _unpack(raw / name, raw / folder, found[name].sha256, limit)
        limit = max(0, limit - note["bytes"])


def _note(folder: Path) -> dict | None:
    """Return what is known of an unpacked folder: {} if there is none, None if somebody else made it."""
    if not folder.exists():
        return {}
    try:
        note = parse_json((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(note, dict) and isinstance(note.get("archive"), str) and isinstance(note.get("bytes"), int)
    return note if ours else None


def _unpack(archive: Path, folder: Path, sha256: str, limit: int) -> dict:
    """Unpack beside ``folder``, note from what, and only then let it take the place of what an older archive held."""
    fresh, old = (folder.with_name(f".{folder.name}.{state}") for state in ("fresh", "old"))
    for left in (fresh, old):
        if left.exists():
            shutil.rmtree(left)
    note = {"archive": sha256, "bytes": unpack(archive, fresh, limit)}
    if os.path.lexists(fresh / NOTE):
        shutil.rmtree(fresh)
        raise DataError(
            f"{archive}: it has a member {NOTE}, which is the name of a note of kinoflow; set unpack: false"
        )
    write_json(fresh / NOTE, note)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    if old.exists():
        shutil.rmtree(old)
    return note
