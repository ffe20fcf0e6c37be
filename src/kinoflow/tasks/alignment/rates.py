"""Learning rates of the published trainings, which change after every epoch."""

import math

from kinoflow.tasks.alignment.options import AlignmentTraining
from kinoflow.training.schedule import Plan


def rate(step: int, plan: Plan, training: AlignmentTraining) -> float | None:
    """Return the share of the base rate that step number ``step`` takes; None where the options say it themselves.

    Of a cosine by epoch, E epochs are the first of E + 1, so that the last one's rate is not zero. Behind a warm-up from
    ``warm_from`` the cosine begins at its top: the whole rate comes twice.
    """
    if training.schedule != "cosine" or training.per != "epoch" or not training.epochs or training.planned:
        return None
    if training.warm_up and training.warm_from is None:
        return None
    epoch, warm = step // plan.per_epoch, training.warm_up
    if epoch < warm:
        assert training.warm_from is not None
        return training.warm_from + (1 - training.warm_from) * epoch / max(1, warm - 1)
    fall = (1 + math.cos(math.pi * (epoch - warm) / (training.epochs + 1 - warm))) / 2
    return training.final_rate + (1 - training.final_rate) * fall
