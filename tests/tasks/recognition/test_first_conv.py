"""The first convolution for other inputs than one RGB picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from kinoflow.tasks.recognition.first_conv import adapted, with_inputs

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet" / "conv1_adapt.npz"
CASES = {
    "short1": ("gray", 1, 1),
    "short3": ("gray", 3, 1),
    "short5": ("gray", 5, 1),
    "fuse3x4": ("gray", 3, 4),
    "fuse5x4": ("gray", 5, 4),
    "flow5": ("flow", 10, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_adapted_weights_equal_the_published_ones(name):
    values = np.load(GOLDEN)
    weight = np.random.RandomState(int(values["w_seed"])).standard_normal((64, 3, 7, 7)).astype(np.float32)
    found = adapted(torch.from_numpy(weight), *CASES[name]).numpy()
    assert found.shape == tuple(values[f"{name}_shape"])
    assert np.allclose(found[:4], values[f"{name}_first4"], rtol=1e-5, atol=1e-5)
    assert np.allclose(found.sum((1, 2, 3)), values[f"{name}_sum"], rtol=1e-5, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_a_gray_picture_in_every_plane_answers_as_it_does_in_rgb_times_their_share(planes, segments, seed):
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(rng.standard_normal((4, 3, 3, 3)))
    gray = torch.from_numpy(rng.standard_normal((1, 1, 6, 6)))
    rgb = F.conv2d(gray.repeat(1, 3, 1, 1), weight)
    found = F.conv2d(gray.repeat(1, planes * segments, 1, 1), adapted(weight, "gray", planes, segments))
    assert torch.allclose(found, planes * segments / 3 * rgb)


def test_differences_get_the_mean_even_where_there_are_three_planes():
    weight = torch.randn(4, 3, 3, 3)
    assert torch.equal(adapted(weight, "difference", 3), weight.mean(1, keepdim=True).expand(4, 3, 3, 3))
    assert torch.equal(adapted(weight, "rgb", 3), weight)


def test_a_convolution_for_other_inputs_keeps_everything_else():
    conv = with_inputs(nn.Conv2d(3, 8, 7, 2, 3, bias=False), 5)
    assert (conv.in_channels, conv.stride, conv.padding, conv.bias) == (5, (2, 2), (3, 3), None)
    assert with_inputs(nn.Conv2d(3, 8, 7), 5).bias is not None
