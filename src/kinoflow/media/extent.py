"""What the outermost frame of a container declares: where the file should end.

A file that was cut (a broken download, a full disk) often plays without any error up to the cut. The sizes in its outermost
boxes still tell the length that it once had.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# Boxes that may stand at the top of an ISO or QuickTime file; anything else there is no box, and says nothing.
BOXES = {
    *(b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"styp"),
    *(b"uuid", b"meta", b"udta", b"pdin", b"ssix", b"prft", b"emsg", b"junk", b"pnot", b"PICT"),
}
RIFF_SLACK = 8  # bytes: some writers count the 8 bytes of the header in
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: str | Path) -> int:
    """Return how many bytes the container (ISO/QuickTime, Matroska, RIFF) declares beyond the end of the file; 0 if none."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        walk: Callable[[BinaryIO, int], int] | None = None
        if head[4:8] in BOXES:
            walk = _boxes
        elif head[:4] == EBML:
            walk = _matroska
        elif head[:4] == b"RIFF":
            walk = _riff
        return max(0, walk(file, size) - size) if walk else 0


def _boxes(file: BinaryIO, size: int) -> int:
    """Walk over the boxes of an ISO file: a 32-bit size (1: a 64-bit size follows; 0: to the end), then a name."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or head[4:8] not in BOXES:
            return 0
        end += length
    return end


def _matroska(file: BinaryIO, size: int) -> int:
    """Return the end of the segment: after the EBML header stand its name and a size (all ones: unknown)."""
    file.seek(len(EBML))
    header, width = _number(file.read(8))
    file.seek(len(EBML) + width + header)
    head = file.read(len(SEGMENT) + 8)
    if head[:4] != SEGMENT or len(head) < 5:
        return 0
    length, more = _number(head[4:])
    unknown = length == (1 << 7 * more) - 1
    return 0 if unknown else len(EBML) + width + header + len(SEGMENT) + more + length


def _number(data: bytes) -> tuple[int, int]:
    """Return an EBML number and its width in bytes: as many as its first byte has leading zeros, and one."""
    width = 9 - data[0].bit_length() if data and data[0] else 8
    return int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1, width


def _riff(file: BinaryIO, size: int) -> int:
    file.seek(4)
    length = int.from_bytes(file.read(4), "little")
    end = 0 if length == 0xFFFFFFFF else 8 + length  # all ones: written as a stream
    return 0 if end <= size + RIFF_SLACK else end
