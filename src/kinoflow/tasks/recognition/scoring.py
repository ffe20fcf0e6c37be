"""What a trained network says of clips: the mean over crops, draws of segments and segments.

On a CPU each clip goes through the network by itself, in groups of a fixed number of views, on one thread: its scores depend
on the clip alone. On a GPU several clips share a group; groups follow the order of the clips.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from kinoflow.errors import DataError
from kinoflow.features.arithmetic import Arithmetic, grouped
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import Source
from kinoflow.metrics.scores import softmax
from kinoflow.options import check
from kinoflow.progress import Progress
from kinoflow.tasks.recognition import sampling
from kinoflow.tasks.recognition.data import Clip, by_weight
from kinoflow.tasks.recognition.inputs import prepare_test, prepare_validation
from kinoflow.tasks.recognition.model import Recogniser, channels_last
from kinoflow.tasks.recognition.options import ClipTestOptions, RecognitionOptions
from kinoflow.training import checkpoint

ROOM = "recognition"
PICTURES, ON_GPU = 64, 512  # that go through the network at once
OF_TORCH = (".pth", ".pt", ".tar")  # ends of names, TSM's are .pth and .pth.tar
MODES = {"one": "test", "twice": "twice", "dense": "dense"}  # of kinoflow.tasks.recognition.sampling

A, B = TypeVar("A"), TypeVar("B")


@dataclass(frozen=True)
class Trained:
    """A network, and all that is needed to use it."""

    network: Recogniser
    options: RecognitionOptions
    heads: dict[str, tuple[str, ...]]  # classes of each head, the main one first
    training: dict[str, tuple[int, ...]]  # clips of each class trained on
    frames: FramesOptions | None  # how the frames that it was trained on are made; None: flow
    mirror: bool  # whether mirrored clips have the same labels
    dataset: str

    def about(self, seed: int) -> dict[str, Any]:
        """Return what a checkpoint says of itself, as JSON values; how the network is tested is not part of it."""
        return {
            "room": ROOM,
            "options": self.options.model_dump(mode="json", exclude={"test", "test_on"}),
            "network": self.network.about(),
            "heads": self.heads,
            "training": self.training,
            "frames": self.frames and self.frames.model_dump(mode="json"),
            "mirror": self.mirror,
            "dataset": self.dataset,
            "seed": seed,
        }


@checkpoint.rebuilding
def read_checkpoint(path: Path) -> Trained:
    """Return the network of a checkpoint of this room; DataError if it is another file."""
    if path.suffix in OF_TORCH:
        raise DataError(
            f"{path}: these are weights as torch writes them; make a checkpoint of TSM's with `kinoflow recognition-import`"
        )
    tensors, about = checkpoint.read(path)
    if about.get("room") != ROOM:
        raise DataError(
            f"{path}: this is no checkpoint of a recognition run; give a model.safetensors that one has written"
        )
    network = Recogniser.rebuild(about["network"])
    checkpoint.load_into(network, tensors, path)
    options = check(RecognitionOptions, about["options"], str(path))
    return Trained(
        network=channels_last(network.eval()),  # as it was trained
        options=options,
        heads={head: tuple(about["heads"][head]) for head in by_weight(options.heads)},
        training={head: tuple(counts) for head, counts in about["training"].items()},
        frames=about["frames"] and check(FramesOptions, about["frames"], str(path)),
        mirror=about["mirror"],
        dataset=about["dataset"],
    )


class Scorer:
    """A network in the mode of evaluation.

    test: crops and draws of segments; mode: as kinoflow.tasks.recognition.sampling knows it, in place of that of the test.
    """

    def __init__(self, trained: Trained, test: ClipTestOptions, how: Arithmetic, mode: str | None = None):
        self.trained, self.test, self.how = trained, test, how
        self.segments, self.gpu = test.segments or trained.options.sampling.segments, how.device.type == "cuda"
        draws = trained.options.sampling.model_copy(update={"segments": self.segments})
        self.options = trained.options.model_copy(update={"test": test, "sampling": draws})
        self.mode = mode or MODES[test.clips]
        self.network = trained.network.to(how.device)

    def scores(self, clips: Sequence[Clip], source: Source, what: str) -> dict[str, np.ndarray]:
        """Return each head's scores of the clips, (N, K) float32; probabilities if the test asks for them.

        what: the name under which progress is told. The network is left in the mode of evaluation.
        """
        self.network.eval()
        groups = grouped(clips, max(1, ON_GPU // self.segments) if self.gpu else 1)
        found: dict[str, list[np.ndarray]] = {head: [] for head in self.trained.heads}
        with self.how.settled(), Progress(what, total=len(clips), items="clips") as progress:
            for size, x in ahead(lambda group: self._work(group, source), groups, self.how.threads):
                rows = self._forward(x) if self.gpu else x
                for head, values in rows.items():  # (clips * views, K)
                    found[head].append(values.reshape(size, -1, values.shape[1]).mean(1, dtype=np.float64))
                progress.step(size)
        return {head: self._final(np.concatenate(parts)) for head, parts in found.items()}

    def _work(self, group: list[Clip], source: Source) -> tuple[int, Any]:
        """Return the number of clips and what they come to: pictures for a GPU, else rows of scores."""
        x = torch.from_numpy(np.concatenate([self.views(clip, source) for clip in group]))
        return len(group), x if self.gpu else self._forward(x)

    def views(self, clip: Clip, source: Source) -> np.ndarray:
        """Return what the network sees of a clip, (views, T, c, S, S) float32: every crop of every draw of segments."""
        return self.planes(self.frames(clip, source))

    def frames(self, clip: Clip, source: Source) -> np.ndarray:
        """Return the frames of a clip that views are made of, (draws * T, k, H, W, C) uint8."""
        options = self.options
        moments = sampling.segments(
            clip.frames, options.sampling, sampling.consecutive(options.input), self.mode, _rng(clip)
        )  # (draws * T,)
        numbers = sampling.windows(moments, clip.frames, options.input)  # (draws * T, k)
        frames = source.frames(clip.video, clip.first + numbers.ravel())
        return frames.reshape(*numbers.shape, *frames.shape[1:])

    def planes(self, frames: np.ndarray) -> np.ndarray:
        """Return the views (views, T, c, S, S) float32 of a clip's frames (draws * T, k, H, W, C) uint8."""
        options = self.options
        planes = (
            prepare_validation(frames, options)
            if self.mode == "validate"
            else prepare_test(frames, options, self.trained.mirror)
        )  # ([crops,] draws * T, c, S, S)
        return planes.reshape(-1, self.segments, *planes.shape[-3:])

    def said(self, views: np.ndarray) -> dict[str, np.ndarray]:
        """Return each head's scores of one clip, (K,) float32, from its views (views, T, c, S, S)."""
        rows = self._forward(torch.from_numpy(views))
        return {head: self._final(each.mean(0, keepdims=True, dtype=np.float64))[0] for head, each in rows.items()}

    def _forward(self, x: torch.Tensor) -> dict[str, np.ndarray]:
        """Return each head's scores, (views, K), of views (views, T, c, S, S); a few at a time."""
        parts = x.split(max(1, (ON_GPU if self.gpu else PICTURES) // self.segments))
        with torch.inference_mode():
            rows = [self.network(part.to(self.how.device)) for part in parts]
        joined = {head: torch.cat([row[head] for row in rows]).float().cpu().numpy() for head in rows[0]}
        return {head: values.mean(1) if values.ndim == 3 else values for head, values in joined.items()}

    def _final(self, scores: np.ndarray) -> np.ndarray:
        turn = self.test.softmax and not self.trained.options.network.softmax_first
        return (softmax(scores) if turn else scores).astype(np.float32)


def _rng(clip: Clip) -> np.random.Generator:
    """Randomness of the published dense validation, which draws its stretch: the same whenever the clip is looked at."""
    return np.random.default_rng(zlib.crc32(os.fsencode(clip.segment)))


def ahead(work: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Yield work(item) in order; with several threads, the next ones are worked on meanwhile."""
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if len(waiting) == 2 * threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for result in waiting:  # whoever is interrupted does not begin new ones
                result.cancel()
