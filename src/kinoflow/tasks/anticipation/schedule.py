"""The published learning rate of the distilled student, and of AVT: warm-up, then a cosine."""

import math

FLOOR, TAIL = 1e-7, 3e-7  # what this system added to AVT's, where both are 0


def kd_rate(step: int, rate: float, warm: int, steps: int, lowest: float = 0.0) -> float:
    """Return the learning rate of a step, from 0.

    rate: the base rate. warm: steps of the warm-up; steps: of all the training. lowest: where the cosine ends.
    The warm-up begins at 1e-7 and ends, in its last step, short of rate + 1e-7; the cosine starts from there. Steps that come
    after the cosine's end have 3e-7: the last one, where there is a warm-up.
    """
    rising = max(1, warm)
    if step < rising:
        return FLOOR + (rate * step / rising if rising > 1 else rate)
    high = kd_rate(rising - 1, rate, warm, steps, lowest)
    number, length = step - rising + 1, steps - warm
    if number >= length:
        return TAIL
    return lowest + (high - lowest) * (1 + math.cos(math.pi * number / length)) / 2
