"""The saved state of a training: written by time, in one piece, read by the same command started again."""

import math
import time
from pathlib import Path
from typing import Any

import torch

from kinoflow.errors import DataError
from kinoflow.store.files import replacing
from kinoflow.store.tensors import save
from kinoflow.training.workplace import note

QUICK = 10.0  # seconds; a state that takes longer is not saved when a signal asks for the end


class State:
    """The state's file in a work folder."""

    def __init__(self, place: Path, minutes: float, *identity: Any):
        """``identity``: what the state is of (options, seed ...); that of another one does not count."""
        self.path, self.minutes, self.identity = place / "state.pt", minutes, list(identity)
        self.saved, self.took = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """Whether the last one was saved long ago."""
        return time.monotonic() - self.saved >= 60 * self.minutes

    @property
    def quick(self) -> bool:
        """Whether saving goes quickly, as far as is known."""
        return self.took < QUICK

    def save(self, values: dict[str, Any]) -> None:
        """Write plain values and tensors in place of what was saved before; OSError if the system refuses."""
        start = time.monotonic()
        with replacing(self.path) as new, open(new, "wb") as file:
            save(values | {"identity": self.identity}, file)
        note(self.path.parent)
        self.saved = time.monotonic()
        self.took = self.saved - start

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Return what was saved, tensors on ``device``; None if there is nothing, or of another identity."""
        try:
            values = torch.load(self.path, map_location=device, weights_only=True)
            mine = values.pop("identity") == self.identity
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged file fails in any way; nothing in it is run
            raise DataError(
                f"{self.path}: this saved training cannot be read ({type(error).__name__}); delete it to begin anew"
            ) from None
        return values if mine else None


def finite(tensors: Any) -> bool:
    """Whether all numbers of all ``tensors`` are finite."""
    norms = torch._foreach_norm([tensor.detach() for tensor in tensors], math.inf)
    return not norms or bool(torch.isfinite(torch.stack(norms)).all())
