"""Ctrl-C: who takes it, when."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kinoflow.interrupts import clearing_up, end_silently, postponed

PYTHONS, ENDS, IGNORED = signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN


@pytest.fixture(autouse=True)
def as_before():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("before, after", [(PYTHONS, ENDS), (ENDS, ENDS), (IGNORED, IGNORED)])
def test_a_process_with_nothing_to_clear_up_ends_unless_ctrl_c_is_ignored(before, after):
    signal.signal(signal.SIGINT, before)
    end_silently()
    assert signal.getsignal(signal.SIGINT) is after


@pytest.mark.parametrize("before, within", [(ENDS, PYTHONS), (PYTHONS, PYTHONS), (IGNORED, IGNORED)])
def test_work_that_clears_up_is_interrupted_by_an_exception(before, within):
    signal.signal(signal.SIGINT, before)
    with pytest.raises(ValueError), clearing_up():
        assert signal.getsignal(signal.SIGINT) is within
        raise ValueError
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("threads", [0, 1])
def test_a_postponed_interrupt_comes_at_the_end_of_the_block(threads):
    seen, end = [], threading.Event()
    others = [threading.Thread(target=end.wait) for _ in range(threads)]  # one that takes what this thread blocks
    for other in others:
        other.start()
    with pytest.raises(KeyboardInterrupt):
        with postponed():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            seen.append("within")
        seen.append("after")
    end.set()
    assert seen == ["within"] and signal.getsignal(signal.SIGINT) is PYTHONS


def test_a_thread_postpones_without_touching_the_handler():
    def work():
        with postponed():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_a_process_started_meanwhile_never_sees_it():
    program = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('alive')"
    with postponed():
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=30)[0] == "alive\n"
