"""Backbones that turn what a step shows into features: pictures (B, T, 3, S, S), clips (B, T, 3, t, S, S), or features as they are.

ViT-B/16: Dosovitskiy et al., 2021, its class token. irCSN-152: Tran et al., "Video classification with channel-separated
convolutional networks", 2019: a ResNet-152 along space and time whose 3x3x3 convolutions see one channel each. BN-Inception:
`kinoflow.features.bn_inception`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kinoflow.features import bn_inception
from kinoflow.tasks.anticipation.options import StudentOptions

WIDTHS = {"vit_b_16": 768, "bn_inception": bn_inception.WIDTH, "csn_152": 2048}
CLIPS = ("csn_152",)  # that read several frames at once
CSN_LAYERS, CSN_EPSILON, CSN_MOMENTUM = [3, 8, 36, 3], 1e-3, 0.1


class Features(nn.Module):
    """No backbone: what comes in are features."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x, (B, T, D)."""
        return x


class Each(nn.Module):
    """A network applied to every step by itself: (B, T, ...) -> (B, T, D)."""

    def __init__(self, network: nn.Module, trained: bool):
        super().__init__()
        self.network, self.trained = network.requires_grad_(trained), trained

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, T, D) of pictures or clips."""
        found = self.network(x.flatten(0, 1))
        return (found if self.trained else found.detach()).unflatten(0, x.shape[:2])

    def train(self, mode: bool = True) -> "Each":
        """Set the mode; a backbone that is not trained stays as it is, its norms and dropouts too."""
        super().train(mode)
        if not self.trained:
            self.network.eval()
        return self


def build(options: StudentOptions) -> nn.Module:
    """Return the backbone of the options, without weights of its own yet."""
    if options.backbone == "identity":
        return Features()
    return Each(NETWORKS[options.backbone](options.size), options.train_backbone)


def begin(backbone: Each, options: StudentOptions) -> None:
    """Load the weights that the options name; without any, they stay as drawn."""
    if options.weights != "none":
        from kinoflow.features.weights import load

        load(backbone.network, Path(options.weights))


def _vit_b_16(size: int) -> nn.Module:
    from torchvision.models import VisionTransformer

    network = VisionTransformer(size, 16, 12, 12, 768, 3072)
    network.heads = nn.Identity()
    return network


class _BnInception(bn_inception.BnInception):
    """BN-Inception for pictures as the others take them, (x - .5) / .5."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, 1024) of pictures (B, 3, H, W)."""
        mean = torch.tensor(bn_inception.MEAN, dtype=x.dtype, device=x.device).view(3, 1, 1)
        return super().forward(255 * (x * 0.5 + 0.5 - mean))


def _bn_inception(size: int) -> nn.Module:
    network = _BnInception()
    network.fc = nn.Identity()
    return network


def _csn_152(size: int) -> nn.Module:
    from torchvision.models.video.resnet import Bottleneck, VideoResNet

    network = VideoResNet(Bottleneck, [_Depthwise] * 4, CSN_LAYERS, _Stem)
    network.fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps, module.momentum = CSN_EPSILON, CSN_MOMENTUM
    return network


class _Depthwise(nn.Conv3d):
    """A convolution that sees one channel at a time; ``midplanes`` belongs to other kinds of convolution."""

    def __init__(self, inputs: int, outputs: int, midplanes: int | None = None, stride: int = 1, padding: int = 1):
        super().__init__(inputs, outputs, 3, stride, padding, groups=inputs, bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """Return how much time, height and width are thinned out."""
        return stride, stride, stride


class _Stem(nn.Sequential):
    """The first convolution, over 3 frames and 7 x 7 pixels, and a pool."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )


NETWORKS: dict[str, Any] = {"vit_b_16": _vit_b_16, "bn_inception": _bn_inception, "csn_152": _csn_152}
