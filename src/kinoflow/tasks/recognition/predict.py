"""The stage `predict`: what a trained network says of videos that are in no dataset, each taken as one clip.

Files are read in a child process each: one that crashes or blocks its decoder costs its own row only.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

import numpy as np

from kinoflow.datasets.listing import scan
from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.media.examine import examine
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.media.reading import Videos
from kinoflow.progress import Progress, log
from kinoflow.stage import In, Out, State
from kinoflow.store import tables
from kinoflow.store.files import write_json
from kinoflow.store.tables import PARTLY, READABLE, UNREADABLE, Segment
from kinoflow.tasks.recognition import data, sampling
from kinoflow.tasks.recognition.evaluate import DIGITS, probabilities, ranked
from kinoflow.tasks.recognition.inputs import check_crops
from kinoflow.tasks.recognition.options import ClipTestOptions, PredictOptions
from kinoflow.tasks.recognition.scoring import Scorer, Trained, ahead, read_checkpoint
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

Guesses = list[tuple[str, float]]  # the likeliest classes with their probabilities


@dataclass(frozen=True)
class Answer:
    """What is told of one video."""

    video: str  # as it was given, or the folder as it was given and the path below it
    status: str  # one of tables.STATUSES
    reason: str = ""  # why it is not readable, what is damaged, or why nothing can be told
    guesses: dict[str, Guesses] = field(default_factory=dict)  # of each head; empty if nothing can be told


def predict(
    videos: list[State],
    checkpoint: In,
    options: PredictOptions,
    table: Out | None = None,
    json: Out | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Say what is done in videos, each taken as one clip. A file that cannot be read costs its own row only.

    videos: video files, and folders: all files in these that are not hidden
    checkpoint: the network, model.safetensors of a recognition run
    table: a table to write, a row for each video: video, status, reason, and of each head the likeliest classes in columns
     such as action_1, action_1_probability; without table and json, what is likeliest is said
    json: the same to write as JSON
    device: cpu, cuda, or auto: CUDA where there is some
    threads: videos that are worked on at once; results do not depend on it
    """
    names = _files(videos, options)
    trained = read_checkpoint(checkpoint)
    test = ClipTestOptions(crops=options.crops, clips=options.clips, full_resolution=options.full_resolution)
    reader = Reader(trained, test, options, Arithmetic(device_of(device), threads=threads))
    answers = list(_answers(names, reader, f"predict {run_name(checkpoint)}"))
    if table is None and json is None:
        _say(answers)
    if table is not None:
        _write_table(table, answers, trained, options.top)
    if json is not None:
        write_json(json, [_as_json(answer) for answer in answers])
    _say_losses(answers)


# ---------------------------------------------------------------- which files


def _files(given: Sequence[Path], options: PredictOptions) -> list[str]:
    """Return the files that are given or lie in given folders, each once, by name; DataError for what is not there."""
    if not given:
        raise ConfigError("videos: give at least one")
    found: set[str] = set()
    for path in given:
        if not path.exists():
            raise DataError(f"videos: there is no file or folder {os.fspath(path)!r}; correct the name")
        if not path.is_dir():
            found.add(os.fspath(path))
            continue
        below = scan(path, 1, options.include, options.exclude, "names")["000"]
        if not below:
            raise DataError(f"videos: the folder {os.fspath(path)!r} holds no file that include and exclude leave")
        found.update(os.path.join(path, name) for name in below)
    return sorted(found, key=os.fsencode)


# ---------------------------------------------------------------- one file after the other


def _answers(names: Sequence[str], reader: "Reader", what: str) -> Iterator[Answer]:
    with reader.scorer.how.settled(), Progress(what, total=len(names), items="videos") as progress:
        for answer in ahead(reader.answer, names, reader.scorer.how.threads):
            yield answer
            progress.step()


class Reader:
    """A network, and how files are read for it."""

    def __init__(self, trained: Trained, test: ClipTestOptions, options: PredictOptions, how: Arithmetic):
        check_crops(test, trained.mirror)
        if trained.options.input.kind == "flow":
            raise ConfigError(
                "this network reads optical flow, which is not computed here: make shards with `kinoflow flow` and use"
                " `kinoflow recognition-evaluate`"
            )
        self.trained, self.options, self.scorer = trained, options, Scorer(trained, test, how)
        self.source = Videos(Path(), trained.frames or data.decoding(trained.options))
        self.needed = sampling.needed(trained.options.input)

    def answer(self, video: str) -> Answer:
        """Return what is told of a video."""
        limits = {"seconds": self.options.timeout, "megabytes": self.options.memory}
        try:
            status, reason, frames = isolated(self.read, video, **limits)
        except StoppedError as error:
            return Answer(video, UNREADABLE, str(error))
        if frames is None:
            return Answer(video, status, reason, {})
        shape, content = frames
        return Answer(video, status, reason, self._guesses(np.frombuffer(bytearray(content), np.uint8).reshape(shape)))

    def read(self, video: str) -> tuple[str, str, tuple[tuple[int, ...], bytes] | None]:
        """Return status, reason, and the frames that are looked at, None if nothing can be told.

        Frames are the shape (n, k, H, W, C) and the bytes of an array of uint8, which is what a child process may send.
        """
        looked = examine(video, False, self.options.max_pixels)
        status, reason = looked["status"], looked["reason"]
        if status not in (READABLE, PARTLY):
            return status, reason, None
        try:
            clip = data.clip(self._stretch(video), self.source.times(video))
            if clip.frames < self.needed:
                short = f"it has {clip.frames} frames{self._where()}, but the network's input needs {self.needed}"
                return status, "; ".join(filter(None, [reason, short])), None
            frames = self.scorer.frames(clip, self.source)
            return status, reason, (frames.shape, frames.tobytes())
        except DataError as error:
            return UNREADABLE, str(error), None

    def _stretch(self, video: str) -> Segment:
        end = np.inf if self.options.end is None else self.options.end
        return Segment(segment=video, video=video, start=self.options.start or -np.inf, end=end)

    def _where(self) -> str:
        start, end = self.options.start, self.options.end
        if end is None:
            return f" from {start:g} s on" if start else ""
        return f" from {start:g} s to {end:g} s"

    def _guesses(self, frames: np.ndarray) -> dict[str, Guesses]:
        found = {}
        for head, scores in self.scorer.said(self.scorer.planes(frames)).items():
            shares = probabilities(scores[None], self.trained.options.network.softmax_first)
            best, classes = ranked(shares, self.options.top)[0], self.trained.heads[head]
            found[head] = [(classes[number], round(float(shares[0, number]), DIGITS)) for number in best]
        return found


# ---------------------------------------------------------------- what is written and said


def _write_table(path: Path, answers: Sequence[Answer], trained: Trained, top: int) -> None:
    """Write a row for each video; each head has as many pairs of columns as classes are told of it."""
    fields: list[tuple] = [("video", str), ("status", str), ("reason", str)]
    for head, classes in trained.heads.items():
        for rank in range(1, min(top, len(classes)) + 1):
            fields += [(f"{head}_{rank}", str, ""), (f"{head}_{rank}_probability", float | None, None)]
    row = make_dataclass("Row", fields, frozen=True, kw_only=True)
    tables.write(path, (row(video=a.video, status=a.status, reason=a.reason, **_cells(a)) for a in answers), row)


def _cells(answer: Answer) -> dict[str, str | float]:
    cells: dict[str, str | float] = {}
    for head, guesses in answer.guesses.items():
        for rank, (label, probability) in enumerate(guesses, start=1):
            cells |= {f"{head}_{rank}": label, f"{head}_{rank}_probability": probability}
    return cells


def _as_json(answer: Answer) -> dict:
    heads = {
        head: [{"label": label, "probability": probability} for label, probability in guesses]
        for head, guesses in answer.guesses.items()
    }
    return {"video": answer.video, "status": answer.status, "reason": answer.reason, "heads": heads}


def _say(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.guesses:
            first = [f"{head}: {each[0][0]} ({100 * each[0][1]:.0f} %)" for head, each in answer.guesses.items()]
            log.info("%r: %s", answer.video, ", ".join(first))


def _say_losses(answers: Sequence[Answer]) -> None:
    """Name the videos of which nothing can be told."""
    lost = [answer for answer in answers if not answer.guesses]
    for answer in lost:
        log.warning("%r: nothing can be told (%s): %s", answer.video, answer.status, answer.reason)
    log.info("%d of %d videos are labelled", len(answers) - len(lost), len(answers))
