"""The stage that runs a trained network of this room along whole videos: the features that other rooms read.

A video is one long clip: a row for every window of frames, ``stride`` frames apart, and what works along time in the network
works between these rows. Rows are what the heads read. Long videos go through the network in pieces that overlap by as many
rows as a shift can reach, so that pieces leave no trace.
"""

import numpy as np
import torch

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.clips import places
from kinoflow.features.kept import Rows
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.whole import frames_for, write_rows
from kinoflow.media.reading import Source
from kinoflow.stage import Folder, In, Out
from kinoflow.tasks.recognition import sampling
from kinoflow.tasks.recognition.data import decoding
from kinoflow.tasks.recognition.inputs import prepare_validation
from kinoflow.tasks.recognition.scoring import Trained, read_checkpoint
from kinoflow.tasks.recognition.shift import TemporalShift
from kinoflow.training.devices import device_of

PIECE = 64  # rows that go through the network at once, beside those that overlap


def recognition_features(
    shard: Out,
    options: FeaturesOptions,
    weights: In,
    frames: In | None = None,
    root: Folder | None = None,
    table: In | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Run a trained network along the videos of a shard; from frames, or from the videos themselves (root and table).

    shard: the feature shard to write
    weights: the checkpoint of a recognition run
    frames: the frame shard (from: frames); its frames must be made as those that the network was trained on
    root: the folder of the videos (from: video)
    table: the probe table of the shard (from: video)
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    trained = read_checkpoint(weights)
    _check(trained)
    source, _, contents = frames_for(options, trained.frames, lambda: decoding(trained.options), frames, root, table)
    how = Arithmetic(device_of(device))
    write_rows(shard, options, weights, contents, how, code, lambda: WholeVideos(trained, options.stride, source, how))


def _check(trained: Trained) -> None:
    """Refuse networks whose rows would depend on where a video is cut into pieces."""
    network = trained.network.network
    for name in ("fuse", "temporal_pool", "non_local"):
        if getattr(network, name):
            raise ConfigError(
                f"weights: a network with network.{name} reads clips of a fixed length, not whole videos; take a run without"
            )


class WholeVideos:
    """A trained network that reads each video as one clip."""

    def __init__(self, trained: Trained, stride: int, source: Source, how: Arithmetic):
        self.source, self.stride, self.how = source, stride, how
        self.network = trained.network.to(how.device).eval()
        one = trained.options.sampling.model_copy(update={"segments": 1})  # values are normalised row by row
        self.options = trained.options.model_copy(update={"sampling": one})
        self.width = self.network.fc[next(iter(trained.heads))].in_features
        self.reach = sum(isinstance(module, TemporalShift) for module in self.network.modules())
        self.name = "the trained network"

    def rows(self, video: str) -> Rows:
        """Return the features of one video, (R, D) float32, and their times, (R,) seconds: the middle of each window."""
        times = self.source.times(video)
        numbers = self.windows(len(times))  # (R, k)
        parts = [np.empty((0, self.width), np.float32)]
        for first in range(0, len(numbers), PIECE):
            parts.append(self._piece(video, numbers, first, min(first + PIECE, len(numbers))))
        return np.concatenate(parts), (times[numbers[:, 0]] + times[numbers[:, -1]]) / 2

    def windows(self, frames: int) -> np.ndarray:
        """Return the frames of each row's window, (R, k) int64; one of a video shorter than it repeats frames."""
        given, span = self.options.input, sampling.needed(self.options.input)
        starts = places(frames, span, 1, self.stride)[:, 0]
        return sampling.windows(starts + (span // 2 if given.kind == "gray" else 0), frames, given)

    def _piece(self, video: str, numbers: np.ndarray, first: int, end: int) -> np.ndarray:
        """Return the rows ``first`` to ``end`` (exclusive), (n, D), computed with all rows that they can depend on."""
        begin, stop = max(0, first - self.reach), min(len(numbers), end + self.reach)
        read = numbers[begin:stop]
        frames = self.source.frames(video, read.ravel())
        planes = prepare_validation(frames.reshape(*read.shape, *frames.shape[1:]), self.options)
        x = torch.from_numpy(planes)[None].to(self.how.device)  # (1, n, c, S, S)
        with torch.inference_mode():
            found = self.network.features(x)[0].float().cpu().numpy()
        return found[first - begin : end - begin]
