"""A trained segmentation: its models, and all that is needed to use them; to and from a checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.options import check
from kinoflow.store.files import parse_json
from kinoflow.tasks.segmentation.labels import Vocabulary
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.options import SegmentationOptions
from kinoflow.training import checkpoint

ROOM = "segmentation"
MIXED = ""  # the task of a model of all tasks


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds.

    models: by task, one of the name ``MIXED`` for all. columns: of the features, that rows are made of. seconds: of a row.
    width: columns that the features have. features: attributes of the shards that were trained on, which say how features are
    made. counts: rows of each label of each task among the training videos. pictures: options of the frames that features were
    made of. carried: files that making features takes, by name: ``basis`` of their PCA, ``weights`` of their network.
    """

    models: dict[str, SegmentModel]
    options: SegmentationOptions
    vocabulary: Vocabulary
    columns: np.ndarray
    width: int
    seconds: float
    features: dict[str, Any]
    counts: dict[str, dict[int, int]]
    dataset: str = ""
    pictures: dict[str, Any] | None = None
    carried: dict[str, bytes] = field(default_factory=dict)

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
        models = {f"model{number}": model for number, model in enumerate(self.models.values())}
        return nn.ModuleDict(models | ({"carried": _Files(self.carried)} if self.carried else {}))

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
            "features": self.features,
            "counts": [[task, sorted(counts.items())] for task, counts in self.counts.items()],
            "dataset": self.dataset,
            "pictures": self.pictures,
        }


class _Files(nn.Module):
    """Files, as tensors of their bytes."""

    def __init__(self, files: dict[str, bytes]):
        super().__init__()
        for name, content in sorted(files.items()):
            self.register_buffer(name, torch.frombuffer(bytearray(content), dtype=torch.uint8))


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
        features=about["features"],
        counts={task: dict(map(tuple, counts)) for task, counts in about["counts"]},
        dataset=about["dataset"],
        pictures=about["pictures"],
        carried={
            name.removeprefix("carried."): value.numpy().tobytes()
            for name, value in tensors.items()
            if name.startswith("carried.")
        },
    )
    checkpoint.load_into(trained.whole(), tensors, path)
    trained.whole().eval()
    return trained


def extractor_of(features: dict[str, Any]) -> dict[str, Any]:
    """Return how features were made, as their shards say it: {} where they came as files from outside."""
    try:
        return parse_json(features.get("extractor", "{}"))
    except ValueError:
        return {}
