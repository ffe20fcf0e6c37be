"""What a student with a backbone of its own says of videos: their frames are made as those of its training were."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.remake import remade_frames
from kinoflow.store.shards import Shard
from kinoflow.tasks.anticipation import windows
from kinoflow.tasks.anticipation.backbones import CLIPS
from kinoflow.tasks.anticipation.options import SamplingOptions
from kinoflow.tasks.anticipation.scoring import Expected, Scorer, Trained
from kinoflow.tasks.anticipation.sources import Pictures, View

Told = tuple[float | None, str, Expected | None]  # a moment in seconds, why nothing can be told, what is expected


class Watcher:
    """A student that reads frames, and how it is shown videos. Raises ConfigError if its checkpoint does not say how."""

    def __init__(self, trained: Trained, scorer: Scorer):
        if trained.origin.frames is None:
            raise ConfigError(
                "the checkpoint does not say how its frames are made: train again, or make frames and use `kinoflow"
                " anticipation-evaluate`"
            )
        self.trained, self.scorer = trained, scorer

    def told(self, videos: Sequence[Path], at: float | None) -> dict[str, Told]:
        """Return what is told of each video by its name: of the moment ``at`` (seconds), or of its end.

        Frames are made together; where a video breaks off, of each by itself.
        """
        if not videos:
            return {}
        try:
            with remade_frames(videos, self.trained.origin.frames) as path:
                return {os.fspath(video): self._told(path, os.fspath(video), at) for video in videos}
        except DataError as error:
            if len(videos) == 1:
                return {os.fspath(videos[0]): (None, str(error), None)}
        return {name: found for video in videos for name, found in self.told([video], at).items()}

    def _told(self, path: Path, video: str, at: float | None) -> Told:
        options = self.trained.options
        network, of = options.network, options.sampling
        times = Shard(path).times(video)
        spacing = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        end = float(times[-1]) + spacing / 2
        moment = end if at is None else at
        if moment > end + spacing:
            return moment, f"it ends at {end:.2f} s", None
        clip = network.clip if network.backbone in CLIPS else 0
        view = View(options.pictures.short or network.size)
        pictures = Pictures([path], of.fps, network.size, clip, view, of.lookback)
        try:
            x = pictures.frames(video, frame_numbers(of, moment))
        except DataError as error:
            return moment, str(error), None
        return moment, "", self.scorer.expected(x, len(x))


def frame_numbers(of: SamplingOptions, at: float) -> np.ndarray:
    """Return the numbers of the frames that are read before the moment ``at``; DataError if there is none."""
    strategy = "center_clip" if of.strategy == "random_clip" else of.strategy
    try:
        return windows.frame_numbers(at - of.observed, at, of.steps, of.rate, of.fps, strategy)[0]
    except ValueError as error:
        raise DataError(str(error)) from None
