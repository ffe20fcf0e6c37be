"""Changes of colour as Pillow makes them on 8-bit pictures: whole values 0..255 in, whole values out, in float32.

Pictures are tensors (n, 3, H, W) that are changed in place; values after each change are cut to 0..255 and truncated.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

RED, GREEN, BLUE, HALF = 19595 / 65536, 38470 / 65536, 7471 / 65536, 32768 / 65536  # exact in float32, as are the sums


def grey(x: Tensor) -> Tensor:
    """Return the grey values (n, 1, H, W) of pictures: .299 R + .587 G + .114 B, rounded."""
    return (x[:, 0:1] * RED).add_(x[:, 1:2], alpha=GREEN).add_(x[:, 2:3], alpha=BLUE).add_(HALF).floor_()


def brightness(x: Tensor, factor: float) -> Tensor:
    """Multiply values."""
    return _eight_bit(x.mul_(factor))


def contrast(x: Tensor, factor: float) -> Tensor:
    """Move values away from the mean grey of each picture, or towards it."""
    mean = grey(x).flatten(1).mean(1, dtype=torch.float64).add_(0.5).floor_().to(x.dtype)[:, None, None, None]
    return _eight_bit(x.sub_(mean).mul_(factor).add_(mean))


def saturation(x: Tensor, factor: float) -> Tensor:
    """Move values away from the grey of each pixel, or towards it."""
    plain = grey(x)
    return _eight_bit(x.sub_(plain).mul_(factor).add_(plain))


def hue(x: Tensor, shift: float) -> Tensor:
    """Turn colours by a share of the circle, hue and saturation in 8 bits."""
    red, green, blue = x.unbind(1)
    value, least = torch.maximum(red, green), torch.minimum(red, green)
    torch.maximum(value, blue, out=value)
    span = value - torch.minimum(least, blue, out=least)
    # The angle counts sixths of the circle from the largest of the three colours (red 0, green 2, blue 4). Values are whole:
    # which one it is comes from differences, 1 or 0; choosing by truth values takes several times as long.
    is_red = torch.sub(red, value).add_(1).clamp_(min=0)
    is_green = torch.sub(green, value).add_(1).clamp_(min=0).mul_(1 - is_red)
    is_blue = 1 - is_red - is_green
    side = (green - blue).mul_(is_red).addcmul_(blue - red, is_green).addcmul_(red - green, is_blue)
    angle = side.div_(span.clamp(min=1)).add_(is_green, alpha=2).add_(is_blue, alpha=4)
    angle.div_(6).add_(1).frac_().mul_(255).floor_().mul_(span.clamp(max=1))  # 8 bits, (n, H, W); grey: 0
    angle.add_(int(255 * shift) % 256)
    angle.sub_(torch.mul(angle, 1 / 256, out=least).floor_(), alpha=256).mul_(6 / 255)
    full = span.div_(value.clamp(min=1)).mul_(255).floor_().mul_(value).div_(255)  # value times saturation
    # How much of its saturation each colour lacks is a trapezium over the angle.
    for channel, (middle, sign, level) in enumerate(((3, -1, 2), (2, 1, -1), (4, 1, -1))):
        lack = torch.sub(angle, middle, out=least).abs_().mul_(sign).add_(level).clamp_(0, 1)
        torch.sub(value, lack.mul_(full), out=x[:, channel])
    return x.add_(0.5).floor_()


def blur(x: Tensor, deviation: float) -> Tensor:
    """Return pictures blurred by a Gaussian of a deviation in pixels, edges repeated; rounded as Pillow does."""
    reach = max(1, round(3 * deviation))
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-(places**2) / (2 * deviation**2))
    taps = (weights / weights.sum()).tolist()
    wide = pad(x, (reach, reach, 0, 0), "replicate")
    rows = _weighted(wide, taps, 3, x.shape[3])
    tall = pad(rows, (0, 0, reach, reach), "replicate")
    return _weighted(tall, taps, 2, x.shape[2]).add_(0.5).floor_()


def _weighted(x: Tensor, taps: list[float], axis: int, length: int) -> Tensor:
    total = x.narrow(axis, 0, length) * taps[0]
    for i, tap in enumerate(taps[1:], 1):
        total.add_(x.narrow(axis, i, length), alpha=tap)
    return total


def _eight_bit(x: Tensor) -> Tensor:
    return x.clamp_(0, 255).floor_()
