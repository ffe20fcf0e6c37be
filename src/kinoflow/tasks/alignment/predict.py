"""The stage `align`: the same moments found in videos that are in no dataset, with a checkpoint alone."""

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import Videos
from kinoflow.media.write import write_video
from kinoflow.metrics.alignment import prepared
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import In, Out, State
from kinoflow.store import tables
from kinoflow.store.files import write_bytes, write_text
from kinoflow.store.shards import writing
from kinoflow.tasks.alignment import drawing
from kinoflow.tasks.alignment.data import Clip, Sources, decoding
from kinoflow.tasks.alignment.dtw import align as aligned
from kinoflow.tasks.alignment.dtw import distances, dtw
from kinoflow.tasks.alignment.embed import Embedder, Trained, read_checkpoint
from kinoflow.tasks.alignment.measures import similarity
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.tasks.alignment.options import AlignOptions
from kinoflow.tasks.alignment.panes import Shown, film, fps_of
from kinoflow.training.checkpoint import run_name
from kinoflow.training.devices import device_of

DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Match:
    """A row of the table of matches: the frame of another video that shows the same moment as a frame of the first one."""

    frame: int  # of the first video, from 0
    time: float  # seconds
    video: str
    match: int  # frame of that video
    match_time: float
    distance: float


@dataclass(frozen=True)
class Film:
    """A video, and the vector of each of its frames."""

    file: str
    vectors: np.ndarray  # (L, D)
    times: np.ndarray  # (L,) seconds

    @property
    def name(self) -> str:
        """What it is called in pictures."""
        return PurePath(self.file).name


def align(
    videos: list[State],
    checkpoint: In,
    options: AlignOptions,
    matches: Out | None = None,
    plot: Out | None = None,
    similarity: Out | None = None,
    video: Out | None = None,
    pictures: State | None = None,
    unaligned: Out | None = None,
    retrieval: Out | None = None,
    embeddings: Out | None = None,
    device: str = "auto",
) -> None:
    """Align videos with the first one: find the frame of each that shows the same moment.

    videos: two video files or more; the others are aligned with the first
    checkpoint: the network, model.safetensors of an alignment run
    matches: a table to write: frame and time of the first video, frame and time of each other one, and their distance
    plot: the plot of the matches to write, SVG
    similarity: the picture to write of how near all frames are, with the path over it, SVG: a panel for each other video
    video: the aligned videos to write side by side, mp4, in the first one's time
    pictures: a folder to write the same into frame by frame, 000000.png ...
    unaligned: the same without alignment, mp4: every video in its own time
    retrieval: the video of each frame's nearest frames in the other videos to write, mp4
    embeddings: a feature shard to write of all videos' vectors
    device: cpu, cuda, or auto: CUDA where there is some
    """
    files = _files(videos)
    reader = Reader(read_checkpoint(checkpoint), options, device, run_name(checkpoint))
    films = reader.films(files)
    query, others = films[0], films[1:]
    keys = [aligned(query.vectors, other.vectors, options.how, options.distance) for other in others]
    if matches:
        rows = [row for other, key in zip(others, keys, strict=True) for row in _matches(query, other, key, options)]
        tables.write(matches, rows, Match)
    if plot:
        write_text(plot, drawing.matches([each.name for each in films], [each.times for each in films], keys))
    if similarity:
        write_text(
            similarity, drawing.similarities([reader.likeness(query, *pair) for pair in zip(others, keys, strict=True)])
        )
    own = np.arange(len(query.times))
    if video:
        reader.write(video, films, [own, *keys])
    if pictures:
        reader.write_pictures(pictures, films, [own, *keys])
    if unaligned:
        reader.write(unaligned, films, together(films))
    if retrieval:
        reader.write_retrieval(retrieval, films)
    if embeddings:
        attrs = {"made": "align", "run": reader.embedder.name, "options": resolved(options)}
        with writing(embeddings, attrs, frames=False, width=query.vectors.shape[1], dtype="float32") as shard:
            for each in films:
                shard.add(each.file, each.vectors, each.times)
    for other, key in zip(others, keys, strict=True):
        _say(query, other, key)


def _files(given: Sequence[Path]) -> list[str]:
    """Return the files in the order given; ConfigError for fewer than two, DataError for what is not there."""
    if len(given) < 2:
        raise ConfigError(f"videos: {len(given)} is given; give two or more, the others are aligned with the first")
    for path in given:
        if not path.is_file():
            raise DataError(f"videos: there is no file {os.fspath(path)!r}; correct the name")
    files = [os.fspath(path) for path in given]
    twice = next((file for i, file in enumerate(files) if file in files[:i]), None)
    if twice:
        raise ConfigError(f"videos: {twice!r} is given twice; leave one of them out")
    return files


def together(films: Sequence[Film]) -> list[np.ndarray]:
    """Return the frames of videos that run side by side from their beginnings, until the first one's end."""
    moments = films[0].times - films[0].times[0]
    return [
        (np.searchsorted(each.times - each.times[0], moments + 1e-6, side="right") - 1).clip(0, len(each.times) - 1)
        for each in films
    ]


def nearest(films: Sequence[Film], count: int, distance: str) -> tuple[np.ndarray, np.ndarray]:
    """Return for each frame of the first video the nearest frames of the others: numbers of videos and frames, (n, count).

    Equal ones: the first video, the first frame. Where there are fewer frames than ``count``, the last ones come again.
    """
    keys = np.concatenate([prepared(each.vectors, distance) for each in films[1:]])
    place = np.concatenate([np.full(len(each.times), v) for v, each in enumerate(films) if v])
    frame = np.concatenate([np.arange(len(each.times)) for each in films[1:]])
    order = np.empty((len(films[0].times), count), np.int64)
    for i, vector in enumerate(prepared(films[0].vectors, distance)):
        best = np.argsort(((keys - vector) ** 2).sum(1), kind="stable")[:count]
        order[i] = np.concatenate([best, np.repeat(best[-1:], count - len(best))])
    return place[order], frame[order]


class Reader:
    """A network, and how videos are read for it and shown."""

    def __init__(self, trained: Trained, options: AlignOptions, device: str, name: str):
        if trained.frames is None and trained.options.network.backbone == "features":
            raise ConfigError(
                "this network reads feature rows, which are not computed here: give a checkpoint of a network for pictures"
            )
        made = trained.frames or decoding(trained.options)
        if options.rate is not None:
            made = made.model_copy(update={"rate": options.rate, "count": None})
        self.options, self.source = options, Videos(Path(), made)
        self.normalised = trained.options.network.normalise
        test = AlignmentTestOptions(chunk=options.chunk)
        how = Arithmetic(device_of(device))
        self.embedder = Embedder(trained, test, Sources(self.source, made), how, name)
        shown = FramesOptions(size=max(16, options.height - options.height % 2), rate=made.rate, count=made.count)
        self.shown = Videos(Path(), shown)

    def films(self, files: Sequence[str]) -> list[Film]:
        """Return the videos with their vectors; DataError if one of them cannot be read."""
        found = []
        with self.embedder.how.settled(), Progress("align", total=len(files), items="videos") as progress:
            for file in files:
                times = self.source.times(file)
                clip = Clip(file, file, 0, times, ("",) * len(times))
                vectors = self.embedder.embedding(clip)
                if not np.isfinite(vectors).all():
                    raise DataError(f"{file!r}: the network's vectors are not finite; its weights are damaged")
                found.append(Film(file, vectors, times))
                progress.step()
        return found

    def write(self, path: Path, films: Sequence[Film], numbers: Sequence[np.ndarray]) -> None:
        """Write videos side by side. numbers: of the frames that each of them shows."""
        shown = [self._pane(each, own) for each, own in zip(films, numbers, strict=True)]
        write_video(path, film(shown, self.options.height), fps_of(films[0].times))

    def write_pictures(self, folder: Path, films: Sequence[Film], numbers: Sequence[np.ndarray]) -> None:
        """Write videos side by side as a PNG file for each frame; those of an earlier, longer video go."""
        shown = [self._pane(each, own) for each, own in zip(films, numbers, strict=True)]
        names = [f"{i:06d}.png" for i in range(len(numbers[0]))]
        for name, picture in zip(names, film(shown, self.options.height), strict=True):
            write_bytes(folder / name, _png(picture))
        for path in folder.iterdir():
            if re.fullmatch(r"\d{6}\.png", path.name) and path.name not in names:
                path.unlink()

    def likeness(self, query: Film, other: Film, key: np.ndarray) -> drawing.Likeness:
        """Return how near a video's frames are to the first one's, and what they were aligned by."""
        options = self.options
        picture = similarity(query.vectors, other.vectors, self.normalised, options.distance)
        names, times = (query.name, other.name), (query.times, other.times)
        if options.how == "nearest":
            return drawing.Likeness(picture, names, times, (np.arange(len(key)), key), "nearest frame")
        path = dtw(distances(query.vectors, other.vectors, options.distance))
        return drawing.Likeness(picture, names, times, (path.query, path.key))

    def write_retrieval(self, path: Path, films: Sequence[Film]) -> None:
        """Write the first video beside the nearest frames of the others."""
        places, frames = nearest(films, self.options.retrieve, self.options.distance)
        shapes = [self.shown.frames(each.file, np.zeros(1, np.int64)).shape[1:3] for each in films[1:]]
        width = max(max(1, round(wide * self.options.height / tall)) for tall, wide in shapes)
        panes = [self._pane(films[0], np.arange(len(films[0].times)))]
        panes += [self._found(films, places[:, k], frames[:, k], k, width) for k in range(self.options.retrieve)]
        write_video(path, film(panes, self.options.height), fps_of(films[0].times))

    def _pane(self, each: Film, numbers: np.ndarray) -> Shown:
        return Shown(each.name, lambda wanted: self.shown.frames(each.file, wanted), numbers, each.times)

    def _found(self, films: Sequence[Film], places: np.ndarray, frames: np.ndarray, rank: int, width: int) -> Shown:
        """Return the pane of the frames of one rank, which may be of several videos: they are numbered through."""
        starts = np.cumsum([0, *(len(each.times) for each in films)])

        def read(wanted: np.ndarray) -> np.ndarray:
            found = np.empty((len(wanted), self.options.height, width, 3), np.uint8)
            owners = np.searchsorted(starts, wanted, side="right") - 1
            for v in np.unique(owners):
                own = np.flatnonzero(owners == v)
                pictures = self.shown.frames(films[v].file, wanted[own] - starts[v])
                found[own] = [_boxed(picture, width, self.options.height) for picture in pictures]
            return found

        times = np.concatenate([each.times for each in films])
        return Shown(f"nearest {rank + 1}", read, starts[places] + frames, times)


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _boxed(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a picture scaled to a height, in the middle of a black one (height, width, 3)."""
    from PIL import Image

    wide = min(width, max(1, round(picture.shape[1] * height / picture.shape[0])))
    image = Image.fromarray(np.ascontiguousarray(picture)).resize((wide, height), Image.Resampling.BILINEAR)
    found, left = np.zeros((height, width, 3), np.uint8), (width - wide) // 2
    found[:, left : left + wide] = np.asarray(image)
    return found


# ---------------------------------------------------------------- what is written and said


def _matches(query: Film, other: Film, key: np.ndarray, options: AlignOptions) -> list[Match]:
    x, y = prepared(query.vectors, options.distance), prepared(other.vectors, options.distance)
    apart = ((x - y[key]) ** 2).sum(1) / (2 if options.distance == "cosine" else 1)
    return [
        Match(
            frame=i,
            time=round(float(query.times[i]), DIGITS),
            video=other.file,
            match=int(key[i]),
            match_time=round(float(other.times[key[i]]), DIGITS),
            distance=round(float(apart[i]), DIGITS),
        )
        for i in range(len(key))
    ]


def _say(query: Film, other: Film, key: np.ndarray) -> None:
    """Say where a video goes along with the first one."""
    first, last = other.times[key[0]], other.times[key[-1]]
    log.info(
        "%r: %.2f s to %.2f s go with %.2f s to %.2f s of %r",
        other.file,
        first,
        last,
        query.times[0],
        query.times[-1],
        query.file,
    )
