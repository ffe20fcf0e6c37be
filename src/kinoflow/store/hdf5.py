"""Values of HDF5 files, without the one kind that is not safe to read: of variable length, which lie in a heap.

HDF5 2.0 does not end on some damaged heaps, and cannot be interrupted there. So texts are written with a fixed length, and
values of variable length are refused before HDF5 looks into their heap.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

PLAIN = "biufS"  # kinds of numpy types whose values lie where they are


def tell(file: h5py.File, values: Mapping[str, Any]) -> None:
    """Write texts (of any bytes but NUL) and numbers as attributes."""
    for name, value in values.items():
        file.attrs[name] = _bytes(name, value) if isinstance(value, str) else value


def told(file: h5py.File) -> dict[str, Any]:
    """Return all attributes, texts and numbers; ValueError if one is anything else."""
    for name in file.attrs:
        found = file.attrs.get_id(name)
        _check(name, found.dtype, found.shape == () and found.get_space().get_simple_extent_type() == h5py.h5s.SCALAR)
    return {name: _plain(file.attrs[name]) for name in file.attrs}


def array(file: h5py.File, name: str) -> np.ndarray:
    """Return a dataset; KeyError if there is none, ValueError if it holds neither numbers nor texts of fixed length."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is no array")
    _check(name, found.dtype)
    return found[()]


def _check(name: str, dtype: np.dtype, single: bool = True) -> None:
    if dtype.kind not in PLAIN or not single:
        raise ValueError(f"{name} is neither a number nor a text of fixed length")


def _bytes(name: str, text: str) -> np.bytes_:
    if "\0" in text:
        raise ValueError(f"{name} holds the character NUL")  # numpy would cut the text there
    return np.bytes_(text.encode("utf-8", "surrogateescape") or b"\0")  # HDF5 has no texts of length 0


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value.item()
