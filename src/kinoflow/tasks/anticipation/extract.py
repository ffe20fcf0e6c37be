"""The stage `anticipation-features`: what a student makes of whole videos, as a feature shard."""

import json
import math
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
from kinoflow.tasks.anticipation.sources import Pictures, Shards, View
from kinoflow.tasks.anticipation.watching import frame_numbers
from kinoflow.training.devices import device_of

TOGETHER = 64  # sequences, or frames, that go through the network at once


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
        view = View(trained.options.pictures.short or network.size)
        self.source = (
            Pictures([given], of.fps, network.size, clip, view, of.lookback)
            if reads_frames
            else Shards([given], of.fps, of.lookback)
        )
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
        """Return the features of a video (T, D) and the time at which each is known, (T,) seconds.

        A row is what the student makes of the window that ends there, as in training: of ``sampling.steps`` steps at most.
        """
        by_frames = self.trained.options.sampling.read == "frames"
        found, times = self._of_frames(video) if by_frames else self._of_means(video)
        return found.astype(self.options.dtype), times

    def _of_means(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        of = self.trained.options.sampling
        edges = windows.steps_forward(self._end(video), of.step_seconds)
        if len(edges) < 2:
            return np.zeros((0, self.width), np.float32), np.zeros(0)
        rows, all_times = self.source.rows(video)
        x = torch.from_numpy(means(rows, all_times, edges, video)[0])
        times, most = edges[-len(x) :], windows.whole_steps(of.observed, of.step_seconds, of.steps)
        if most is None:
            seen = (windows.steps_back(at - of.observed, at, of.step_seconds, of.steps) for at in times.tolist())
            alone = (torch.from_numpy(means(rows, all_times, own, video)[0]) for own in seen)
            return np.concatenate([self._made(each[None])[:, -1] for each in alone]), times
        begun = self._made(x[None, :most])[0]
        if len(x) <= most:
            return begun, times
        later = x.unfold(0, most, 1)[1:].transpose(1, 2)  # (T - most, most, D)
        return np.concatenate([begun, self._last(later)]), times

    def _of_frames(self, video: str) -> tuple[np.ndarray, np.ndarray]:
        of = self.trained.options.sampling
        times = np.arange(self.options.every, self._end(video), self.options.every)
        times = times[np.floor(times * of.fps) >= windows.FIRST]
        if not len(times):
            return np.zeros((0, self.width), np.float32), times
        seen = np.stack([frame_numbers(of, at) for at in times.tolist()])  # (T, steps)
        numbers, where = np.unique(seen, return_inverse=True)
        return self._last(self._each(video, numbers)[torch.from_numpy(where.reshape(seen.shape))]), times

    def _end(self, video: str) -> float:
        times = self.shard.times(video)
        spacing = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        return float(times[-1]) + spacing / 2 if len(times) else 0.0

    @torch.inference_mode()
    def _each(self, video: str, numbers: np.ndarray) -> torch.Tensor:
        """Return the features of numbered frames by the backbone, (n, D)."""
        if self.model.network.backbone == "identity":
            return torch.from_numpy(self.source.frames(video, numbers))
        parts = np.array_split(numbers, math.ceil(len(numbers) / TOGETHER))
        shown = (torch.from_numpy(self.source.frames(video, part)).to(self.how.device) for part in parts)
        return torch.cat([self.model.backbone(x[None])[0].cpu() for x in shown])

    def _last(self, x: torch.Tensor) -> np.ndarray:
        """Return what is asked for of the last steps of sequences (n, T, D): (n, W)."""
        return np.concatenate([self._made(part)[:, -1] for part in x.split(TOGETHER)])

    @torch.inference_mode()
    def _made(self, x: torch.Tensor) -> np.ndarray:
        """Return what is asked for of the steps of sequences (n, T, D): (n, T, W)."""
        steps = self.model.aggregator(x.to(self.how.device))
        if self.options.what == "backbone":
            return steps.float().cpu().numpy()
        forecast = self.model.head(steps)
        found = forecast.hidden if self.options.what == "hidden" else forecast.told[:, : steps.shape[1]]
        return found.float().cpu().numpy()
