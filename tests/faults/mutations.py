"""Bytes that have gone wrong: a good file cut off, with bits turned, lines repeated, values of another kind, or another file."""

import os
import pickle
import re

from hypothesis import strategies as st

TOKENS = re.compile(rb'-?\d+(?:\.\d+)?|"[^"]*"|true|false|null|[A-Za-z_]\w*')
VALUES = [
    b"", b"0", b"-1", b"1e999", b"nan", b"0.5", b"99999999999999999999", b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[1]",
    b"../../x", b"/etc/x", b"=1+1", b"$(touch x)", b"'", b'"', b"\0", b"\xff\xfe", "٣".encode(), b"\x1b[31m", b"#", b"|", b" ",
]  # fmt: skip
FILES = [
    b"", b"\n", b"\0", b"\0" * 4096, b"[]", b"{}", b"null", b"3", b'"x"', b"NaN", b"[" * 3000, b'{"a":' * 3000, b"a: " * 5000,
    b"\xef\xbb\xbf", b"\xff\xfeh\0i\0", b"\x80\x04.", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\x01\0",
    b"<html>no such file</html>", b"&a [*a, *a]", b"!!python/object/apply:os.mkdir [executed]",
]  # fmt: skip


class Bomb:
    """A pickle that makes a folder when it is loaded by somebody who trusts it."""

    def __init__(self, folder: str):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def bomb(folder: str) -> bytes:
    """A pickle that makes ``folder`` when it runs."""
    return pickle.dumps([Bomb(folder)])


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Give versions of ``content``, most of them near to it."""
    place = st.integers(0, len(content))
    spans = [(found.start(), found.end()) for found in TOKENS.finditer(content[:50_000])]
    lines = content.split(b"\n")

    def put(at: int, what: bytes, instead: int = 0) -> bytes:
        return content[:at] + what + content[at + instead :]

    def flipped(bits: list[tuple[int, int]]) -> bytes:
        found = bytearray(content)
        for at, bit in bits:
            found[at] ^= 1 << bit
        return bytes(found)

    kinds = [
        place.map(lambda at: content[:at]),
        st.builds(put, place, st.binary(max_size=8), st.integers(0, 40)),
        st.builds(put, place, st.sampled_from([b"\0", b"\n", b"\r", b",", b'"', b"\x80", b"\\"])),
        st.builds(lambda i, n: b"\n".join(lines[:i] + lines[i : i + 1] * n + lines[i + 1 :]), _below(len(lines)), st.integers(0, 3)),
        st.sampled_from(FILES),
    ]  # fmt: skip
    if content:
        bits = st.lists(st.tuples(_below(len(content)), st.integers(0, 7)), min_size=1, max_size=4)
        kinds += [bits.map(flipped)] * 2
    if spans:
        other = st.sampled_from(VALUES)
        kinds += [
            st.builds(lambda i, new: put(spans[i][0], new, spans[i][1] - spans[i][0]), _below(len(spans)), other)
        ] * 3
    return st.one_of(kinds)


def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)
