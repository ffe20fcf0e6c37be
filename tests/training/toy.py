"""A room as small as it can be: pictures of noise with a bright corner, and a network that tells which one."""

import os
import signal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from kinoflow.training.groups import one_group
from kinoflow.training.loop import Draw, Trainee
from kinoflow.training.seeds import SampleDropout

CLASSES, SIZE = 4, 8


def pictures(count: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (count, 1, SIZE, SIZE) and the classes (count,)."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(count, 1, SIZE, SIZE)), rng.integers(0, CLASSES, count)
    for picture, label in zip(x, y, strict=True):
        row, column = divmod(int(label), 2)
        picture[0, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 1
    return torch.tensor(x, dtype=dtype), torch.tensor(y)


def network(norm: bool = True, dropout: float = 0.2, dtype: torch.dtype = torch.float32, width: int = 6) -> nn.Module:
    """A convolution, a norm, a dropout and a linear layer; weights are the same at every call."""
    layers = [
        nn.Conv2d(1, width, 3, bias=not norm),
        nn.BatchNorm2d(width) if norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
    ]
    model = nn.Sequential(*layers, nn.Flatten(), SampleDropout(dropout), nn.Linear(4 * width, CLASSES)).to(dtype)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.fill_(0.5)
            else:
                parameter.copy_(
                    torch.randn(parameter.shape, generator=generator, dtype=dtype) / parameter[0].numel() ** 0.5
                )
    return model


class Toy(Trainee):
    """Trains `network` on `pictures` with noise of the draws' own; validates on its training pictures."""

    def __init__(self, samples: int = 32, dtype: torch.dtype = torch.float32, noise: float = 0.1, **layers):
        self.samples, self.noise = samples, noise
        self.x, self.y = pictures(samples, dtype)
        self.model = network(dtype=dtype, **layers)
        self.groups = one_group(self.model)

    def load(self, draws: list[Draw]):
        rows = [draw.sample for draw in draws]
        noise = np.stack([draw.rng().normal(0, self.noise, (1, SIZE, SIZE)) for draw in draws])
        return {"x": self.x[rows] + torch.tensor(noise, dtype=self.x.dtype), "y": self.y[rows]}

    def losses(self, batch):
        self.logits = self.model(batch["x"])
        return {"class": F.cross_entropy(self.logits, batch["y"]), "size": 1e-3 * self.logits.square().mean()}

    def scores(self, batch):
        return {"top1": (self.logits.argmax(1) == batch["y"]).float().mean()}

    def validate(self):
        device = next(self.model.parameters()).device
        return {"top1": float((self.model(self.x.to(device)).argmax(1).cpu() == self.y).float().mean())}


class Strays(Toy):
    """A network that draws from torch's global generator, as borrowed ones do."""

    def __init__(self, samples: int = 32, **layers):
        super().__init__(samples, **layers)
        self.model[5] = nn.Dropout(0.3)


class Mortal:
    """Kills its own process when a given number of passes is done."""

    left = -1

    def losses(self, batch):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().losses(batch)


class MortalToy(Mortal, Toy):
    """The small network in a process that may kill itself."""
