"""One file from an address to its place: resumed, retried, verified, and named only when it is complete."""

import random
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinoflow.errors import DataError
from kinoflow.progress import Transfer, duration, log, size
from kinoflow.store.partial import Origin, Partial, check_space, no_space, partial_of
from kinoflow.store.verify import Fetched, compare, expected_sum, record, take, verified
from kinoflow.store.web import BrokenError, ask, blocks, is_passing, wait_asked

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between attempts; each is twice the one before
LONGEST_WAIT = 600.0  # seconds that a server may ask for by Retry-After
HEADERS = {"User-Agent": "kinoflow", "Accept-Encoding": "identity"}  # the bytes that the owner's checksum is of


def fetch(
    url: str,
    path: Path,
    sha256: str | None = None,
    attempts: int = 5,
    patience: float = 30.0,
    rng: random.Random | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Bring the file at ``url`` (http, https, file) to ``path``; one that stands there already is only verified.

    ``sha256``: the published checksum or, as in the names of torchvision's weights, its first digits. Without one the
    checksum of the first download is kept in ``.<name>.sha256`` beside the file and compared from then on.
    ``attempts``: attempts in a row that bring no new byte before it gives up. ``patience``: longest wait for the next
    bytes, in seconds. ``rng``: for the jitter of the pauses; ``sleep``: what pauses.
    Raises DataError, and keeps what has come in ``.<name>.part``, from where the next call goes on.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_space(path.parent, error) from None
    if path.exists():
        return verified(path, sha256)
    if url.startswith("file:"):
        return take(_local(url), path, sha256)
    with partial_of(path) as partial:
        if path.exists():  # the process that was waited for has brought it
            found = verified(path, sha256)
            partial.discard()
            return found
        pauses = _Pauses(attempts, rng or random.Random(), sleep)
        return _Download(url, path, sha256 or expected_sum(path, None), patience, partial).run(pauses, sha256)


class _Pauses:
    """How often, and after what pause, one tries again."""

    def __init__(self, attempts: int, rng: random.Random, sleep: Callable[[float], None]):
        self.attempts, self.rng, self.sleep = attempts, rng, sleep
        self.failures, self.most = 0, 0

    def after(self, error: BrokenError, partial: Partial, url: str) -> None:
        """Wait before the next attempt, or raise DataError if there is none. New bytes make the count begin again."""
        self.failures = 1 if partial.size > self.most else self.failures + 1
        self.most = max(self.most, partial.size)
        if self.failures >= self.attempts:
            kept = f"; {size(partial.size)} are kept" if partial.size else ""
            raise DataError(f"{url}: {error}, at attempt {self.failures} of {self.attempts}{kept}; try again later")
        if error.wait > LONGEST_WAIT:
            raise DataError(f"{url}: {error} and asks to wait {duration(error.wait)}; the same command continues then")
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures - 1)) * (0.5 + self.rng.random() / 2)
        pause = max(pause, error.wait)
        log.info("%s: %s; attempt %d in %s", partial.what, error, self.failures + 1, duration(pause))
        self.sleep(pause)


class _Download:
    """One file on its way."""

    def __init__(self, url: str, path: Path, wanted: str, patience: float, partial: Partial):
        self.url, self.path, self.wanted, self.patience, self.partial = url, path, wanted, patience, partial

    def run(self, pauses: _Pauses, published: str | None) -> Fetched:
        self._complete(pauses)
        if not self._is_right() and self.partial.doubtful:
            log.info("%s: the checksum is wrong after resuming; once more from the beginning", self.partial.what)
            self.partial.restart(Origin())
            self._complete(pauses)
        if not (self.wanted and self._is_right()):
            _refuse_page(self.url, self.partial.path, self.path)
        compare(self.url, self.path, self.partial.sha256, published, f"; what came is kept in {self.partial.path}")
        found = Fetched(self.partial.size, self.partial.sha256)
        record(self.path, found.sha256, published)
        self.partial.finish(self.path)
        return found

    def _is_right(self) -> bool:
        return not self.wanted or self.partial.sha256.startswith(self.wanted)

    def _complete(self, pauses: _Pauses) -> None:
        """Attempt until the server has no more to give."""
        while not self._needs_no_answer():
            try:
                return self._attempt()
            except BrokenError as error:
                if self.wanted and self._is_right():
                    return  # whatever the server says of the length, this is the file
                if error.lied:
                    self.partial.restart(Origin())
                pauses.after(error, self.partial, self.url)

    def _needs_no_answer(self) -> bool:
        if not (self.wanted and self.partial.size):
            return False
        return self.partial.size == self.partial.origin.total or self._is_right()

    def _attempt(self, whole: bool = False) -> None:
        start = 0 if whole else self._start()
        with closing(ask(self.url, HEADERS | self._range(start), self.patience)) as answer:
            if start and answer.status == 416:
                if self._is_whole(answer):
                    return None
            elif start and answer.status == 206:
                if end := self._continued(answer, start):
                    self._check_room(end - start)
                    self.partial.doubtful = True
                    return self._receive(answer, end - start)
            elif answer.status == 200:
                total = None if answer.chunked else answer.length
                self._keep_from_page(answer)
                self._check_room((total or 0) - self.partial.size)
                self.partial.restart(Origin(self.url, *_marks(answer), total))
                return self._receive(answer, total)
            else:
                self._refuse(answer)
        log.info("%s: what is there does not belong to what the server has now; from the beginning", self.partial.what)
        return self._attempt(whole=True)  # what is there is dropped as soon as the new beginning comes

    def _keep_from_page(self, answer: Any) -> None:
        """A session that has ended answers with its login page: that must not cost what has come so far."""
        if self.partial.size and answer.headers.get_content_type() == "text/html" and not _is_page(self.path):
            raise _page(self.url, self.path)

    def _start(self) -> int:
        """Return the byte to go on at; 0 where nothing could tell a mixture of two versions."""
        origin = self.partial.origin
        return self.partial.size if self.wanted or (origin.url == self.url and origin.validator) else 0

    def _range(self, start: int) -> dict[str, str]:
        if not start:
            return {}
        origin = self.partial.origin
        condition = {"If-Range": origin.validator} if origin.url == self.url and origin.validator else {}
        return {"Range": f"bytes={start}-"} | condition

    def _is_whole(self, answer: Any) -> bool:
        """Tell, from an answer 416, whether there is nothing after what is there already."""
        origin, total = self.partial.origin, re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range") or "")
        known = {int(total[1])} if total else set()
        known |= {origin.total} if origin.total is not None else set()
        return known == {self.partial.size} and not origin.differs(*_marks(answer))

    def _continued(self, answer: Any, start: int) -> int | None:
        """Return the byte at which an answer 206 ends; None if it does not go on where the partial file ends."""
        told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range") or "")
        if not told or int(told[1]) != start:
            return None
        origin = self.partial.origin if self.partial.origin.url == self.url else Origin(self.url, *_marks(answer))
        end, total = int(told[2]) + 1, origin.total if told[3] == "*" else int(told[3])
        if total is None or origin.total not in (None, total) or not start < end <= total:
            return None
        if answer.length not in (None, end - start) or origin.differs(*_marks(answer)):
            return None
        self.partial.note(replace(origin, total=total))
        return end

    def _check_room(self, needed: int) -> None:
        check_space(self.partial.path.parent, needed, self.url)

    def _receive(self, answer: Any, promised: int | None) -> None:
        partial, start = self.partial, self.partial.size
        with Transfer(partial.what, start + (promised or 0), start) as progress:
            for block in blocks(answer, promised):
                partial.append(block)
                progress.step(len(block))
        if partial.origin.total not in (None, partial.size):
            raise BrokenError("the server sent a part of what was asked for")
        if promised is None and not answer.chunked:
            partial.doubtful = True  # nothing tells an end from a broken connection here

    def _refuse(self, answer: Any) -> None:
        text = f"the server answers {answer.status} ({answer.reason or 'no reason given'})"
        if is_passing(answer.status):
            raise BrokenError(text, wait_asked(answer.headers))
        raise DataError(f"{self.url}: {text}; correct the address, or put the file at {self.path} yourself")


def _marks(answer: Any) -> tuple[str, str]:
    return answer.headers.get("ETag") or "", answer.headers.get("Last-Modified") or ""


def _page(url: str, path: Path) -> DataError:
    return DataError(f"{url}: the server sent a web page, not {path.name!r}; fetch it by hand and put it at {path}")


def _is_page(path: Path) -> bool:
    return path.suffix.lower() in (".html", ".htm")


def _refuse_page(url: str, part: Path, path: Path) -> None:
    """A login or consent page comes with status 200: without a checksum it would be taken for the file."""
    with open(part, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")) and not _is_page(path):
        raise _page(url, path)


def _local(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise DataError(f"{url}: a file: address names a file of this machine: file:///folder/name")
    return Path(urllib.request.url2pathname(parts.path))
