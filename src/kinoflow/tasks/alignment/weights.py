"""Weights of the backbone to begin with: published ones, a file of another training, or a recognition run's checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.backbones import member
from kinoflow.features.weights import published_file, read
from kinoflow.progress import log
from kinoflow.tasks.alignment.model import Aligner

PUBLISHED = "torchvision:"
# What stands in front of a backbone's names: alone, BYOL, SimCLR, MoCo v2, other trainings and our own checkpoints.
PREFIXES = (
    "",
    "module.encoder.",
    "encoder.",
    "module.encoder_q.",
    "module.",
    "backbone.",
    "module.backbone.",
    "model.",
)
WRAPPED = ".block."  # what a recognition network with non-local blocks adds to names


@dataclass(frozen=True)
class Matched:
    """How a file fitted: numbers of the backbone's tensors in it, of those not in it, and of what else it has."""

    matched: int
    missing: int
    ignored: int


def begin(model: Aligner, weights: str) -> Matched | None:
    """Copy the weights that ``weights`` names into the backbone of ``model``; what a file lacks stays as drawn.

    weights: none, torchvision:NAME, or a file. Says how many tensors matched, were missing and were ignored. None if there
    is nothing to copy. Raises DataError if less than half of the backbone is in the file, ConfigError if there is no such
    name or no backbone.
    """
    if weights == "none":
        return None
    if model.backbone is None:
        raise ConfigError("weights: with backbone: features there is no network that could take them; give none")
    if weights.startswith(PUBLISHED):
        path = published_file(member(model.network.backbone, weights.removeprefix(PUBLISHED)))
    else:
        path = Path(weights)
    return load(model, read(path), path.name)


def load(model: Aligner, state: Mapping[str, Tensor], source: str) -> Matched:
    """Copy what fits of ``state`` into the backbone; see `begin`. source: for messages."""
    assert model.backbone is not None
    own = {name: value for name, value in model.backbone.state_dict().items() if not _counts(name)}
    found = {name: value for name, value in state.items() if not _counts(name)}
    prefix = max(PREFIXES, key=lambda each: len(own.keys() & _without(found, each).keys()))
    plain = _without(found, prefix)
    fitting = [name for name in own if name in plain and plain[name].shape == own[name].shape]
    result = Matched(len(fitting), len(own) - len(fitting), len(found) - len(fitting))
    lacking = [name for name in own if name not in fitting][:3]
    log.info(
        "weights %s: %d of the backbone's %d matched, %d missing%s, %d of the file ignored",
        source, result.matched, len(own), result.missing, f" ({', '.join(lacking)} ...)" if lacking else "", result.ignored,
    )  # fmt: skip
    if 2 * result.matched < len(own):
        raise DataError(
            f"{source}: only {result.matched} of the backbone's {len(own)} weights are in this file; it is of another"
            f" network than {model.network.backbone}, or its names follow another custom"
        )
    with torch.no_grad():
        for name in fitting:
            own[name].copy_(plain[name])
    return result


def _counts(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _without(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix).replace(WRAPPED, "."): value
        for name, value in state.items()
        if name.startswith(prefix)
    }
