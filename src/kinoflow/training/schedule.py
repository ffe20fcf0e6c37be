"""How long a training is and which learning rate each step takes: pure functions, so that there is no state to resume."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kinoflow.errors import DataError
from kinoflow.training.options import TrainingOptions

MILESTONES = (0.4, 0.8)  # of the length
RISE, FIRST, LAST = (
    0.3,
    1 / 25,
    1 / 250000,
)  # one_cycle: share of the length that rises; first and last share of the rate
LOWER = 1e-5  # plateau: a loss is lower if it is so by this share


@dataclass(frozen=True)
class Plan:
    """The steps of a training; ``unit``: steps of what the options count in (epochs or steps)."""

    samples: int
    batch: int
    per_epoch: int  # steps of an epoch
    steps: int
    unit: int

    @classmethod
    def of(cls, samples: int, options: TrainingOptions) -> "Plan":
        """Plan a training on ``samples``; DataError if an epoch would have no step."""
        per_epoch = samples // options.batch if options.drop_last else -(-samples // options.batch)
        if not samples:
            raise DataError("there are no training samples; look at train_on and at the labels")
        if not per_epoch:
            raise DataError(
                f"the {samples} training samples are fewer than one batch of {options.batch}:"
                " lower batch, or set drop_last: false"
            )
        unit = per_epoch if options.epochs else 1
        return cls(samples, options.batch, per_epoch, (options.epochs or options.steps or 0) * unit, unit)

    def validates(self, done: int, every: int | None) -> bool:
        """Whether the model is validated when ``done`` steps are done."""
        return done == self.steps or done % (every * self.unit if every else self.per_epoch) == 0

    def comes(self, done: int, every: int | None) -> bool:
        """Whether what comes every so often (None: never), and not at the end, comes when ``done`` steps are done."""
        return every is not None and done % (every * self.unit) == 0

    def logs(self, done: int, every: int | None) -> bool:
        """Whether the history gets a row when ``done`` steps are done."""
        return done == self.steps or done % (every or self.per_epoch) == 0


def base_rate(options: TrainingOptions) -> float:
    """Return the learning rate scaled to the batch."""
    return options.learning_rate * (options.batch / options.lr_at_batch if options.lr_at_batch else 1.0)


def share(step: int, options: TrainingOptions, plan: Plan, losses: Sequence[float] = ()) -> float:
    """Return what share of the base rate step number ``step`` (from 0) takes.

    losses: mean training loss of each epoch that is done (for plateau).
    """
    warm = options.warm_up * plan.unit
    if step < warm:
        return (step + 1) / warm
    if options.schedule == "constant":
        return 1.0
    if options.schedule == "plateau":
        return max(options.gamma ** reductions(losses, options.patience), options.final_rate)
    at = step - step % plan.per_epoch if options.per == "epoch" else step
    end = options.planned * plan.unit if options.planned else plan.steps
    if options.schedule == "step":
        return options.gamma ** sum(at >= milestone for milestone in _milestones(options, plan, end))
    return _curve(options, min(1.0, max(0, at - warm) / (end - warm)))


def _milestones(options: TrainingOptions, plan: Plan, end: int) -> list[int]:
    return [m * plan.unit for m in options.milestones] or [math.ceil(m * end - 1e-6) for m in MILESTONES]


def _curve(options: TrainingOptions, x: float) -> float:
    """Return linear, cosine or one_cycle at ``x``, from 0 (begin) to 1 (end)."""
    if options.schedule == "one_cycle":
        low, high, x = (FIRST, 1.0, x / RISE) if x < RISE else (1.0, LAST, (x - RISE) / (1 - RISE))
        return high + (low - high) * (1 + math.cos(math.pi * x)) / 2
    fall = 1 - x if options.schedule == "linear" else (1 + math.cos(math.pi * x)) / 2
    return options.final_rate + (1 - options.final_rate) * fall


def reductions(losses: Sequence[float], patience: int) -> int:
    """Return how often plateau has lowered the rate: each time the loss has not fallen for more than ``patience`` epochs."""
    best, waited, lowered = math.inf, 0, 0
    for loss in losses:
        if loss < best - LOWER * abs(best) or math.isinf(best):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            lowered, waited = lowered + 1, 0
    return lowered
