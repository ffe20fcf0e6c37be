"""Every network gives one finite vector a clip, of the width that its classifier reads, and any layer can be taken."""

import copy
import dataclasses
import functools
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from kinoflow.errors import ConfigError
from kinoflow.features import bn_inception, networks
from kinoflow.features.backbones import CLASSIFIERS, Backbone, build, is_video, member, names, usual_pictures
from kinoflow.features.small import Small
from kinoflow.features.weights import drawn
from kinoflow.media.isolate import StoppedError, isolated

# One of each family, at about the smallest pictures it takes: (side, frames, width).
QUICK = {
    "convnext_tiny": (64, 0, 768),
    "densenet121": (32, 0, 1024),
    "efficientnet_b0": (32, 0, 1280),
    "googlenet": (32, 0, 1024),
    "mobilenet_v3_small": (32, 0, 1024),
    "regnet_y_400mf": (32, 0, 440),
    "resnet18": (64, 0, 512),
    "small": (32, 0, 96),
    "squeezenet1_1": (32, 0, 512),
    "swin_t": (64, 0, 768),
    "swin3d_t": (32, 4, 768),
    "r3d_18": (32, 4, 512),
    "resnet3d50": (32, 4, 2048),
    "bn_inception": (64, 0, 1024),
}
MEMORY = 8000  # MB that a network of the long test may take


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_study_knows_all_names_before_torch_is_loaded():
    assert set(networks.NAMES) <= set(names())  # another version of torchvision may know more


@functools.cache
def _network(name: str, side: int) -> nn.Module:
    quick = mock.patch.object(
        nn.init, "trunc_normal_", lambda x, mean=0.0, std=1.0, **limits: nn.init.normal_(x, mean, std)
    )
    with quick:  # the true one takes seconds
        return drawn(lambda: build(name, side), 0)


def network(name: str, side: int = 64) -> nn.Module:
    """A network of one's own, quickly."""
    return copy.deepcopy(_network(name, side)).eval()


def tokens() -> nn.Module:
    """A tiny network of tokens for pictures of 32 pixels."""
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    net = VisionTransformer(32, 16, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48)
    nn.init.normal_(net.heads.head.weight)
    return net.eval()


def shape_of(side: int, frames: int) -> tuple[int, ...]:
    return (3, frames, side, side) if frames else (3, side, side)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def examined(name: str) -> tuple[int, int, int, float]:
    """Return width, width and number of classes of the classifier, and the largest feature, of a drawn network."""
    torch.set_num_threads(1)
    side, frames = usual_pictures(name).size(64, 64)[0], 16 if is_video(name) else 0
    drawn_network = drawn(lambda: build(name, side), 0)
    head = [m for m in drawn_network.modules() if isinstance(m, CLASSIFIERS)][-1].weight
    with torch.inference_mode():
        features = Backbone(drawn_network)(noise(1, *shape_of(side, frames)))
    return features.shape[1], head.shape[1], head.shape[0], features.abs().max().item()


@pytest.mark.parametrize("name", QUICK)
def test_features_have_the_known_width_and_are_finite(name):
    side, frames, width = QUICK[name]
    backbone = Backbone(network(name, side))
    assert backbone.fit(shape_of(side, frames)) == width
    with torch.inference_mode():
        features = backbone(noise(2, *shape_of(side, frames)))
    assert features.shape == (2, width) and features.dtype == torch.float32
    assert features.isfinite().all() and not torch.equal(features[0], features[1])


@pytest.mark.long
@pytest.mark.parametrize("name", names())
def test_every_network_gives_what_its_classifier_reads(name):
    try:
        width, reads, classes, largest = isolated(examined, name, seconds=500, megabytes=MEMORY)
    except StoppedError as error:
        if "of memory" not in str(error):
            raise
        pytest.skip(f"{name}: {error}")
    print(f"{name}: width {width}, largest {largest:.3g}")
    assert width == (96 if name == "small" else reads)
    assert name == "small" or classes == (400 if is_video(name) else 1000)
    assert 0 < largest < float("inf")


def test_there_are_pictures_and_video_networks_and_nothing_else():
    known = names()
    assert {"small", "resnet50", "vit_b_16", "r3d_18", "mvit_v2_s"} <= set(known)
    assert not [name for name in known if "deeplab" in name or "rcnn" in name or "raft" in name or "quantized" in name]
    assert is_video("resnet3d50") and is_video("swin3d_t") and not is_video("swin_t") and not is_video("small")


def test_a_wrong_name_is_answered_with_the_nearest_ones():
    with pytest.raises(ConfigError, match=r"no network 'resnet5'.*resnet50"):
        is_video("resnet5")


def test_wrong_weights_are_answered_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"resnet50 has no weights 'V9'.*IMAGENET1K_V1, IMAGENET1K_V2"):
        member("resnet50", "V9")
    with pytest.raises(ConfigError, match="small"):
        member("small", "DEFAULT")


def test_bn_inception_reads_blue_first_and_values_up_to_255():
    """The published network: pictures of OpenCV, less 104, 117, 128."""
    net, frames = network("bn_inception"), torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    blue_first = frames.flip(3).permute(0, 3, 1, 2).float() - torch.tensor([104.0, 117.0, 128.0]).view(3, 1, 1)
    with torch.no_grad():
        expected = bn_inception.run(net, blue_first).mean((2, 3))
        found = Backbone(net)(dataclasses.replace(usual_pictures("bn_inception"), resize=None)(frames))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "width"),
    [
        ("small", "blocks.2", 64),
        ("small", "stem", 16),
        ("resnet18", "layer2", 128),
        ("resnet18", "avgpool", 512),
        ("resnet18", "fc", 1000),
        ("swin_t", "features.1", 96),  # channels last
        ("swin_t", "features.0.0", 96),  # a convolution inside: channels first
        ("convnext_tiny", "features.1.0.block.4", 384),  # channels last for a few layers
        ("convnext_tiny", "features.3", 192),
    ],
)
def test_any_layer_can_be_taken(name, layer, width):
    assert Backbone(network(name), layer).fit((3, 64, 64)) == width


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_a_layer_is_averaged_over_its_positions(name):
    layer, clips = {"resnet18": "layer1", "swin_t": "features.1"}[name], noise(2, 3, 64, 64)
    net = network(name)
    outputs = []
    hook = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        net(clips)
    hook.remove()
    backbone = Backbone(net, layer)
    backbone.fit((3, 64, 64))
    expected = outputs[0].mean((2, 3) if name == "resnet18" else (1, 2))
    with torch.inference_mode():
        torch.testing.assert_close(backbone(clips), expected)


def test_the_usual_layer_is_what_the_classifier_reads():
    net, clips = network("resnet18"), noise(2, 3, 64, 64)
    with torch.no_grad():
        logits = net(clips)
        torch.testing.assert_close(linear(Backbone(net)(clips), net.fc.weight, net.fc.bias), logits)


def test_a_token_network_gives_the_token_that_its_classifier_reads():
    net, clips = tokens(), noise(2, 3, 32, 32)
    with torch.no_grad():
        logits = net(clips)
        features = Backbone(net)(clips)
    assert features.shape == (2, 24)
    torch.testing.assert_close(linear(features, net.heads.head.weight, net.heads.head.bias), logits)


def test_a_wrong_layer_is_answered_with_the_nearest_ones():
    with pytest.raises(ConfigError, match=r"no layer 'layr2'; the nearest names: layer2"):
        Backbone(network("resnet18"), "layr2")


def test_a_layer_that_is_never_called_is_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ConfigError, match="never calls 'unused'"):
        Backbone(Odd(), "unused").fit((3, 8, 8))


def test_pictures_that_the_network_cannot_take_are_refused_in_a_sentence():
    with pytest.raises(ConfigError, match=r"cannot take clips of 16 x 16 pixels \(.*\); set resize, crop or clip"):
        Backbone(tokens()).fit((3, 16, 16))


def test_the_network_is_left_as_soon_as_the_layer_is_reached():
    net = drawn(Small, 0)
    net.blocks[3].register_forward_pre_hook(lambda module, inputs: pytest.fail("went on"))
    assert Backbone(net, "blocks.2").fit((3, 40, 40)) == 64


def test_networks_are_the_same_whatever_was_drawn_before():
    first = drawn(lambda: build("mobilenet_v3_small", 64), 5).state_dict()
    torch.rand(100)
    again = drawn(lambda: build("mobilenet_v3_small", 64), 5).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
