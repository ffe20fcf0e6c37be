"""Pickles from outside: read without running what they name, and without the memory that a few bytes of them may ask for."""

import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

PUTS = ("PUT", "BINPUT", "LONG_BINPUT")  # what numbers a value, to be named later


class NeededError(pickle.UnpicklingError):
    """A pickle asks for what is not allowed; says for what."""


def read_pickle(content: bytes, allowed: Mapping[tuple[str, str], Any]) -> Any:
    """Return the value of a pickle that names nothing but what ``allowed`` holds, by module and name.

    Raises NeededError if it names anything else: that would mean to run what is in it. A broken pickle may raise anything.
    """
    for operation, number, _ in pickletools.genops(content):
        if operation.name in PUTS and number > len(content):  # the reader would make room for so many before it goes on
            raise pickle.UnpicklingError(f"it numbers a value {number}")
    return _Reader(content, allowed).load()


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: Mapping[tuple[str, str], Any]):
        super().__init__(io.BytesIO(content))
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise NeededError(f"{module}.{name}")
        return self.allowed[module, name]
