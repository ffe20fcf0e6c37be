"""Ctrl-C: no traceback, whenever it is pressed after the first milliseconds, which are Python's own.

While a stage works Python's own handler raises KeyboardInterrupt, and the stage clears up. Before and after there is nothing
to clear up: the process ends at once, and the importing of libraries, most of a short job's time, is not shown as an error.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def end_silently() -> None:
    """Let Ctrl-C end this process at once, as long as no stage is at work; where it is ignored (nohup), it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def clearing_up() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt within; only the main thread may ask for it."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def postponed() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, and for ever in the processes started within."""
    handler, came = signal.getsignal(signal.SIGINT), []
    # a signal that this thread blocks another one takes, for which Python calls the handler in the main thread
    raises = callable(handler) and threading.current_thread() is threading.main_thread()
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if raises:
        signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        if raises:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if came:
            signal.raise_signal(signal.SIGINT)
