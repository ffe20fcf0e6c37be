"""Several processes that train one model, each on its part of every batch; started by torchrun or accelerate."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kinoflow.errors import KinoflowError

PATIENCE = timedelta(hours=2)  # a validation may take long in one process
# How gloo and NCCL say that a process they wait for is there no more.
GONE = re.compile(r"gloo/|connection (was )?(closed|reset)|broken pipe|remote process exited|ncclRemoteError", re.I)


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True)
class Team:
    """The processes of a training: this one's number, how many there are, this one's number on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add a tensor up over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether the value is true in any process."""
        return bool(self.sum(torch.tensor(int(value), device=device))) if self.size > 1 else value

    def from_first(self, value: Any) -> Any:
        """Return the first process's value (plain Python) in all."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, 0)
        return values[0]

    def agree(self, model: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for value in model.state_dict().values():
                dist.broadcast(value, 0)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add gradients up over the processes; one that no process has stays none."""
        if self.size == 1:
            return
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            own = [p for p in parameters if p.dtype == dtype]
            there = own[0].new_tensor([p.grad is not None for p in own])
            parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in own]
            *summed, there = self.sum(torch.cat([*parts, there])).split([*(p.numel() for p in own), len(own)])
            for parameter, gradient, some in zip(own, summed, there.tolist(), strict=True):
                if some:  # in the parameter's own memory format, which fused kernels rely on
                    parameter.grad = torch.empty_like(parameter) if parameter.grad is None else parameter.grad
                    parameter.grad.copy_(gradient.view(parameter.shape))


@contextmanager
def team(device: str) -> Iterator[Team]:
    """Join the processes that a launcher started (its environment says so); alone where there was none.

    device: auto, cpu or cuda. A group that exists already is used, and stays. Raises KinoflowError inside the block when
    another process has gone.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and not dist.is_initialized():
        yield Team()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    mine = not dist.is_initialized()
    if mine:
        cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        if cuda:
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), local)
    except RuntimeError as error:
        if not GONE.search(str(error)):
            raise
        raise KinoflowError(
            "another process of this training has ended; it says why, unless it was killed. The same command continues"
        ) from None
    finally:
        if mine:
            dist.destroy_process_group()
