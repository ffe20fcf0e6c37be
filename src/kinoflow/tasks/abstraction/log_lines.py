"""Lines about a training in the format of the published code, for programs that read its logs."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinoflow.errors import ConfigError

LOSSES = ("abstr", "embed", "full")


class Average:
    """A number's last value, and its mean by weight; the mean of nothing is 0.

    >>> loss = Average()
    >>> loss.update(1.0, 3), loss.update(2.0, 1), loss.mean
    (None, None, 1.25)
    """

    def __init__(self):
        self.last = self.sum = self.count = 0.0

    @property
    def mean(self) -> float:
        """The sum of value x weight by the sum of weights."""
        return self.sum / self.count if self.count else 0.0

    def update(self, value: float, weight: float = 1) -> None:
        """Take note of a value."""
        self.last, self.sum, self.count = value, self.sum + value * weight, self.count + weight


def progress_line(
    epoch: int, step: int, steps: int, seconds: Mapping[str, Average], losses: Mapping[str, Average],
    metrics: Mapping[str, Average],
) -> str:  # fmt: skip
    """Return ``Epoch: [e][step/total]``, then Time and Data, losses and metrics, each after a tab as ``name last (mean)``.

    seconds: Time and Data. losses: by LOSSES. metrics: in percent.
    """
    parts = [f"Epoch: [{epoch}][{step:{len(str(steps))}d}/{steps}]"]
    for numbers, digits in ((seconds, 3), ({name: losses[name] for name in LOSSES}, 4), (metrics, 3)):
        parts += [f"{name} {each.last:.{digits}f} ({each.mean:.{digits}f})" for name, each in numbers.items()]
    return "\t".join(parts)


class Log:
    """Writes a line for every so many steps into <name>.txt of a folder, and a line for every validation into <name>_val.txt."""

    def __init__(self, folder: Path, name: str, every: int, steps: int):
        if "/" in name:
            raise ConfigError(f"log_lines: {name!r} is no name of a file")
        self.path, self.validation, self.every, self.steps = (
            folder / f"{name}.txt",
            folder / f"{name}_val.txt",
            every,
            steps,
        )
        self.epoch, self.clock, self.best = -1, time.perf_counter(), float("-inf")
        self.waited = 0.0  # seconds that the last batch took to load
        folder.mkdir(parents=True, exist_ok=True)

    def step(self, epoch: int, step: int, sets: int, losses: Mapping[str, float], metrics: Mapping[str, float]) -> None:
        """Take note of a step (from 0) of an epoch (from 0): weighted losses, metrics in percent."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.seconds = {"Time": Average(), "Data": Average()}
            self.losses = {name: Average() for name in LOSSES}
            self.metrics = {name: Average() for name in metrics}
        now = time.perf_counter()
        self.seconds["Time"].update(now - self.clock)
        self.seconds["Data"].update(self.waited)
        self.clock = now
        for name, value in losses.items():
            self.losses[name].update(value, sets)
        self.losses["full"].update(sum(losses.values()), sets)
        for name, value in metrics.items():
            self.metrics[name].update(value, sets)
        if step % self.every == 0:
            line = progress_line(epoch, step, self.steps, self.seconds, self.losses, self.metrics)
            _append(self.path, line)

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Take note of a validation: metrics in percent, the first of which decides what is best."""
        name, value = next(iter(metrics.items()))
        self.best = max(self.best, value)
        said = "\t".join(f"{each} {number:.3f}" for each, number in metrics.items())
        _append(self.validation, f"{said}\tBest {name}: {self.best:.3f}")


def _append(path: Path, line: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def completion_lines(rho: Mapping[int, float], overall: float) -> list[str]:
    """Return the published lines about set completion; rho: of each number of references.

    >>> completion_lines({1: 0.5, 2: 0.25}, 0.4)[1:]
    ['Avg Rank Correlation (N=2): 0.2500', 'Overall Avg Rank Correlation: 0.4']
    """
    return [f"Avg Rank Correlation (N={n}): {value:.4f}" for n, value in rho.items()] + [
        f"Overall Avg Rank Correlation: {overall}"
    ]


def summary_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the three tests as the published code words them."""
    naming, completion, odd = (found[name] for name in ("naming", "completion", "odd_one_out"))
    lines = []
    for name, short in (("exact", "top1"), ("top5", "top5")):
        for key, value in naming.get(name, {}).items():
            if key == "all" or (key.startswith("n") and "_" not in key):
                lines.append(f"{short}@abstr{'' if key == 'all' else f'_{key[1:]}'}: {100 * value:.3f}")
    rho = completion["embedding"].get("rho")
    if rho:
        lines += completion_lines({int(k[1:]): rho[k] for k in rho if k[0] == "n"}, rho["overall"])
    top = odd["embedding"]
    for name in ("top1", "top2"):
        lines += [f"{name} (N={k[1:]}): {100 * v:.3f}" for k, v in top.get(name, {}).items() if k[0] == "n"]
    return lines
