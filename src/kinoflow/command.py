"""From a stage function to a command: one sentence when something is wrong, an exit status, a log, nothing left behind.

Exit status: 0 done, 1 the user's data or options (or a full disk), 2 the command line, 70 a bug, 130 and 143 stopped by
a signal.
"""

import errno
import importlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinoflow.arguments import arguments, check_inputs, outputs, parameters, parser
from kinoflow.errors import ConfigError, KinoflowError, TerminatedError
from kinoflow.fingerprint import stage_code
from kinoflow.interrupts import clearing_up
from kinoflow.progress import log
from kinoflow.watch import MAIN, end_with_main

__all__ = ["MAIN", "end_with_main", "run"]

# What the system refuses: nothing is wrong with the program.
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there and give the same command again"),
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and give the same command again",
    errno.EROFS: "write to another place, or have this one made writable",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM), "this user may not do that: change the rights, or take another folder"
    ),
    errno.ENAMETOOLONG: "take shorter names",
    **dict.fromkeys(
        (errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
        "a file is where a folder should be, or a folder where a file should be: give another name, or move it away",
    ),
}
# How libraries, below Python, say that they got no memory.
NO_MEMORY = re.compile(
    r"out of memory|can(no|')t allocate memory|failed to map segment|bad_alloc|can't start new thread", re.I
)


def load(target: str) -> Callable[..., None] | None:
    """Return the function of a stage ("module:function"); None, and a sentence, if there is no memory for what it imports."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, MemoryError, OSError) as error:
        if not (sentence := _refused(error)):
            raise
        print(f"kinoflow {name.replace('_', '-')}: {sentence}", file=sys.stderr)
        return None


def run(target: str, function: Callable[..., None], words: list[str]) -> int:
    """Run a stage (``target``: "module:function", for its fingerprint) with the words of a command line.

    Returns the exit status.
    """
    known = parameters(function)
    try:
        given = vars(parser(function).parse(words))
    except SystemExit as end:  # --help or a wrong flag: argparse has said it
        return int(end.code or 0)
    name = f"kinoflow {function.__name__.replace('_', '-')}"
    with _logging(), _unwinding():
        return _status(name, lambda: _execute(target, function, known, given))


def _execute(target: str, function: Callable[..., None], known: list, given: dict[str, Any]) -> None:
    if given["log"] and not given["dry_run"] and os.environ.get("RANK", "0") == "0":  # one of torchrun's processes
        _log_to(Path(given["log"]))
    end_with_main()
    values = arguments(known, given)
    check_inputs(known, values, closely=given["dry_run"])
    if given["dry_run"]:
        for line in outputs(known, values):
            print(line)
        return
    if "code" in values and not values["code"]:
        values["code"] = stage_code(target)
    function(**values)


def _status(name: str, work: Callable[[], None]) -> int:
    """Do the work; say what stopped it and return the exit status."""
    try:
        work()
        return 0
    except KinoflowError as error:
        log.error("%s: %s", name, error)
        return 1
    except KeyboardInterrupt:
        log.error("%s: interrupted; the same command continues", name)
        return 130
    except TerminatedError:
        log.error("%s: ended by a signal (SIGTERM); the same command continues", name)
        return 143
    except Exception as error:
        if sentence := _refused(error):
            log.error("%s: %s", name, sentence)
            return 1
        log.exception("%s: this is a bug in kinoflow, please report it with the lines below", name)
        return 70


def _refused(error: Exception) -> str:
    """Return what the system refused and what to do, as a sentence; nothing for what is a bug."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return f"{error}; {REFUSALS[error.errno]}"
    kinds = (MemoryError, RuntimeError, ImportError, OSError)
    if isinstance(error, MemoryError) or (isinstance(error, kinds) and NO_MEMORY.search(str(error))):
        where = "the GPU" if "CUDA" in str(error) else "this machine, or the job may not take more"
        return f"there is not enough memory on {where}: give it more, or work on less at once (smaller batches, more shards)"
    return ""


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C raise an exception, so that the stage clears up."""

    def terminate(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb the clearing up
        raise TerminatedError

    if threading.current_thread() is not threading.main_thread():  # only there a handler may be set
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with clearing_up():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _logging() -> Iterator[None]:
    """Send what is said to standard error, and after ``_log_to`` to a file too."""
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    log.handlers, log.propagate = [], False
    log.setLevel(logging.INFO)
    _add(logging.StreamHandler(sys.stderr))
    try:
        yield
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def _log_to(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _add(logging.FileHandler(path, mode="w", encoding="utf-8", errors="backslashreplace"))
    except OSError as error:
        raise ConfigError(f"--log: {error}") from None


def _add(handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
