"""Arrays in files that somebody else made: npy, npz and HDF5, recognised by content. Nothing in them is ever executed."""

from pathlib import Path

import h5py
import numpy as np

from kinoflow.errors import DataError

NPY, ZIP, PICKLE = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06"), b"\x80"
NUMBERS = "fiu"  # kinds of numpy types that can be features
SHOWN = 5  # names told in an error


def read_matrix(path: str | Path, key: str = "") -> np.ndarray:
    """Return the one array with two axes that a file holds; of an npy file a map that is read when it is used.

    key: name of the array in npz and HDF5 files; empty if it is the only one.
    Raises DataError; its text gives the reason without the name of the file.
    """
    try:
        array = _array(path, key)
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror or str(error).splitlines()[0]}") from None
    except Exception as error:  # a damaged file fails in any way
        raise DataError(f"it is damaged: {(str(error) or type(error).__name__).splitlines()[0]}") from None
    _check_numbers(array.dtype)
    if array.ndim != 2:
        raise DataError(f"its array has the shape {array.shape}; two axes are needed, time and columns")
    return array


def _array(path: str | Path, key: str) -> np.ndarray:
    with open(path, "rb") as file:
        head = file.read(len(NPY))
    if head == NPY:
        return _npy(path)
    if head.startswith(ZIP):
        return _npz(path, key)
    if h5py.is_hdf5(path):
        return _hdf5(path, key)
    if head.startswith(PICKLE):
        raise DataError("it is a pickle, which may run code and is not loaded; save the array as npy")
    raise DataError("it is no npy, npz or HDF5 file" if head else "the file is empty")


def _npy(path: str | Path) -> np.ndarray:
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if dtype.hasobject:
        raise DataError("it holds pickled objects, which may run code and are not loaded; save an array of numbers")
    if 0 in shape:
        return np.empty(shape, dtype)  # nothing that could be mapped
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: str | Path, key: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        name = _only(key, arrays.files)
        try:
            return arrays[name]
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise DataError("it holds pickled objects, which may run code and are not loaded") from None
            raise


def _hdf5(path: str | Path, key: str) -> np.ndarray:
    with h5py.File(path, "r", locking=False) as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        name = _only(key, found)  # links are not among them
        dataset = file[name]
        if dataset.external or dataset.is_virtual:
            raise DataError(f"the values of {name!r} lie in another file, which is not read; save them in this one")
        _check_numbers(dataset.dtype)  # before they are read: HDF5 does not end on texts in some damaged heaps
        return np.asarray(dataset[()])


def _check_numbers(dtype: np.dtype) -> None:
    if dtype.kind not in NUMBERS:
        raise DataError(f"its values are of the type {dtype}, not numbers")


def _only(key: str, names: list[str]) -> str:
    """Return the name that is asked for, or the only one there is."""
    known = f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}" or "none"
    if key:
        if key.strip("/") not in names:
            raise DataError(f"it holds no array {key!r}; its arrays: {known}")
        return key.strip("/")
    if len(names) != 1:
        raise DataError(f"it holds {len(names)} arrays ({known}); name one of them by key")
    return names[0]
