"""Running a network over the clips of one video: which clips go together, on how many threads, in which precision.

A convolution or a product of matrices may round differently for another number of clips or of threads. So on a CPU clips
go through the network in groups of a fixed size, cut anew for every video, each group on one thread; several threads work
on several groups. Features then depend on the video alone.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from kinoflow.errors import ConfigError

T = TypeVar("T")
PICTURES, CLIPS = 16, 4  # at once on a CPU: more is hardly faster (measured), and takes memory


@dataclass(frozen=True)
class Arithmetic:
    """Where and how a network computes."""

    device: torch.device
    precision: str = "float32"  # or bfloat16
    threads: int = 1  # on a CPU: groups computed side by side
    batch: int = 32  # clips at once on a GPU

    def group(self, video: bool) -> int:
        """Return how many pictures, or clips of a video network, go through the network at once."""
        return self.batch if self.device.type == "cuda" else CLIPS if video else PICTURES

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Keep torch to one thread an operation, and to exact and repeatable convolutions; put all back in the end."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        finally:
            torch.set_num_threads(threads)

    def run(self, network: Callable[[Tensor], Tensor], clips: list[Tensor]) -> Tensor:
        """Put clips, each (3, H, W) or (T, 3, H, W), through the network: (B, D) float32 on the CPU."""
        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        try:
            with torch.inference_mode(), mixed:
                return network(_joined(clips)).float().cpu()
        except torch.OutOfMemoryError:
            raise ConfigError(f"batch: {len(clips)} clips at once do not fit into the GPU's memory; lower it") from None

    def run_all(self, network: Callable[[Tensor], Tensor], groups: Iterable[list[Tensor]]) -> Iterator[Tensor]:
        """Put groups of clips through the network; yield their features in order.

        While a GPU or a second thread computes, this one makes the next groups ready.
        """
        workers, ahead = (1, 2) if self.device.type == "cuda" else (self.threads, self.threads)
        if ahead == 1:
            yield from (self.run(network, group) for group in groups)
            return
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for group in groups:
                if len(waiting) == ahead:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(self.run, network, group))
            while waiting:
                yield waiting.popleft().result()


def _joined(clips: list[Tensor]) -> Tensor:
    """Stack pictures into (B, 3, H, W), channels last in memory; clips into (B, 3, T, H, W)."""
    if clips[0].ndim == 3:  # cut from frames, they have their channels last already: one copy is enough
        pictures = torch.stack([clip.permute(1, 2, 0) for clip in clips]).permute(0, 3, 1, 2)
        return pictures.contiguous(memory_format=torch.channels_last)
    return torch.stack(clips).transpose(1, 2).contiguous()


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one with what is left."""
    items = iter(items)
    while group := list(islice(items, size)):
        yield group
