"""The stage `anticipate`: what a student says comes next in a video, from the video itself or from a file of its features."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

import numpy as np
import torch

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.arrays import read_matrix
from kinoflow.features.origin import Origin
from kinoflow.features.remake import check_readable, remade, weights_of
from kinoflow.metrics.anticipation import best_k
from kinoflow.metrics.scores import softmax
from kinoflow.progress import Progress, log
from kinoflow.stage import In, Out, State
from kinoflow.store import tables
from kinoflow.store.files import write_json
from kinoflow.store.shards import Shard
from kinoflow.tasks.anticipation import dense, windows
from kinoflow.tasks.anticipation.data import means
from kinoflow.tasks.anticipation.options import AnticipateOptions
from kinoflow.tasks.anticipation.rollout import step_seconds
from kinoflow.tasks.anticipation.scoring import Expected, Scorer, Trained, read_checkpoint
from kinoflow.tasks.anticipation.sources import rows_at
from kinoflow.tasks.anticipation.watching import Watcher, frame_numbers
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6
ARRAYS = (".npy", ".npz", ".hdf5", ".h5")
TOGETHER = 16  # videos whose frames and features are kept at once


Guess = tuple[str, float]  # a class and its probability


@dataclass(frozen=True)
class Answer:
    """What is told of one moment of one video. at: seconds; guesses: (class, probability), the likeliest first."""

    video: str
    at: float | None = None
    reason: str = ""  # why nothing can be told
    guesses: list[Guess] = field(default_factory=list)
    later: list[tuple[float, list[Guess]]] = field(default_factory=list)  # of steps rolled out: seconds to their end


def anticipate(
    videos: list[State],
    checkpoint: In,
    options: AnticipateOptions,
    table: Out | None = None,
    json: Out | None = None,
    weights: In | None = None,
    rate: float | None = None,
    device: str = "auto",
) -> None:
    """Say what is done next in videos. A file that cannot be read costs its own row only.

    Of a student that rolls out, what it expects step after step is told too: of each step its end after that moment, in seconds.

    videos: video files, feature files of one video each (npy, npz, HDF5 with rows in time), or feature shards of kinoflow
    checkpoint: the student, model.safetensors of a run of anticipation, in its folder
    table: a table to write, a row for each moment: video, at, reason, and the likeliest classes with their probabilities (and
     a row for each step that is rolled out, with its seconds ahead);
     without table and json, what is likeliest is said
    json: the same to write as JSON
    weights: the weights of the network behind the features of videos, where the checkpoint's folder has no copy of them
    rate: rows per second of feature files that do not say their times
    device: cpu, cuda, or auto: CUDA where there is some
    """
    if not videos:
        raise ConfigError("videos: give at least one")
    trained = read_checkpoint(checkpoint)
    reader = Anticipator(trained, options, Arithmetic(device_of(device)), rate)
    eye = Eye(trained.origin, checkpoint.parent, weights, device)
    answers: list[Answer] = []
    with Progress(f"anticipate {run_name(checkpoint)}", total=len(videos), items="files") as progress:
        for group in _grouped(videos):
            answers += reader.answers_of_videos(eye, group) if is_video(group[0]) else reader.answers(group[0])
            progress.step(len(group))
    if table is None and json is None:
        _say(answers)
    if table is not None:
        _write_table(table, answers, min(options.top, len(trained.classes.names)), trained.network.ahead > 1)
    if json is not None:
        write_json(json, [_as_json(answer, trained.network.ahead > 1) for answer in answers])
    lost = [answer for answer in answers if not answer.guesses]
    for answer in lost:
        log.warning("%r: nothing can be told: %s", answer.video, answer.reason)


def is_video(path: Path) -> bool:
    """Tell a video from a file of features."""
    return not path.name.endswith(ARRAYS)


def _grouped(paths: Sequence[Path]) -> list[list[Path]]:
    """Return files in their order: videos that follow each other a few at a time, everything else alone."""
    groups: list[list[Path]] = []
    for path in paths:
        joins = groups and is_video(path) and is_video(groups[-1][0]) and len(groups[-1]) < TOGETHER
        groups[-1].append(path) if joins else groups.append([path])
    return groups


@dataclass(frozen=True)
class Eye:
    """What turns videos into the features that a student was trained on.

    folder: that of the checkpoint. weights: of the network behind the features, where there is no copy.
    """

    origin: Origin
    folder: Path
    weights: Path | None
    device: str

    def rows(self, videos: Sequence[Path]) -> dict[str, tuple[np.ndarray, np.ndarray] | str]:
        """Return features (T, D) and times (T,) of each video by its name, or why there are none.

        Videos are made together, as the start of a network takes longer than a short video; where one of them breaks off, each
        by itself. Raises ConfigError or DataError if no video can be read with this checkpoint.
        """
        weights_of(self.origin, self.folder, self.weights)
        lost = {name: reason for name in map(os.fspath, videos) if (reason := _unreadable(name))}
        return lost | self._made([video for video in videos if os.fspath(video) not in lost])

    def _made(self, videos: Sequence[Path]) -> dict[str, tuple[np.ndarray, np.ndarray] | str]:
        if not videos:
            return {}
        try:
            with remade(videos, self.origin, self.folder, self.weights, self.device) as shard:
                return {name: (np.array(shard.rows(name)), np.array(shard.times(name))) for name in shard.videos}
        except DataError as error:
            if len(videos) == 1:
                return {os.fspath(videos[0]): str(error)}
        return {name: found for video in videos for name, found in self._made([video]).items()}


def _unreadable(video: str) -> str:
    try:
        check_readable(video)
    except DataError as error:
        return str(error)
    return ""


class Anticipator:
    """A student, and how files are read for it."""

    def __init__(self, trained: Trained, options: AnticipateOptions, how: Arithmetic, rate: float | None):
        if trained.options.source == "labels":
            raise ConfigError("this student is an oracle: it reads true labels, which a video does not have")
        self.trained, self.options, self.rate = trained, options, rate
        self.scorer = Scorer(trained.network.eval(), how)
        self.watcher = Watcher(trained, self.scorer) if trained.network.network.backbone != "identity" else None
        if self.watcher and options.dense:
            raise ConfigError("dense: this student reads frames, which are told of one moment; give at, or nothing")

    def answers_of_videos(self, eye: Eye, videos: Sequence[Path]) -> list[Answer]:
        """Return what is told of videos, as of files."""
        if self.watcher:
            return self._watched(videos)
        found = eye.rows(videos)
        return [answer for name in map(os.fspath, videos) for answer in self._answers(name, found[name])]

    def _watched(self, videos: Sequence[Path]) -> list[Answer]:
        lost = {name: reason for name in map(os.fspath, videos) if (reason := _unreadable(name))}
        found = self.watcher.told([video for video in videos if os.fspath(video) not in lost], self.options.at)
        found |= {name: (None, reason, None) for name, reason in lost.items()}
        return [self._answer(name, *found[name]) for name in map(os.fspath, videos)]

    def _answer(self, video: str, at: float | None, reason: str, told: Expected | None) -> Answer:
        if told is None:
            return Answer(video, at, reason)
        seconds = step_seconds(self.trained.options)
        later = [(round(seconds * k, DIGITS), self._guesses(scores)) for k, scores in enumerate(told.later, 1)]
        return Answer(video, at, reason, self._guesses(told.next), later)

    def _answers(self, name: str, found: tuple[np.ndarray, np.ndarray] | str) -> list[Answer]:
        if isinstance(found, str):
            return [Answer(name, None, found)]
        try:
            return self._told(name, *found)
        except DataError as error:
            return [Answer(name, None, str(error))]

    def answers(self, path: Path) -> list[Answer]:
        """Return what is told of a file of features: one answer for each video in it, or one for each step (``dense``)."""
        name = os.fspath(path)
        if self.watcher:
            return [Answer(name, None, "this student reads frames, no features; give a video")]
        try:
            return [answer for video, rows, times in self._read(path) for answer in self._answers(video, (rows, times))]
        except DataError as error:
            return [Answer(name, None, str(error))]

    def _read(self, path: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return the videos of a file: name, features (T, D), times (T,)."""
        if not path.is_file():
            raise DataError(f"there is no file {os.fspath(path)!r}; correct the name")
        shard = _shard(path)
        if shard:
            return [(video, shard.rows(video), shard.times(video)) for video in shard.videos]
        if self.rate is None:
            raise ConfigError(f"rate: {os.fspath(path)!r} does not say its times; give its rows per second")
        rows = read_matrix(path)
        return [(os.fspath(path), rows, (np.arange(len(rows)) + 0.5) / self.rate)]

    def _told(self, video: str, rows: np.ndarray, times: np.ndarray) -> list[Answer]:
        width = self.trained.network.features
        if rows.shape[1] != width:
            return [Answer(video, None, f"its features have {rows.shape[1]} columns, the student reads {width}")]
        if not len(rows):
            return [Answer(video, None, "it has no features")]
        spacing = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        end = float(times[-1]) + spacing / 2
        if self.options.dense:
            return self._dense(video, rows, times, end)
        at = end if self.options.at is None else self.options.at
        if at > end + spacing:
            return [Answer(video, at, f"it ends at {end:.2f} s")]
        return [self._alone(video, rows, times, at)]

    def _at(self, video: str, rows: np.ndarray, times: np.ndarray, at: float) -> Expected:
        """Return what is expected after the moment ``at``."""
        of = self.trained.options.sampling
        if of.read == "frames":
            numbers = frame_numbers(of, at)
            x, length = rows_at(rows, times, numbers / of.fps, of.lookback / of.fps, video), of.steps
        else:
            x, _, _ = means(rows, times, windows.steps_back(at - of.observed, at, of.step_seconds, of.steps), video)
            length, short = len(x), of.steps - len(x)
            if self.trained.network.aggregator.group != 1:
                x, length = np.concatenate([np.repeat(x[:1], short, 0), x]), of.steps
        return self.scorer.expected(x, length)

    def _dense(self, video: str, rows: np.ndarray, times: np.ndarray, end: float) -> list[Answer]:
        """Return an answer after every step of the video."""
        of = self.trained.options.sampling
        seconds = of.step_seconds if of.read == "mean" else 1 / of.rate
        edges = windows.steps_forward(end, seconds)
        if len(edges) < 2:
            return [Answer(video, None, f"it is shorter than a step of {seconds:g} s")]
        most = windows.whole_steps(of.observed, seconds, of.steps)
        if of.read == "frames" or most is None or self.trained.network.ahead > 1:
            return [self._alone(video, rows, times, at) for at in edges[1:].tolist()]
        x, _, _ = means(rows, times, edges, video)
        model, steps = self.trained.network, torch.from_numpy(x).to(self.scorer.how.device)
        try:
            dense.check_causal(model)
            fits = len(x) <= most
        except ConfigError:
            fits = False
        found = dense.whole(model, steps) if fits else dense.sliding(model, steps, most, filled=of.steps)
        scores = found["action"].float().cpu().numpy()
        return [
            Answer(video, float(at), "", self._guesses(own)) for at, own in zip(edges[-len(x) :], scores, strict=True)
        ]

    def _alone(self, video: str, rows: np.ndarray, times: np.ndarray, at: float) -> Answer:
        """Return what is told of one moment by its own window, whose steps may lie elsewhere than those of the others."""
        try:
            return self._answer(video, at, "", self._at(video, rows, times, at))
        except DataError as error:
            return Answer(video, at, str(error))

    def _guesses(self, scores: np.ndarray) -> list[Guess]:
        shares = softmax(scores.astype(np.float64))
        names = self.trained.classes.names
        return [(names[k], round(float(shares[k]), DIGITS)) for k in best_k(scores[None], self.options.top)[0]]


def _shard(path: Path) -> Shard | None:
    """Return a feature shard; None if the file is another array."""
    if path.suffix not in (".h5", ".hdf5"):
        return None
    try:
        shard = Shard(path)
    except DataError:
        return None
    return shard if shard.shape is None else None


# ---------------------------------------------------------------- what is written and said


def _write_table(path: Path, answers: Sequence[Answer], top: int, rolls: bool) -> None:
    fields: list[tuple] = [("video", str), ("at", float | None, None), ("reason", str, "")]
    fields += [("ahead", float | None, None)] if rolls else []
    for rank in range(1, top + 1):
        fields += [(f"action_{rank}", str, ""), (f"action_{rank}_probability", float | None, None)]
    row = make_dataclass("Row", fields, frozen=True, kw_only=True)
    rows = []
    for a in answers:
        rows.append(row(video=a.video, at=a.at, reason=a.reason, **_cells(a.guesses)))
        rows += [row(video=a.video, at=a.at, ahead=ahead, **_cells(guesses)) for ahead, guesses in a.later]
    tables.write(path, rows, row)


def _cells(guesses: Sequence[Guess]) -> dict[str, str | float]:
    cells: dict[str, str | float] = {}
    for rank, (label, probability) in enumerate(guesses, start=1):
        cells |= {f"action_{rank}": label, f"action_{rank}_probability": probability}
    return cells


def _as_json(answer: Answer, rolls: bool) -> dict:
    found = {"video": answer.video, "at": answer.at, "reason": answer.reason, "next": _listed(answer.guesses)}
    later = [{"ahead": ahead, "next": _listed(guesses)} for ahead, guesses in answer.later]
    return found | ({"later": later} if rolls else {})


def _listed(guesses: Sequence[Guess]) -> list[dict]:
    return [{"label": label, "probability": probability} for label, probability in guesses]


def _say(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if answer.guesses:
            log.info("%r after %.2f s: %s", answer.video, answer.at, _shares(answer.guesses))
        for ahead, guesses in answer.later:
            log.info("%r, %g s later: %s", answer.video, ahead, _shares(guesses))


def _shares(guesses: Sequence[Guess]) -> str:
    return ", ".join(f"{label} ({100 * share:.0f} %)" for label, share in guesses)
