"""From a decoded picture to pixels of the wanted size: geometry in exact arithmetic, scaling in YUV, turning."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from kinoflow.errors import DataError
from kinoflow.media.options import FramesOptions

LARGEST = 1 << 26  # pixels of one scaled picture: beyond, a strip a few pixels high has been blown up
INTERPOLATIONS = {
    "area": Interpolation.AREA,
    "bilinear": Interpolation.BILINEAR,
    "bicubic": Interpolation.BICUBIC,
}


@dataclass(frozen=True)
class Fit:
    """How a stored picture becomes a frame: scaled, turned, then cut."""

    width: int  # of the scaled picture, before it is turned; even
    height: int
    turns: int  # quarter turns counter-clockwise
    top: int  # rows and columns left out before the frame begins, after turning
    left: int
    shape: tuple[int, int]  # height, width of the frame; even


def fit(width: int, height: int, turns: int, aspect: Fraction, options: FramesOptions) -> Fit:
    """Return how a stored picture of ``width`` x ``height`` pixels becomes a frame as ``options`` ask for.

    turns: quarter turns counter-clockwise that show it upright. aspect: width of one stored pixel over its height.
    Keep and crop: the short side becomes ``size``, the long one follows the shape in which the picture is shown, rounded
    to the nearest even number. Raises DataError for a strip so thin that the long side would be out of all proportion.
    """
    turns = turns if options.upright else 0
    shown = (Fraction(height), width * (aspect if options.square_pixels else Fraction(1)))
    if turns % 2:
        shown = shown[::-1]
    size, short = options.size, min(shown)
    full = (size, size) if options.shape == "squash" else tuple(_even(size * side / short) for side in shown)
    if full[0] * full[1] > LARGEST:
        raise DataError(
            f"a picture of {width} x {height} pixels would become {full[1]} x {full[0]}: take shape: squash for such strips"
        )
    shape = (size, size) if options.shape == "crop" else full
    stored = full[::-1] if turns % 2 else full
    return Fit(stored[1], stored[0], turns, (full[0] - shape[0]) // 2, (full[1] - shape[1]) // 2, shape)


def _even(side: Fraction) -> int:
    return 2 * floor(side / 2 + Fraction(1, 2))


class Converter:
    """Turn the decoded pictures of one video into frames (H, W, 3) uint8, all of the size that the first one decides.

    Scales planar YUV first and makes RGB of the small picture: cheaper and closer to the ideal than one step. Chroma is
    halved in between as most videos store it; of a source that has it in full (RGB, palettes, 4:4:4), all is kept.
    """

    def __init__(self, options: FramesOptions, aspect: Fraction | None, first: av.VideoFrame):
        turns = quarter_turns(first.rotation)
        self.fit = fit(first.width, first.height, turns, aspect or Fraction(1), options)
        self._interpolation = INTERPOLATIONS[options.interpolation]
        self._scale, self._colour = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Return one picture as (H, W, 3) uint8"""
        small = self._scale.reformat(
            frame,
            width=self.fit.width,
            height=self.fit.height,
            format="yuv444p" if _full_chroma(frame.format) else "yuv420p",
            interpolation=self._interpolation,
            threads=1,
        )
        plane = self._colour.reformat(small, format="rgb24", threads=1).planes[0]
        pixels = np.ndarray((plane.height, plane.width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        (height, width), top, left = self.fit.shape, self.fit.top, self.fit.left
        return np.rot90(pixels, self.fit.turns)[top : top + height, left : left + width]


def _full_chroma(pixels: av.VideoFormat) -> bool:
    return pixels.chroma_width(2) == 2 and pixels.chroma_height(2) == 2


def quarter_turns(degrees: int) -> int:
    """Return how many quarter turns counter-clockwise (0 to 3) show a picture upright.

    degrees: ``VideoFrame.rotation``, PyAV's reading of the display matrix: counter-clockwise, -180 to 180, 0 without a
    matrix. (`ffprobe` prints the same number; players turn by it.) Rounded to the nearest quarter.
    """
    return round(degrees / 90) % 4
