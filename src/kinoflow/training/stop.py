"""A signal that asks the process to end is heard at once and obeyed at the end of a step, when the state can be saved.

SIGURG in a job of SLURM says that the time limit is near: what it asks for is another turn, not an end.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kinoflow.training.requeue import JOB

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ONE = 1.0  # seconds; signals this close together are one: at a time limit SLURM sends SIGTERM twice


class Stop:
    """Whether a signal came, and which; whether the job's time is nearly over."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.late = False
        self.since = 0.0
        self.before: dict[int, Any] = {}

    @property
    def asks(self) -> bool:
        """Whether any signal came."""
        return self.late or self.signal is not None

    def _hear(self, number: int, frame: Any) -> None:
        if self.signal is None:
            self.signal, self.since = number, time.monotonic()
        elif time.monotonic() - self.since > ONE:  # somebody is impatient: no step, no saving
            self.obey()

    def _hear_of_time(self, number: int, frame: Any) -> None:
        self.late = True

    def obey(self) -> None:
        """Let the signal do what it would have done without us (another process's is a SIGTERM to us)."""
        self.restore()
        signal.raise_signal(self.signal or signal.SIGTERM)

    def restore(self) -> None:
        """Hand the signals back."""
        while self.before:
            signal.signal(*self.before.popitem())


@contextmanager
def heard() -> Iterator[Stop]:
    """Hear signals inside the block (in the main thread only: elsewhere they cannot be)."""
    stop = Stop()
    if threading.current_thread() is threading.main_thread():
        stop.before = {number: signal.signal(number, stop._hear) for number in SIGNALS}
        if JOB in os.environ:
            stop.before[signal.SIGURG] = signal.signal(signal.SIGURG, stop._hear_of_time)
    try:
        yield stop
    finally:
        stop.restore()
    if stop.signal is not None:  # it came in the last step
        stop.obey()
