"""From rows of actions to samples: which actions are anticipated, what is seen before each, and what the teacher says.

N samples, T steps, D features. Sequences have a fixed number of steps: shorter ones are filled up on the right with zeros, and
their length stands beside them; where a network joins groups of steps they are filled up in front with their first step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes, Rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.tasks.anticipation import windows
from kinoflow.tasks.anticipation.backbones import CLIPS
from kinoflow.tasks.anticipation.options import AnticipationOptions, PicturesOptions
from kinoflow.tasks.anticipation.rulstm_lmdb import Lmdb
from kinoflow.tasks.anticipation.sources import Files, Labels, Pictures, Shards, Source, View
from kinoflow.tasks.anticipation.windows import NONE

REMEMBERED = 256_000_000  # bytes of samples that are kept in memory


@dataclass(frozen=True)
class Samples:
    """Actions to be anticipated, and when the student looks before each. N of them, in the order of the rows."""

    rows: Rows
    start: np.ndarray  # (N,) seconds
    end: np.ndarray
    dropped: tuple[str, ...] = ()  # uids of the actions that have no window

    def __len__(self) -> int:
        return len(self.start)

    @property
    def seconds(self) -> np.ndarray:
        """The time from each window's end to the action's start, (N,)."""
        return self.rows.start - self.end

    def take(self, chosen: np.ndarray) -> "Samples":
        """Return some of the samples."""
        return Samples(self.rows.take(chosen), self.start[chosen], self.end[chosen], self.dropped)


def samples(rows: Rows, chosen: np.ndarray, options: AnticipationOptions, gap: float | None = None) -> Samples:
    """Return the samples among the rows that are ``chosen`` (a mask); all rows count as what happened before.

    gap: a fixed one, in place of the window of the options.
    """
    of = options.sampling
    if options.window == "previous_end" and gap is None:
        found = windows.until_previous(rows.start, rows.end, rows.video, of.observed, of.skip)
    else:
        before = windows.before(rows.start, rows.end, of.gap if gap is None else gap, of.observed, of.drop, of.fps)
        late = _number_in_video(rows)[before.rows] >= of.skip
        lost = np.sort(np.append(before.dropped, before.rows[~late]))
        found = windows.Windows(before.rows[late], lost, before.start[late], before.end[late])
    kept = chosen[found.rows]
    which = found.rows[kept]
    dropped = tuple(str(uid) for uid in rows.uid[found.dropped[chosen[found.dropped]]])
    if dropped:
        log.info("%d of %d actions have no window before them and are left out", len(dropped), int(chosen.sum()))
    return Samples(rows.take(which), found.start[kept], found.end[kept], dropped)


def _number_in_video(rows: Rows) -> np.ndarray:
    """Return how many actions of its video stand before each, (N,)."""
    if not len(rows):
        return np.zeros(0, np.int64)
    new = np.append(True, rows.video[1:] != rows.video[:-1])
    begins = np.flatnonzero(new)
    return np.arange(len(rows)) - np.repeat(begins, np.diff(np.append(begins, len(rows))))


def in_splits(rows: Rows, splits: Iterable[str], option_name: str) -> np.ndarray:
    """Return which rows are of these splits, (N,) bool; ConfigError if one of them has no row."""
    found = np.zeros(len(rows), bool)
    for split in dict.fromkeys(splits):
        own = rows.split == split
        if not own.any():
            there = ", ".join(sorted(map(repr, set(rows.split)))) or "none"
            raise ConfigError(f"{option_name}: no action is in the split {split!r} (splits there: {there})")
        found |= own
    return found


def held_out(rows: Rows, training: np.ndarray, names: Iterable[str]) -> np.ndarray:
    """Return which training rows are of the recordings ``names``, (N,) bool; ConfigError if one has no row."""
    names = list(names)
    recordings = np.array(
        [recording or video for recording, video in zip(rows.recording, rows.video, strict=True)], object
    )
    there = set(recordings[training])
    lost = [name for name in names if name not in there]
    if lost:
        some = ", ".join(map(repr, sorted(there)[:3]))
        raise ConfigError(f"hold_out: no action to train on is of the recording {lost[0]!r}; give some of {some}, ...")
    return training & np.isin(recordings, names)


def only(rows: Rows, training: np.ndarray, uids: Sequence[str]) -> np.ndarray:
    """Return the training rows with these uids, (N,) bool, or all if none are given; ConfigError for one that is not there."""
    if not uids:
        return training
    lost = sorted(set(uids) - set(rows.uid[training]))
    if lost:
        raise ConfigError(f"only: no action to train on has the uid {lost[0]!r}; correct the list")
    return training & np.isin(rows.uid.astype(str), list(uids))


# ---------------------------------------------------------------- where features come from


def source(
    options: AnticipationOptions,
    classes: Classes,
    rows: Rows,
    features: Sequence[Path] | None,
    frames: Sequence[Path] | None,
    root: Path | None,
) -> Source:
    """Return what gives the features that the options ask for; ConfigError if what is given does not fit them."""
    fps, lookback, network = options.sampling.fps, options.sampling.lookback, options.network
    if options.source == "labels":
        return Labels(by_video(rows), len(classes.names), fps)
    if network.backbone != "identity":
        if options.sampling.read != "frames":
            raise ConfigError("sampling.read: a backbone reads single frames; take read: frames")
        view = View(options.pictures.short or network.size)
        clip = network.clip if network.backbone in CLIPS else 0
        return Pictures(frames or (), fps, network.size, clip, view, lookback)
    if bool(features) == (root is not None):
        raise ConfigError(
            "features, root: give the feature shards, or a folder of feature files or an LMDB, and not both"
        )
    if features:
        return Shards(features, fps, lookback)
    return Lmdb(root, lookback) if (Path(root) / "data.mdb").is_file() else Files(root, fps, lookback)


def by_video(rows: Rows) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return {video: (start, end, action) of its actions, by start}."""
    found = {}
    for video in dict.fromkeys(rows.video):
        own = np.flatnonzero(rows.video == video)
        found[video] = rows.start[own], rows.end[own], rows.action[own]
    return found


# ---------------------------------------------------------------- what is seen


@dataclass(frozen=True)
class Seen:
    """One sample as a sequence: x (T, D) or (T, 3, S, S); length: steps that count; times: (T,) middles of steps, seconds."""

    x: np.ndarray
    length: int
    past: dict[str, np.ndarray]  # {target: (T,) class of each step, -1 where there is none}
    times: np.ndarray


class Reader:
    """Reads sequences of samples.

    known: the rows whose labels steps may show (those of the same part of the data). full: fill up in front, so that every
    sequence has all steps. view: the square of frames that is seen, if it is not the source's own.
    """

    def __init__(
        self,
        given: Source,
        options: AnticipationOptions,
        known: Rows,
        targets: Sequence[str],
        full: bool,
        view: View | None = None,
    ):
        self.source, self.options, self.targets, self.full = given, options, tuple(targets), full
        self.view = view
        self.actions = {
            video: {
                "start": known.start[own],
                "end": known.end[own],
                **{target: known.labels(target)[own] for target in targets},
            }
            for video in dict.fromkeys(known.video)
            if len(own := np.flatnonzero(known.video == video))
        }

    def seen(self, video: str, start: float, end: float, rng: np.random.Generator | None = None) -> Seen:
        """Return what is seen of a video from ``start`` to ``end``; DataError if there are no features in it."""
        of = self.options.sampling
        if of.read == "frames":
            return self._by_frames(video, start, end, rng)
        edges = windows.steps_back(start, end, of.step_seconds, of.steps)
        x, numbers, times = means(*self.source.rows(video), edges, video)
        middles = (edges[:-1] + edges[1:])[-len(x) :] / 2
        past = {target: np.full(of.steps, NONE, np.int64) for target in self.targets}
        for target in self.targets:
            told = self.labels(video, times, target)
            past[target][: len(x)] = [windows.commonest(told[own]) for own in numbers]
        return self._filled(x, past, middles)

    def past(
        self, video: str, start: float, end: float, rng: np.random.Generator | None = None
    ) -> dict[str, np.ndarray]:
        """Return the past labels alone of what `seen` returns; no frame is read for them."""
        if self.options.sampling.read == "frames":
            return self._framed(video, start, end, rng)[2]
        return self.seen(video, start, end).past

    def _by_frames(self, video: str, start: float, end: float, rng: np.random.Generator | None) -> Seen:
        numbers, times, past = self._framed(video, start, end, rng)
        return Seen(self._shown(video, numbers, rng), len(numbers), past, times)

    def _framed(
        self, video: str, start: float, end: float, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Return the numbers of the frames that are seen, their times, and the past labels."""
        of = self.options.sampling
        strategy = "center_clip" if of.strategy == "random_clip" and rng is None else of.strategy
        try:
            numbers, times = windows.frame_numbers(start, end, of.steps, of.rate, of.fps, strategy, rng)
        except ValueError as error:
            raise DataError(f"{video!r}: {error}; leave it out with sampling.drop") from None
        return numbers, times, {target: self.labels(video, times, target) for target in self.targets}

    def _shown(self, video: str, numbers: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        if not isinstance(self.source, Pictures):
            return self.source.frames(video, numbers)
        drawn = None if rng is None else drawn_view(self.options.pictures, self.source.view, rng)
        return self.source.frames(video, numbers, drawn or self.view)

    def labels(self, video: str, times: np.ndarray, target: str) -> np.ndarray:
        """Return the label of what is done at moments of a video, (n,) int64; -1 where nothing known is."""
        own = self.actions.get(video)
        if own is None:
            return np.full(len(times), NONE, np.int64)
        return windows.labels_at(times, own["start"], own["end"], own[target], self.options.sampling.past_label)

    def _filled(self, x: np.ndarray, past: dict[str, np.ndarray], middles: np.ndarray) -> Seen:
        steps, length = self.options.sampling.steps, len(x)
        short = steps - length
        if not self.full:
            filled = np.concatenate([x, np.zeros((short, x.shape[1]), np.float32)])
            return Seen(filled, length, past, np.append(middles, np.full(short, middles[-1])))
        first = np.repeat(x[:1], short, axis=0)
        moved = {name: np.append(np.full(short, labels[0]), labels[:length]) for name, labels in past.items()}
        return Seen(np.concatenate([first, x]), steps, moved, np.append(np.full(short, middles[0]), middles))


def drawn_view(options: PicturesOptions, plain: View, rng: np.random.Generator) -> View:
    """Return the square of frames that a training sample sees: drawn as the options ask, else as in ``plain``."""
    short, place = plain.short, plain.place
    if options.drawn:
        short = int(rng.integers(options.drawn[0], options.drawn[1] + 1))
        place = float(rng.random()), float(rng.random())
    return View(short, place, bool(options.flip and rng.random() < options.flip))


def means(
    rows: np.ndarray, times: np.ndarray, edges: np.ndarray, video: str
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the mean features of steps (n, D) float32, the numbers of each step's rows, and the times of these rows.

    rows: (T, D). edges: (n + 1,) seconds; a step holds the rows from its first edge on, before its last. Steps without a row
    are left out at the beginning, and have the features of the step before them later. Of a window too short for a row the
    nearest one is taken; DataError if none is near.
    """
    at = np.searchsorted(times, edges)
    first, last = at[:-1], at[1:]
    filled = np.flatnonzero(last > first)
    if not len(filled):
        near = _nearest(times, float(edges[-1]))
        if near is not None:
            return np.asarray(rows[near], np.float32), [np.array([0])], times[near]
        raise DataError(
            f"the video {video!r} has no features from {edges[0]:.2f} s to {edges[-1]:.2f} s; extract them from the whole video"
        )
    low = int(at[0])
    part = np.asarray(rows[low : at[-1]], np.float32)
    found, numbers = [], []
    for i in range(filled[0], len(first)):
        own = np.arange(first[i] - low, last[i] - low)
        found.append(part[own].mean(0) if len(own) else found[-1])
        numbers.append(own if len(own) else numbers[-1])
    return np.stack(found), numbers, times[low : at[-1]]


def _nearest(times: np.ndarray, moment: float) -> np.ndarray | None:
    """Return the number of the row at a moment, (1,), that is not further from it than rows are from each other."""
    if not len(times):
        return None
    spacing = float(np.median(np.diff(times))) if len(times) > 1 else np.inf
    near = int(np.abs(times - moment).argmin())
    return np.array([near]) if abs(times[near] - moment) <= spacing else None


class Sequences:
    """The sequences of samples, remembered where they are small and nothing in them is drawn."""

    def __init__(self, of: Samples, reader: Reader):
        self.samples, self.reader = of, reader
        sampling = reader.options.sampling
        size = len(of) * sampling.steps * max(reader.source.width, 1) * 4
        drawn = sampling.read == "frames" and sampling.strategy == "random_clip"
        plain = reader.options.network.backbone == "identity"
        self._remembered = lru_cache(None)(self._read) if size <= REMEMBERED and plain and not drawn else None

    def __getstate__(self) -> dict[str, Any]:
        return {"samples": self.samples, "reader": self.reader}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["samples"], state["reader"])

    def __len__(self) -> int:
        return len(self.samples)

    def __call__(self, number: int, rng: np.random.Generator | None = None) -> Seen:
        """Return a sample's sequence; ``rng`` for what the options draw."""
        return self._remembered(number) if self._remembered else self._read(number, rng)

    def past(self, number: int, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
        """Return the past labels alone of a sample's sequence, {target: (T,)}."""
        if self._remembered:
            return self._remembered(number).past
        of = self.samples
        return self.reader.past(of.rows.video[number], float(of.start[number]), float(of.end[number]), rng)

    def _read(self, number: int, rng: np.random.Generator | None = None) -> Seen:
        of = self.samples
        return self.reader.seen(of.rows.video[number], float(of.start[number]), float(of.end[number]), rng)


def check_targets(targets: Iterable[str], classes: Classes) -> dict[str, int]:
    """Return the classes of each target; ConfigError for one that the dataset does not have."""
    heads = classes.heads
    for target in targets:
        if target not in heads:
            raise ConfigError(f"network.targets: the dataset has no {target}s; leave it out")
    return {target: heads[target] for target in targets}
