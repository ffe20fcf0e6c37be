"""The stage that decodes the videos of a shard to model size.

A video's frames are carried over if its content, the options and the code are those that they were made with. A video that
cannot be decoded after all stops the stage, but not before every other video is done: that work is kept beside the shard
(in ``.work``, which is no output), and the next start takes it from there. So a shard never lacks a video in silence, and
nothing is decoded twice.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from kinoflow.errors import DataError
from kinoflow.media.decode import Block, decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, read_keys, sha256_of, write_keys
from kinoflow.store.shards import Shard, ShardWriter, encode_jpeg, writing
from kinoflow.store.tables import Probed, read


def frames(root: Folder, table: In, shard: Out, options: FramesOptions, code: str = "") -> None:
    """Decode the kept videos of a shard to model size.

    root: the folder of the videos
    table: the probe table of the shard
    shard: the frame shard to write
    code: fingerprint of the stage's code; found out if not given
    """
    settings, failed = resolved(options), {}
    rows = [row for row in read(table, Probed) if row.kept]
    keys = {row.video: key_of(row.sha256, settings, code) for row in rows}
    aside = shard.parent / ".work" / shard.name
    known = _known(shard) | _known(aside)
    with writing(shard, {"store": options.store, "options": settings}, frames=True) as writer:
        with Progress(f"frames {shard.stem}", total=len(rows), items="videos") as progress:
            for row in rows:
                source = known.get((row.video, keys[row.video]))
                try:
                    if source is None:
                        _decode(root, row, options, writer)
                    else:
                        _carry_over(source, row.video, writer)
                except DataError as error:
                    log.warning("%s", error)
                    failed[row.video] = error
                progress.step()
    if failed:
        _put_aside(shard, aside, {video: key for video, key in keys.items() if video not in failed})
        first = next(iter(failed.values()))
        raise DataError(f"{first} ({len(failed)} of {len(rows)} videos failed; the work on the others is kept)")
    write_keys(shard, keys)
    aside.unlink(missing_ok=True)


def _known(path: Path) -> dict[tuple[str, str], Shard]:
    """Return {(video, key): the shard that holds it} of a shard made before."""
    keys = read_keys(path)
    return dict.fromkeys(keys.items(), Shard(path)) if keys else {}


def _put_aside(shard: Path, aside: Path, keys: dict[str, str]) -> None:
    """An incomplete shard must not stand where the next stage looks for it."""
    aside.parent.mkdir(exist_ok=True)
    shard.replace(aside)
    write_keys(aside, keys)


def _carry_over(source: Shard, video: str, writer: ShardWriter) -> None:
    height, width = (int(side) for side in source.shape[source.videos.index(video)])
    times = source.times(video)
    writer.add(video, (source.picture(video, i) for i in range(len(times))), times, (height, width))


def _decode(root: Path, row: Probed, options: FramesOptions, writer: ShardWriter) -> None:
    path = os.path.join(root, row.video)
    _check_content(path, row)
    times: list[float] = []
    try:
        blocks = decode_video(path, options)
        first = next(blocks)
        pictures = _pictures(
            chain([first], blocks), times, options
        )  # block by block: a long film does not fit into memory
        writer.add(row.video, pictures, times, first[0].shape[1:3])
    except DataError as error:
        advice = "exclude it, or let the probe find it out with check: decode"
        raise DataError(f"{row.video!r} passed the probe, but {error}; {advice}") from None
    log.info("decoded %r: %d frames", row.video, len(times))


def _pictures(blocks: Iterable[Block], times: list[float], options: FramesOptions) -> Iterator[bytes]:
    """Yield each frame as it is stored; put its time into ``times``."""
    for block, seconds in blocks:
        times += seconds.tolist()
        yield from (_stored(picture, options) for picture in block)


def _stored(picture: np.ndarray, options: FramesOptions) -> bytes:
    return picture.tobytes() if options.store == "raw" else encode_jpeg(picture, options.quality)


def _check_content(path: str, row: Probed) -> None:
    """Frames are kept under the hash of the content that the probe saw: it must still be this one."""
    try:
        same = sha256_of(path) == row.sha256
    except OSError as error:
        raise DataError(
            f"{row.video!r} was there for the probe, but cannot be read: {error.strerror}; run the same command again"
        ) from None
    if not same:
        raise DataError(f"{row.video!r} has changed since the probe looked at it; run the same command again")
