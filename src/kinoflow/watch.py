"""A stage that the workflow started ends with the workflow's main process: an orphan must not write where the next run works."""

import fcntl
import os
import select
import threading
from pathlib import Path

# "<pid> <pid namespace> <owner file>" of the workflow's main process; set for local jobs only
MAIN = "KINOFLOW_MAIN"
SECONDS = 1.0  # between two looks at the lock


def end_with_main() -> None:
    """End this process as soon as the workflow's main process is gone; return at once.

    In the main's own pid namespace a pid file descriptor tells (no race with a reused pid once it is open). In a
    container with a namespace of its own the main process is not to be seen: there the lock tells that it holds on its
    owner file.
    """
    if MAIN not in os.environ:
        return
    pid, namespace, owner = os.environ[MAIN].split(" ", 2)
    if namespace == os.readlink("/proc/self/ns/pid"):
        try:
            descriptor = os.pidfd_open(int(pid))
        except ProcessLookupError:
            _end()
        _in_background(_watch_process, descriptor)
    elif os.path.exists(owner):
        _in_background(_watch_lock, owner, Path(owner).read_text())


def _in_background(function, *arguments) -> None:
    threading.Thread(target=function, args=arguments, daemon=True, name="watch").start()


def _watch_process(descriptor: int) -> None:
    select.select([descriptor], [], [])
    _end()


def _watch_lock(owner: str, text: str) -> None:
    """Wait until nobody holds the lock, or another run does; ``text``: what the owner wrote about itself."""
    pause = threading.Event()
    try:
        with open(owner) as file:
            while Path(owner).read_text() == text:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    pause.wait(SECONDS)
    finally:  # whatever happened to the file: better no job than an orphan
        _end()


def _end() -> None:
    os.write(2, b"kinoflow: the main process of the workflow is gone, so this job ends too\n")
    os._exit(1)
