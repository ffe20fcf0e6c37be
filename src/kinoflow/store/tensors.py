"""Files of torch's own format: values and tensors, pickled. What is wrong with the disk is told as the system tells it."""

from collections.abc import Callable
from typing import IO, Any


def save(value: Any, file: IO[bytes]) -> None:
    """Write a value of torch to an open file; OSError if the system refuses, where torch raises what names no reason."""
    import torch

    out = _Out(file)
    torch.save(value, out)
    if out.error:
        raise out.error


class _Out:
    """Takes all that is written, and keeps the first error: one that it raised would be lost inside torch."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.error: OSError | None = None

    def write(self, part: bytes) -> int:
        self._try(lambda: self.file.write(part))
        return len(part)

    def flush(self) -> None:
        self._try(self.file.flush)

    def _try(self, work: Callable[[], object]) -> None:
        if self.error is None:
            try:
                work()
            except OSError as error:
                self.error = error
