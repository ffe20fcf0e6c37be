"""The small network of the embedded study: a residual network for pictures of 32 to 96 pixels.

    pictures (B, C, H, W) -> stem, 3x3 with stride 2, 16 channels      (B, 16, H/2, W/2)
                          -> 4 basic blocks, 16-32-64-96, strides 1 2 2 2   (B, 96, H/16, W/16)
                          -> mean over positions                       (B, 96)

Blocks as in He et al., "Deep residual learning for image recognition", 2016, figure 5 left.
"""

from torch import Tensor, nn

STEM, WIDTHS, STRIDES = 16, (16, 32, 64, 96), (1, 2, 2, 2)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them: (B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = (
            nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
            if stride > 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(shortcut(x) + residual(x))."""
        residual = self.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return self.relu(self.shortcut(x) + residual)


class Small(nn.Module):
    """The small network without a classifier: pictures (B, channels, H, W) -> features (B, 96).

    >>> Small(channels=3)(torch.zeros(2, 3, 40, 40)).shape
    torch.Size([2, 96])
    """

    width = WIDTHS[-1]

    def __init__(self, channels: int = 3):
        super().__init__()
        self.stem = nn.Sequential(_conv(channels, STEM, 3, 2), nn.BatchNorm2d(STEM), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(
            *(Block(a, b, stride) for a, b, stride in zip((STEM, *WIDTHS), WIDTHS, STRIDES, strict=False))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # there, this would load torch's compiler
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over positions of the last block's output."""
        return self.blocks(self.stem(x)).mean((2, 3))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
