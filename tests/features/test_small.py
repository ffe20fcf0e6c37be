"""The small network: its shape, its sums, and that it can be drawn again."""

from itertools import pairwise

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, relu

from kinoflow.features.small import Block, Small
from kinoflow.features.weights import drawn


@pytest.mark.parametrize("side", [16, 40, 48, 64, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_become_96_numbers(side, channels):
    assert Small(channels).eval()(torch.zeros(2, channels, side, side)).shape == (2, 96)


def test_stages_have_the_published_widths_and_strides():
    network, x = Small(), torch.zeros(1, 3, 48, 48)
    shapes = [tuple((x := stage(x)).shape[1:]) for stage in (network.stem, *network.blocks)]
    assert shapes == [(16, 24, 24), (16, 24, 24), (32, 12, 12), (64, 6, 6), (96, 3, 3)]


def test_it_has_as_many_parameters_as_its_formula_says():
    widths = (16, 16, 32, 64, 96)
    convolutions = 3 * 9 * 16 + sum(9 * a * b + 9 * b * b for a, b in pairwise(widths))
    convolutions += sum(a * b for a, b in pairwise(widths[1:]))  # shortcuts where shapes change
    norms = 2 * (16 + sum(2 * b for b in widths[1:]) + sum(widths[2:]))
    assert sum(p.numel() for p in Small().parameters()) == convolutions + norms


def test_a_block_is_the_sum_of_shortcut_and_residual():
    torch.manual_seed(0)
    block, x = Block(4, 6, 2).eval(), torch.randn(3, 4, 10, 10)

    def normed(y, norm):
        return batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    residual = relu(normed(conv2d(x, block.conv1.weight, stride=2, padding=1), block.norm1))
    residual = normed(conv2d(residual, block.conv2.weight, padding=1), block.norm2)
    shortcut = normed(conv2d(x, block.shortcut[0].weight, stride=2), block.shortcut[1])
    torch.testing.assert_close(block(x), relu(shortcut + residual))


def test_the_same_seed_draws_the_same_weights_whatever_was_drawn_before():
    first = drawn(Small, 3).state_dict()
    torch.manual_seed(99)
    torch.rand(7)
    again, other = drawn(Small, 3).state_dict(), drawn(Small, 4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_drawing_leaves_the_global_random_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drawn(Small, 3)
    assert torch.equal(torch.rand(3), expected)
