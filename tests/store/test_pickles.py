"""Pickles from outside: plain values are read; what would run, or fill the memory, is refused before it does."""

import pickle
import resource
import struct
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.store.pickles import NeededError, read_pickle

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
MANY = 2**31  # numbered values, for which the reader would make room: 32 GB


class Runs:
    """Makes a folder when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def nested(leaves):
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
    )


@given(nested(plain), st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_of_every_protocol(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), {}) == value


@given(nested(plain | st.binary()), st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_bytes_are_read_of_the_protocols_that_need_no_function_for_them(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), {}) == value


def test_many_values_that_are_named_again_are_read():
    value = [[str(number)] for number in range(70_000)]
    value += value
    assert read_pickle(pickle.dumps(value), {}) == value


def test_what_is_allowed_may_be_named_and_nothing_else(tmp_path):
    allowed = {("collections", "OrderedDict"): OrderedDict}
    assert read_pickle(pickle.dumps(OrderedDict(a=1)), allowed) == {"a": 1}
    with pytest.raises(NeededError, match="^collections.OrderedDict$"):
        read_pickle(pickle.dumps(OrderedDict(a=1)), {})
    with pytest.raises(NeededError):
        read_pickle(pickle.dumps(Runs(tmp_path / "made")), allowed)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", [b"\x80\x04]r" + struct.pack("<I", MANY) + b".", b"]p%d\n." % MANY], ids=["binary", "text"]
)
def test_a_number_beyond_the_length_of_the_file_is_refused_before_there_is_room_for_so_many(content):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(pickle.UnpicklingError, match=f"it numbers a value {MANY}"):
        read_pickle(content, {})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
