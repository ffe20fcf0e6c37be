"""Several videos in one picture: panes side by side, each with a line of text above, as frames of a new video."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kinoflow.datasets.contact_sheet import clock
from kinoflow.media.sample import frame_gap
from kinoflow.report.section import printable
from kinoflow.report.style import font_file

ACROSS = 3  # panes in a row
LINE, GAP, TEXT = 16, 4, 11  # pixels: the line above a pane, between panes, letters
PAPER, INK = (21, 25, 30), (228, 231, 235)
SHOWN_FPS = (1, 60)  # slowest and fastest video that is written
AT_ONCE = 32  # frames of a video that are read at a time


@dataclass(frozen=True)
class Shown:
    """One pane: which frames of which video it shows, one for every frame of the new video."""

    name: str
    read: Callable[[np.ndarray], np.ndarray]  # frame numbers (n,) -> (n, H, W, 3) uint8
    numbers: np.ndarray  # (n,) int64
    times: np.ndarray  # (L,) seconds of all frames of the video


def film(panes: Sequence[Shown], height: int) -> Iterator[np.ndarray]:
    """Yield the frames (H', W', 3) uint8 of the new video, sides even; all panes have as many frames.

    height: pixels of each pane's picture.
    """
    total = len(panes[0].numbers)
    for first in range(0, total, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        pictures = [read_frames(pane, pane.numbers[part]) for pane in panes]
        for i in range(len(pictures[0])):
            number = [int(pane.numbers[first + i]) for pane in panes]
            labels = [f"{pane.name}  {clock(pane.times[k])}" for pane, k in zip(panes, number, strict=True)]
            yield montage([frames[i] for frames in pictures], labels, height)


def read_frames(pane: Shown, numbers: np.ndarray) -> np.ndarray:
    """Return frames (n, H, W, 3) of a pane; one that is asked for several times is read once."""
    single, where = np.unique(numbers, return_inverse=True)
    return pane.read(single)[where]


def montage(pictures: Sequence[np.ndarray], labels: Sequence[str], height: int) -> np.ndarray:
    """Return pictures (H, W, 3) uint8 of any size as panes of one height, at most three in a row: sides even."""
    from PIL import Image, ImageDraw, ImageFont

    scaled = [_scaled(picture, height) for picture in pictures]
    rows = [scaled[i : i + ACROSS] for i in range(0, len(scaled), ACROSS)]
    width = max(sum(image.width for image in row) + GAP * (len(row) + 1) for row in rows)
    tall = len(rows) * (height + LINE + GAP) + GAP
    sheet = Image.new("RGB", (width + width % 2, tall + tall % 2), PAPER)
    font = ImageFont.truetype(str(font_file()), TEXT, layout_engine=ImageFont.Layout.BASIC)
    pen, named = ImageDraw.Draw(sheet), iter(labels)
    for j, row in enumerate(rows):
        left, top = GAP, GAP + j * (height + LINE + GAP)
        for image in row:
            pen.text((left, top), _fitting(printable(next(named)), pen, font, image.width), font=font, fill=INK)
            sheet.paste(image, (left, top + LINE))
            left += image.width + GAP
    return np.asarray(sheet)


def _scaled(picture: np.ndarray, height: int):
    from PIL import Image

    tall, wide = picture.shape[:2]
    size = (max(1, round(wide * height / tall)), height)
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR)


def _fitting(text: str, pen, font, width: int) -> str:
    """Return as much of the end of a text as is not wider than a pane: the time stands there."""
    whole = text
    while len(text) > 1 and pen.textlength(text, font=font) > width:
        text = f"…{text.removeprefix('…')[1:]}"
    return text if text != "…" else whole[-1:]


def fps_of(times: np.ndarray) -> int:
    """Return the whole frame rate that is nearest to that of frames at these times (L,) seconds."""
    gap = frame_gap(times)
    return int(np.clip(round(1 / gap) if gap > 0 else SHOWN_FPS[0], *SHOWN_FPS))
