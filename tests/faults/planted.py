"""Stages run as commands while something is wrong with the machine: a limit, a right that is missing, a full disk."""

import ctypes
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import pytest
from tests.conftest import ROOT

from kinoflow.cli import main

DROP_FROM_BOUNDING_SET, OVERRIDE_RIGHTS, READ_ANYTHING = 24, 1, 2  # prctl, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
LIBC = ctypes.CDLL(None)
# Imports what the stage needs, then takes memory away: else the interpreter would not even begin.
STARVED = """
import importlib, resource, sys
from kinoflow.cli import STAGES, main
importlib.import_module(STAGES[sys.argv[2]][0].partition(":")[0])
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


def stage(*words: object, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess:
    """Run a stage in a process of its own; ``before`` is called in it first."""
    return _started([sys.executable, "-m", "kinoflow"], words, before)


def starved(spare: int, *words: object) -> subprocess.CompletedProcess:
    """Run a stage that may take ``spare`` bytes of memory more than its imports."""
    return _started([sys.executable, "-c", STARVED, str(spare)], words, None)


def _started(command: list[str], words: tuple, before: Callable[[], None] | None) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [*command, *(word if isinstance(word, bytes) else str(word) for word in words)]
    return subprocess.run(command, env=environment, preexec_fn=before, capture_output=True, text=True, errors="replace")


@contextmanager
def room(size: int | None) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes: what a full disk does to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def here(*words: object, most: int | None = None) -> subprocess.CompletedProcess:
    """Run a stage within this process. No file may grow beyond ``most`` bytes."""
    said = io.StringIO()
    with redirect_stderr(said), room(most):
        status = main([str(word) for word in words])
    return subprocess.CompletedProcess(words, status, "", said.getvalue())


def ordinary_user() -> None:
    """Let the rights of files count, also for root."""
    for right in (OVERRIDE_RIGHTS, READ_ANYTHING):
        LIBC.prctl(DROP_FROM_BOUNDING_SET, right, 0, 0, 0)


def mounted(place: Path, kilobytes: int) -> None:
    """Mount a small disk in memory; skips, saying so, where that is not allowed. The caller unmounts."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


def refused(done: subprocess.CompletedProcess, *words: str) -> str:
    """The stage ended with one sentence that holds ``words``; return it."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("kinoflow "), done.stderr
    for word in words:
        assert word in sentence, sentence
    return sentence


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
