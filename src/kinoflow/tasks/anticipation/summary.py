"""The stage that sums up the measures of several tests, of the splits of a dataset or the seeds of a run: mean and spread."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.stage import In, Out
from kinoflow.store.files import parse_json, write_json


def anticipation_summary(metrics: list[In], summary: Out) -> None:
    """Sum up the measures of several tests: of the splits of EGTEA or 50Salads, or of the seeds of a run.

    metrics: the measures, metrics.json of each test
    summary: the means to write, JSON: every number of the measures as {mean, sd, low, high, tests}
    """
    write_json(summary, summed_up(metrics))


def summed_up(paths: Sequence[Path]) -> dict[str, Any]:
    """Return {mean, sd, low, high, tests} of every number that all the files have, nested as they are."""
    if not paths:
        raise ConfigError("metrics: give at least one file")
    every = [dict(_numbers(_read(path))) for path in paths]
    found: dict[str, Any] = {"files": len(paths)}
    for key in every[0]:
        values = [each[key] for each in every if key in each]
        if len(values) == len(every):
            place = found
            for part in key[:-1]:
                place = place.setdefault(part, {})
            place[key[-1]] = {
                "mean": float(np.mean(values)),
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "low": min(values),
                "high": max(values),
                "tests": len(values),
            }
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(Path(path).read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON file: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: these are no measures of a test; give files metrics.json")
    return found


def _numbers(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _numbers(value[name], (*key, name))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, float(value)
