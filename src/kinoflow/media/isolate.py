"""Running a function in a child process of its own: a crash, a hang or a memory hog there costs one answer, no more.

The child is forked, so that a call costs milliseconds. It is safe beside the thread that ends a stage together with the
workflow's main process (``command.end_with_main``): that thread waits inside the kernel and holds no lock. Beside threads
that compute it is safe for functions that take no lock of theirs: decoding does not.
"""

import ctypes
import faulthandler
import math
import os
import pickle
import resource
import select
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from kinoflow.interrupts import postponed
from kinoflow.store.pickles import NeededError, read_pickle

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
FORKING = threading.Lock()  # else a child forked meanwhile by another thread would hold this one's pipe open
GRACE = 1.0  # seconds after which a child that nobody stopped ends itself


class StoppedError(Exception):
    """The child gave no result; the text says why, as the end of the sentence "it cannot be used: ..."."""


def isolated(function: Callable[..., Any], *arguments: Any, seconds: float, megabytes: int) -> Any:
    """Return ``function(*arguments)``, computed in a child process: a plain value (numbers, texts, bytes, None, and
    tuples, lists and dicts of these), so that a child that a file has taken over can send nothing that would be run.

    seconds: limit of the child's wall time, and of its CPU time.
    megabytes: limit of the address space that it takes beyond what this process holds now.

    Raises StoppedError if the child raised, crashed (the signal is named) or went beyond a limit. The child ends with this
    process, however this process ends, and at the latest a second after its time is over.
    """
    parent = os.getpid()
    with FORKING:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside a thread: see above
            with postponed():  # Ctrl-C reaches this process too, which ends the child
                child = os.fork()
                if child == 0:
                    _work(writing, parent, function, arguments, seconds, megabytes)
        os.close(writing)
    status = None
    try:
        answer = _read(reading, time.monotonic() + seconds)
        if answer is not None:
            status = os.waitpid(child, 0)[1]
    finally:
        os.close(reading)
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if status is None:
        raise StoppedError(_over(seconds))
    return _result(answer, status, seconds, megabytes)


def _read(pipe: int, deadline: float) -> bytes | None:
    """Return all that the child writes until it closes the pipe; None if the time is over before."""
    parts = []
    while (left := deadline - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            part = os.read(pipe, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    return None


def _result(answer: bytes, status: int, seconds: float, megabytes: int) -> Any:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGALRM, signal.SIGXCPU):
            raise StoppedError(_over(seconds))
        raise StoppedError(f"the process that worked on it crashed ({signal.Signals(number).name})")
    if not answer:
        raise StoppedError(f"the process that worked on it ended with status {os.waitstatus_to_exitcode(status)}")
    kind, value = _plain(answer)
    if kind == "memory":
        raise StoppedError(f"it takes more than {megabytes} MB of memory")
    if kind == "error":
        raise StoppedError(value)
    return value


def _plain(answer: bytes) -> tuple[str, Any]:
    try:
        kind, value = read_pickle(answer, {})  # plain values, and nothing that has to be imported
    except NeededError as error:
        raise StoppedError(f"the process that worked on it gave no answer: {error} is no plain value") from None
    except Exception as error:  # a broken pickle may raise anything
        raise StoppedError(f"the process that worked on it gave no answer ({error})") from None
    return kind, value


def _over(seconds: float) -> str:
    return f"it takes longer than {seconds:g} s"


def _work(
    pipe: int, parent: int, function: Callable[..., Any], arguments: tuple, seconds: float, megabytes: int
) -> NoReturn:
    """The child's life: limits, work, answer. It never returns into the code of its parent."""
    try:
        _limit(parent, seconds, megabytes)
        answer = _outcome(function, arguments)
        while answer:
            answer = answer[os.write(pipe, answer) :]
        os._exit(0)
    finally:
        os._exit(1)


def _outcome(function: Callable[..., Any], arguments: tuple) -> bytes:
    """Return what is sent back: a pickled pair of kind (result, memory, error) and value."""
    try:
        return pickle.dumps(("result", function(*arguments)))
    except MemoryError:
        return pickle.dumps(("memory", None))
    except Exception as error:
        return pickle.dumps(("error", f"{type(error).__name__}: {error}"))


def _limit(parent: int, seconds: float, megabytes: int) -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)  # it died before the line above
    faulthandler.disable()  # a crash here is an answer, no event to trace
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, math.ceil(seconds + GRACE))
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + megabytes * 1_000_000)


def _lower(limit: int, value: int) -> None:
    """Set a limit, never above one that is in force already."""
    soft, hard = resource.getrlimit(limit)
    held = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(limit, (min([value, *held]), hard))
