"""BN-Inception: Ioffe, Szegedy, "Batch Normalization", 2015, appendix, with the layer names that Caffe gave it.

    pictures (B, C, H, W) -> conv1_7x7_s2, conv2, ten inception blocks 3a to 5b -> (B, 1024, H/32, W/32)

A unit is a convolution with bias, a batch normalisation and a ReLU; unit ``inception_3a_1x1`` has the weights
``inception_3a_1x1.weight``, ``.bias`` and ``inception_3a_1x1_bn.weight`` and so on. Differs from the paper's table where the
widths there do not add up (block 4c has 608 channels), as the published models do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

WIDTH = 1024
STEM = "conv1_7x7_s2"
MEAN = (
    128 / 255,
    117 / 255,
    104 / 255,
)  # of red, green and blue, shares of white; pictures are up to 255 less the mean


class BnInception(nn.Module):
    """The network for classifying pictures (B, 3, H, W): red, green, blue up to 255 less `MEAN`; it takes blue first itself.

    >>> BnInception(5).eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 5])
    """

    def __init__(self, classes: int = 1000):
        super().__init__()
        for name, layer in parts(3).items():
            self.add_module(name, layer)
        self.fc = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (B, classes) of pictures."""
        return self.fc(run(self, x.flip(1)).mean((2, 3)))


@dataclass(frozen=True)
class Block:
    """One inception block: branches 1x1; 1x1, 3x3; 1x1, 3x3, 3x3; a pool, 1x1. A width of 0: that layer is not there.

    A block without its first and last width halves the picture, and lets its input pass through a maximum pool.
    """

    name: str
    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pool: str
    projection: int

    @property
    def stride(self) -> int:
        """2 if the block halves the picture."""
        return 1 if self.one else 2

    def width(self, inputs: int) -> int:
        """Return the channels that come out."""
        return self.one + self.three[1] + self.double[1] + (self.projection or inputs)


BLOCKS = (
    Block("inception_3a", 64, (64, 64), (64, 96), "average", 32),
    Block("inception_3b", 64, (64, 96), (64, 96), "average", 64),
    Block("inception_3c", 0, (128, 160), (64, 96), "max", 0),
    Block("inception_4a", 224, (64, 96), (96, 128), "average", 128),
    Block("inception_4b", 192, (96, 128), (96, 128), "average", 128),
    Block("inception_4c", 160, (128, 160), (128, 160), "average", 128),
    Block("inception_4d", 96, (128, 192), (160, 192), "average", 128),
    Block("inception_4e", 0, (128, 192), (192, 256), "max", 0),
    Block("inception_5a", 352, (192, 320), (160, 224), "average", 128),
    Block("inception_5b", 352, (192, 320), (192, 224), "max", 128),
)
# Where what comes in may be shifted: the second convolution's part and every inception block, 11 places.
PLACES = ("conv2", *(block.name for block in BLOCKS))


def parts(channels: int) -> dict[str, nn.Module]:
    """Return the layers by their names, in order, for pictures with so many channels."""
    layers: dict[str, nn.Module] = {}

    def unit(name: str, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        layers[name] = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)
        layers[f"{name}_bn"] = nn.BatchNorm2d(outputs)

    unit(STEM, channels, 64, 7, 2)
    unit("conv2_3x3_reduce", 64, 64)
    unit("conv2_3x3", 64, 192, 3)
    width = 192
    for block in BLOCKS:
        if block.one:
            unit(f"{block.name}_1x1", width, block.one)
        unit(f"{block.name}_3x3_reduce", width, block.three[0])
        unit(f"{block.name}_3x3", *block.three, 3, block.stride)
        unit(f"{block.name}_double_3x3_reduce", width, block.double[0])
        unit(f"{block.name}_double_3x3_1", *block.double, 3)
        unit(f"{block.name}_double_3x3_2", block.double[1], block.double[1], 3, block.stride)
        if block.projection:
            unit(f"{block.name}_pool_proj", width, block.projection)
        width = block.width(width)
    return layers


def shift_name(place: str) -> str:
    """Return the name of the layer that shifts what comes into a part of the network."""
    return f"{place}_shift"


def run(net: nn.Module, x: Tensor) -> Tensor:
    """Return (B, 1024, H/32, W/32) of pictures (B, C, H, W); the layers are children of ``net``, under their names."""
    x = _halved(_unit(net, STEM, x))
    x = _entered(net, "conv2", x)
    x = _halved(_units(net, x, "conv2_3x3_reduce", "conv2_3x3"))
    for block in BLOCKS:
        x = _inception(net, block, _entered(net, block.name, x))
    return x


def _inception(net: nn.Module, block: Block, x: Tensor) -> Tensor:
    name = block.name
    branches = [
        _units(net, x, f"{name}_3x3_reduce", f"{name}_3x3"),
        _units(net, x, f"{name}_double_3x3_reduce", f"{name}_double_3x3_1", f"{name}_double_3x3_2"),
        _pooled(net, block, x),
    ]
    if block.one:
        branches.insert(0, _unit(net, f"{name}_1x1", x))
    return torch.cat(branches, 1)


def _pooled(net: nn.Module, block: Block, x: Tensor) -> Tensor:
    if block.stride == 2:
        return _halved(x)
    around = F.avg_pool2d(x, 3, 1, 1) if block.pool == "average" else F.max_pool2d(x, 3, 1, 1)
    return _unit(net, f"{block.name}_pool_proj", around)


def _halved(x: Tensor) -> Tensor:
    # Sides that are odd get an edge, so that the pool gives as many rows as the convolutions beside it.
    return F.max_pool2d(x, 3, 2, padding=(x.shape[2] % 2, x.shape[3] % 2), ceil_mode=True)


def _entered(net: nn.Module, place: str, x: Tensor) -> Tensor:
    shift = getattr(net, shift_name(place), None)
    return x if shift is None else shift(x)


def _units(net: nn.Module, x: Tensor, *names: str) -> Tensor:
    for name in names:
        x = _unit(net, name, x)
    return x


def _unit(net: nn.Module, name: str, x: Tensor) -> Tensor:
    return F.relu_(getattr(net, f"{name}_bn")(getattr(net, name)(x)))
