"""What a room hands over to be trained."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from kinoflow.training.draws import Draw
from kinoflow.training.groups import Group
from kinoflow.training.schedule import Plan


class Trainee(Protocol):
    """What a room hands over to be trained. Derive from it: what is optional then has a default.

    While it is trained, ``model`` is on the training's device and in training mode (for `validate`: in eval mode).
    """

    model: nn.Module
    groups: Sequence[Group]
    samples: int  # training samples, numbered from 0

    def load(self, draws: list[Draw]) -> Any:
        """Return a batch, on the CPU: tensors in dicts, tuples and lists. A pure function of the draws."""
        ...

    def losses(self, batch: Any) -> Mapping[str, Tensor]:
        """Return named means over the batch (scalars), weights already in them; their sum is minimised."""
        ...

    def scores(self, batch: Any) -> Mapping[str, Any]:
        """Return other means over the batch to be recorded, from the last forward pass: numbers, or scalars on the device."""
        return {}

    def validate(self) -> Mapping[str, float] | None:
        """Return numbers of the model as it is; the first decides which weights are best (higher is better).

        Called in every process, without gradients; what the first process returns counts.
        """
        return None

    def validates(self) -> bool:
        """Whether `validate` will return numbers, as far as is known before the training."""
        return type(self).validate is not Trainee.validate

    def show(self, step: int) -> Mapping[str, np.ndarray]:
        """Return pictures (H, W, 3) and videos (T, H, W, 3), uint8, by name, of what is learnt after so many steps.

        Asked for every `training.show_every` epochs where TensorBoard's file is written, in the first process alone, in eval
        mode and without gradients. It must not wait for other processes, nor change weights.
        """
        return {}

    def weigh(self, draws: list[Draw]) -> Mapping[str, float]:
        """Return what the means over these draws weigh in those over a batch that is cut, by the names of losses and scores.

        Those without a name here weigh as many as there are draws. Asked only where a batch is cut over processes or micro
        batches; a pure function of the draws, as `load` is.
        """
        return {}

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return the sample numbers of an epoch, `samples` of them, repeats allowed; None: a permutation."""
        return None

    def rate(self, step: int, plan: Plan) -> float | None:
        """Return the learning rate of a step (from 0) as a share of the base rate; None: as the options say."""
        return None
