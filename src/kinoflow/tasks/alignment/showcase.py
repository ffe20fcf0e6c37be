"""What alignment looks like: two clips and the path between them, an aligned video, and frames found in other clips."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.datasets.contact_sheet import Strip, compose
from kinoflow.media.sample import evenly
from kinoflow.metrics.alignment import pairwise_tau, prepared
from kinoflow.report.section import MAX_VIDEO, Block, Figure, Heading, Text, Video
from kinoflow.store.shards import Shard
from kinoflow.tasks.alignment import drawing
from kinoflow.tasks.alignment.data import Clip, Source
from kinoflow.tasks.alignment.dtw import align, distances, dtw
from kinoflow.tasks.alignment.measures import similarity
from kinoflow.tasks.alignment.panes import Shown, film, fps_of

CANDIDATES = 30  # clips among which the pair is chosen
TOGETHER = 3  # clips of the aligned video
QUERIES, FOUND = 4, 5  # frames that are looked for; frames that are shown of what is found
HEIGHT = 160  # pixels of each pane
LONGEST = 1500  # frames of the aligned video
QUALITIES = (26, 32, 38, 44, 51)  # CRF, until the video is small enough


@dataclass(frozen=True)
class Example:
    """Test clips of one set, and the vectors of their frames."""

    clips: list[Clip]
    vectors: list[np.ndarray]

    @classmethod
    def of(cls, clips: Sequence[Clip], embeddings: Path, every: int) -> "Example | None":
        """Return the clips that the shard has; None if there are not two of them."""
        shard = Shard(embeddings)
        kept = [clip for clip in clips if clip.name in shard and len(shard.rows(clip.name))][:CANDIDATES]
        vectors = [np.asarray(shard.rows(clip.name), np.float64) for clip in kept]
        thinned = [_thinned(clip, every) for clip in kept]
        fits = all(len(v) == clip.frames for v, clip in zip(vectors, thinned, strict=True))
        return cls(thinned, vectors) if len(kept) > 1 and fits else None

    def pair(self) -> tuple[int, int]:
        """Return the two clips whose tau is nearest to the mean of all pairs: neither a lucky nor an unlucky example."""
        table = pairwise_tau(self.vectors)
        known = np.isfinite(table)
        if not known.any():
            return 0, 1
        gap = np.where(known, np.abs(table - table[known].mean()), np.inf)
        i, j = np.unravel_index(int(gap.argmin()), gap.shape)
        return int(i), int(j)


def _thinned(clip: Clip, every: int) -> Clip:
    return Clip(clip.name, clip.video, clip.first, clip.times[::every], clip.labels[::every], clip.set, clip.split)


def blocks(example: Example, source: Source | None, normalised: bool, who: str, every: int = 1) -> list[Block]:
    """Return the figures and the video of an example. source: frames; None: there are no pictures.

    normalised: whether vectors have length 1. who: the run, for captions. every: stride of the vectors' frames.
    """
    i, j = example.pair()
    return [
        Heading("Two clips and the path between them"),
        _matrix(example, i, j, normalised, who),
        *(_aligned(example, i, j, source, who, every) if source else []),
        *(_strips(example, source, who, every) if source else [Text("There are no frames here, and so no pictures.")]),
    ]


def _matrix(example: Example, i: int, j: int, normalised: bool, who: str) -> Figure:
    x, y = example.vectors[i], example.vectors[j]
    picture = similarity(x, y, normalised)
    path = dtw(distances(x, y))
    clips = example.clips[i], example.clips[j]
    svg = drawing.similarity(
        picture, ("first clip", "second clip"), tuple(c.times for c in clips), (path.query, path.key)
    )
    caption = (
        f"Frames of {clips[0].name} (across) and {clips[1].name} (up), embedded by {who}: the darker, the nearer (softmax over each"
        " column). The line is the cheapest path. Of all pairs, this one's tau is nearest to the mean."
    )
    return Figure(f"Similarity of two clips' frames, and the path that aligns them, by {who}", caption, svg=svg)


# ---------------------------------------------------------------- aligned video


def _aligned(example: Example, i: int, j: int, source: Source, who: str, every: int) -> list[Block]:
    chosen = [i, j, *(k for k in range(len(example.clips)) if k not in (i, j))][:TOGETHER]
    query = example.clips[i]
    numbers = [np.arange(min(query.frames, LONGEST))]
    numbers += [align(example.vectors[i], example.vectors[k])[: len(numbers[0])] for k in chosen[1:]]
    panes = [
        Shown(f"clip {n + 1}", _reader(source, example.clips[k], every), own, example.clips[k].times)
        for n, (k, own) in enumerate(zip(chosen, numbers, strict=True))
    ]
    mp4 = encoded(panes, HEIGHT, max(1, min(fps_of(query.times), 60)))
    if not mp4:
        return []
    names = ", ".join(example.clips[k].name for k in chosen)
    caption = f"{names}: the clips behind the first one show the frame that {who} aligns with its frame (DTW). Times count in each video."
    return [Video(mp4, f"{len(chosen)} clips side by side, aligned by {who}", caption)]


def _reader(source: Source, clip: Clip, every: int):
    return lambda wanted: source.frames(clip.video, clip.first + wanted * every)


def encoded(panes: Sequence[Shown], height: int, fps: int) -> bytes:
    """Return an mp4 of panes of at most 3 MB: the finest quality that is small enough; empty if none is."""
    from kinoflow.media.write import write_video

    with tempfile.TemporaryDirectory() as folder:
        for crf in QUALITIES:
            path = Path(folder, "aligned.mp4")
            write_video(path, film(panes, height), fps, crf=crf)
            if path.stat().st_size <= MAX_VIDEO:
                return path.read_bytes()
    return b""


# ---------------------------------------------------------------- retrieval


def _strips(example: Example, source: Source, who: str, every: int) -> list[Block]:
    """Return the figure of frames of the first clip and the nearest frames of the others."""
    query = example.clips[0]
    pool = range(1, len(example.clips))
    keys = np.concatenate([prepared(example.vectors[k], "sqeuclidean") for k in pool])
    owner = np.concatenate([np.full(example.clips[k].frames, k) for k in pool])
    frame = np.concatenate([np.arange(example.clips[k].frames) for k in pool])
    strips = []
    for number in evenly(query.frames, min(QUERIES, query.frames)):
        order = np.argsort(((keys - example.vectors[0][number]) ** 2).sum(1), kind="stable")[:FOUND]
        places = [(0, int(number)), *((int(owner[k]), int(frame[k])) for k in order)]
        strips.append(_strip(example, source, places, every))
    labels = any(any(clip.labels) for clip in example.clips)
    caption = f"First of each row: a frame of {query.name}. Behind it the {FOUND} nearest frames of other clips, nearest first, by {who}."
    caption += " Above: the phase that is looked for, and those that were found." if labels else ""
    picture = compose(strips, FOUND + 1)
    said = f"Frames of a clip and the nearest frames of {len(example.clips) - 1} others"
    return [Heading("The nearest frames of other clips"), Figure(said, caption, image=picture)]


def _strip(example: Example, source: Source, places: Sequence[tuple[int, int]], every: int) -> Strip:
    pictures, times, labels = [], [], []
    for clip, number in places:
        own = example.clips[clip]
        pictures.append(source.frames(own.video, np.array([own.first + number * every]))[0])
        times.append(own.times[number])
        labels.append(own.labels[number])
    name = labels[0] or "frame"
    found = [label or "no phase" for label in labels[1:]]
    counts: Mapping[str, int] = {label: found.count(label) for label in dict.fromkeys(found)}
    facts = ", ".join(f"{count} {label}" for label, count in counts.items()) if any(labels) else ""
    return Strip(name, facts, _stacked(pictures), np.array(times), float(max(times)))


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures of one height, in the size of the first, (n, H, W, 3)."""
    from PIL import Image

    high = max(96, pictures[0].shape[0])
    wide = max(1, round(pictures[0].shape[1] * high / pictures[0].shape[0]))
    images = [
        Image.fromarray(np.ascontiguousarray(each)).resize((wide, high), Image.Resampling.BICUBIC) for each in pictures
    ]
    return np.stack([np.asarray(image) for image in images])
