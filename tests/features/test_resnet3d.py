"""On a single picture the 3D ResNet-50 is the ResNet-50 for pictures: of each kernel only the middle in time counts then."""

import pytest
import torch
from torchvision.models import resnet50

from kinoflow.errors import ConfigError
from kinoflow.features.backbones import Backbone
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.plan import planned
from kinoflow.features.resnet3d import ResNet3d
from kinoflow.features.weights import load


@pytest.fixture(scope="module")
def flat():
    torch.manual_seed(0)
    network = resnet50(num_classes=7)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith(("mean", "var")):
                buffer.uniform_(0.5, 1.5)
    return network.eval()


def inflated(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of pictures as those of clips: noise before and after the moment."""
    found = {}
    for name, value in state.items():
        if value.ndim == 4:
            times = value.shape[-1]
            deep = torch.randn(*value.shape[:2], times, *value.shape[2:])
            deep[:, :, times // 2] = value
            value = deep
        found[f"module.{name}"] = value
    return found


def test_a_single_picture_is_classified_as_by_the_network_for_pictures(flat, tmp_path):
    torch.save({"state_dict": inflated(flat.state_dict())}, tmp_path / "weights.pth")
    network = ResNet3d(7).eval()
    load(network, tmp_path / "weights.pth", whole=True)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures[:, :, None]), flat(pictures), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            Backbone(network)(pictures[:, :, None]), Backbone(flat)(pictures), rtol=1e-4, atol=1e-4
        )


def test_time_counts_in_a_clip():
    network, clip = ResNet3d(7).eval(), torch.randn(1, 3, 8, 32, 32)
    with torch.inference_mode():
        assert not torch.allclose(network(clip), network(clip.flip(2)))


@pytest.mark.parametrize("name", ["resnet3d50", "bn_inception"])
def test_it_has_no_weights_of_torchvision(name):
    options = FeaturesOptions(source="video", backbone=name, weights="torchvision:DEFAULT")
    with pytest.raises(ConfigError, match=f"torchvision has none for the network '{name}'; give none or a file"):
        planned(options, None, "cpu")
