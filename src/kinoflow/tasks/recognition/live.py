"""The stage `stream`: a trained network watches a running video, a file or a camera, and tells what is done in it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import numpy as np
import torch

from kinoflow.errors import ConfigError, DataError, TerminatedError
from kinoflow.media.demux import Clock, decoding, opened, packets
from kinoflow.media.options import FramesOptions
from kinoflow.media.picture import Converter
from kinoflow.media.sample import SLACK
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store import tables
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition.options import StreamOptions
from kinoflow.tasks.recognition.scoring import Trained, read_checkpoint
from kinoflow.tasks.recognition.smoothing import Smoother
from kinoflow.tasks.recognition.stream import FrameByFrame, LastFrames
from kinoflow.training.devices import arithmetic, device_of


@dataclass(frozen=True, kw_only=True)
class Told:
    """A row of the table: what was told of one frame."""

    time: float  # seconds from the video's start
    label: str  # "" while nothing can be told yet
    probability: float | None  # of that label, over the last answers


def stream(
    source: str,
    checkpoint: In,
    options: StreamOptions,
    table: Out | None = None,
    head: str = "",
    format: str = "",
    settings: str = "",
    seconds: float | None = None,
    device: str = "auto",
) -> None:
    """Watch a video while it runs and say what is done in it; ends with the video, or when stopped (Ctrl-C, SIGTERM).

    source: a video file, or a camera such as /dev/video0 (which needs --format)
    checkpoint: the network, model.safetensors of a recognition run; its shift must be one-sided
    table: a table of what was told to write: time, label, probability
    head: which of the network's heads speaks; the first one if not given
    format: the kind of camera, as FFmpeg names it: v4l2 on Linux, avfoundation on macOS, dshow on Windows
    settings: of the camera, as FFmpeg names them: video_size=640x480,framerate=30
    seconds: end after so much video
    device: cpu, cuda, or auto: CUDA where there is some
    """
    place, trained = device_of(device), read_checkpoint(checkpoint)
    with arithmetic(place, options.threads), _opened(source, format, settings) as (container, film):
        teller = Teller(trained, options, head, place)
        taken = at_most(_frames(source, container, film), options.rate or teller.made.rate)
        rows = _watch(_until(taken, seconds), Camera(source, teller.made, film), teller)
    if table is not None:
        tables.write(table, rows, Told)


class Teller:
    """A network, and all that stands between a frame of a running video and what is said of it.

    Raises ConfigError if the network cannot be streamed, or lacks the head or a class that an option names.
    """

    def __init__(self, trained: Trained, options: StreamOptions, head: str, device: torch.device):
        self.head = head or next(iter(trained.heads))
        if self.head not in trained.heads:
            raise ConfigError(f"head: {head!r} is none of the model's heads ({', '.join(trained.heads)})")
        check_planes(trained)
        self.device, self.every, self._seen = device, options.every, 0
        self._window = LastFrames(trained.options.input)
        self._network = FrameByFrame(trained.network.to(device))
        network = trained.options.network
        self._smooth = Smoother(options, trained.heads[self.head], network.softmax_first)
        one = trained.options.sampling.model_copy(update={"segments": 1})
        self._options = trained.options.model_copy(update={"sampling": one})
        self.made = trained.frames or FramesOptions()  # None: of flow, which is refused above

    def __call__(self, frame: np.ndarray) -> tuple[str, float | None] | None:
        """Return label and probability after a frame (H, W, 3) uint8; None if no answer is due."""
        window = self._window(frame)  # (k, H, W, 3)
        self._seen += 1
        if (self._seen - 1) % self.every:
            return None
        planes = torch.from_numpy(inputs.prepare_validation(window[None], self._options))  # (1, c, S, S)
        rows = self._network.scores(planes.to(self.device))[self.head]
        label, shares = self._smooth(rows[0].float().cpu().numpy())
        return label, float(shares[self._smooth.classes.index(label)]) if label else None


def check_planes(trained: Trained) -> None:
    """Raise ConfigError if every segment of a clip is normalised in its own way: which one would a single frame be?"""
    options = trained.options.input
    if options.kind == "gray" and options.normalise == "original" and options.frames % 3:
        raise ConfigError(
            f"this network cannot read frames one by one: with input.normalise: original, {options.frames} gray frames are"
            " scaled differently in each segment; train one with normalise: plain"
        )


# ---------------------------------------------------------------- from the source


@contextmanager
def _opened(source: str, kind: str, settings: str) -> Iterator[tuple[Any, Any]]:
    """Give the container and the video stream of a file, or of a camera of this kind."""
    if settings and not kind:
        raise ConfigError("settings: they are for cameras; give --format too (v4l2 on Linux)")
    if not kind and not Path(source).is_file():
        raise DataError(f"{source!r}: there is no such file; a camera needs --format (v4l2 on Linux)")
    with ExitStack() as stack:
        try:
            if kind:
                container = stack.enter_context(av.open(source, format=kind, options=_settings(settings)))
                films = container.streams.video
                film = films[0] if films else None
            else:
                container, film = stack.enter_context(opened(source))
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:  # ValueError: FFmpeg has no such format
            raise DataError(f"{source!r} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        except DataError as error:
            raise DataError(f"{source!r} cannot be watched: {error}") from None
        if film is None:
            raise DataError(f"{source!r} cannot be watched: it gives no pictures")
        yield container, film


def _settings(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    wrong = [name for name, sign, value in pairs if not (name and sign and value)]
    if wrong:
        raise ConfigError(f"settings: {text!r} is not allowed: give name=value,name=value")
    return {name: value for name, _, value in pairs}


def _frames(source: str, container: Any, film: Any) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield frames with their times, seconds, as they come; DataError if none does."""
    clock, time = Clock(container, film), None
    try:
        for frames in decoding(film, packets(container, film)):
            for frame in frames or ():
                time = max(clock(frame.pts), time or 0.0)
                yield frame, time
    except MemoryError:
        raise
    except av.FFmpegError as error:
        log.warning("%r breaks off: %s", source, error.strerror)
    if time is None:
        raise DataError(f"{source!r} cannot be decoded: no frame comes out of it")


def at_most(frames: Iterable[tuple[Any, float]], rate: float | None) -> Iterator[tuple[Any, float]]:
    """Yield, of frames with their times, the first one in each step of 1 / rate seconds; all of them without a rate.

    Of a video whose own rate is a multiple of ``rate`` these are the frames that sampling at a rate takes.
    """
    start, steps = None, 0
    for frame, time in frames:
        start = time if start is None else start
        if rate is not None and time + SLACK < start + steps / rate:
            continue
        if rate is not None:
            steps = int((time + SLACK - start) * rate) + 1
        yield frame, time


def _until(frames: Iterable[tuple[Any, float]], seconds: float | None) -> Iterator[tuple[Any, float]]:
    start = None
    for frame, time in frames:
        start = time if start is None else start
        if seconds is not None and time - start >= seconds:
            return
        yield frame, time


class Camera:
    """From decoded pictures to frames (H, W, 3) uint8, made as those that the network was trained on."""

    def __init__(self, source: str, made: FramesOptions, film: Any):
        self.source, self.made, self.film, self._convert = source, made, film, None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Return the frame; DataError if pictures of this shape cannot be made into one."""
        if self._convert is None:
            try:
                self._convert = Converter(self.made, self.film.sample_aspect_ratio, frame)
            except DataError as error:
                raise DataError(f"{self.source!r} cannot be watched: {error}") from None
        return np.ascontiguousarray(self._convert(frame))


# ---------------------------------------------------------------- watching


def _watch(frames: Iterable[tuple[av.VideoFrame, float]], camera: Camera, teller: Teller) -> list[Told]:
    """Say each change of the label, and at the end how long answers took; return all that was told."""
    rows: list[Told] = []
    waits, work, last = [], 0.0, 0.0
    try:
        for frame, last in frames:
            began = perf_counter()
            told = teller(camera(frame))
            wait = perf_counter() - began
            work += wait
            if told is None:
                continue
            waits.append(wait)
            label, probability = told
            if label and label != (rows[-1].label if rows else ""):
                log.info("%8.2f s  %s (%.0f %%)", last, label, 100 * probability)
            rows.append(Told(time=round(last, 6), label=label, probability=probability and round(probability, 6)))
    except (KeyboardInterrupt, TerminatedError):
        log.info("stopped")
    _say_latency(waits, work, last - rows[0].time if rows else 0.0)
    return rows


def _say_latency(waits: list[float], work: float, span: float) -> None:
    """Say how long answers took (seconds), and how fast frames were worked on, compared with the ``span`` of the video."""
    if not waits:
        return
    median, most, longest = 1000 * np.quantile(waits, (0.5, 0.95, 1))
    text = "%d answers; from a frame to its label: median %.1f ms, 95 %% within %.1f ms, longest %.1f ms"
    log.info(text, len(waits), median, most, longest)
    if span > 0:
        log.info("%.1f s of video took %.1f s of work", span, work)
        if work > span:
            log.warning(
                "this is slower than the video runs, so labels of a camera come late: raise every, or lower rate"
            )
