"""First weights of a network: what each is drawn from depends on the seed and its name alone, not on the others."""

import hashlib

import torch


def generator_of(name: str, seed: int) -> torch.Generator:
    """Return a generator of random numbers for the weight ``name``."""
    number = int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big") >> 1
    return torch.Generator().manual_seed(number)
