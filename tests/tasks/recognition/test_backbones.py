"""Which backbones there are, where they are shifted, and that they have the sizes that are published."""

import json

import numpy as np
import pytest
import torch
from tests.tasks.recognition.networks import GOLDEN, network, recogniser
from torch import nn

from kinoflow.tasks.recognition.backbones import Backbone, build, first_convolution
from kinoflow.tasks.recognition.non_local import NonLocalAfter
from kinoflow.tasks.recognition.shift import TemporalPool, TemporalShift

PLACES = json.loads(str(np.load(GOLDEN / "optim.npz")["placement_json"]))
RESNEXTS = {"resnext50_32x4d": 25.03, "resnext101_32x8d": 88.79, "resnext101_64x4d": 83.46}
RESNETS = {"resnet18": 11.69, "resnet34": 21.80, "resnet50": 25.56, "resnet101": 44.55, "resnet152": 60.19}
OTHERS = {"mobilenet_v2": 3.50, "bn_inception": 11.30}


def shifted(backbone: Backbone, kind: type = TemporalShift) -> list[str]:
    """Names of the modules whose input goes through an operator along time."""
    modules = nn.ModuleDict(backbone.parts).named_modules()
    return [
        name.rpartition(".")[0] if kind is not NonLocalAfter else name for name, m in modules if isinstance(m, kind)
    ]


@pytest.mark.parametrize("place", ["blockres", "block"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_residual_networks_are_shifted_at_the_published_places(name, place):
    found = shifted(build(network(backbone=name, shift=8, shift_place=place), 3, 8))
    assert found == PLACES[f"{name}_{place}"]


def test_mobilenet_is_shifted_at_the_published_ten_places_whatever_the_option():
    for place in ("block", "blockres"):
        found = shifted(build(network(backbone="mobilenet_v2", shift=8, shift_place=place), 3, 8))
        assert [name.removesuffix(".0") for name in found] == PLACES["mobilenetv2"]  # our layers lie in groups


def test_non_local_blocks_are_at_the_published_places():
    built = build(network(backbone="resnet50", shift=8, non_local=True), 3, 8)
    assert shifted(built, NonLocalAfter) == PLACES["resnet50_nonlocal"]


@pytest.mark.parametrize("name", ["resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d"])
def test_where_the_third_stage_has_23_blocks_every_second_one_is_shifted(name):
    built = build(network(backbone=name, shift=8), 3, 8)
    assert shifted(built) == [
        f"layer{stage}.{block}.conv1"
        for stage in range(1, 5)
        for block in range(0, len(built.parts[f"layer{stage}"]), 2)
    ]


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d"])
def test_other_residual_networks_are_shifted_in_every_block(name):
    assert len(shifted(build(network(backbone=name, shift=8), 3, 8))) == 16


def test_small_network_is_shifted_in_every_block():
    assert shifted(build(network(backbone="small", shift=8), 3, 8)) == [f"blocks.{i}.conv1" for i in range(4)]


def test_bn_inception_is_shifted_at_eleven_places():
    built = build(network(backbone="bn_inception", shift=8, shift_place="block"), 3, 8)
    shifts = [name for name, part in built.parts.items() if isinstance(part, TemporalShift)]
    blocks = [f"inception_{name}" for name in ["3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]]
    assert shifts == [f"{place}_shift" for place in ["conv2", *blocks]]


@pytest.mark.parametrize("place", ["blockres", "block"])
def test_behind_the_temporal_pool_shifts_know_of_half_the_segments(place):
    built = build(network(shift=8, temporal_pool=True, shift_place=place), 3, 8)
    assert shifted(built, TemporalPool) == ["layer2.0"]
    shifts = [m for m in nn.ModuleDict(built.parts).modules() if isinstance(m, TemporalShift)]
    assert [shift.segments for shift in shifts] == [8, 8, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize(("name", "millions"), (RESNETS | RESNEXTS | OTHERS).items())
def test_with_a_head_for_1000_classes_they_have_as_many_weights_as_published(name, millions):
    built = build(network(backbone=name), 3, 8)
    weights = sum(p.numel() for p in nn.ModuleDict(built.parts).parameters()) + 1001 * built.width
    assert round(weights / 1e6, 2) == pytest.approx(millions, abs=0.011)


@pytest.mark.parametrize("name", [*RESNETS, *RESNEXTS, *OTHERS, "small"])
def test_first_convolution_is_the_first_one_and_fits_any_number_of_planes(name):
    parts = nn.ModuleDict(build(network(backbone=name), 10, 8).parts)
    first = next(name for name, module in parts.named_modules() if isinstance(module, nn.Conv2d))
    assert first == first_convolution(name)
    assert parts.get_submodule(first).in_channels == 10


@pytest.mark.parametrize("side", [32, 36, 45, 64, 75])
def test_bn_inception_takes_pictures_of_any_size(side):
    model = recogniser(backbone="bn_inception", segments=1).eval()
    assert model(torch.zeros(1, 1, 3, side, side))["action"].shape == (1, 6)


def test_bn_inception_has_the_channels_of_the_paper_at_the_end_of_every_block():
    model, widths = recogniser(backbone="bn_inception", segments=1, shift=8, shift_place="block").eval(), {}
    for name, module in model.named_modules():
        if isinstance(module, TemporalShift):
            module.register_forward_hook(lambda m, inputs, y, name=name: widths.__setitem__(name, tuple(y.shape[1:3])))
    assert model.features(torch.zeros(1, 1, 3, 224, 224)).shape == (1, 1, 1024)
    assert [*widths.values()] == [
        (64, 56), (192, 28), (256, 28), (320, 28), (576, 14), (576, 14), (576, 14), (608, 14), (608, 14), (1056, 7), (1024, 7),
    ]  # fmt: skip
