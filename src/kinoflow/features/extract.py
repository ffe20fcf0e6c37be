"""The stage that runs a network over the videos of a shard: one feature row for every clip.

A video's rows are carried over if its content, the options, the weights, the device and the code are those that they were
made with (``kinoflow.features.kept``).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinoflow.errors import ConfigError
from kinoflow.features.arithmetic import grouped
from kinoflow.features.backbones import Backbone, build
from kinoflow.features.clips import centres, needed, windows
from kinoflow.features.kept import Rows, fill
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.plan import Plan, planned
from kinoflow.features.sources import Block, DecodedVideos, StoredFrames
from kinoflow.features.transforms import decoding
from kinoflow.features.weights import drawn, load
from kinoflow.stage import Folder, In, Out
from kinoflow.store.tables import Probed, read

NOMINAL = 64  # pixels of a frame that stands for those to come, where no option gives a size


def features(
    shard: Out,
    options: FeaturesOptions,
    frames: In | None = None,
    root: Folder | None = None,
    table: In | None = None,
    weights: str | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Run a network over the videos of a shard; from frames, or from the videos themselves (root and table).

    A video that fails stops the stage, but not before the others are done; their rows are not computed again.

    shard: the feature shard to write
    frames: the frame shard (from: frames)
    root: the folder of the videos (from: video)
    table: the probe table of the shard (from: video)
    weights: in place of those of the options: none, torchvision:NAME, or a file (the checkpoint of a run)
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    plan = planned(options, weights, device)
    source = _source(plan, frames, root, table)
    keys = {video: plan.key(content, code) for video, content in source.contents.items()}
    with plan.how.settled():
        fill(shard, keys, plan.attrs(), plan.options.dtype, lambda: Extractor(plan, source))


def _source(plan: Plan, frames: Path | None, root: Path | None, table: Path | None) -> StoredFrames | DecodedVideos:
    kind = plan.options.source
    if kind == "files":
        raise ConfigError("from: feature files are taken over by `kinoflow feature-files`; give frames or video here")
    if kind == "video":
        if root is None or table is None:
            raise ConfigError("from: features of videos need --root and --table")
        return DecodedVideos(root, read(table, Probed), decoding(plan.pictures))
    if frames is None:
        raise ConfigError("from: features of frames need --frames")
    return StoredFrames(frames)


class Extractor:
    """A network with its weights in place, ready for videos of any size that it can take."""

    def __init__(self, plan: Plan, source: StoredFrames | DecodedVideos):
        self.plan, self.source = plan, source
        self.name = f"the backbone {plan.options.backbone!r}" + f" at the layer {plan.options.layer!r}" * bool(
            plan.options.layer
        )
        nominal = plan.pictures.size(NOMINAL, NOMINAL)
        network = drawn(partial(build, plan.options.backbone, nominal[0]), plan.options.seed)
        if plan.file:
            load(network, plan.file, whole=plan.whole)
        layout = torch.preserve_format if plan.video else torch.channels_last
        self.backbone = Backbone(network.to(plan.how.device, memory_format=layout), plan.options.layer)
        self.widths: dict[tuple[int, ...], int] = {}
        self.width = self._fit((3, plan.clip, *nominal) if plan.video else (3, *nominal))

    def _fit(self, shape: tuple[int, ...]) -> int:
        """Try a size of pictures or clips once, so that one that the network cannot take is an error for people."""
        if shape not in self.widths:
            self.widths[shape] = self.backbone.fit(shape)
        return self.widths[shape]

    def rows(self, video: str) -> Rows:
        """Return the features of one video, (R, D) float32, and their times, (R,) seconds; DataError if no frames come."""
        plan, times = self.plan, [np.empty(0)]

        def pick(numbers: np.ndarray) -> np.ndarray:
            return needed(numbers, *plan.clips)

        groups = grouped(self._clips(self.source.blocks(video, pick), times), plan.how.group(plan.video))
        parts = [part.numpy() for part in plan.how.run_all(self.backbone, groups)]
        found = np.concatenate([np.empty((0, self.width), np.float32), *parts])
        return found, centres(np.concatenate(times), *plan.clips)

    def _clips(self, blocks: Iterable[Block], times: list[np.ndarray]) -> Iterator[Tensor]:
        """Yield pictures (3, H, W) or clips (T, 3, H, W), normalised; put the times of all frames into ``times``."""
        for window in windows(self._pictures(blocks, times), *self.plan.clips):
            clip = torch.stack(window) if self.plan.video else window[0]
            self._fit((3, len(window), *clip.shape[2:]) if self.plan.video else tuple(clip.shape))
            yield clip

    def _pictures(self, blocks: Iterable[Block], times: list[np.ndarray]) -> Iterator[tuple[int, Tensor]]:
        for block_times, numbers, frames in blocks:
            times.append(block_times)
            if len(numbers):
                pictures = self.plan.pictures(torch.from_numpy(frames).to(self.plan.how.device))
                yield from zip(numbers.tolist(), pictures, strict=True)
