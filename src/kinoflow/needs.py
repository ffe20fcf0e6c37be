"""What jobs ask a cluster for: memory and minutes, as functions that the rules name. None of it triggers a rerun."""

from collections.abc import Callable
from typing import Any

# Trainings hear SIGURG, which all other programs ignore: two minutes before the time limit they save and go back into the
# queue. The log of a job that comes back is continued.
TURN = "--signal=URG@120 --open-mode=append"


def memory(megabytes: int) -> Callable[..., int]:
    """Return the memory of a job in MB as a function of the attempt: twice as much the second time, and so on."""

    def asked(wildcards: Any, attempt: int) -> int:
        return megabytes * attempt

    return asked


def minutes(number: int) -> Callable[..., int]:
    """Return the time limit of a job in minutes as a function of the attempt: twice as long the second time, and so on."""

    def asked(wildcards: Any, attempt: int) -> int:
        return number * attempt

    return asked
