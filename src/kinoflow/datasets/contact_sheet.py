"""Contact sheets: frames of several videos in one picture, each video with its name, times, and what is done when."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinoflow.report.section import printable
from kinoflow.report.style import font_file
from kinoflow.store.tables import Segment

if TYPE_CHECKING:
    from PIL import Image

# Pixels: a frame's height and largest width (16:9), between frames, around all; the sheet's least width, for its names.
HEIGHT, WIDEST, GAP, MARGIN, NARROWEST = 96, 171, 3, 16, 400
TITLE, TIME, STRIP, BETWEEN = 20, 15, 26, 16  # heights of name, times and strip of actions; space between videos
PAPER, INK, MUTED, DARK, EMPTY = "#15191e", "#e4e7eb", "#9fa9b5", "#15191e", "#262d35"
# Made for dark text on them and told apart by colour-blind eyes (P. Tol's "light" scheme); the strip names every action too.
COLOURS = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00")


@dataclass(frozen=True)
class Strip:
    """One video on the sheet. frames: (T, H, W, 3) uint8; times: (T,) seconds; duration: seconds; fault: why there are none."""

    name: str
    facts: str
    frames: np.ndarray
    times: np.ndarray
    duration: float
    segments: Sequence[Segment] = ()
    fault: str = ""


def compose(strips: Sequence[Strip], columns: int) -> bytes:
    """Return the contact sheet as JPEG: one video below the other, ``columns`` frames each."""
    from PIL import Image, ImageDraw

    cell = max(_cell_width(strips), NARROWEST // columns)
    width = columns * (cell + GAP) - GAP
    tops, height = [], MARGIN
    for strip in strips:
        tops.append(height)
        height += _height(strip) + BETWEEN
    sheet = Image.new("RGB", (width + 2 * MARGIN, height - BETWEEN + MARGIN), PAPER)
    pen = _Pen(ImageDraw.Draw(sheet))
    colours = _colours(strips)
    for strip, top in zip(strips, tops, strict=True):
        _draw_strip(sheet, pen, strip, (MARGIN, top), width, cell, colours)
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=85, subsampling=0, optimize=True)
    return out.getvalue()


def enlarged(frames: np.ndarray) -> np.ndarray:
    """Return frames (T, H, W, 3) uint8 at least as high as a sheet shows them."""
    from PIL import Image

    high, wide = frames.shape[1:3]
    if high >= HEIGHT:
        return frames
    size = (max(1, round(wide * HEIGHT / high)), HEIGHT)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC)) for each in frames])


def clock(seconds: float) -> str:
    """Say a time in a video: ``0:03.2``, ``1:02:03.0``."""
    tenths = round(seconds * 10)
    sign, tenths = "−" if tenths < 0 else "", abs(tenths)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{sign}{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{sign}{minutes}:{rest:04.1f}"


class _Pen:
    """Draws text that fits; the font comes with matplotlib, so that a sheet is the same on every machine."""

    def __init__(self, draw: Any):
        from PIL import ImageFont

        file = str(font_file())
        basic = ImageFont.Layout.BASIC  # the other engine is not everywhere, and spaces letters differently
        self.draw = draw
        self.fonts = {size: ImageFont.truetype(file, size, layout_engine=basic) for size in (10, 11, 13)}

    def text(self, place: tuple[float, float], text: str, size: int, colour: str, anchor: str = "la") -> None:
        self.draw.text(place, text, font=self.fonts[size], fill=colour, anchor=anchor)

    def width(self, text: str, size: int) -> float:
        return self.fonts[size].getlength(text)

    def fitted(self, text: str, size: int, room: float, keep_end: bool = False) -> str:
        """Return ``text``, or as much of its beginning (and of its end) as fits into ``room`` pixels."""
        if self.width(text, size) <= room:
            return text
        for kept in range(min(len(text) - 1, 400), 0, -1):
            end = kept // 2 if keep_end else 0
            short = f"{text[: kept - end]}…{text[len(text) - end :]}"
            if self.width(short, size) <= room:
                return short
        return ""


def _cell_width(strips: Sequence[Strip]) -> int:
    widths = [round(HEIGHT * strip.frames.shape[2] / strip.frames.shape[1]) for strip in strips if len(strip.frames)]
    return min(WIDEST, max(widths, default=HEIGHT))


def _height(strip: Strip) -> int:
    return TITLE + _picture_height(strip) + (STRIP if strip.segments else 0)


def _picture_height(strip: Strip) -> int:
    """Return the height of frames and their times; of a line of text where there are none."""
    return HEIGHT + TIME if len(strip.frames) else TIME + 4


def _colours(strips: Sequence[Strip]) -> dict[str, str]:
    keys = sorted({_key(segment) for strip in strips for segment in strip.segments})
    return {key: COLOURS[i % len(COLOURS)] for i, key in enumerate(keys)}


def _key(segment: Segment) -> str:
    return segment.verb or segment.action


def _draw_strip(
    sheet: "Image.Image",
    pen: _Pen,
    strip: Strip,
    corner: tuple[int, int],
    width: int,
    cell: int,
    colours: dict[str, str],
) -> None:
    left, top = corner
    facts = pen.fitted(printable(strip.facts), 11, width * 0.6)
    pen.text((left + width, top + 2), facts, 11, MUTED, "ra")
    room = width - pen.width(facts, 11) - 12
    pen.text((left, top), pen.fitted(printable(strip.name), 13, room, keep_end=True), 13, INK)
    top += TITLE
    if strip.fault:
        pen.text((left, top), pen.fitted(printable(strip.fault), 11, width), 11, MUTED)
    for i, (frame, time) in enumerate(zip(strip.frames, strip.times, strict=True)):
        x = left + i * (cell + GAP)
        picture = _fitted(frame, cell)
        sheet.paste(picture, (x + (cell - picture.width) // 2, top + (HEIGHT - picture.height) // 2))
        pen.text((x + cell / 2, top + HEIGHT + 2), clock(time), 10, MUTED, "ma")
    if strip.segments:
        _draw_segments(pen, strip, (left, top + _picture_height(strip)), width, colours)


def _fitted(frame: np.ndarray, cell: int) -> "Image.Image":
    """Return a frame scaled into a cell, its shape kept; small ones are not enlarged."""
    from PIL import Image

    picture = Image.fromarray(frame)
    scale = min(1.0, cell / picture.width, HEIGHT / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _draw_segments(pen: _Pen, strip: Strip, corner: tuple[int, int], width: int, colours: dict[str, str]) -> None:
    """Draw what is done when: the strip spans the whole video, as the evenly spread frames above it do."""
    left, top = corner
    end = max([strip.duration, *strip.times, *(segment.end for segment in strip.segments)]) or 1.0
    scale = width / end
    bottom = top + STRIP - 2
    pen.draw.rectangle((left, top + 1, left + width - 1, bottom), fill=EMPTY)
    for segment in sorted(strip.segments, key=lambda item: (item.start, item.end, item.segment)):
        first, last = left + max(0.0, segment.start) * scale, left + segment.end * scale - 1
        if last < first:
            continue
        pen.draw.rectangle((first, top + 1, last, bottom), fill=colours[_key(segment)])
        for line, text in enumerate(_lines(segment)):
            short = pen.fitted(printable(text), 10, last - first - 4)
            pen.text((first + 3, top + 1 + 11 * line), short, 10, DARK)


def _lines(segment: Segment) -> tuple[str, str]:
    if segment.verb:
        return segment.verb, segment.noun
    first, _, rest = segment.action.partition(" ")
    return first, rest
