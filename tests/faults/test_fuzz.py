"""Whatever stands in a file, its reader reads it or says what is wrong in one sentence; nothing in it runs."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.faults.formats import Reader
from tests.faults.mutations import bomb, mutated
from tests.faults.readers import all_readers

from kinoflow.errors import ConfigError, KinoflowError

READERS = all_readers()
SENTENCE = 1000  # characters


def judged(reader: Reader, path) -> None:
    """Read; only a sentence may be raised."""
    try:
        reader.read(path)
    except KinoflowError as error:
        sentences = (
            str(error).split("\n") if isinstance(error, ConfigError) else [str(error)]
        )  # of several options, one each
        assert all(text and text.isprintable() and len(text) < SENTENCE for text in sentences), sentences


def fuzzed(reader: Reader, folder, examples: int, derandomize: bool) -> None:
    reader.write(folder)
    path = folder / reader.target
    good = path.read_bytes()
    reader.read(path)
    trap = folder / "executed"

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(good))
    def whatever(content):
        path.write_bytes(content)
        judged(reader, path)

    whatever()
    path.write_bytes(bomb(str(trap)))
    judged(reader, path)
    assert not trap.exists()


@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_damaged_file_is_read_or_refused_in_one_sentence(reader, tmp_path):
    fuzzed(reader, tmp_path, 25, derandomize=True)


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_thousand_damaged_files_are_read_or_refused_in_one_sentence(reader, tmp_path):
    fuzzed(reader, tmp_path, 1000, derandomize=False)


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
