"""Rendering many videos: what is there already is kept, the others are shared out among processes."""

import multiprocessing
import os
import shutil
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

from kinoflow.datasets.kitchen.grammar import PlannedVideo
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.video import make_video
from kinoflow.errors import ConfigError, DataError, KinoflowError
from kinoflow.interrupts import postponed
from kinoflow.progress import Progress, log
from kinoflow.store.files import key_of, sha256_of, write_text

VIDEO_OPTIONS = {"seed", "size", "fps", "tremble", "crf"}  # the others decide which videos there are


@dataclass(frozen=True)
class Job:
    """One video to render; ``key`` stands for all that its bytes depend on."""

    raw: Path
    video: PlannedVideo
    options: KitchenOptions
    key: str

    @property
    def path(self) -> Path:
        """Where the video belongs."""
        return self.raw / "videos" / self.video.file

    @property
    def work(self) -> Path:
        """Where it is rendered: what a killed process leaves must not lie among the videos."""
        return self.raw / ".work" / self.video.file

    @property
    def record(self) -> Path:
        """Where its key and its checksum are kept."""
        return self.raw / ".keys" / self.video.file


def render_videos(raw: Path, plan: list[PlannedVideo], options: KitchenOptions, code: str, workers: int) -> None:
    """Make ``raw/videos`` hold the planned videos and nothing else; the bytes are the same for any number of workers.

    Raises ConfigError for less than one worker, DataError if the folder holds files that were never rendered here.
    """
    if workers < 1:
        raise ConfigError(f"--workers: {workers} processes render nothing; give 1 or more")
    values = options.model_dump(mode="json", include=VIDEO_OPTIONS)
    jobs = [Job(raw, video, options, key_of(values, code, video.name, video.kitchen, video.steps)) for video in plan]
    _sweep(raw, jobs)
    missing = [job for job in jobs if not _is_done(job)]
    if len(missing) < len(jobs):
        log.info("render: %d of %d videos are there already", len(jobs) - len(missing), len(jobs))
    with Progress("render", total=len(missing), items="videos") as progress:
        for _ in _render_all(missing, workers):
            progress.step()
    _remove(raw / ".work")


def _sweep(raw: Path, jobs: list[Job]) -> None:
    """Remove what is not planned, and what killed processes left; never the user's own videos."""
    videos, records = raw / "videos", raw / ".keys"
    if not records.exists() and videos.exists() and any(videos.iterdir()):
        raise DataError(f"{videos}: it holds files that were not rendered by kinoflow; give an empty folder as --raw")
    _remove(raw / ".work")
    planned = {path for job in jobs for path in (job.path, job.record)}
    for folder in (records, videos):
        folder.mkdir(parents=True, exist_ok=True)
        for entry in set(folder.iterdir()) - planned:
            _remove(entry)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_done(job: Job) -> bool:
    """Whether the video is the very one that was rendered for this key."""
    return job.path.is_file() and job.record.is_file() and job.record.read_text() == _record(job, job.path)


def _record(job: Job, path: Path) -> str:
    return f"{job.key} {sha256_of(path)}\n"


def _render(job: Job) -> None:
    make_video(job.work, job.video, job.options)
    write_text(job.record, _record(job, job.work))
    job.work.replace(job.path)


# ---------------------------------------------------------------- processes


def _render_all(jobs: list[Job], workers: int) -> Iterator[None]:
    """Render; yield once for each video that is complete."""
    if min(workers, len(jobs)) > 1:
        yield from _share_out(jobs, workers)
        return
    for job in jobs:
        _render(job)
        yield


def _share_out(jobs: list[Job], workers: int) -> Iterator[None]:
    """Give each free process the next video. Not a pool: that one waits for ever when a process is killed."""
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # here, for its start undoes what a block postpones
    waiting = iter(jobs)
    crew: dict[Connection, multiprocessing.process.BaseProcess] = {}
    try:
        for job in islice(waiting, workers):
            ours, theirs = context.Pipe()
            crew[ours] = context.Process(target=_work, args=(theirs,), daemon=True)
            with postponed():  # the main process is told, and ends this one
                crew[ours].start()
            theirs.close()
            ours.send(job)
        while crew:
            for line in wait(list(crew)):
                _reply(line, crew[line])
                yield
                job = next(waiting, None)
                line.send(job)
                if job is None:
                    crew.pop(line).join()
    finally:
        for process in crew.values():
            process.terminate()
            process.join()


def _reply(line: Connection, process: multiprocessing.process.BaseProcess) -> None:
    """Read a process's report on one video; raise what it met."""
    try:
        error = line.recv()
    except (EOFError, OSError):
        process.join()
        raise KinoflowError(
            f"a rendering process ended with status {process.exitcode} (killed? out of memory?);"
            " the same command continues where it stopped"
        ) from None
    if error is not None:
        raise error


def _work(line: Connection) -> None:
    """Render what comes through the line until None comes; report None or the error after each video."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while (job := line.recv()) is not None:
        try:
            _render(job)
        except Exception as error:
            error.add_note(traceback.format_exc())
            line.send(error)
            return
        line.send(None)


def _end_with_parent() -> None:
    """An orphan must not write where the next run works."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
