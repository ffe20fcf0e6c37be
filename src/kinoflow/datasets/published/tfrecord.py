"""TFRecord files of sequence examples, read without TensorFlow.

A record is its length (8 bytes, little-endian), a masked CRC32C of these, its bytes, and a masked CRC32C of them. The bytes
are a protocol buffer: a context (name: values) and lists of values by name.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from kinoflow.errors import DataError

POLYNOMIAL = 0x82F63B78  # of Castagnoli, bits reversed
ONES = 0xFFFFFFFF
MASK = 0xA282EAD8  # what TFRecord adds to a checksum that it has turned by 15 bits
BLOCK = 2048  # bytes of a row: all rows of a record are summed side by side
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers

Values = list[bytes] | list[int] | list[float]


@dataclass
class SequenceExample:
    """What one record tells: values of the whole sequence, and lists of values along it."""

    context: dict[str, Values] = field(default_factory=dict)
    lists: dict[str, list[Values]] = field(default_factory=dict)


def examples(path: Path) -> Iterator[SequenceExample]:
    """Yield the sequence examples of a file; DataError, naming file and record, if a checksum or a length does not fit."""
    for number, payload in enumerate(records(path)):
        try:
            yield parse(payload)
        except (ValueError, IndexError, KeyError, struct.error):
            raise DataError(
                f"{path}, record {number}: this is no sequence example; check which file it is, or fetch it again"
            ) from None


def records(path: Path) -> Iterator[bytes]:
    """Yield the bytes of each record; DataError, naming file and record, where the file is damaged."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            number = 0
            while head := file.read(12):
                where = f"{path}, record {number}"
                length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else -1
                if length < 0 or struct.unpack("<I", head[8:])[0] != masked_crc(head[:8]):
                    raise DataError(f"{where}: its length is damaged (the checksum differs); fetch the file again")
                if file.tell() + length + 4 > size:
                    raise DataError(f"{where}: the file ends inside it; fetch the file again")
                payload, tail = file.read(length), file.read(4)
                if struct.unpack("<I", tail)[0] != masked_crc(payload):
                    raise DataError(f"{where}: its bytes are damaged (the checksum differs); fetch the file again")
                yield payload
                number += 1
    except OSError as error:
        raise DataError(f"{path}: this file cannot be read: {error.strerror}") from None


# ---------------------------------------------------------------- checksums


def masked_crc(data: bytes) -> int:
    """Return the CRC32C of some bytes as TFRecord stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & ONES


def crc32c(data: bytes) -> int:
    """Return the CRC32C of some bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, crc = _table().tolist(), ONES
    head = len(data) % BLOCK
    for byte in data[:head]:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    rows = np.frombuffer(data, np.uint8, offset=head).reshape(-1, BLOCK)
    shift = _shift() if len(rows) else ()
    for row in _registers(rows).tolist():  # appending a block to what was before: shift by its length, then add
        crc = shift[0][crc & 255] ^ shift[1][crc >> 8 & 255] ^ shift[2][crc >> 16 & 255] ^ shift[3][crc >> 24] ^ row
    return crc ^ ONES


def _registers(rows: np.ndarray) -> np.ndarray:
    """Return the register after each row (R, BLOCK) uint8, begun with zero, (R,) uint32."""
    table, crc = _table(), np.zeros(len(rows), np.uint32)
    for column in np.ascontiguousarray(rows.T) if len(rows) else ():
        crc = table[(crc ^ column) & 255] ^ crc >> 8
    return crc


@lru_cache(1)
def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


@lru_cache(1)
def _shift() -> list[list[int]]:
    """Return for each byte of a register what becomes of it after BLOCK zero bytes: four tables of 256."""
    crc, table = np.concatenate([np.arange(256, dtype=np.uint32) << 8 * i for i in range(4)]), _table()
    for _ in range(BLOCK):
        crc = table[crc & 255] ^ crc >> 8
    return crc.reshape(4, 256).tolist()


# ---------------------------------------------------------------- protocol buffers


def parse(payload: bytes) -> SequenceExample:
    """Return the sequence example in a record's bytes; ValueError, IndexError, KeyError or struct.error if they are none."""
    found = SequenceExample()
    for number, value in _fields(payload):
        if number == 1:
            found.context |= {key: _feature(each) for key, each in _entries(value)}
        elif number == 2:
            for key, each in _entries(value):
                found.lists[key] = [_feature(_message(item)) for one, item in _fields(each) if one == 1]
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield (number, value) of the fields of a message: bytes, or a whole number; fixed ones as their bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"there is no wire type {kind}")
        length = 8 if kind == FIXED64 else 4
        if kind == BYTES:
            length, at = _varint(data, at)
        if at + length > len(data):
            raise ValueError("a field ends after its message")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a whole number and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _entries(data: bytes | int) -> Iterator[tuple[str, bytes]]:
    """Yield the entries of a map: field 1 of each entry is its key, field 2 its value."""
    for number, entry in _fields(_message(data)):
        if number == 1:
            parts = dict(_fields(_message(entry)))
            yield _message(parts[1]).decode(), _message(parts.get(2, b""))


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _feature(data: bytes) -> Values:
    """Return the values of a feature: field 1 holds bytes, 2 floats, 3 whole numbers, packed or one by one."""
    for kind, inner in _fields(data):
        values = [value for number, value in _fields(_message(inner)) if number == 1]
        if kind == 1:
            return [_message(value) for value in values]
        if kind == 2:
            joined = b"".join(map(_message, values))
            return list(struct.unpack(f"<{len(joined) // 4}f", joined))
        if kind == 3:
            return [
                _signed(each) for value in values for each in ([value] if isinstance(value, int) else _packed(value))
            ]
    return []


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
