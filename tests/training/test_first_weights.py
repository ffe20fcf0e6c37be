"""What a weight is drawn from depends on the seed and its name alone, and is the same on every machine."""

import hashlib

import torch

from kinoflow.training.first_weights import generator_of


def test_the_seed_of_a_weight_is_a_hash_of_seed_and_name():
    digest = hashlib.blake2b(b"7/head.weight", digest_size=8).hexdigest()
    assert generator_of("head.weight", 7).initial_seed() == int(digest, 16) // 2


def test_other_names_and_seeds_draw_other_numbers_and_the_same_ones_the_same():
    drawn = [
        torch.rand(4, generator=generator_of(name, seed)).tolist() for name, seed in [("a", 0), ("b", 0), ("a", 1)]
    ]
    assert drawn[0] not in drawn[1:] and drawn[1] != drawn[2]
    assert torch.rand(4, generator=generator_of("a", 0)).tolist() == drawn[0]
