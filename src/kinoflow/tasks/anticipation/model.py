"""The Student: features of what was seen -> the action that comes next.

    x (B, T, D), or frames (B, T, 3, S, S) -> backbone, each step by itself -> (B, T, D) -> aggregator -> (B, T', D)
        -> head -> what comes next (B, D), and the past as it was predicted (B, T', D)
        -> dropout -> classifier -> scores (B, C), and past scores (B, T', C) by the same classifier

Girdhar, Grauman, "Anticipative Video Transformer", 2021. Sequences of a batch are filled up on the right to one length, that
of the options, so that a sample's numbers do not depend on the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation import backbones
from kinoflow.tasks.anticipation.aggregators import Lstm, aggregator
from kinoflow.tasks.anticipation.avt import AvtHead, CausalTransformer, Forecast, last_step
from kinoflow.tasks.anticipation.options import StudentOptions
from kinoflow.training.first_weights import generator_of
from kinoflow.training.seeds import SampleDropout

LINEAR_DEVIATION, TRANSFORMER_DEVIATION = 0.01, 0.02  # of drawn weights: those of AVT and of GPT-2


@dataclass(frozen=True)
class Said:
    """What the network says of a batch.

    scores: {target: (B, C)}; past: {target: (B, T', C)}, of the steps that were seen. x: (B, T', D), what the head read.
    seconds: (B,) until the action, where the network tells it.
    """

    scores: dict[str, Tensor]
    past: dict[str, Tensor]
    forecast: Forecast
    x: Tensor
    seconds: Tensor | None = None

    @property
    def future(self) -> Tensor:
        """The predicted features that the classifier read, (B, D)."""
        return self.forecast.future


class Student(nn.Module):
    """A network that anticipates.

    network: its options. features: D of the steps; for backbones that read frames, what these give. classes: of each target.
    steps: T at most. sums: {verb or noun: ids of it, (C,), for each action}, where their scores are sums of the actions'
    (``summed``). seed: of its first weights.

    >>> model = Student(StudentOptions(), features=8, classes={"action": 5}, steps=4).eval()
    >>> {target: scores.shape for target, scores in model(torch.zeros(2, 4, 8)).scores.items()}
    {'action': torch.Size([2, 5])}
    """

    def __init__(
        self,
        network: StudentOptions,
        features: int,
        classes: Mapping[str, int],
        steps: int,
        sums: Mapping[str, list[int]] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.network, self.features, self.classes, self.steps = network, features, dict(classes), steps
        self.sums, self.seed = {name: list(ids) for name, ids in (sums or {}).items()}, seed
        self.backbone = backbones.build(network)
        self.aggregator = aggregator(network, features, steps)
        self.head = _head(network, features)
        self.dropout, self.past_dropout = SampleDropout(network.dropout), SampleDropout(network.dropout)
        targets = [target for target in network.targets if target in self.classes]
        self.classifiers = nn.ModuleDict({t: _classifier(network, features, self.classes[t]) for t in targets})
        self.regressor = nn.Linear(features, 1) if network.regression else None
        self.register_buffer("centres", torch.empty(network.codes, features) if network.codes else None)
        for name, ids in self.sums.items():
            count = self.classes[name]
            mapping = torch.zeros(len(ids), count)
            mapping[torch.arange(len(ids)), torch.tensor(ids)] = 1
            self.register_buffer(f"sum_{name}", mapping, persistent=False)  # (C, V)
        draw(self, seed, network.initial == "scaled")
        if network.backbone != "identity":
            backbones.begin(self.backbone, network)

    def forward(self, x: Tensor, lengths: Tensor | None = None, maps: bool = False) -> Said:
        """Return what is said of sequences x (B, T, D), or frames (B, T, 3, S, S); ``lengths`` (B,): steps that count.

        maps: keep the weights of attention.
        """
        if lengths is not None and self.aggregator.group != 1:
            raise ConfigError(
                "aggregator: groups of steps are joined in whole sequences; let every window have all steps"
            )
        x = self.aggregator(self.backbone(x))
        forecast = self.head(x, lengths, maps)
        future = self.dropout(forecast.future)
        past = self.past_dropout(forecast.past)
        scores = self._with_sums({target: layer(future) for target, layer in self.classifiers.items()})
        told = self._with_sums({target: layer(past) for target, layer in self.classifiers.items()})
        seconds = None if self.regressor is None else self.regressor(future)[..., 0]
        return Said(scores, told, forecast, x, seconds)

    @property
    def ahead(self) -> int:
        """The steps that the head predicts: more than 1 for one that rolls out."""
        return self.head.ahead if isinstance(self.head, AvtHead) else 1

    def _with_sums(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        return scores | {name: scores["action"] @ getattr(self, f"sum_{name}") for name in self.sums}

    def told(self, features: Tensor) -> dict[str, Tensor]:
        """Return the scores (..., C) of predicted features (..., D)."""
        return self._with_sums({target: layer(features) for target, layer in self.classifiers.items()})

    # ---------------------------------------------------------------- making it again

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same network, as JSON values."""
        return {
            "network": self.network.model_copy(update={"weights": "none"}).model_dump(mode="json"),
            "features": self.features,
            "classes": self.classes,
            "steps": self.steps,
            "sums": self.sums,
        }

    @classmethod
    def rebuild(cls, about: Mapping[str, Any]) -> Self:
        """Return a network of the same architecture; its weights are drawn anew."""
        return cls(**{**about, "network": StudentOptions.model_validate(about["network"])})


class Perceptron(nn.Module):
    """The head that is a perceptron: each step's features -> those of the next, by itself."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.up, self.down = nn.Linear(features, width), nn.Linear(width, features)

    def forward(self, x: Tensor, lengths: Tensor | None = None, maps: bool = False) -> Forecast:
        """Return the forecast of sequences (B, T, D)."""
        y = self.down(torch.relu(self.up(x)))
        return Forecast(torch.cat([x[:, :1], y[:, :-1]], 1), y, last_step(y, lengths)[:, 0])


class Last(nn.Module):
    """The head that predicts nothing: the last step is what is classified."""

    def forward(self, x: Tensor, lengths: Tensor | None = None, maps: bool = False) -> Forecast:
        """Return the forecast of sequences (B, T, D)."""
        return Forecast(x, x, last_step(x, lengths)[:, 0])


def _head(network: StudentOptions, features: int) -> nn.Module:
    if network.head == "identity":
        return Last()
    if network.head == "mlp":
        return Perceptron(features, network.width)
    return AvtHead(
        features,
        network.width,
        network.heads,
        network.layers,
        network.positions,
        network.head_dropout,
        network.ahead,
        network.average,
    )


def _classifier(network: StudentOptions, features: int, classes: int) -> nn.Module:
    if network.classifier == "linear":
        return nn.Linear(features, classes)
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, classes))


# ---------------------------------------------------------------- first weights


def draw(model: nn.Module, seed: int, scaled: bool = False) -> None:
    """Draw all weights anew; each depends on the seed and its own name alone, so that one more module changes no other.

    As published: transformers by a deviation of .02, all other layers by .01. Scaled: all by their inputs, as torch does,
    the deviation is 1 / sqrt(3 inputs). LSTMs always evenly between +-1/sqrt(H). Biases: 0; norms: the identity.
    """
    inside = [name for name, module in model.named_modules() if isinstance(module, CausalTransformer)]
    recurrent = {id(layer) for module in model.modules() if isinstance(module, Lstm) for layer in module.children()}
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d, nn.Conv3d)):
                transformer = any(name.startswith(f"{each}.") for each in inside)
                _draw(module, name, seed, scaled, transformer, id(module) in recurrent)
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("token", "class_token", "pos_embedding", "centres")):
                value.normal_(
                    0.0, 1.0 if name.endswith("centres") else TRANSFORMER_DEVIATION, generator=generator_of(name, seed)
                )


def _draw(module: nn.Module, name: str, seed: int, scaled: bool, transformer: bool, recurrent: bool) -> None:
    generator = generator_of(name, seed)
    if recurrent:
        bound = (module.out_features // 4) ** -0.5
        module.weight.uniform_(-bound, bound, generator=generator)
    elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
        module.weight.normal_(0.0, (2.0 / module.weight[0].numel()) ** 0.5, generator=generator)
    elif scaled and isinstance(module, nn.Linear):
        module.weight.normal_(0.0, (3 * module.in_features) ** -0.5, generator=generator)
    else:
        deviation = TRANSFORMER_DEVIATION if transformer or isinstance(module, nn.Embedding) else LINEAR_DEVIATION
        module.weight.normal_(0.0, deviation, generator=generator)
    if getattr(module, "bias", None) is not None:
        module.bias.zero_()
