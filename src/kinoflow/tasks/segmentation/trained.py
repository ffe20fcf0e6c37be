"""A trained segmentation: its models, and all that is needed to use them; to and from a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.origin import Origin
from kinoflow.options import check
from kinoflow.tasks.segmentation.labels import Vocabulary
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.options import SegmentationOptions
from kinoflow.training import checkpoint

ROOM = "segmentation"
MIXED = ""  # the task of a model of all tasks


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds.

    models: by task, one of the name ``MIXED`` for all. columns: of the features, that rows are made of. seconds: of a row, the
    median of its videos. width: columns that the features have. counts: rows of each label of each task among the training
    videos. origin: how the features were made.
    """

    models: dict[str, SegmentModel]
    options: SegmentationOptions
    vocabulary: Vocabulary
    columns: np.ndarray
    width: int
    seconds: float
    counts: dict[str, dict[int, int]]
    origin: Origin
    dataset: str = ""

    @property
    def labelled(self) -> bool:
        """Whether states stand for labels."""
        return self.options.labelled

    @property
    def states(self) -> int:
        """States of the largest model."""
        return max(model.states for model in self.models.values())

    def model_of(self, task: str) -> SegmentModel:
        """Return the model of a task; ConfigError if there is none."""
        if MIXED in self.models:
            return self.models[MIXED]
        if task not in self.models:
            known = ", ".join(map(repr, sorted(self.models)))
            raise ConfigError(f"task: the checkpoint has no model of the task {task!r}; known are {known}")
        return self.models[task]

    def whole(self) -> nn.ModuleDict:
        """Return all models as one module, to be saved."""
        return nn.ModuleDict({f"model{number}": model for number, model in enumerate(self.models.values())})

    def about(self, seed: int) -> dict[str, Any]:
        """Return JSON values that say how to build it again."""
        return {
            "room": ROOM,
            "seed": seed,
            "options": self.options.model_dump(mode="json", by_alias=True),
            "models": [[task, model.about()] for task, model in self.models.items()],
            "vocabulary": self.vocabulary.as_json(),
            "columns": self.columns.tolist(),
            "width": self.width,
            "seconds": self.seconds,
            "counts": [[task, sorted(counts.items())] for task, counts in self.counts.items()],
            "dataset": self.dataset,
            "origin": self.origin.about(),
        }


@checkpoint.rebuilding
def read_checkpoint(path: Path) -> Trained:
    """Read a checkpoint of a segmentation run; DataError if it is none."""
    tensors, about = checkpoint.read(path)
    if about.get("room") != ROOM:
        raise DataError(
            f"{path}: this is no checkpoint of a segmentation run, but of {about.get('room', 'something else')}"
        )
    models = {task: SegmentModel.rebuild(values) for task, values in about["models"]}
    trained = Trained(
        models=models,
        options=check(SegmentationOptions, about["options"], str(path)),
        vocabulary=Vocabulary.from_json(about["vocabulary"]),
        columns=np.array(about["columns"], np.int64),
        width=about["width"],
        seconds=about["seconds"],
        counts={task: dict(map(tuple, counts)) for task, counts in about["counts"]},
        dataset=about["dataset"],
        origin=Origin.from_about(about["origin"], str(path)),
    )
    checkpoint.load_into(trained.whole(), tensors, path)
    trained.whole().eval()
    return trained
