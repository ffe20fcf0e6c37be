"""Which parameters are trained, with which multiples of learning rate and weight decay, by which optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from kinoflow.training.optimisers import Optimiser
from kinoflow.training.options import TrainingOptions
from kinoflow.training.schedule import base_rate


@dataclass(frozen=True)
class Group:
    """Parameters that share multiples of the learning rate and of the weight decay."""

    name: str
    parameters: Sequence[tuple[str, nn.Parameter]]  # (name in the model, parameter)
    rate: float = 1.0
    decay: float = 1.0


def one_group(model: nn.Module) -> list[Group]:
    """Return all parameters that take a gradient, treated alike."""
    return [Group("all", [(name, p) for name, p in model.named_parameters() if p.requires_grad])]


def optimiser(groups: Sequence[Group], options: TrainingOptions) -> Optimiser:
    """Return the optimiser of ``options`` for ``groups``; those without parameters are left out.

    Each of its param_groups holds ``name`` and ``rate``, the multiple that the schedule applies. Raises ValueError if a
    parameter is in two groups, or if there is none at all.
    """
    base = base_rate(options)
    parts = [
        {
            "params": [parameter for _, parameter in group.parameters],
            "lr": base * group.rate,
            "weight_decay": options.weight_decay * group.decay,
            "name": group.name,
            "rate": group.rate,
        }
        for group in groups
        if group.parameters
    ]
    return Optimiser(parts, options.optimiser, options.momentum, options.nesterov)
