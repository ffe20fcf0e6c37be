"""Clips that are folders of numbered pictures: which files they are, and the stage that looks at each of them once.

A clip whose pictures are not all there, in one size and whole, is unreadable: nothing ever stands in for a lost picture.
"""

import os
import re
import struct
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from kinoflow.errors import DataError
from kinoflow.media.options import NumberedOptions
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, parse_json, read_keys, write_keys
from kinoflow.store.folders import content_hash, quick_content_hash, visible_files
from kinoflow.store.tables import READABLE, UNREADABLE, Probed, read, write

NAMED = 20  # pictures that a reason names
NUMBER = re.compile(r"\{frame(:[^{}]*)?\}")


def probe_pictures(root: Folder, list: In, table: Out, options: NumberedOptions, code: str = "") -> None:
    """Look at every picture of a shard's clips once and record what can be used.

    A clip's row is carried over, its pictures unopened, if token, options and code are those that it was made with.

    root: the folder below which the clips' folders lie
    list: the list of the shard's clips, {folder below root: [size, time, token]} as JSON
    table: the probe table to write
    code: fingerprint of the stage's code; found out if not given
    """
    try:
        tokens = {clip: state[2] for clip, state in parse_json(list.read_text()).items()}
    except (ValueError, AttributeError, TypeError, IndexError, KeyError):
        raise DataError(f"{list}: this is no list of clips; write it anew with `kinoflow lists`") from None
    known = read_keys(table)
    old = {row.video: row for row in read(table, Probed)} if known else {}
    settings, rows, keys = resolved(options), [], {}
    with Progress(f"probe {table.stem}", total=len(tokens), items="clips") as progress:
        for clip in sorted(tokens, key=os.fsencode):
            keys[clip] = key_of(tokens[clip], code, settings)
            row = old.get(clip) if known.get(clip) == keys[clip] else None
            if row is None:
                row = _probed(Path(root, clip), clip, options)
                log.info("probed %r: %s", clip, ", ".join(filter(None, [row.status, row.reason])))
            if not row.sha256:
                del keys[clip]  # gone, or not ours to read: look again the next time
            rows.append(row)
            progress.step()
    write(table, rows, Probed)
    write_keys(table, keys)


def picture_files(folder: Path, options: NumberedOptions) -> list[Path]:
    """Return the pictures of a clip in their order, paths; of optical flow in two files x and y in turn.

    Raises DataError if there is none, or some are missing in between.
    """
    files, faults = _found(folder, options)
    faults.stop()
    return files


@dataclass
class _Faults:
    """Why pictures of a clip cannot be used: the first ones by name, and how many there are."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Note a picture."""
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(reason)

    def stop(self) -> None:
        """Raise DataError if there is any."""
        more = f" and {self.count - NAMED} more" if self.count > NAMED else ""
        if self.count == 1:
            raise DataError(f"the picture {self.named[0]}")
        if self.count:
            raise DataError(f"{self.count} pictures cannot be used: {', '.join(self.named)}{more}")


def _found(folder: Path, options: NumberedOptions) -> tuple[list[Path], _Faults]:
    """Return the pictures that are there, and those missing in between; DataError if there is none.

    Of optical flow in two files (pattern_y) x and y follow each other.
    """
    name = folder.name
    start, end = (re.escape(part.format(name=name)) for part in NUMBER.split(options.pattern)[::2][:2])
    pattern = re.compile(f"{start}([0-9]+){end}")
    numbers = sorted(
        int(found[1])
        for file in visible_files(folder)
        if (found := pattern.fullmatch(file)) and options.pattern.format(frame=int(found[1]), name=name) == file
    )
    numbers = [number for number in numbers if number >= options.first]
    if not numbers:
        raise DataError(f"it holds no picture called like {options.pattern.format(frame=options.first, name=name)!r}")
    faults, there = _Faults(), set(numbers)
    gaps = (number for number in range(options.first, numbers[-1]) if number not in there)
    for number in islice(gaps, NAMED):
        faults.add(f"{options.pattern.format(frame=number, name=name)!r} is missing")
    faults.count = numbers[-1] + 1 - options.first - len(numbers)
    files = [folder / options.pattern.format(frame=number, name=name) for number in numbers]
    if options.pattern_y is None:
        return files, faults
    others = [folder / options.pattern_y.format(frame=number, name=name) for number in numbers]
    for lost in (file for file in others if not file.is_file()):
        faults.add(f"{lost.name!r} is missing")
    return [file for pair in zip(files, others, strict=True) for file in pair if file.is_file()], faults


def _probed(folder: Path, clip: str, options: NumberedOptions) -> Probed:
    try:
        hashes = {"sha256": content_hash(folder), "quick": quick_content_hash(folder)}
    except OSError as error:
        return Probed(video=clip, status=UNREADABLE, reason=f"the folder cannot be read: {error.strerror}")
    try:
        files, faults = _found(folder, options)
        size = _same_size(files, faults)
        faults.stop()
        frames = len(files) // (2 if options.pattern_y else 1)
    except DataError as error:
        return Probed(video=clip, status=UNREADABLE, reason=str(error), **hashes)
    return Probed(
        video=clip,
        fps=options.rate,
        frames=frames,
        duration=frames / options.rate,
        width=size[0],
        height=size[1],
        kept=True,
        status=READABLE,
        **hashes,
    )


def _same_size(files: list[Path], faults: _Faults) -> tuple[int, int]:
    """Return width and height of a clip's pictures; note those that are broken, or of another size than the first."""
    first, which = (0, 0), "first picture"
    for file in files:
        try:
            size = _size(file)
        except DataError as error:
            faults.add(str(error))
            which = which if first[0] else "first whole picture"
            continue
        first = first if first[0] else size
        if size != first:
            faults.add(f"{file.name!r} has {_told(size)} pixels, the {which} {_told(first)}")
    return first


def _size(file: Path) -> tuple[int, int]:
    """Return width and height of a picture, read to its end; DataError if it is broken."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            size = image.size
            image.draft(None, (max(1, size[0] // 8), max(1, size[1] // 8)))  # all is read, an eighth computed
            image.load()
        return size
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        said = "no picture" if "cannot identify" in str(error) else str(error)
        raise DataError(f"{PurePosixPath(file).name!r} is broken: {said}") from None


def _told(size: tuple[int, int]) -> str:
    return " x ".join(map(str, size))
