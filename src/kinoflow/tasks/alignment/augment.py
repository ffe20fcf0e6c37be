"""From frames to what the network reads: cut, mirrored, recoloured, normalised; all frames of a view alike.

Frames are tensors (n, H, W, 3) uint8 on any device, results (n, 3, S, S) float32. On a CPU frames go through in small
groups that stay in its cache.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import interpolate

from kinoflow.tasks.alignment import colours
from kinoflow.tasks.alignment.options import VaryOptions

VALUES = {  # mean and deviation of red, green, blue, as shares of white
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "plain": ((0.45, 0.45, 0.45), (0.226, 0.226, 0.226)),
}
CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "brightness": colours.brightness,
    "contrast": colours.contrast,
    "saturation": colours.saturation,
    "hue": colours.hue,
}
FIXED = ("brightness", "contrast", "hue", "saturation")  # order of the published code for other losses than scl
TRIES, ASPECTS = 10, (3 / 4, 4 / 3)
BLURRED, SMALLEST, LARGEST = 0.5, 0.1, 2.0  # share of views times strength; deviations, pixels
TOGETHER = 100_000  # pixels that go through at once on a CPU


@dataclass(frozen=True)
class Variation:
    """One draw: how the frames of a view are varied."""

    box: tuple[int, int, int, int]  # top, left, height, width of what is cut out
    mirrored: bool = False
    changes: tuple[tuple[str, float], ...] = ()  # of colours, in their order: factor, of hue the shift
    blurs: tuple[float, ...] = field(default=())  # deviations: one at the end, or one after each change
    grey: bool = False


def vary(frames: Tensor, options: VaryOptions, rng: Generator) -> Tensor:
    """Vary frames (n, H, W, 3) uint8 by one draw: (n, 3, S, S) float32, normalised."""
    return apply(frames, draw(*frames.shape[1:3], options, rng), options)


def prepare(frames: Tensor, options: VaryOptions) -> Tensor:
    """Make frames (n, H, W, 3) uint8 ready without any variation: (n, 3, S, S) float32, normalised."""
    size, (height, width) = options.size, frames.shape[1:3]
    if options.evaluate == "resize_crop":
        side = min(height, width)
        box = ((height - side + 1) // 2, (width - side + 1) // 2, side, side)
    elif options.evaluate == "crop":
        box = centre(height, width, size)
    else:
        box = (0, 0, height, width)
    return apply(frames, Variation(box), options)


def centre(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Return the box of a central square of ``size``, as published: an odd pixel more lies above and to the left."""
    h, w = min(height, size), min(width, size)
    return math.ceil((height - h) / 2), math.ceil((width - w) / 2), h, w


# ---------------------------------------------------------------- what is drawn


def draw(height: int, width: int, options: VaryOptions, rng: Generator) -> Variation:
    """Draw a variation for frames of ``height`` x ``width``; as many numbers are drawn whatever is switched on."""
    box = crop_box(height, width, options.least, rng)
    mirrored, grey, jitter, blurred = rng.random(4) < (0.5, options.grey, options.jitter, BLURRED * options.strength)
    deviations = rng.uniform(SMALLEST, LARGEST, 4)
    factors, order = rng.uniform(-1, 1, 4), rng.permutation(4)
    limits = {name: options.strength * getattr(options, name) for name in CHANGES}
    drawn = {name: limits[name] * float(x) + (name != "hue") for name, x in zip(CHANGES, factors, strict=True)}
    names = [list(CHANGES)[i] for i in order] if options.order == "random" else FIXED
    changes = tuple((name, drawn[name]) for name in names if limits[name] and jitter)
    blurs = () if options.blur == "none" or not (blurred and jitter) else tuple(deviations.tolist())
    return Variation(
        box=box if options.crop else (0, 0, height, width),
        mirrored=bool(mirrored and options.flip),
        changes=changes,
        blurs=blurs[:1] if options.blur == "once" else blurs[: len(changes)],
        grey=bool(grey),
    )


def crop_box(height: int, width: int, least: float, rng: Generator) -> tuple[int, int, int, int]:
    """Draw a box of ``least`` to all of the area and of aspect 3:4 to 4:3 (Szegedy et al., 2015): top, left, height, width.

    Where ten draws do not fit, the centre, cut to these aspects.
    """
    shares = rng.uniform(least, 1, TRIES)
    aspects = [math.exp(x) for x in rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1]), TRIES)]
    down, right = rng.random(2)
    for share, aspect in zip(shares, aspects, strict=True):
        area = share * height * width
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
    w, h = min(width, round(height * ASPECTS[1])), min(height, round(width / ASPECTS[0]))
    return (height - h) // 2, (width - w) // 2, h, w


# ---------------------------------------------------------------- what is done


def apply(frames: Tensor, variation: Variation, options: VaryOptions) -> Tensor:
    """Vary frames (n, H, W, 3) uint8 as drawn: (n, 3, S, S) float32, normalised."""
    size = options.size
    step = max(1, TOGETHER // size**2) if frames.device.type == "cpu" else max(1, len(frames))
    result = torch.empty((len(frames), 3, size, size), device=frames.device)
    mean, deviation = (torch.tensor(v, device=frames.device).view(3, 1, 1) * 255 for v in VALUES[options.values])
    for i in range(0, len(frames), step):
        x = cut(frames[i : i + step], variation.box, variation.mirrored, size)
        x = recolour(x, variation)
        torch.sub(x, mean, out=result[i : i + step]).div_(deviation)
    return result


def cut(frames: Tensor, box: tuple[int, int, int, int], mirrored: bool, size: int) -> Tensor:
    """Cut boxes out of frames (n, H, W, 3), mirror and scale them: (n, 3, size, size) float32, 0 to 255.

    Bilinear without antialiasing, centres of pixels at halves, as published.
    """
    top, left, height, width = box
    x = frames[:, top : top + height, left : left + width].float().permute(0, 3, 1, 2)
    if (height, width) != (size, size):
        x = interpolate(x, (size, size), mode="bilinear", align_corners=False)
    x = x.contiguous()  # only now: scaling is faster with colours next to each other
    return x.flip(3) if mirrored else x


def recolour(x: Tensor, variation: Variation) -> Tensor:
    """Change the colours of pictures (n, 3, H, W), 0 to 255, which may be overwritten."""
    if variation.changes or variation.blurs:
        x = x.floor_()
    original = len(variation.blurs) > 1
    for i, (name, amount) in enumerate(variation.changes):
        x = CHANGES[name](x, amount)
        if original:
            x = colours.blur(x, variation.blurs[i])
    if variation.blurs and not original:
        x = colours.blur(x, variation.blurs[0])
    if variation.grey:
        x = plain(x)
    return x


def plain(x: Tensor) -> Tensor:
    """Return pictures (n, 3, H, W) without colour: .299 R + .587 G + .114 B in all three planes."""
    red, green, blue = x.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].expand_as(x)


# ---------------------------------------------------------------- rows of features


def vary_rows(rows: Tensor, options: VaryOptions, rng: Generator) -> Tensor:
    """Vary rows (n, F) float32 of a feature set: noise on every value, columns that are zero in the whole view.

    This is no part of the published method, which varies pictures.
    """
    noise = torch.from_numpy(rng.standard_normal(tuple(rows.shape)).astype("float32")).to(rows.device)
    kept = torch.from_numpy(rng.random(rows.shape[1]) >= options.drop).to(rows)
    scale = rows.std(0, correction=0) if len(rows) > 1 else torch.zeros_like(rows[0])
    return (rows + noise * (options.noise * scale)) * kept / (1 - options.drop)
