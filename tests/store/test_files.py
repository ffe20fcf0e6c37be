"""Files are absent, old or complete, whatever happens to their writer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.waiting import CONTAINER, needs_containers

from kinoflow.errors import DataError
from kinoflow.store import files
from kinoflow.store.files import key_of, quick_hash, read_keys, replacing, sha256_of, write_json, write_keys, write_text

NAMES = ["plain.txt", "with space and ;.txt", "two\nlines.txt", "[a]*?.txt", os.fsdecode(b"\xff\xfe.txt"), "n" * 250]
WRITER = """
import sys, time
from kinoflow.store.files import replacing
with replacing(sys.argv[1]) as new:
    new.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(path: Path, *wrapper: str) -> subprocess.Popen:
    """Start a process that has written half of a file."""
    command = [*wrapper, sys.executable, "-c", WRITER, path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert process.stdout.readline() == b"writing\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_appears_when_it_is_complete(tmp_path, name):
    path = tmp_path / "folder" / name
    with replacing(path) as new:
        new.write_bytes(b"new")
        assert not path.exists() and new.parent == path.parent
    assert path.read_bytes() == b"new" and names(path.parent) == [name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    write_text(tmp_path / "a", "old")
    with pytest.raises(error), replacing(tmp_path / "a") as new:
        new.write_text("new")
        raise error
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_a_writer_that_writes_nothing_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_up(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old")
    process = writer(path)
    process.kill()
    process.wait()
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    write_text(path, "new")
    assert path.read_text() == "new" and names(tmp_path) == ["a"]


def test_the_file_of_a_living_writer_stays(tmp_path):
    process = writer(tmp_path / "a")
    write_text(tmp_path / "a", "of the other")
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()


@needs_containers
def test_the_file_of_a_writer_in_another_container_stays(tmp_path):
    process = writer(tmp_path / "a", *CONTAINER)
    write_text(tmp_path / "a", "of the other")
    assert len(names(tmp_path)) == 2
    process.kill()
    process.wait()


def test_what_another_machine_left_stays_for_a_day(tmp_path):
    left = tmp_path / "a.otherhost-4026531836-1.new"
    left.write_text("half")
    write_text(tmp_path / "a", "new")
    assert left.exists()
    os.utime(left, (time.time() - 2 * files.A_DAY,) * 2)
    write_text(tmp_path / "a", "new")
    assert not left.exists()


def test_the_leftovers_of_other_files_stay(tmp_path):
    for name in ("a.txt.new", "b.host-1-1.new", "a.txt.host-1-1.old"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    write_text(tmp_path / "a.txt", "new")
    assert {"a.txt.new", "b.host-1-1.new", "a.txt.host-1-1.old"} < set(names(tmp_path))


def test_text_keeps_the_bytes_of_file_names(tmp_path):
    write_text(tmp_path / "a", os.fsdecode(b"caf\xc3\xa9 \xff"))
    assert (tmp_path / "a").read_bytes() == b"caf\xc3\xa9 \xff"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.just("\udcff"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(value=JSON)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert json.loads(path.read_bytes()) == value and path.read_bytes().isascii()


def test_equal_values_have_equal_keys_whatever_their_order():
    assert key_of({"a": 1, "b": [2.5, None]}, "x") == key_of({"b": [2.5, None], "a": 1}, "x")
    assert key_of("ab", "c") != key_of("a", "bc")


# ---------------------------------------------------------------- keys

ANY_NAME = st.binary(min_size=1, max_size=30).map(os.fsdecode)


@settings(max_examples=30, deadline=None)
@given(keys=st.dictionaries(ANY_NAME, st.text(max_size=16)))
def test_keys_come_back_for_the_file_they_were_written_for(tmp_path_factory, keys):
    path = tmp_path_factory.getbasetemp() / "shard.h5"
    path.write_bytes(b"content")
    write_keys(path, keys)
    assert read_keys(path) == keys
    path.write_bytes(b"another")
    assert read_keys(path) == {}


def test_there_are_no_keys_without_the_file_or_without_its_keys(tmp_path):
    assert read_keys(tmp_path / "a") == {}
    (tmp_path / "a").touch()
    assert read_keys(tmp_path / "a") == {}
    write_keys(tmp_path / "a", {"v": "k"})
    (tmp_path / "a").unlink()
    assert read_keys(tmp_path / "a") == {}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "3", "{}", '{"of": "x"}', '{"of": 1, "keys": 2}', "\ufffe"])
def test_keys_that_cannot_be_read_count_for_nothing(tmp_path, text):
    (tmp_path / "a").write_bytes(b"content")
    write_keys(tmp_path / "a", {"v": "k"})
    keys = tmp_path / ".keys" / "a.json"
    keys.write_text(text.replace('"x"', f'"{sha256_of(tmp_path / "a")}"'))
    assert read_keys(tmp_path / "a") == {}


# ---------------------------------------------------------------- quick hash


@pytest.mark.parametrize("size", [0, 1, 10, 11, 29, 30, 31, 1000])
def test_the_quick_hash_sees_size_head_middle_and_tail(tmp_path, size):
    path, content = tmp_path / "a", bytearray(i % 251 for i in range(size))
    path.write_bytes(content)
    before = quick_hash(path, block=10)
    assert quick_hash(path, block=10) == before
    for place in {0, size // 2, size - 1} if size else ():
        path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
        assert quick_hash(path, block=10) != before
    path.write_bytes(content + b"x")
    assert quick_hash(path, block=10) != before


@pytest.mark.parametrize("name", ["a", "a/b.mp4", "..a/b..", "./a", "a b\n", "\udcff.mp4"])
def test_names_below_a_folder_stay_as_they_are(name):
    assert files.inner_name(name, "t.csv") == name


@pytest.mark.parametrize("name", ["", ".", "/", "/etc/x", "..", "../x", "a/../../x", "a\0b", "\ud800"])
def test_names_that_lead_out_of_a_folder_are_refused(name):
    with pytest.raises(DataError, match=r"^t\.csv: .* is no name below a folder"):
        files.inner_name(name, "t.csv")
