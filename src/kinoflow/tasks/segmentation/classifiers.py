"""Baselines that are trained: classifiers of single rows (linear, with hidden layers), and a tagger of whole videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.tasks.segmentation.baselines import Baseline, masked
from kinoflow.tasks.segmentation.data import Films, Item
from kinoflow.tasks.segmentation.train import padded
from kinoflow.training.groups import one_group
from kinoflow.training.loop import Draw, Trainee, fit
from kinoflow.training.options import TrainingOptions
from kinoflow.training.seeds import SampleDropout

KINDS = ("linear", "mlp", "tagger")
HIDDEN, DROPOUT, LAYERS = 200, 0.1, 2  # width of the hidden layer, of the tagger's two directions together; its layers
TRAINING = {"batch": 5, "optimiser": "adam", "learning_rate": 5e-3, "weight_decay": 0, "clip": 10}
STEADY = {"schedule": "constant", "drop_last": False}


class RowClassifier(nn.Module):
    """Scores (B, T, C) of the labels of rows (B, T, D)."""

    def __init__(self, kind: str, width: int, classes: int, mean: np.ndarray, deviation: np.ndarray, seed: int):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean).float())
        self.register_buffer("deviation", torch.from_numpy(deviation).float())
        self.drop = SampleDropout(DROPOUT)
        inner = HIDDEN if kind != "linear" else width
        self.hidden = nn.Linear(width, HIDDEN) if kind == "mlp" else None
        self.tagger = (
            nn.LSTM(width, HIDDEN // 2, LAYERS, batch_first=True, bidirectional=True) if kind == "tagger" else None
        )
        self.score = nn.Linear(inner, classes)
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in sorted(self.named_parameters()):
            bound = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 and "bias" not in name else 0.0
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return scores; what lies behind a video's length does not matter."""
        x = (x - self.mean) / self.deviation
        if self.hidden is not None:
            x = torch.relu(self.hidden(x))
        if self.tagger is not None:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            x, _ = nn.utils.rnn.pad_packed_sequence(self.tagger(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.score(self.drop(x))


class _Rows(Trainee):
    """Labelled videos, and the classifier that learns from them; each row may only be of its task's labels."""

    def __init__(self, model: RowClassifier, films: Films, items: Sequence[Item]):
        self.model, self.films, self.items = model, films, items
        self.groups, self.samples = one_group(model), len(items)
        self.masks = np.full((len(items), len(films.vocabulary.names)), -np.inf, np.float32)
        for mask, item in zip(self.masks, items, strict=True):
            mask[list(films.vocabulary.classes_of(item.task))] = 0

    def load(self, draws: list[Draw]) -> dict[str, Any]:
        chosen = [self.items[draw.sample] for draw in draws]
        batch = padded([self.films.rows(item) for item in chosen], self.model)
        labels = torch.full(batch["x"].shape[:2], -100)
        for row, item in zip(labels, chosen, strict=True):
            row[: item.frames] = torch.from_numpy(item.labels[:, 0])
        return batch | {"labels": labels, "masks": torch.from_numpy(self.masks[[draw.sample for draw in draws]])}

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        scores = self.model(batch["x"], batch["lengths"]) + batch["masks"][:, None]
        return {"cross_entropy": nn.functional.cross_entropy(scores.flatten(0, 1), batch["labels"].flatten())}


def classified(
    kind: str,
    films: Films,
    train: Sequence[Item],
    items: Sequence[Item],
    epochs: int,
    seed: int,
    place: Path,
    device: str,
) -> Baseline:
    """Train a classifier (``linear``, ``mlp``, ``tagger``) on labelled videos for some epochs; tell the labels of others.

    place: an empty work folder.
    """
    every = np.concatenate([films.rows(item) for item in train])
    mean, deviation = every.mean(axis=0), np.maximum(every.std(axis=0), 1e-4)
    model = RowClassifier(kind, films.features.width, len(films.vocabulary.names), mean, deviation, seed)
    training = TrainingOptions(epochs=epochs, **TRAINING, **STEADY)
    fit(_Rows(model, films, train), training, seed, place, f"baseline {kind}", device=device)
    told, model = [], model.cpu()
    with torch.no_grad():
        for item in items:
            batch = padded([films.rows(item)], model)
            told.append(masked(model(batch["x"], batch["lengths"])[0].numpy(), films, item))
    return Baseline(told, "identity")
