"""Where and how a training computes: device, threads, deterministic kernels, mixed precision."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from kinoflow.errors import ConfigError


def device_of(name: str, local: int = 0) -> torch.device:
    """Return the device of a name: auto (CUDA where there is some), cpu, cuda (the process's own), cuda:1.

    local: number of this process on its machine. Raises ConfigError if the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(f"cuda:{local}" if name == "cuda" else name)
    except RuntimeError:
        raise ConfigError(f"device: {name!r} is no device; give auto, cpu or cuda") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        missing = device if torch.cuda.is_available() else name
        raise ConfigError(f"device: there is no {missing} on this machine; give cpu or auto, or start fewer processes")
    return device


def mixed(device: torch.device, precision: str) -> AbstractContextManager:
    """Return the context of forward passes in ``precision``; it may be entered again and again.

    Raises ConfigError for float16 on a processor.
    """
    if precision == "float32":
        return nullcontext()
    if precision == "float16" and device.type == "cpu":
        raise ConfigError("training.precision: float16 is for CUDA, and this training runs on a CPU; take bfloat16")
    return torch.autocast(device.type, torch.bfloat16 if precision == "bfloat16" else torch.float16)


@contextmanager
def arithmetic(device: torch.device, threads: int) -> Iterator[None]:
    """Compute reproducibly inside the block; torch's global settings and random states are as before after it."""
    before, filled = torch.get_num_threads(), torch.utils.deterministic.fill_uninitialized_memory
    strict = torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would cost a pass over every new tensor
    if device.type == "cpu":  # on CUDA some operations have no such algorithm
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would load torch's compiler
    try:
        with _forked(device):
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
    finally:
        torch.set_deterministic_debug_mode(strict)
        torch.utils.deterministic.fill_uninitialized_memory = filled
        torch.set_num_threads(before)


def _forked(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


@contextmanager
def same_chances(device: torch.device) -> Iterator[None]:
    """Leave all global random states, those of torch, numpy and Python, as they were before the block."""
    legacy, plain = np.random.get_state(), random.getstate()
    try:
        with _forked(device):
            yield
    finally:
        np.random.set_state(legacy)
        random.setstate(plain)


def seed_strays(device: torch.device, seed: int) -> None:
    """Seed torch's global generators, for modules that draw from them (dropout of borrowed models)."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def to_device(batch: Any, device: torch.device) -> Any:
    """Return a batch with all its tensors on ``device``; mappings, tuples, named tuples and lists are followed."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
