"""Means of losses and scores over the steps of a history's row and over epochs, and the watch for a loss that is no number."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from kinoflow.training.distributed import Team

AHEAD = 10  # steps whose numbers the device or other processes may still owe


class DivergedError(Exception):
    """What should be a finite number is none; the text says what, up to the first colon of a sentence."""


class Meter:
    """Collect numbers of forward passes; read them from the device only now and then, and alike in all processes."""

    def __init__(self, team: Team, device: torch.device):
        self.team, self.device = team, device
        self.every = AHEAD if team.size > 1 or device.type == "cuda" else 1  # steps between two calls of `read`
        self.pending: list[tuple[int, int, list[Any]]] = []
        self.names: tuple[str, ...] = ()
        self.losses = 0  # so many of the names are losses, the others are scores
        self.row: dict[str, float] = {}  # {name: sum of count x number} since the last row, the total loss among them
        self.count = 0  # samples in it
        self.epoch = [0.0, 0]  # the same for the total loss of the present epoch
        self.epochs: list[float] = []  # mean total loss of each epoch that is done

    def add(self, step: int, count: int, losses: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
        """Take note of a forward pass of step number ``step`` (from 0) over ``count`` samples: tensors or numbers."""
        names = (*losses, *scores)
        if names != self.names:
            self._name(names, list(losses))
        values = [*losses.values(), *scores.values()]
        self.pending.append((step, count, [v.detach() if isinstance(v, torch.Tensor) else v for v in values]))

    def _name(self, names: tuple[str, ...], losses: list[str]) -> None:
        clash = len(set(names)) < len(names) or ("loss" in names and losses != ["loss"])
        if self.names or not losses or clash:
            raise ValueError(
                f"losses and scores must have the same names in every step, each its own, and 'loss' is for the sum: {names}"
            )
        self.names, self.losses = names, len(losses)

    def read(self) -> None:
        """Read what was added; raises DivergedError if a total loss is no finite number."""
        for (step, *_), (count, *values) in zip(self.pending, self._table(), strict=True):
            if not count:
                continue
            loss = sum(values[: self.losses])
            if not math.isfinite(loss):
                raise DivergedError(f"the loss of step {step + 1} is {loss}")
            for name, value in ({"loss": loss} | dict(zip(self.names, values, strict=True))).items():
                self.row[name] = self.row.get(name, 0.0) + count * value
            self.count += int(count)
            self.epoch = [self.epoch[0] + count * loss, self.epoch[1] + int(count)]
        self.pending.clear()

    def _table(self) -> list[list[float]]:
        """Return the number of samples and the means of each pass, over all processes; a mean over none is zero."""
        values = self._floats([value for *_, values in self.pending for value in values])
        width = len(self.names)
        rows = [[c, *values[i * width : (i + 1) * width]] for i, (_, c, _) in enumerate(self.pending)]
        if self.team.size == 1 or not rows:
            return rows
        table = torch.tensor(rows, dtype=torch.float64)
        table[:, 1:] = torch.where(table[:, :1] > 0, table[:, 1:] * table[:, :1], 0.0)
        table = self.team.sum(table.to(self.device)).cpu()
        table[:, 1:] /= table[:, :1].clamp(min=1)
        return table.tolist()

    def _floats(self, values: list[Any]) -> list[float]:
        if self.device.type == "cpu" or not values:
            return [float(value) for value in values]
        exact = [torch.as_tensor(value, dtype=torch.float64, device=self.device) for value in values]
        return torch.stack(exact).tolist()

    def end_row(self) -> dict[str, float]:
        """Return the means since the last row: ``loss``, the total, then each loss and score; begin a new row."""
        means = {name: total / self.count for name, total in self.row.items()}
        self.row, self.count = {}, 0
        return means

    def end_epoch(self) -> None:
        """Take note of the epoch's mean loss; begin a new epoch."""
        self.epochs.append(self.epoch[0] / self.epoch[1])
        self.epoch = [0.0, 0]

    def state(self) -> dict[str, Any]:
        """Return all that was read, as plain values."""
        return {name: getattr(self, name) for name in ("names", "losses", "row", "count", "epoch", "epochs")}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
