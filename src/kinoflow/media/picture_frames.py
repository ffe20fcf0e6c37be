"""The stage that makes frames of clips which are folders of numbered pictures: the same frames as `kinoflow frames` makes of videos.

A JPEG file that has the wanted size already is kept byte for byte; other pictures are scaled as a video's are.
"""

import io
from pathlib import Path

import av
import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.kept import Put, fill
from kinoflow.media.numbered import picture_files
from kinoflow.media.options import FolderFramesOptions
from kinoflow.media.picture import Converter
from kinoflow.media.sample import at_rate, evenly
from kinoflow.options import resolved
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of
from kinoflow.store.folders import content_hash
from kinoflow.store.shards import encode_jpeg
from kinoflow.store.tables import Probed, read

NUMBERING = "pictures"  # options that say which pictures there are, not what becomes of them


def picture_frames(root: Folder, table: In, shard: Out, options: FolderFramesOptions, code: str = "") -> None:
    """Make the frames of a shard of clips that are folders of pictures.

    A clip that fails stops the stage, but not before the others are done; their frames are not made again.

    root: the folder below which the clips' folders lie
    table: the probe table of the shard
    shard: the frame shard to write
    code: fingerprint of the stage's code; found out if not given
    """
    rows = {row.video: row for row in read(table, Probed) if row.kept}
    keys = {video: key_of(row.sha256, resolved(options), code) for video, row in rows.items()}
    attrs = {"store": options.store, "options": resolved(options, (NUMBERING,))}
    fill(shard, keys, attrs, lambda video, put: _make(root, rows[video], options, put), "frames", "clips")


def _make(root: Path, row: Probed, options: FolderFramesOptions, put: Put) -> None:
    folder = Path(root, row.video)
    try:
        if content_hash(folder) != row.sha256:
            raise DataError("it has changed since the probe looked at it; run the same command again")
        files = picture_files(folder, options.pictures)
        wanted, times = _chosen(len(files), options)
        converter = _converter(files[0], options)
        pictures = (_stored(files[number], converter, options) for number in wanted)
        put(pictures, times, converter.fit.shape)
    except (DataError, OSError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{row.video!r} passed the probe, but {said}") from None
    log.info("decoded %r: %d frames", row.video, len(times))


def _chosen(count: int, options: FolderFramesOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (n,) of the pictures that are taken, and their times (n,) in seconds."""
    times = np.arange(count) / options.pictures.rate
    if options.rate is not None:
        wanted = at_rate(times, options.rate)
    else:
        wanted = evenly(count, options.count) if options.count else np.arange(count)
    return wanted, times[wanted]


def _opened(content: bytes) -> tuple[str | None, str, np.ndarray]:
    """Return a picture's format, its mode and its pixels (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return image.format, image.mode, np.asarray(image.convert("RGB"))


def _converter(first: Path, options: FolderFramesOptions) -> Converter:
    return Converter(options, None, av.VideoFrame.from_ndarray(_opened(first.read_bytes())[2], format="rgb24"))


def _stored(file: Path, converter: Converter, options: FolderFramesOptions) -> bytes:
    content = file.read_bytes()
    form, mode, pixels = _opened(content)
    fits = converter.fit.shape == pixels.shape[:2]
    if fits and options.store == "jpeg" and (form, mode) == ("JPEG", "RGB"):
        return content
    if not fits:
        pixels = converter(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
    return pixels.tobytes() if options.store == "raw" else encode_jpeg(np.ascontiguousarray(pixels), options.quality)
