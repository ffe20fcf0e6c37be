"""What a training recorded: rows of step, rate, losses, scores and validation, and which validation was best."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinoflow.store.files import write_text

Row = dict[str, int | float]  # step and epoch (both from 1), learning_rate, train/<loss or score>, validation/<number>


@dataclass
class History:
    """The rows of a training. The same options, seed and data give the same bytes, whether it was interrupted or not."""

    rows: list[Row] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)  # {"step", "name", "value"} of the best validation; empty: none

    def validated(self, step: int, numbers: dict[str, float]) -> bool:
        """Take note of a validation; return whether it is the best so far: its first number is higher than any before."""
        name, value = next(iter(numbers.items()))
        value = float(value)
        if value != value or (self.best and value <= self.best["value"]):
            return False
        self.best = {"step": step, "name": name, "value": value}
        return True

    def columns(self) -> list[str]:
        """Return the names of all columns, in the order of their first use."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def write_csv(self, path: Path) -> None:
        """Write a row for each row; numbers that a row does not have are empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(path, text.getvalue())
