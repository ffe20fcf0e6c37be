"""The stage that turns videos into folders of numbered JPEG pictures, the form in which the published code bases read them.

As their extraction does it with ffmpeg: height given, width in proportion, turned as the file asks for, numbers from 1;
but each decoded frame once, where ffmpeg repeats and drops frames to keep a constant rate. A folder appears when it is
complete; it stays as long as video, options and code are those that it was made with, else it is made anew.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.demux import decoding, opened, packets, until_broken
from kinoflow.media.options import ExportOptions
from kinoflow.media.picture import quarter_turns
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, State
from kinoflow.store.files import inner_name, key_of, parse_json, quick_hash, write_json
from kinoflow.store.shards import encode_jpeg

NAMED = 20  # videos that an error names
WIDEST = 16384  # pixels; a wider picture comes of a strip a few pixels high


@dataclass(frozen=True)
class Job:
    """A video, and the folder that its pictures belong to."""

    video: str
    root: Path
    folder: Path
    options: ExportOptions
    code: str

    @property
    def source(self) -> Path:
        """The video."""
        return self.root / self.video

    @property
    def name(self) -> str:
        """The name of the folder of its pictures, below the folder of all."""
        return str(PurePosixPath(self.video).with_suffix(""))

    @property
    def target(self) -> Path:
        """The folder of its pictures."""
        return self.folder / self.name

    @property
    def work(self) -> Path:
        """Where they are made."""
        return self.folder / ".work" / key_of(os.fsencode(self.name).hex())

    @property
    def record(self) -> Path:
        """Where it is kept what they were made from, and how many there are."""
        return self.folder / ".keys" / f"{key_of(os.fsencode(self.name).hex())}.json"


def export_frames(
    root: Folder, list: In, folder: State, options: ExportOptions, code: str = "", workers: int = 1
) -> None:
    """Decode videos into folders of numbered JPEG pictures of one height.

    A video that cannot be decoded stops the stage, but not before every other one is done; the same command continues.

    root: the folder of the videos
    list: the list of the videos of a shard, written by `kinoflow lists`
    folder: the folder to write into: a/b.mp4 becomes the folder a/b
    code: fingerprint of the stage's code; found out if not given
    workers: videos that are decoded at the same time
    """
    if workers < 1:
        raise ConfigError(f"--workers: {workers} threads decode nothing; give 1 or more")
    jobs = [Job(video, root, folder, options, code) for video in _videos(list)]
    _check_names(jobs)
    failed = []
    with Progress(f"export-frames {list.stem}", total=len(jobs), items="videos") as progress:
        for problem in _all(jobs, workers):
            failed += [problem] if problem else []
            progress.step()
    if failed:
        more = ", ..." if len(failed) > NAMED else ""
        raise DataError(
            f"{len(failed)} of {len(jobs)} videos cannot be exported: {', '.join(failed[:NAMED])}{more};"
            " repair them or take them off the list; the other folders are complete"
        )


def _videos(path: Path) -> list[str]:
    try:
        found = parse_json(path.read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path}: this is no list of videos; write it with `kinoflow lists`")
    return sorted((inner_name(name, str(path)) for name in found), key=os.fsencode)


def _check_names(jobs: list[Job]) -> None:
    """Two videos must not share a folder, nor one lie in that of another."""
    names: dict[str, str] = {}
    for job in jobs:
        other = names.setdefault(job.name, job.video)
        if other != job.video:
            raise DataError(f"{other!r} and {job.video!r} would become the same folder; take one of them off the list")
    for job in jobs:
        inside = next((names[str(place)] for place in PurePosixPath(job.name).parents if str(place) in names), None)
        if inside:
            raise DataError(f"the folder of {job.video!r} would lie in that of {inside!r}; rename one of them")


def _all(jobs: list[Job], workers: int) -> Iterator[str | None]:
    """Export; yield for each video what is wrong with it, None if nothing is."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(_export, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


# ---------------------------------------------------------------- one video


def _export(job: Job) -> str | None:
    try:
        key, record = _key(job), _record(job)
        if record.get("key") == key and _is_complete(job, record):
            return None
        _check_owner(job, record)
        for left in (job.target, job.work):
            if left.exists():
                shutil.rmtree(left)
        count = _write_pictures(job)
        write_json(job.record, {"key": key, "pictures": count, "video": job.video})
        job.target.parent.mkdir(parents=True, exist_ok=True)
        job.work.replace(job.target)
    except (DataError, av.FFmpegError) as error:
        shutil.rmtree(job.work, ignore_errors=True)
        return f"{job.video!r} ({error.strerror if isinstance(error, av.FFmpegError) else error})"
    log.info("exported %r: %d pictures", job.video, count)
    return None


def _key(job: Job) -> str:
    """Return what stands for the video, the options and the code."""
    try:
        return key_of(quick_hash(job.source), resolved(job.options), job.code)
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}") from None


def _write_pictures(job: Job) -> int:
    job.work.mkdir(parents=True)
    count = 0
    for count, picture in enumerate(_pictures(job.source, job.options.height), 1):
        name = job.options.pattern.format(frame=count, name=job.target.name)
        (job.work / name).write_bytes(encode_jpeg(picture, job.options.quality))
    if not count:
        raise DataError("no frame comes out of it")
    return count


def _record(job: Job) -> dict[str, Any]:
    """Return what is known of the folder of a video; nothing if this stage has not made it."""
    try:
        return dict(parse_json(job.record.read_text()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError):
        return {"video": job.video}  # ours, but nobody knows of what: it is made anew


def _is_complete(job: Job, record: dict[str, Any]) -> bool:
    return job.target.is_dir() and len(os.listdir(job.target)) == record.get("pictures")


def _check_owner(job: Job, record: dict[str, Any]) -> None:
    """Refuse to replace what this stage did not make, or made of another video, listed in another shard."""
    if job.target.exists() and not record:
        raise DataError(f"its folder {job.target} is there, but was not made by this stage; move it away")
    other = record.get("video", job.video)
    if other != job.video and (job.root / other).exists():
        raise DataError(f"its folder {job.target} holds the pictures of {other!r}; rename one of the two videos")


def _pictures(path: Path, height: int) -> Iterator[np.ndarray]:
    """Yield every frame that can be decoded, (height, W, 3) uint8; the first one decides W."""
    scale, size = VideoReformatter(), None
    with opened(path) as (container, stream):
        for frames in decoding(stream, until_broken(packets(container, stream))):
            for frame in frames or ():
                size = size or _size(frame, height)
                yield _upright(frame, size, scale)


def _size(frame: av.VideoFrame, height: int) -> tuple[int, int]:
    """Return width and height of the scaled picture before it is turned upright."""
    turned = quarter_turns(frame.rotation) % 2
    shown = (frame.height, frame.width) if turned else (frame.width, frame.height)
    width = max(1, (2 * height * shown[0] + shown[1]) // (2 * shown[1]))  # nearest, as ffmpeg's scale=-1:height
    if width > WIDEST:
        raise DataError(f"a picture of {shown[0]} x {shown[1]} pixels would become {width} pixels wide")
    return (height, width) if turned else (width, height)


def _upright(frame: av.VideoFrame, size: tuple[int, int], scale: VideoReformatter) -> np.ndarray:
    small = scale.reformat(
        frame, width=size[0], height=size[1], format="rgb24", interpolation=Interpolation.BICUBIC, threads=1
    )
    plane = small.planes[0]
    pixels = np.ndarray((plane.height, plane.width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns(frame.rotation)))
