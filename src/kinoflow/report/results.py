"""Reading what runs have left, for the rooms' sections: files at ``<run>/seed-<number>/<file>``, by run and seed."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from kinoflow.errors import DataError
from kinoflow.report.outcome import PLACE
from kinoflow.report.section import Block, Text, code
from kinoflow.store import tables
from kinoflow.store.files import parse_json

Place = tuple[str, int]  # a run and a seed


def placed(paths: Iterable[Path]) -> dict[Place, Path]:
    """Return files by run and seed; DataError for one that lies elsewhere."""
    found: dict[Place, Path] = {}
    for path in paths:
        place = PLACE.fullmatch(path.parent.name)
        if not place:
            raise DataError(f"{path}: results lie at <run>/seed-<number>/<file>; keep them in their folders")
        found[path.parent.parent.name, int(place[1])] = path
    return found


def together(files: Mapping[str, Iterable[Path]]) -> dict[Place, list[Path]]:
    """Return the files of each run and seed, in the order of ``files``, {what they are: paths}.

    Raises DataError if a seed lacks one of them, or there is none at all.
    """
    parts = {what: placed(paths) for what, paths in files.items()}
    places = sorted({place for part in parts.values() for place in part})
    if not places:
        raise DataError(f"{next(iter(files))}: there is no run to report on; give the files of at least one")
    for place in places:
        missing = [what for what, part in parts.items() if place not in part]
        if missing:
            raise DataError(f"{missing[0]}: there is no file of the run {place[0]!r}, seed {place[1]}; give it too")
    return {place: [part[place] for part in parts.values()] for place in places}


def networks(models: Iterable[Path], runs: Iterable[str]) -> dict[str, Path]:
    """Return one checkpoint of each run, that of its lowest seed; DataError for a run without."""
    found: dict[str, Path] = {}
    for (run, _), path in sorted(placed(models).items()):
        found.setdefault(run, path)
    for run in runs:
        if run not in found:
            raise DataError(f"models: there is no checkpoint of the run {run!r}; give it too")
    return found


def labels_seen(seen: Mapping[str, str]) -> list[Block]:
    """Return the sentence on what labels the features of runs had seen: {run: labels}; nothing if nothing is known."""
    if not seen:
        return []
    runs = {labels: [code(run) for run, its in seen.items() if its == labels] for labels in seen.values()}
    told = [f"{labels}: {', '.join(names)}" for labels, names in runs.items()] if len(runs) > 1 else list(runs)
    return [Text(f"Labels that the networks had seen whose features are read: {'; '.join(told)}.")]


def numbers(path: Path) -> dict[str, Any]:
    """Return the measures of a file; DataError if it is no JSON."""
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON file: {error}") from None


def history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a training's history, of each the cells that hold a finite number."""
    rows = []
    for line, row in tables.read_csv(path, ()):
        try:
            values = {name: float(text) for name, text in row.items() if name and text}
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        rows.append({name: value for name, value in values.items() if math.isfinite(value)})
    return rows


def at(value: Any, keys: Iterable[str]) -> Any:
    """Return what lies below ``keys`` in nested mappings; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def by_seed(metrics: Mapping[int, dict[str, Any]], keys: Iterable[str]) -> dict[int, float]:
    """Return {seed: number} of the measure below ``keys``, for the seeds that have it. metrics: {seed: its measures}."""
    keys = tuple(keys)
    found = {seed: at(measures, keys) for seed, measures in metrics.items()}
    return {seed: float(value) for seed, value in found.items() if isinstance(value, int | float)}


def mean_of(found: Mapping[int, float]) -> float | None:
    """Return the mean of {seed: number}; None of no seed."""
    return sum(found.values()) / len(found) if found else None


def typical(found: Mapping[int, float]) -> int:
    """Return the seed whose number is nearest to the median of all, the lowest of equals. found: {seed: number}."""
    middle = median(found.values())
    return min(found, key=lambda seed: (abs(found[seed] - middle), seed))


def told(values: Iterable[float]) -> str:
    """Say shares of several seeds: ``91.2% (86.0–94.0)``, the mean and the range; ``91.2%`` where all are alike, "" of none."""
    shares = [100 * value for value in values]
    if not shares:
        return ""
    low, high = f"{min(shares):.1f}", f"{max(shares):.1f}"
    return f"{sum(shares) / len(shares):.1f}%{f' ({low}–{high})' if low != high else ''}"
