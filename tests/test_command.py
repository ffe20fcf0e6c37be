"""A stage as a command: one sentence when something is wrong, an exit status, a log, nothing left behind."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from tests.conftest import ROOT
from tests.waiting import waiting_stage

from kinoflow import command
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.stage import Out

MEMORY = (
    "there is not enough memory on this machine, or the job may not take more: give it more, or work on less at once"
    " (smaller batches, more shards)"
)
GPU_MEMORY = MEMORY.replace("this machine, or the job may not take more", "the GPU")
ANY_BYTES = os.fsdecode(b"a \xff\n'\".csv")


def run(words, function):
    return command.run("kinoflow.store.files:write_text", function, [str(word) for word in words])


def failing(error):
    def stage(shard: Out) -> None:
        """Fail."""
        log.info("begun")
        raise error

    return stage


@pytest.mark.parametrize(
    "error, status, said",
    [
        (DataError("the file x is cut; fetch it again"), 1, "kinoflow stage: the file x is cut; fetch it again\n"),
        (KeyboardInterrupt(), 130, "kinoflow stage: interrupted; the same command continues\n"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), 1, f"kinoflow stage: {MEMORY}\n"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 1, f"kinoflow stage: {MEMORY}\n"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, f"kinoflow stage: {GPU_MEMORY}\n"),
        (MemoryError(), 1, f"kinoflow stage: {MEMORY}\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.h5"),
            1,
            "kinoflow stage: [Errno 28] No space left on device: 'a.h5'; make room there and give the same command again\n",
        ),
    ],
)
def test_what_people_can_put_right_is_one_sentence(tmp_path, capsys, error, status, said):
    assert run(["--shard", tmp_path / "a", "--log", tmp_path / "logs" / "a.log"], failing(error)) == status
    assert capsys.readouterr().err == f"begun\n{said}"
    assert (tmp_path / "logs" / "a.log").read_text() == f"begun\n{said}"


def test_a_bug_shows_its_traceback(tmp_path, capsys):
    assert run(["--shard", tmp_path / "a", "--log", tmp_path / "a.log"], failing(ZeroDivisionError("oh"))) == 70
    said = capsys.readouterr().err
    assert "kinoflow stage: this is a bug in kinoflow, please report it with the lines below" in said
    assert "Traceback (most recent call last)" in said and said.endswith("ZeroDivisionError: oh\n")
    assert (tmp_path / "a.log").read_text() == said


def test_a_log_holds_names_of_any_bytes(tmp_path):
    def stage(shard: Out) -> None:
        """Speak."""
        log.info("decoded %s", "\udcff")

    assert run(["--shard", tmp_path / "a", "--log", tmp_path / "a.log"], stage) == 0
    assert (tmp_path / "a.log").read_text() == "decoded \\udcff\n"


def test_a_log_that_cannot_be_written_is_told(capsys):
    assert run(["--shard", "a", "--log", "/proc/none/a.log"], failing(DataError("x"))) == 1
    assert capsys.readouterr().err.startswith("kinoflow stage: --log: ")


def test_logging_and_signals_are_left_as_they_were(tmp_path):
    before = signal.getsignal(signal.SIGTERM), log.handlers, log.propagate, log.level
    run(["--shard", tmp_path / "a"], failing(DataError("x")))
    assert (signal.getsignal(signal.SIGTERM), log.handlers, log.propagate, log.level) == before


@pytest.mark.parametrize(
    "number, status, said",
    [
        (signal.SIGTERM, 143, "kinoflow wait: ended by a signal (SIGTERM); the same command continues\n"),
        (signal.SIGINT, 130, "kinoflow wait: interrupted; the same command continues\n"),
    ],
)
def test_a_signal_ends_a_stage_that_leaves_nothing_behind(tmp_path, number, status, said):
    with waiting_stage(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(10) == status and process.stderr.read() == said
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_while_libraries_load_ends_a_stage_without_a_word():
    command = [sys.executable, "-X", "importtime", "-m", "kinoflow", "probe", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    small = 4096  # bytes of the pipe: the process waits in the middle of its imports until it is read
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, pipesize=small) as process:
        while "numpy" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(10) == -signal.SIGINT
    assert "Traceback" not in said and "kinoflow.media.probe" not in said


def kinoflow(*words: object, **keywords) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "kinoflow", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, check=False, **keywords)


def test_a_real_stage_runs_by_itself_on_names_of_any_bytes(tmp_path):
    folder = tmp_path / "videos \udcff"
    folder.mkdir()
    (folder / ANY_BYTES).write_bytes(b"x")
    done = kinoflow("lists", "--root", folder, "--data", tmp_path / "data", "--shards", 1, "--log", tmp_path / "a.log")
    assert done.returncode == 0 and (tmp_path / "a.log").read_text() == done.stderr.decode() == "1 files in 1 shards\n"
    assert list(json.loads((tmp_path / "data/lists/000.json").read_text())) == [ANY_BYTES]
