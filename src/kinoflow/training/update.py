"""A step of the optimiser: gradients of micro batches, processes and mixed precision become one change of the weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from kinoflow.training.distributed import Team
from kinoflow.training.groups import Group, optimiser
from kinoflow.training.options import TrainingOptions


class Update:
    """The optimiser of a training, and the scale of its gradients (float16)."""

    def __init__(
        self, groups: Sequence[Group], model: nn.Module, options: TrainingOptions, device: torch.device, processes: Team
    ):
        self.model, self.clip, self.team = model, options.clip, processes
        self.optimiser = optimiser(groups, options)
        known = {id(parameter) for parameter in model.parameters()}
        for name, parameter in (pair for group in groups for pair in group.parameters):
            if id(parameter) not in known:
                raise ValueError(f"the parameter {name} is in a group, but not in the model: it would not be saved")
        self.scaler = torch.amp.GradScaler(device.type) if options.precision == "float16" else None
        self.trained: list[nn.Parameter] = []
        self.loose: torch.optim.Optimizer | None = None
        self.skipped = torch.zeros(2, device=device)  # steps without a finite gradient: all of them, those in a row

    def train(self) -> None:
        """Put the model into training mode; which parameters take a gradient may depend on it."""
        self.model.train()
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        grouped = {id(parameter) for group in self.optimiser.param_groups for parameter in group["params"]}
        loose = [parameter for parameter in self.trained if id(parameter) not in grouped]
        # It never steps: the scaler asks for an optimiser to unscale the gradients of no group, and to see them overflow.
        self.loose = torch.optim.SGD(loose) if self.scaler and self.clip and loose else None

    def begin(self) -> None:
        """Forget the gradients, those of parameters that no group has too: all count in the norm that is clipped."""
        for parameter in self.trained:
            parameter.grad = None

    def backward(self, loss: Tensor, weight: float) -> None:
        """Add the gradient of ``weight`` x ``loss``: the share of the batch that the loss is the mean of."""
        weighted = loss if weight == 1 else loss * weight
        (self.scaler.scale(weighted) if self.scaler else weighted).backward()

    def step(self, rate: float) -> None:
        """Change the weights at a learning rate, each group at its multiple of it."""
        self.team.sum_gradients(self.trained)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        if self.scaler:
            self.scaler.unscale_(self.optimiser)
            if self.loose:
                self.scaler.unscale_(self.loose)
        norm = clip_grad_norm_(self.trained, self.clip) if self.clip else None
        if self.scaler:
            self.scaler.step(self.optimiser)
            self.scaler.update()
        else:
            self.optimiser.step(None if norm is None else self._skip(norm))

    def _skip(self, norm: Tensor) -> Tensor:
        """Return 1 if a step is to be skipped, for the norm of its gradient is no finite number, else 0; count those.

        All on the device, which nobody waits for. Where nothing is clipped there is no norm, and no step is skipped.
        """
        found = (~norm.isfinite()).to(self.skipped)
        self.skipped[0] += found
        self.skipped[1] = (self.skipped[1] + found) * found
        return found

    def state(self) -> dict[str, Any]:
        """Return weights, optimiser, scale and the count of skipped steps."""
        scale = self.scaler.state_dict() if self.scaler else {}
        found = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "scale": scale}
        return found | {"skipped": self.skipped.tolist()}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.scaler:
            self.scaler.load_state_dict(state["scale"])
        self.skipped.copy_(torch.tensor(state["skipped"]))
