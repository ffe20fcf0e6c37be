"""Micro batches, in the order in which the steps take them: loaded here, or ahead by worker processes."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from kinoflow.errors import KinoflowError
from kinoflow.training.devices import to_device
from kinoflow.training.distributed import Team
from kinoflow.training.draws import Draw, Order, parts
from kinoflow.training.options import TrainingOptions

LOST = re.compile(r"DataLoader worker \(pid|Pin memory thread exited")
Load = Callable[[list[Draw]], Any]


@dataclass(frozen=True, slots=True)
class Micro:
    """What one process does in one forward pass."""

    draws: list[Draw]
    count: int  # samples that count: none where the process only takes part so that the others get their statistics
    step: list[Draw]  # of the step, over all processes and micro batches
    number: int  # of this pass among those of the step
    last: bool  # of the step


def micros(order: Order, start: int, options: TrainingOptions, team: Team) -> Iterator[Micro]:
    """Yield the micro batches of one process from step ``start`` (from 0) to the end."""
    for step in range(start, order.plan.steps):
        draws = order.step(step)
        own = parts(draws, options.accumulate, team.size, team.rank)
        for number, part in enumerate(own):
            yield Micro(part or draws[:1], len(part), draws, number, number == len(own) - 1)


class _Loads(torch.utils.data.Dataset):
    """What worker processes run; an error for people travels as a value, for torch would wrap it into a traceback."""

    def __init__(self, load: Load):
        self.load = load

    def __getitem__(self, draws: list[Draw]) -> Any:
        try:
            return self.load(draws)
        except KinoflowError as error:
            return error


def _alone(number: int) -> None:
    """Undo what a worker inherits: the main process alone decides what a signal means."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _received(loader: torch.utils.data.DataLoader) -> Iterator[Any]:
    """Yield what the workers load; KinoflowError if one of them was killed."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD)
    found = iter(loader)
    if (
        here
    ):  # torch would raise at any place of this process at any time; it looks after its workers while it waits, too
        signal.signal(signal.SIGCHLD, before)
    try:
        yield from found
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:  # it may die while it hands over
        if isinstance(error, RuntimeError) and not LOST.search(str(error)):
            raise
        raise KinoflowError(
            "a process that loads data for this training was killed, by somebody or for want of memory: give the job more"
            " memory, or lower training.workers; the same command continues"
        ) from None


def batches(load: Load, passes: Iterator[Micro], workers: int, device: torch.device) -> Iterator[Any]:
    """Yield what ``load`` returns for each of ``passes``, on ``device``."""
    if not workers:
        for one in passes:
            yield to_device(load(one.draws), device)
        return
    loader = torch.utils.data.DataLoader(
        _Loads(load),
        batch_size=None,
        sampler=(one.draws for one in passes),  # type: ignore[arg-type] - any iterable will do
        num_workers=workers,
        worker_init_fn=_alone,
        multiprocessing_context="fork",  # the samples stay where they lie, shared
        pin_memory=device.type == "cuda",
    )
    for batch in _received(loader):
        if isinstance(batch, KinoflowError):
            raise batch
        yield to_device(batch, device)
