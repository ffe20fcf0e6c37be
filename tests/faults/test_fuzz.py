"""Whatever stands in a file, its reader reads it or says what is wrong in one sentence; nothing in it runs."""

import multiprocessing
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.faults.formats import Reader
from tests.faults.mutations import bomb, mutated
from tests.faults.readers import all_readers

from kinoflow.errors import ConfigError, KinoflowError

READERS = all_readers()
SENTENCE = 1000  # characters
PART, MOST, SECONDS = 25, 1000, 10  # damaged files at once; of each format at most, in about so much time


def judged(reader: Reader, path) -> None:
    """Read; only a sentence may be raised."""
    try:
        reader.read(path)
    except KinoflowError as error:
        sentences = (
            str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        )  # of several options, one each
        assert all(text and text.isprintable() and len(text) < SENTENCE for text in sentences), sentences


def fuzzed(reader: Reader, folder, part: int = 0) -> None:
    """Read 25 damaged files; other ones for each ``part``."""
    folder.mkdir(exist_ok=True)
    reader.write(folder)
    path = folder / reader.target
    good = path.read_bytes()
    reader.read(path)
    trap = folder / "executed"

    @settings(
        max_examples=PART,
        deadline=None,
        derandomize=not part,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(good))
    def whatever(content):
        path.write_bytes(content)
        judged(reader, path)

    (seed(part)(whatever) if part else whatever)()
    path.write_bytes(bomb(str(trap)))
    judged(reader, path)
    assert not trap.exists()


@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_damaged_file_is_read_or_refused_in_one_sentence(reader, tmp_path):
    read_apart(reader, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_many_damaged_files_are_read_or_refused_in_one_sentence(reader, tmp_path):
    end, parts = time.monotonic() + SECONDS, 0
    while parts * PART < MOST and time.monotonic() < end:
        parts += 1
        read_apart(reader, tmp_path / str(parts), parts)
    print(f"{reader}: {parts * PART} damaged files")


def read_apart(reader: Reader, folder: Path, part: int = 0) -> None:
    """Read damaged files in a process of its own: a crash, or a library that does not end, is this one test's failure."""
    child = multiprocessing.get_context("fork").Process(target=fuzzed, args=(reader, folder, part))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        child.join()
        pytest.fail(f"{folder / reader.target} is read without end")
    assert child.exitcode == 0  # it has told what went wrong


LINES = [
    "table",
    "segments",
    "columns",
    "config",
    "labels",
    "splits",
    "list",
    "roles",
    "classes",
    "claims",
    "history",
    "sets",
]
LINES += [
    "clip list",
    "list of clips",
    "word vectors",
    "indented taxonomy",
    "recipe lines",
    "corpus",
    "steps",
    "EPIC training.csv",
]


@pytest.mark.parametrize("megabytes", [2, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_many_megabytes_is_read_or_refused_in_one_sentence(name, megabytes, tmp_path):
    reader = next(reader for reader in READERS if reader.name == name)
    reader.write(tmp_path)
    path = tmp_path / reader.target
    first, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(first + b"\n" + b"x" * (megabytes * 1_000_000) + rest)
    judged(reader, path)
