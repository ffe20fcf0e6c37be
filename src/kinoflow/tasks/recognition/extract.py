"""The stage that runs a trained network of this room along whole videos: the features that other rooms read.

A video is one long clip: a row for every window of frames, ``stride`` frames apart, and what works along time in the network
works between these rows. Rows are what the heads read. Long videos go through the network in pieces that overlap by as many
rows as a shift can reach, so that pieces leave no trace.
"""

from pathlib import Path

import numpy as np
import torch

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.clips import places
from kinoflow.features.kept import Rows, fill
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.sources import DecodedVideos, StoredFrames
from kinoflow.media.options import FramesOptions
from kinoflow.media.reading import FrameShards, Source, Videos
from kinoflow.options import resolved
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, parse_json, sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed, read
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
    _check(trained, options)
    source, contents = _source(trained, options, frames, root, table)
    how = Arithmetic(device_of(device))
    attrs = {
        "extractor": resolved(options, ("weights", "batch", "threads")),
        "pictures": "",
        "weights": sha256_of(weights),
        "dtype": options.dtype,
        "device": how.device.type,
        "blocks": "{}",
    }
    keys = {video: key_of(content, attrs, code) for video, content in contents.items()}
    with how.settled():
        fill(shard, keys, attrs, options.dtype, lambda: WholeVideos(trained, options.stride, source, how))


def _check(trained: Trained, options: FeaturesOptions) -> None:
    """Refuse networks whose rows would depend on where a video is cut into pieces."""
    if options.backbone != "trained":
        raise ConfigError(f"backbone: {options.backbone!r} is for `kinoflow features`; here it is `trained`")
    network = trained.network.network
    for name in ("fuse", "temporal_pool", "non_local"):
        if getattr(network, name):
            raise ConfigError(
                f"weights: a network with network.{name} reads clips of a fixed length, not whole videos; take a run without"
            )


def _source(
    trained: Trained, options: FeaturesOptions, frames: Path | None, root: Path | None, table: Path | None
) -> tuple[Source, dict[str, str]]:
    """Return where frames come from, and {video: what tells its frames from others}."""
    if options.source == "video":
        if root is None or table is None:
            raise ConfigError("from: features of videos need --root and --table")
        made = trained.frames or decoding(trained.options)
        return Videos(root, made), DecodedVideos(root, read(table, Probed), made).contents
    if frames is None:
        raise ConfigError("from: features of frames need --frames")
    stored = StoredFrames(frames)
    _check_made(stored.shard, trained)
    return FrameShards([stored.shard]), stored.contents


def _check_made(shard: Shard, trained: Trained) -> None:
    """Refuse frames that differ from those that the network was trained on in rate, number, size or shape."""
    here = FramesOptions.model_validate(parse_json(shard.attrs.get("options", "{}")))
    there = trained.frames or here
    for name in ("rate", "count", "size", "shape"):
        mine, its = getattr(here, name), getattr(there, name)
        if mine != its:
            raise ConfigError(
                f"frames: {shard.path} is made with {name}: {mine}, but the network was trained on frames with {name}: {its};"
                " give the frames that it was trained on"
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
