"""Values of HDF5 files: texts of fixed length, and nothing that lies in a heap."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.store import hdf5

TEXTS = st.binary().map(lambda content: content.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", track_order=True) as opened:
        yield opened


@given(st.lists(TEXTS | NUMBERS))
def test_what_is_told_comes_back(values):
    named = {str(number): value for number, value in enumerate(values)}
    with h5py.File("told.h5", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        hdf5.tell(file, named)
        found = hdf5.told(file)
    assert found == named
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in named.items()}


@pytest.mark.parametrize("text", ["", "\N{SNOWMAN}", "a\n\"'", "\udcff", "long" * 1_000_000])
def test_texts_of_any_length_and_bytes_come_back(file, text):
    hdf5.tell(file, {"text": text})
    assert hdf5.told(file) == {"text": text}


def test_a_text_that_would_be_cut_at_a_zero_is_refused(file):
    with pytest.raises(ValueError, match="title holds the character NUL"):
        hdf5.tell(file, {"title": "a\0"})


def test_arrays_of_numbers_and_of_texts_come_back(file):
    file["numbers"], file["texts"] = np.arange(6.0).reshape(2, 3), np.array([b"a", b"bcd"])
    assert np.array_equal(hdf5.array(file, "numbers"), file["numbers"][()])
    assert hdf5.array(file, "texts").tolist() == [b"a", b"bcd"]


def test_texts_of_variable_length_are_refused(file):
    file["names"] = ["a", "b"]
    with pytest.raises(ValueError, match="names is neither a number nor a text of fixed length"):
        hdf5.array(file, "names")
    file.attrs["title"] = "a"
    with pytest.raises(ValueError, match="title is neither a number nor a text of fixed length"):
        hdf5.told(file)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(h5py.Empty("f"), id="empty"),
        pytest.param(np.array([(1, 2)], [("a", int), ("b", int)]), id="compound"),
        pytest.param(np.array([b"a", b"b"]), id="list"),
    ],
)
def test_attributes_that_are_no_single_value_are_refused(file, value):
    file.attrs["odd"] = value
    with pytest.raises(ValueError, match="odd is neither a number nor a text of fixed length"):
        hdf5.told(file)


def outside(file, folder):
    """Put arrays into the file whose values lie in another one, by every way there is."""
    (folder / "secret").write_bytes(b"0123456789abcdef")
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.arange(4.0)
    file.create_dataset("stored", (16,), "u1", external=[(str(folder / "secret"), 0, 16)])
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(folder / "other.h5", "x", (4,))
    file.create_virtual_dataset("virtual", layout)
    file["linked"] = h5py.ExternalLink(folder / "other.h5", "x")
    file["soft"] = h5py.SoftLink("/linked")
    file["loop"] = h5py.SoftLink("/loop")
    file["group"] = h5py.ExternalLink(folder / "other.h5", "/")


@pytest.mark.parametrize("name", ["stored", "virtual", "linked", "soft", "loop", "group/x"])
def test_values_of_other_files_are_refused(file, tmp_path, name):
    outside(file, tmp_path)
    with pytest.raises((KeyError, ValueError), match="lie in another file, which is not read|only as a link"):
        hdf5.array(file, name)


def test_arrays_in_groups_of_the_file_itself_come_back(file):
    file["a/b/c"] = np.arange(3)
    assert hdf5.array(file, "a/b/c").tolist() == [0, 1, 2]
    for name in ("a/b/d", "a/b/c/d", "b"):
        with pytest.raises(KeyError, match="is not there"):
            hdf5.array(file, name)


def test_a_group_is_no_array(file):
    file.create_group("x")
    with pytest.raises(KeyError, match="x is no array"):
        hdf5.array(file, "x")
