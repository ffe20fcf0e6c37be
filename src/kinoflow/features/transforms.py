"""From decoded frames to what a network reads: resized, cropped, normalised, as batched tensor operations.

Pictures and videos go the same way, the one that torchvision publishes with its weights: the short side (or both) is
resized with antialiasing and rounded to whole values, the centre is cut out, mean and deviation are those of the weights.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kinoflow.errors import ConfigError
from kinoflow.features.options import FeaturesOptions
from kinoflow.media.options import FramesOptions

PLAIN_MEAN, PLAIN_STD = (0.45, 0.45, 0.45), (0.226, 0.226, 0.226)  # networks that nobody published


@dataclass(frozen=True)
class Pictures:
    """How frames are made ready. What is larger than the picture in ``crop`` leaves the picture whole."""

    resize: int | tuple[int, int] | None = None  # short side, or (height, width), pixels; None: as it comes
    crop: int | None = None  # both sides of the centre cut, pixels
    mean: tuple[float, ...] = PLAIN_MEAN  # of red, green, blue, as shares of white
    std: tuple[float, ...] = PLAIN_STD
    interpolation: str = "bilinear"

    def __call__(self, frames: Tensor) -> Tensor:
        """Make frames (n, H, W, 3) uint8 into pictures (n, 3, h, w) float32 on the same device."""
        pictures = frames.permute(0, 3, 1, 2).float()
        height, width = self.resized(*pictures.shape[2:])
        if (height, width) != tuple(pictures.shape[2:]):
            size, mode = (height, width), self.interpolation
            pictures = interpolate(pictures, size, mode=mode, antialias=True, align_corners=False)
            pictures = pictures.round_().clamp_(0, 255)  # bicubic overshoots
        pictures = centre(pictures, self.crop) if self.crop else pictures
        mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (self.mean, self.std))
        return pictures.div_(255).sub_(mean).div_(std)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size to which a picture is scaled, as torchvision counts: the long side is cut to whole pixels."""
        if self.resize is None or self.resize == min(height, width):
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        long = self.resize * max(height, width) // min(height, width)
        return (self.resize, long) if height <= width else (long, self.resize)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the pictures made from frames of ``height`` x ``width``."""
        height, width = self.resized(height, width)
        return (min(height, self.crop), min(width, self.crop)) if self.crop else (height, width)

    def text(self) -> str:
        """Return all values as one JSON text."""
        return json.dumps(asdict(self), sort_keys=True)


def centre(pictures: Tensor, side: int) -> Tensor:
    """Cut the centre out of pictures (n, 3, H, W): (n, 3, min(H, side), min(W, side)), placed as torchvision places it."""
    height, width = pictures.shape[2:]
    h, w = min(height, side), min(width, side)
    top, left = round((height - h) / 2), round((width - w) / 2)
    return pictures[:, :, top : top + h, left : left + w]


def published(presets: Any) -> Pictures:
    """Return what torchvision's presets (``weights.transforms()``) say."""
    resize, crop = presets.resize_size, presets.crop_size
    return Pictures(
        resize=int(resize[0]) if len(resize) == 1 else (int(resize[0]), int(resize[1])),
        crop=int(crop[0]),
        mean=tuple(map(float, presets.mean)),
        std=tuple(map(float, presets.std)),
        interpolation=str(presets.interpolation.value),
    )


def chosen(options: FeaturesOptions, usual: Pictures) -> Pictures:
    """Lay the options that are given over the ``usual`` way."""
    given = {key: getattr(options, key) for key in ("resize", "crop", "mean", "std")}
    return Pictures(**{**vars(usual), **{key: value for key, value in given.items() if value is not None}})


def decoding(pictures: Pictures) -> FramesOptions:
    """Return how a video is decoded straight at the size of ``pictures``: the decoder's AREA scaling is then the resize.

    Its sides are even, so an odd size is decoded one pixel larger and resized after that; so is a size of both sides.
    """
    if pictures.resize is None:
        raise ConfigError("resize: frames decoded from videos need a size; give the short side in pixels")
    height, width = pictures.resize if isinstance(pictures.resize, tuple) else (pictures.resize, 0)
    if height == width:
        return FramesOptions(size=height + height % 2, shape="squash")
    return FramesOptions(size=height + height % 2, shape="keep")
