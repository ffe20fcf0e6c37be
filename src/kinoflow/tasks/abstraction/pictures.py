"""Sets of clips as pictures: a row for each set, a frame for each clip, what is true and what is told below it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinoflow.report.section import printable
from kinoflow.report.style import font_file

SIDE, GAP, MARGIN, LINE, BETWEEN = 96, 8, 14, 16, 14  # pixels
PAPER, INK, MUTED, GOOD, BAD, EMPTY = "#15191e", "#e4e7eb", "#9fa9b5", "#44bb99", "#ee8866", "#262d35"
LETTERS = 15  # below a tile


@dataclass(frozen=True)
class Tile:
    """A clip: its frame (H, W, 3) uint8, or None, the lines below it, whether it has a frame around it, and of which tone."""

    frame: np.ndarray | None
    lines: tuple[str, ...]
    marked: bool = False
    good: bool = True


@dataclass(frozen=True)
class Row:
    """A set. lines: what is said above it; good: whether the model is right."""

    lines: tuple[str, ...]
    tiles: tuple[Tile, ...]
    good: bool


def sheet(rows: Sequence[Row]) -> bytes:
    """Return the sets, one below the other, as JPEG."""
    from PIL import Image, ImageDraw, ImageFont

    font, small = (ImageFont.truetype(str(font_file()), size) for size in (12, 10))
    across = max(len(row.tiles) for row in rows)
    width = max(across * (SIDE + GAP) - GAP, 560)
    heights = [_height(row) for row in rows]
    picture = Image.new("RGB", (width + 2 * MARGIN, sum(heights) + BETWEEN * (len(rows) - 1) + 2 * MARGIN), PAPER)
    pen, top = ImageDraw.Draw(picture), MARGIN
    for row, height in zip(rows, heights, strict=True):
        y = top
        for i, text in enumerate(row.lines):
            pen.text((MARGIN, y), printable(text), INK if i == 0 else GOOD if row.good else BAD, font)
            y += LINE
        for i, tile in enumerate(row.tiles):
            x = MARGIN + i * (SIDE + GAP)
            _tile(picture, pen, tile, (x, y + 2), small)
        top += height + BETWEEN
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80, optimize=True)
    return out.getvalue()


def _height(row: Row) -> int:
    lines = max((len(tile.lines) for tile in row.tiles), default=0)
    return len(row.lines) * LINE + 2 + SIDE + 4 + lines * (LINE - 3)


def _tile(picture, pen, tile: Tile, place: tuple[int, int], font) -> None:
    from PIL import Image

    x, y = place
    pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=EMPTY)
    if tile.frame is not None:
        image = Image.fromarray(tile.frame)
        image = image.resize(_fitting(*image.size), Image.Resampling.BICUBIC)
        picture.paste(image, (x + (SIDE - image.width) // 2, y + (SIDE - image.height) // 2))
    if tile.marked:
        pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=GOOD if tile.good else BAD, width=4)
    for i, text in enumerate(tile.lines):
        shown = printable(text)
        shown = shown if len(shown) <= LETTERS else f"{shown[: LETTERS - 1]}…"
        pen.text((x, y + SIDE + 3 + i * (LINE - 3)), shown, MUTED, font)


def _fitting(width: int, height: int) -> tuple[int, int]:
    scale = SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))
