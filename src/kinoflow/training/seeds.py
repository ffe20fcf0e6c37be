"""Dropout whose mask is a function of what is dropped: seed, epoch, sample, place in the network, element.

So it does not matter how a batch is split over micro batches, processes and devices, or whether the training was
interrupted. Masks come from an integer hash in int32 arithmetic that wraps around, which CPU and CUDA do alike.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.training.draws import Draw

GOLDEN = 0x9E3779B97F4A7C15
STAFFORD = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # multipliers of splitmix64's finaliser
MURMUR = (-0x7A143595, -0x3D4D51CB)  # 0x85EBCA6B and 0xC2B2AE35 of murmur3's finaliser, as int32
MASK = (1 << 64) - 1
AGAIN = 40  # bits for the number of a sample


def seed_of(*parts: int) -> int:
    """Return a hash of whole numbers, 63 bits: splitmix64 over them."""
    state = 0
    for part in parts:
        state = ((state ^ part) + GOLDEN) & MASK
        state = (state ^ state >> 30) * STAFFORD[0] & MASK
        state = (state ^ state >> 27) * STAFFORD[1] & MASK
        state ^= state >> 31
    return state >> 1


def words_of(start: int, numbers: np.ndarray) -> np.ndarray:
    """Return two words for each of ``numbers`` (n,) uint64, (n, 2) int32: one round of splitmix64 from ``start``."""
    state = (numbers ^ np.uint64(start)) + np.uint64(GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(STAFFORD[0])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(STAFFORD[1])
    return (state ^ (state >> np.uint64(31))).view(np.int32).reshape(-1, 2)


class _Samples:
    """The samples (of one epoch) of the rows that are passing through the network now."""

    def __init__(self, draws: Sequence[Draw], device: torch.device):
        numbers = np.array([draw.again << AGAIN | draw.sample for draw in draws], np.uint64)
        words = torch.from_numpy(words_of(seed_of(draws[0].seed, draws[0].epoch), numbers)).to(device)
        self.first, self.second = words[:, :1], words[:, 1:]  # (B, 1) each
        self.calls: dict[int, int] = {}

    def call(self, module: nn.Module) -> int:
        """Count the calls of a module in this pass: one that is used twice has two masks."""
        self.calls[id(module)] = number = self.calls.get(id(module), -1) + 1
        return number


_now: _Samples | None = None


@contextmanager
def sample_keys(draws: Sequence[Draw], device: torch.device) -> Iterator[None]:
    """Say which samples the rows of forward passes inside the block belong to."""
    global _now
    before, _now = _now, _Samples(draws, device)
    try:
        yield
    finally:
        _now = before


class SampleDropout(nn.Module):
    """Dropout with probability ``p``; its mask depends on seed, epoch, sample, place in the network and element alone.

    Input (B, ...) or (B * T, ...), the rows of a sample next to each other. In eval mode, and with p = 0, identity. In
    training mode it needs `sample_keys`, which the loop sets; ``place`` is set by `name_places`.
    """

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"the probability of dropout is {p}; it must be at least 0 and below 1")
        self.p, self.place = p, 0
        self._elements: dict[tuple, Tensor] = {}  # {(place, call, device): words of a sample's elements}

    def extra_repr(self) -> str:
        """Return what stands in the brackets of the printed module."""
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` and scale the others by 1 / (1 - p)."""
        if not (self.training and self.p):
            return x
        if _now is None:
            raise RuntimeError("SampleDropout does not know the samples: train inside kinoflow.training's sample_keys")
        keep = self._keep(_now, x.numel() // len(_now.first), x.device)
        return x * keep.to(x.dtype).mul_(1 / (1 - self.p)).view(x.shape)

    def _keep(self, samples: _Samples, elements: int, device: torch.device) -> Tensor:
        """Return which elements stay, (B, elements) bool."""
        state = samples.first ^ self._words(samples.call(self), elements, device)
        state.mul_(MURMUR[0])
        state ^= state >> 15
        state.add_(samples.second).mul_(MURMUR[1])
        return state >= round(self.p * 2**32) - 2**31

    def _words(self, call: int, elements: int, device: torch.device) -> Tensor:
        """Return a word for each element of a sample, (elements,) int32; the same for the first ones of a longer sample."""
        key = (self.place, call, device)
        if key not in self._elements or len(self._elements[key]) < elements:
            words = words_of(seed_of(self.place, call), np.arange(elements, dtype=np.uint64))[:, 0].copy()
            self._elements[key] = torch.from_numpy(words).to(device)
        return self._elements[key][:elements]


def name_places(model: nn.Module) -> bool:
    """Tell every SampleDropout its place, by its name in ``model``; return whether there is one that drops."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, SampleDropout)]
    for name, module in found:
        module.place = zlib.crc32(name.encode())
    return any(module.p for _, module in found)
