"""3D ResNet-50: Hara, Kataoka, Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", 2018, table 1.

    clips (B, 3, T, H, W) -> 7x7x7 convolution, stride (1, 2, 2), and maximum pool     (B, 64, T/2, H/4, W/4)
        -> 3, 4, 6 and 3 bottlenecks, all but the first group halving time and picture (B, 2048, T/16, H/32, W/32)
        -> mean over time and positions -> classes                                     (B, classes)

Layers are called as those of the ResNet-50 for pictures are (conv1, bn1, layer1.0.conv1, layer1.0.downsample.0, fc), as usual
for files of its weights.
"""

from torch import Tensor, nn

GROUPS = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, bottlenecks, stride of the first
EXPANSION = 4  # a bottleneck gives so many times its width


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 and 1x1x1 convolutions beside a shortcut; what has another shape takes a 1x1x1 convolution there."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv3d(inputs, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, outputs, 1, bias=False), nn.BatchNorm3d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * width, T / stride, H / stride, W / stride) of x (B, inputs, T, H, W)."""
        found = self.bn1(self.conv1(x)).relu()
        found = self.bn2(self.conv2(found)).relu()
        found = self.bn3(self.conv3(found))
        return (found + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet3d(nn.Module):
    """The network with 50 layers, for clips of any length.

    >>> import torch
    >>> ResNet3d(5).eval()(torch.zeros(1, 3, 4, 32, 32)).shape
    torch.Size([1, 5])
    """

    def __init__(self, classes: int = 400):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1, self.maxpool = nn.BatchNorm3d(64), nn.MaxPool3d(3, 2, padding=1)
        inputs = 64
        for number, (width, count, stride) in enumerate(GROUPS, 1):
            first = Bottleneck(inputs, width, stride)
            inputs = EXPANSION * width
            rest = (Bottleneck(inputs, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
        self.avgpool, self.fc = nn.AdaptiveAvgPool3d(1), nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the classes, (B, classes), of clips (B, 3, T, H, W)."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for group in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = group(x)
        return self.fc(self.avgpool(x).flatten(1))
