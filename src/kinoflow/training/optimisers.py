"""SGD, Adam and AdamW by torch's fused kernels: one call for all parameters of a group.

Not by torch.optim's classes: to make one loads torch's compiler, which costs every training a second or more.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimiser:
    """Changes parameters by their gradients; a parameter without gradient stays as it is."""

    def __init__(self, param_groups: list[dict[str, Any]], kind: str, momentum: float = 0.0, nesterov: bool = False):
        """param_groups: dicts with params, lr, weight_decay; kind: sgd, adam (decay in the gradient) or adamw (decoupled).

        Raises ValueError if there is no parameter, or one is there twice.
        """
        self.param_groups, self.kind, self.momentum, self.nesterov = param_groups, kind, momentum, nesterov
        self.parameters: list[nn.Parameter] = [p for group in param_groups for p in group["params"]]
        if not self.parameters:
            raise ValueError("there is no parameter to optimise")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError("a parameter stands in more than one group, or in one group twice")
        self.moments: dict[nn.Parameter, list[Tensor]] = {}

    @torch.no_grad()
    def step(self, skipped: Tensor | None = None) -> None:
        """Do a step at the rate ``lr`` of each group; none where ``skipped``, a float32 on the device, is 1."""
        for group in self.param_groups:
            some = [p for p in group["params"] if p.grad is not None]
            if some:
                moments = zip(*(self._moments(p) for p in some), strict=True)
                (self._sgd if self.kind == "sgd" else self._adam)(
                    skipped, group, some, [p.grad for p in some], *map(list, moments)
                )

    def _moments(self, parameter: nn.Parameter) -> list[Tensor]:
        if parameter not in self.moments:
            count = 1 if self.kind == "sgd" else 2
            steps = [] if self.kind == "sgd" else [torch.zeros((), dtype=torch.float32, device=parameter.device)]
            self.moments[parameter] = [*(torch.zeros_like(parameter) for _ in range(count)), *steps]
        return self.moments[parameter]

    def _sgd(
        self, skipped: Tensor | None, group: dict[str, Any], parameters: list, gradients: list, velocities: list
    ) -> None:
        sgd(
            parameters,
            gradients,
            velocities,
            fused=True,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            momentum=self.momentum,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
            found_inf=skipped,
        )

    def _adam(
        self,
        skipped: Tensor | None,
        group: dict[str, Any],
        parameters: list,
        gradients: list,
        means: list,
        squares: list,
        steps: list,
    ) -> None:
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            decoupled_weight_decay=self.kind == "adamw",
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=EPSILON,
            maximize=False,
            found_inf=skipped,
        )

    def state_dict(self) -> list[list[Tensor]]:
        """Return the moments of each parameter, in the groups' order; none where there was no gradient yet."""
        return [self.moments.get(parameter, []) for parameter in self.parameters]

    def load_state_dict(self, state: list[list[Tensor]]) -> None:
        """Go on from what `state_dict` returned."""
        self.moments = {p: moments for p, moments in zip(self.parameters, state, strict=True) if moments}
