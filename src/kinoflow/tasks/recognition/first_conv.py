"""The first convolution for inputs that are not one RGB picture, made from one that was trained on RGB."""

from torch import Tensor, nn


def adapted(weight: Tensor, kind: str, channels: int, segments: int = 1) -> Tensor:
    """Return the weight (F, channels * segments, h, w) for another input, from that for RGB pictures (F, 3, h, w).

    kind: of the input, rgb, gray, flow or difference. channels: planes of one segment. segments: whose planes come in at
    once (early fusion), otherwise 1. Three gray planes take the places of red, green and blue, for every segment anew; any
    other planes all get the mean of the three. Nothing is rescaled: behind it comes a batch normalisation.
    """
    if kind == "rgb" or (kind == "gray" and channels == 3):
        return weight.repeat(1, segments, 1, 1)
    return weight.mean(1, keepdim=True).repeat(1, channels * segments, 1, 1)


def with_inputs(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return a convolution like ``conv``, untrained, for so many input channels."""
    return nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        bias=conv.bias is not None,
        device=conv.weight.device,
    )
