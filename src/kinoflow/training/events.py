"""A history as TensorBoard shows it: its numbers as scalars in an events file."""

from pathlib import Path
from typing import Any

from kinoflow.training.history import Row

NAMES = ("step", "epoch")  # what is no scalar of its own


class Events:
    """An events file in ``folder`` that grows by rows; files of an interrupted training of the same folder go."""

    def __init__(self, folder: Path | None):
        """``folder``: where to write; None: nowhere."""
        self.folder, self.writer = folder, None
        self._said = 0

    def write(self, rows: list[Row]) -> None:
        """Write those of ``rows``, all of the history so far, that are not written yet."""
        if self.folder is None or len(rows) == self._said:
            return
        self.writer = self.writer or self._begin(self.folder)
        for row in rows[self._said :]:
            for name, value in row.items():
                if name not in NAMES:
                    self.writer.add_scalar(name, value, int(row["step"]))
        self.writer.flush()
        self._said = len(rows)

    def close(self) -> None:
        """Close the file."""
        if self.writer:
            self.writer.close()

    def _begin(self, folder: Path) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        return SummaryWriter(str(folder))
