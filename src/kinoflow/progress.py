"""What a stage says while it works: to the terminal and to the rule's log file, never too often."""

import logging
import sys
import time

log = logging.getLogger("kinoflow")

PIPE_SECONDS, TERMINAL_SECONDS = 10.0, 2.0  # between two lines of progress


class Progress:
    """Count finished items and say now and then how many are done and how long the rest will take.

    >>> with Progress("probe 003", total=3, items="videos") as progress:
    ...     for _ in range(3):
    ...         progress.step()
    """

    def __init__(self, what: str, total: int, items: str = "items"):
        self.what, self.total, self.items, self.done = what, total, items, 0
        self.start = self.said = time.monotonic()
        self.every = TERMINAL_SECONDS if sys.stderr.isatty() else PIPE_SECONDS

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None and self.total:
            log.info("%s: %d %s in %s", self.what, self.done, self.items, duration(time.monotonic() - self.start))

    def step(self, count: int = 1) -> None:
        """Count ``count`` more items as done."""
        self.done += count
        now = time.monotonic()
        if now - self.said >= self.every and self.done:
            self.said = now
            left = (now - self.start) / self.done * max(0, self.total - self.done)
            share = 100 * self.done // max(1, self.total)
            text = "%s: %d of %d %s (%d %%), about %s left"
            log.info(text, self.what, self.done, self.total, self.items, share, duration(left))


def duration(seconds: float) -> str:
    """Say a time span as people do: ``3.2 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < 59.95:  # what rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Transfer(Progress):
    """Progress in bytes, said as people do; ``total`` 0 if it is unknown, ``already`` bytes that are there before the start."""

    def __init__(self, what: str, total: int, already: int = 0):
        super().__init__(what, total, "bytes")
        self.already = already

    def __exit__(self, kind, error, trace):
        if kind is None:
            log.info("%s: %s in %s", self.what, size(self.done), duration(time.monotonic() - self.start))

    def step(self, count: int = 1) -> None:
        """Count ``count`` more bytes as done."""
        self.done += count
        now = time.monotonic()
        if now - self.said < self.every or not self.done:
            return
        self.said, there = now, self.already + self.done
        if self.total > there:
            left = (now - self.start) / self.done * (self.total - there)
            text = "%s: %s of %s (%d %%), about %s left"
            log.info(text, self.what, size(there), size(self.total), 100 * there // self.total, duration(left))
        else:
            log.info("%s: %s", self.what, size(there))


def size(count: int) -> str:
    """Say a number of bytes as people do: ``512 bytes``, ``4.2 MB``, ``30.1 GB``."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    power = next((n for n in (1, 2, 3) if count < 999.95 * 1000**n), 4)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"
