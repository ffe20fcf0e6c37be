"""Backbones cut into stages: shapes, names, and what is frozen."""

import pytest
import torch

from kinoflow.tasks.alignment.backbones import Backbone
from kinoflow.tasks.alignment.options import EncoderOptions


def backbone(name: str = "small", encoder: str = "transformer", **options) -> Backbone:
    return Backbone(EncoderOptions(backbone=name, encoder=encoder, **options))


def trained(net: Backbone) -> set[str]:
    """The first part of the names of parameters that take a gradient."""
    parts = {
        name.split(".")[0] if "blocks" not in name else name[:8]
        for name, p in net.named_parameters()
        if p.requires_grad
    }
    return parts


@pytest.mark.parametrize(
    ("name", "encoder", "side", "shape"),
    [
        ("tiny", "transformer", 20, (64, 3, 3)),
        ("small", "transformer", 40, (96, 3, 3)),
        ("small", "conv", 40, (64, 5, 5)),
        ("resnet18", "transformer", 64, (512, 2, 2)),
        ("resnet18", "conv", 64, (256, 4, 4)),
    ],
)
def test_maps_have_their_shape_and_the_width_is_known(name, encoder, side, shape):
    net = backbone(name, encoder).eval()
    assert tuple(net(torch.zeros(1, 3, side, side)).shape[1:]) == shape and net.width == shape[0]


def test_resnet50_is_as_large_as_published():
    with torch.device("meta"):
        whole, cut = backbone("resnet50"), backbone("resnet50", "conv", frozen=0)
    million = {
        flag: sum(p.numel() for p in whole.parameters() if p.requires_grad is flag) / 1e6 for flag in (True, False)
    }
    assert round(million[True], 2) == 14.96 and round(million[False], 2) == 8.54
    assert (whole.width, cut.width) == (2048, 1024) and not hasattr(cut, "layer4")


@pytest.mark.parametrize(
    ("frozen", "wanted"),
    [
        (0, {"stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"}),
        (2, {"blocks.2", "blocks.3"}),
        (3, {"blocks.3"}),
        (4, set()),
    ],
)
def test_frozen_stages_take_no_gradient_and_keep_their_statistics(frozen, wanted):
    net = backbone(frozen=frozen).train()
    assert trained(net) == wanted
    before = {k: v.clone() for k, v in net.state_dict().items()}
    maps = net(torch.randn(2, 3, 40, 40))
    assert maps.requires_grad == (frozen < 4)
    changed = {
        k[:8] if "blocks" in k else k.split(".")[0]
        for k, v in net.state_dict().items()
        if not torch.equal(v, before[k])
    }
    assert changed == wanted


def test_frozen_stages_give_the_same_in_training_and_after_a_change_of_mode():
    net, x = backbone(frozen=4), torch.randn(2, 3, 40, 40)
    assert torch.equal(net.train()(x), net.eval()(x))


def test_only_norms_of_the_other_stages_are_trained_if_asked():
    net = backbone(frozen=2, only_norm=True)
    names = {name for name, p in net.named_parameters() if p.requires_grad}
    assert names and all("norm" in name or "shortcut.1" in name for name in names)
    assert all(name.startswith(("blocks.2", "blocks.3")) for name in names)
