"""Values of HDF5 files, without the kinds that are not safe to read: those in a heap, and those of other files.

HDF5 2.0 does not end on some damaged heaps, and cannot be interrupted there. So texts are written with a fixed length, and
values of variable length are refused before HDF5 looks into their heap. An array may also say that its values lie in any
other file of this machine, by a link, as external storage or as a virtual dataset: none of these is followed.
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
    """Return the values of a dataset; raises as `dataset` does."""
    return dataset(file, name)[()]


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that lies in this file.

    Raises KeyError if there is none, ValueError if it is elsewhere or holds neither numbers nor texts of fixed length.
    """
    group = file
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise KeyError(f"{name} is not there, or only as a link")
        group = group[part]
    if not isinstance(group, h5py.Dataset):
        raise KeyError(f"{name} is no array")
    if group.external or group.is_virtual:
        raise ValueError(f"the values of {name} lie in another file, which is not read")
    _check(name, group.dtype)
    return group


def _check(name: str, dtype: np.dtype, single: bool = True) -> None:
    if dtype.kind not in PLAIN or not single:
        raise ValueError(f"{name} is neither a number nor a text of fixed length")


def _bytes(name: str, text: str) -> np.bytes_:
    if "\0" in text:
        raise ValueError(f"{name} holds the character NUL")  # numpy would cut the text there
    return np.bytes_(text.encode("utf-8", "surrogateescape") or b"\0")  # HDF5 has no texts of length 0


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value.item()
