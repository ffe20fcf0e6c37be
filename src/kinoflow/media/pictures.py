"""The stage that packs clips which are folders of numbered pictures into a frame shard, or their optical flow into a flow shard.

Strict: a picture that is missing, broken or of another size than the clip's first stops it, with the names of all of them;
nothing ever stands in for it. Frames in JPEG files are kept byte for byte. Flow becomes what `kinoflow flow` makes, two
channels, from any of the three published layouts:

    --content flow --pattern flow_x_{frame:05d}.jpg --pattern-y flow_y_{frame:05d}.jpg             UCF101, HMDB51
    --content flow --folder {name:0>6} --pattern {name:0>6}-x_{frame:05d}.jpg
                   --pattern-y {name:0>6}-y_{frame:05d}.jpg --counted files                        Something v1
    --content flow --pattern {frame:06d}.jpg                                                       Something v2
"""

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.options import PicturesOptions
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.clip_lists import Clip, read_list_file
from kinoflow.store.planes import encode_planes
from kinoflow.store.shards import ShardWriter, writing
from kinoflow.store.tables import READABLE, Probed, write

if TYPE_CHECKING:
    from PIL.Image import Image

NAMED = 20  # pictures that an error names


class _File(NamedTuple):
    """A file that holds a whole picture."""

    content: bytes
    shape: tuple[int, int]  # height, width
    pixels: np.ndarray | None  # (H, W, 3) or (H, W) uint8; None if the file is kept as it is


@dataclass
class Faults:
    """The pictures that cannot be used: the first ones by name, and how many there are."""

    count: int = 0
    named: list[str] = field(default_factory=list)
    unnamed: bool = False

    def add(self, name: str, reason: str, number: int = 1) -> None:
        """Note a picture, or a folder that stands for several."""
        self.count += number
        self.unnamed = len(self.named) == NAMED
        self.named += [] if self.unnamed else [f"{name!r} ({reason})"]

    def stop(self, root: Path) -> None:
        """Raise DataError if there is any."""
        if self.count:
            more = ", ..." if self.unnamed else ""
            raise DataError(
                f"{self.count} pictures below {root} cannot be used: {', '.join(self.named)}{more};"
                " put them right, or take their clips off the list"
            )


def pictures(list: In, root: Folder, shard: Out, options: PicturesOptions, table: Out | None = None) -> None:
    """Pack the clips of a list file, folders of numbered pictures, into a frame shard.

    list: the list file (folder, number of pictures and class of each clip), as `kinoflow list-files` writes it
    root: the folder below which the clips' folders lie
    shard: the shard to write; its videos are called as the list's folders
    table: a probe table to write of the clips, for `kinoflow inventory`: with labels of the same names they can be indexed
    """
    clips, faults, rows = _clips(list, options), Faults(), []
    settings = resolved(options)
    attrs = {"store": options.store, "options": settings} | ({"channels": 2} if options.content == "flow" else {})
    with writing(shard, attrs, frames=True) as writer:
        with Progress(f"pictures {shard.stem}", total=len(clips), items="clips") as progress:
            for clip in clips:
                row = _pack(root, clip, options, faults, writer)
                rows += [row] if row else []
                progress.step()
        faults.stop(root)
    if table:
        write(table, sorted(rows, key=lambda row: os.fsencode(row.video)), Probed)


def _clips(path: Path, options: PicturesOptions) -> list[Clip]:
    """Return the clips of a list that are long enough, each once; their counts are frames."""
    files = 2 if options.counted == "files" and options.pattern_y else 1
    clips: dict[str, Clip] = {}
    short = []
    for clip in read_list_file(path):
        if (clip.count or 0) % files:
            raise DataError(f"{clip.where}: {clip.count} files are no pairs of x and y; take counted: frames")
        frames = (clip.count or 0) // files
        if frames < options.shortest:
            short.append(f"{clip.clip!r} ({frames})")
        else:
            clips[clip.clip] = Clip(clip.clip, frames, clip.label, clip.where)
    if short:
        log.warning(
            "%d clips with less than %d pictures are left out: %s%s",
            len(short),
            options.shortest,
            ", ".join(short[:NAMED]),
            ", ..." if len(short) > NAMED else "",
        )
    if not clips:
        raise DataError(f"{path}: no clip of this list has {options.shortest} pictures; check how it was counted")
    return [*clips.values()]


# ---------------------------------------------------------------- one clip


def _pack(root: Path, clip: Clip, options: PicturesOptions, faults: Faults, writer: ShardWriter) -> Probed | None:
    """Add a clip to the shard, and return what is known of it; after the first fault, only look for more of them."""
    source = _stored(root, clip, options, faults)
    first = next(source, None)
    if first is None:
        return None
    times: list[float] = []
    digest, shape = hashlib.sha256(), first[1]

    def stored() -> Iterator[bytes]:
        for picture, _ in chain([first], source):
            if not faults.count:  # else the shard is given up, and no clip of it needs to be whole
                times.append(len(times) / options.rate)
                digest.update(len(picture).to_bytes(8, "big") + picture)
                yield picture

    writer.add(clip.clip, stored(), times, shape)
    return Probed(
        video=clip.clip,
        fps=options.rate,
        frames=len(times),
        duration=len(times) / options.rate,
        width=shape[1],
        height=shape[0],
        kept=True,
        status=READABLE,
        sha256=digest.hexdigest(),
    )


def _stored(
    root: Path, clip: Clip, options: PicturesOptions, faults: Faults
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the pictures of a clip as they are stored, and their size; note those that cannot be used."""
    name, count = PurePosixPath(clip.clip).name, clip.count or 0
    folder = options.folder.format(path=clip.clip, name=name)
    if not Path(root, folder).is_dir():
        faults.add(folder, f"there is no such folder, of {count} pictures", count)
        return
    size: tuple[int, int] | None = None
    for number in range(options.first, options.first + count):
        found = []
        for pattern in filter(None, (options.pattern, options.pattern_y)):
            path = f"{folder}/{pattern.format(frame=number, name=name)}"
            file = _file(root, path, options, faults)
            if file:
                size = size or file.shape
                if file.shape != size:
                    told, wanted = (" x ".join(map(str, shape[::-1])) for shape in (file.shape, size))
                    faults.add(path, f"it has {told} pixels, the clip's first picture {wanted}")
            found.append(file)
        if size and None not in found:
            yield _coded(found, options), size


def _file(root: Path, path: str, options: PicturesOptions, faults: Faults) -> _File | None:
    """Return the content of a picture's file, decoded where that is asked for; note one that cannot be used."""
    from PIL import Image

    try:
        content = Path(root, path).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            shape = (image.height, image.width)
            problem = _problem(image, options)
            if problem:
                faults.add(path, problem)
                return None
            if _is_kept(options):
                image.draft(
                    None, (max(1, image.width // 8), max(1, image.height // 8))
                )  # all is read, an eighth computed
                image.load()
                return _File(content, shape, None)
            return _File(content, shape, np.asarray(image.convert("L" if options.pattern_y else "RGB")))
    except FileNotFoundError:
        faults.add(path, "missing")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        faults.add(path, "broken: no picture" if "cannot identify" in said else f"broken: {said}")
    return None


def _is_kept(options: PicturesOptions) -> bool:
    """Tell whether files are stored as they are."""
    return options.content == "frames" and options.store == "jpeg"


def _problem(image: "Image", options: PicturesOptions) -> str | None:
    """Return why a picture that can be read cannot be used."""
    if _is_kept(options) and image.format != "JPEG":
        return f"{image.format} and no JPEG: take store: raw"
    if options.content == "flow" and not options.pattern_y and image.mode != "RGB":
        return "gray, so it does not hold x and y: give pattern_y if they lie in two files"
    return None


def _coded(files: list[_File], options: PicturesOptions) -> bytes:
    """Return one item of the shard: the file as it is, or pixels, (H, W, 3) of a frame, (H, W, 2) of flow."""
    if _is_kept(options):
        return files[0].content
    first = files[0].pixels
    if options.content == "frames":
        return first.tobytes()
    flow = np.stack([file.pixels for file in files], axis=2) if options.pattern_y else first[:, :, :2]
    return flow.tobytes() if options.store == "raw" else encode_planes(flow, options.quality)
