"""The networks for pictures, cut into stages of which the first ones may be frozen."""

from typing import Self

import torch
from torch import Tensor, nn

from kinoflow.features.small import Small
from kinoflow.tasks.alignment.options import EncoderOptions

TINY = (16, 32, 64)  # channels of the three convolutions of the smallest network
STEM = ("conv1", "bn1", "relu", "maxpool")


class Backbone(nn.Module):
    """Pictures (n, inputs, H, W) -> maps (n, width, h, w).

    Children keep torchvision's names (conv1, bn1, layer1 ...), or those of the small network, so that files of weights fit.
    Frozen stages take no gradient, and their batch normalisations stay as they are, in training too.
    """

    def __init__(self, options: EncoderOptions, inputs: int = 3):
        super().__init__()
        children, stages, self.width = _network(options.backbone, inputs, whole=options.encoder != "conv")
        for name, child in children.items():
            self.add_module(name, child)
        self._frozen, self._trained = stages[: options.frozen], stages[options.frozen :]
        for module in self._modules_of(self._frozen):
            module.requires_grad_(False)
        if options.only_norm:
            for module in self.modules():
                if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                    for parameter in module.parameters(recurse=False):
                        parameter.requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the maps of pictures; the frozen part leaves no trace for gradients."""
        with torch.no_grad():
            x = self._through(self._frozen, pictures)
        return self._through(self._trained, x)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen stays in that of inference."""
        super().train(mode)
        for module in self._modules_of(self._frozen):
            module.eval()
        return self

    def _through(self, stages: list[tuple[str, ...]], x: Tensor) -> Tensor:
        for module in self._modules_of(stages):
            x = module(x)
        return x

    def _modules_of(self, stages: list[tuple[str, ...]]) -> list[nn.Module]:
        return [self.get_submodule(name) for stage in stages for name in stage]


def _network(name: str, inputs: int, whole: bool) -> tuple[dict[str, nn.Module], list[tuple[str, ...]], int]:
    """Return a network's children by name, the names in each of its stages (the stem with the first), and its width.

    whole: with its fourth stage; the conv encoder reads the third one's maps.
    """
    if name == "tiny":
        return _tiny(inputs), [("conv1",), ("conv2",), ("conv3",)], TINY[-1]
    if name == "small":
        net, stages = Small(inputs), [("stem", "blocks.0"), ("blocks.1",), ("blocks.2",), ("blocks.3",)]
        if not whole:
            net.blocks, stages = net.blocks[:3], stages[:3]
        return dict(net.named_children()), stages, _outputs(net.blocks)
    from torchvision.models import get_model

    net, stages = get_model(name, weights=None), [(*STEM, "layer1"), ("layer2",), ("layer3",), ("layer4",)]
    stages = stages if whole else stages[:3]
    children = {part: getattr(net, part) for stage in stages for part in stage}
    if inputs != 3:
        children["conv1"] = nn.Conv2d(inputs, net.conv1.out_channels, 7, 2, 3, bias=False)
    return children, stages, _outputs(children[stages[-1][-1]])


def _tiny(inputs: int) -> dict[str, nn.Module]:
    """Return three convolutions that halve the picture, for 16 to 32 pixels."""
    pairs = zip((inputs, *TINY), TINY, strict=False)
    return {
        f"conv{i}": nn.Sequential(
            nn.Conv2d(a, b, 3, 2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)
        )
        for i, (a, b) in enumerate(pairs, 1)
    }


def _outputs(stage: nn.Module) -> int:
    """Return the channels that come out of a stage: those of its last norm that is no shortcut's."""
    norms = [m for name, m in stage.named_modules() if isinstance(m, nn.BatchNorm2d) and "shortcut" not in name]
    return norms[-1].num_features
