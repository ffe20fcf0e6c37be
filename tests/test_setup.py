"""envs/setup: what it says where it cannot work. That it works, .ci/run shows by using it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT


def setup(folder: Path, python: str) -> subprocess.CompletedProcess:
    """Run a copy of the script, in a folder of its own, with a Python that is a shell script."""
    (folder / "envs").mkdir()
    (folder / "envs/setup").write_text((ROOT / "envs/setup").read_text())
    (folder / "pyproject.toml").write_text("")
    fake = folder / "python-stand-in"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    command = ["sh", str(folder / "envs/setup")]
    return subprocess.run(command, env=os.environ | {"PYTHON": str(fake)}, capture_output=True, text=True)


@pytest.mark.parametrize(
    "python, sentence",
    [
        (f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"', "install the package python3-venv"),
        ("exit 1", "kinoflow needs Python 3.11 or newer"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path, python, sentence):
    done = setup(tmp_path, python)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".venv").exists()


def test_a_second_call_does_nothing(tmp_path):
    (tmp_path / ".venv").mkdir()
    sum_of_empty = subprocess.run(["cksum"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    (tmp_path / ".venv/installed").write_text(sum_of_empty)
    done = setup(tmp_path, f'test "$2" != venv || exit 1; exec {sys.executable} "$@"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
