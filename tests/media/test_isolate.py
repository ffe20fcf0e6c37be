import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kinoflow.media.isolate import StoppedError, isolated


def add(a, b):
    return a + b


def crash(number):
    os.kill(os.getpid(), number)


def abort():
    os.abort()


def segfault():
    ctypes.string_at(0)


def hang():
    time.sleep(3600)


def hang_stubbornly():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def hog():
    return len(bytearray(400_000_000))


def refuse():
    raise ValueError("no such thing")


def leave():
    raise SystemExit(3)


def unpicklable():
    return lambda: None


class Command:
    """What a decoder that a file has taken over might send."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def large():
    return bytes(5_000_000)


def limits():
    return signal.getitimer(signal.ITIMER_REAL)[0]


def run(function, *arguments, seconds=20.0, megabytes=300):
    return isolated(function, *arguments, seconds=seconds, megabytes=megabytes)


def test_the_result_of_the_function_comes_back():
    assert run(add, 2, 3) == 5
    assert run(large) == bytes(5_000_000)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (abort, "crashed (SIGABRT)"),
        (segfault, "crashed (SIGSEGV)"),
        (refuse, "ValueError: no such thing"),
        (hog, "takes more than 300 MB"),
        (leave, "ended with status"),
        (unpicklable, "pickle"),
    ],
)
def test_what_goes_wrong_in_the_child_is_the_reason_told(function, reason):
    with pytest.raises(StoppedError, match=r".*") as caught:
        run(function)
    assert reason in str(caught.value)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("function", [hang, hang_stubbornly])
def test_a_hanging_child_is_ended_when_its_time_is_over(function):
    start, before = time.monotonic(), children()
    with pytest.raises(StoppedError, match=r"takes longer than 0\.3 s"):
        run(function, seconds=0.3)
    assert time.monotonic() - start < 5
    assert children() <= before  # nobody is left, not even a zombie


def test_memory_that_the_parent_holds_is_not_the_childs():
    held = bytearray(350_000_000)
    assert run(add, 1, 1) == 2
    del held


def test_the_child_would_end_itself_soon_after_its_time():
    assert run(limits, seconds=7.0) == pytest.approx(8.0, abs=0.9)


def test_an_answer_is_data_and_runs_nothing(tmp_path):
    with pytest.raises(StoppedError, match="mkdir is no plain value"):
        run(Command, tmp_path / "made")
    assert not (tmp_path / "made").exists()
    assert run(lambda: (1, 2.5, "a", b"b", None, [{"c": (True,)}])) == (1, 2.5, "a", b"b", None, [{"c": (True,)}])


def test_a_failing_child_leaves_no_open_file():
    before = len(os.listdir("/proc/self/fd"))
    for function in (refuse, abort, unpicklable):
        with pytest.raises(StoppedError):
            run(function)
    run(add, 1, 2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_get_each_its_own_results():
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: run(add, i, i), range(40))) == list(range(0, 80, 2))


PARENT = """
import os, sys, time
from kinoflow.media.isolate import isolated

def hang(path):
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\\n")
    while True:
        time.sleep(1)

isolated(hang, sys.argv[1], seconds=100.0, megabytes=300)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_dies_with_its_parent(tmp_path, number):
    note = tmp_path / "pid"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(note)], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: note.exists() and note.read_text().endswith("\n"))
    child = int(note.read_text())
    assert alive(child)
    parent.send_signal(number)
    parent.wait(10)
    until(lambda: not alive(child))


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
