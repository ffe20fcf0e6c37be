"""The stage `anticipation-features`: what a student makes of whole videos, as a feature shard."""

import json
import os

import numpy as np
import torch

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.features.kept import ShardRows
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import In, Out
from kinoflow.store.files import key_of, sha256_of, write_keys
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.anticipation import windows
from kinoflow.tasks.anticipation.avt import AvtHead
from kinoflow.tasks.anticipation.backbones import CLIPS
from kinoflow.tasks.anticipation.data import means
from kinoflow.tasks.anticipation.options import AnticipationFeaturesOptions
from kinoflow.tasks.anticipation.scoring import Trained, read_checkpoint
from kinoflow.tasks.anticipation.sources import Pictures, Shards
from kinoflow.training.devices import device_of

TOGETHER = 512  # most steps that go through the network at once


def anticipation_features(
    model: In,
    shard: Out,
    options: AnticipationFeaturesOptions,
    features: In | None = None,
    frames: In | None = None,
    device: str = "auto",
    code: str = "",
) -> None:
    """Write what a student makes of the videos of a shard, step by step. Videos that are done already are taken over.

    model: the checkpoint of a run of anticipation
    shard: the feature shard to write
    features: the feature shard to read
    frames: the frame shard to read, for a student with a backbone of its own
    device: cpu, cuda, or auto: CUDA where there is some
    code: fingerprint of the stage's code; found out if not given
    """
    trained = read_checkpoint(model)
    eye = Steps(trained, options, features, frames, Arithmetic(device_of(device)))
    known = sha256_of(model), resolved(options), code
    keys = {video: key_of(eye.content(video), *known) for video in sorted(eye.shard.videos, key=os.fsencode)}
    old, attrs = (
        ShardRows(shard),
        {"extractor": json.dumps({"student": known[0], "what": options.what}), "dtype": options.dtype},
    )
    progress = Progress(f"anticipation-features {shard.stem}", total=len(keys), items="videos")
    with (
        eye.how.settled(),
        writing(shard, attrs, frames=False, width=eye.width, dtype=options.dtype) as writer,
        progress,
    ):
        for video, key in keys.items():
            if key in old:
                writer.add(video, *old[key])
            else:
                writer.add(video, *eye.rows(video))
                log.info("extracted %r", video)
            progress.step()
    write_keys(shard, keys)


class Steps:
    """A student that reads whole videos, a step each so many seconds."""

    def __init__(
        self,
        trained: Trained,
        options: AnticipationFeaturesOptions,
        features: In | None,
        frames: In | None,
        how: Arithmetic,
    ):
        network, of = trained.network.network, trained.options.sampling
        self.trained, self.options, self.how = trained, options, how
        self.model = trained.network.to(how.device).eval()
        if trained.options.source == "labels":
            raise ConfigError("this student is an oracle: it reads true labels, no features")
        if self.model.aggregator.group != 1:
            raise ConfigError("network.aggregator: this student joins groups of steps, so it says nothing step by step")
        if options.what == "hidden" and not isinstance(self.model.head, AvtHead):
            raise ConfigError(f"what: hidden is the state of a transformer, and this student's head is {network.head}")
        reads_frames = network.backbone != "identity"
        given = frames if reads_frames else features
        if given is None:
            raise ConfigError(f"{'frames' if reads_frames else 'features'}: give the shard that this student reads")
        clip = network.clip if network.backbone in CLIPS else 0
        self.source = Pictures([given], of.fps, network.size, clip) if reads_frames else Shards([given], of.fps)
        if not reads_frames and self.source.width != self.model.features:
            raise DataError(f"{given}: {self.source.width} columns, the student reads {self.model.features}")
        self.shard, self.width = Shard(given), network.width if options.what == "hidden" else self.model.features

    def content(self, video: str) -> str:
        """Return what stands for what is read of a video."""
        if self.shard.shape is not None:
            return self.shard.content(video)
        rows, times = self.shard.rows(video), self.shard.times(video)
        return key_of(np.ascontiguousarray(rows).tobytes().hex(), times.tolist())

    def rows(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of a video (T, D) and the time at which each is known, (T,) seconds."""
        x, times = self._seen(video)
        most = self.model.head.transformer.room if isinstance(self.model.head, AvtHead) else TOGETHER
        parts = [self._made(part) for part in torch.from_numpy(x).split(min(most, TOGETHER))]
        found = np.concatenate([np.empty((0, self.width), np.float32), *parts])
        return found.astype(self.options.dtype), times

    def _seen(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        of, all_times = self.trained.options.sampling, self.shard.times(video)
        spacing = float(np.median(np.diff(all_times))) if len(all_times) > 1 else 1.0
        end = float(all_times[-1]) + spacing / 2 if len(all_times) else 0.0
        if of.read == "mean":
            edges = windows.steps_forward(end, of.step_seconds)
            if len(edges) < 2:
                return np.zeros((0, self.model.features), np.float32), np.zeros(0)
            x, _, _ = means(*self.source.rows(video), edges, video)
            return x, edges[-len(x) :]
        times = np.arange(self.options.every, end, self.options.every)
        return self.source.frames(video, np.maximum(np.floor(times * of.fps).astype(np.int64), 1)), times

    @torch.inference_mode()
    def _made(self, x: torch.Tensor) -> np.ndarray:
        """Return what is asked for of steps x (T, ...): (T, D)."""
        steps = self.model.aggregator(self.model.backbone(x[None].to(self.how.device)))
        if self.options.what == "backbone":
            return steps[0].float().cpu().numpy()
        forecast = self.model.head(steps)
        found = forecast.hidden if self.options.what == "hidden" else forecast.told[:, : steps.shape[1]]
        return found[0].float().cpu().numpy()
