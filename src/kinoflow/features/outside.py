"""Feature files that somebody else made, one per video: examined by a probe of their own, then taken over into shards."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.listing import read_list
from kinoflow.datasets.options import FeatureFilesOptions
from kinoflow.errors import DataError
from kinoflow.features.arrays import read_matrix
from kinoflow.features.kept import ShardRows
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, quick_hash, read_keys, sha256_of, write_keys
from kinoflow.store.shards import writing
from kinoflow.store.tables import READABLE, UNREADABLE, Probed, read, write

SECONDS, MEGABYTES = 600.0, 16384  # that one file may take to examine
ROWS = 4096  # looked at at once
UNSEEN = ("blocks", "dtype")  # options that change no row of the probe table


def probe_files(root: Folder, list: In, table: Out, options: FeatureFilesOptions, code: str = "") -> None:
    """Open every feature file of a shard once: its shape, its type, whether all values are finite.

    A file that cannot be used costs its own row only. Rows count as frames, columns as width.

    root: the folder of the feature files
    list: the list of the shard's files, {path below root: [size, time, token]} as JSON
    table: the probe table to write
    code: fingerprint of the stage's code; found out if not given
    """
    states, settings = read_list(list), resolved(options, UNSEEN)
    keys = {video: key_of(states[video][2], settings, code) for video in sorted(states, key=os.fsencode)}
    known = read_keys(table)
    old = {row.video: row for row in read(table, Probed)} if known else {}
    rows = []
    with Progress(f"probe-files {table.stem}", total=len(keys), items="files") as progress:
        for video, key in keys.items():
            if known.get(video) == key:
                rows.append(old[video])
            else:
                rows.append(_probed(root, video, options))
                log.info("probed %r: %s", video, ", ".join(filter(None, [rows[-1].status, rows[-1].reason])))
            progress.step()
    write(table, rows, Probed)
    write_keys(table, {row.video: keys[row.video] for row in rows if row.sha256})  # others are looked at again


def _probed(root: Path, video: str, options: FeatureFilesOptions) -> Probed:
    path = os.path.join(root, video)
    try:
        hashes = {"sha256": sha256_of(path), "quick": quick_hash(path)}
    except OSError as error:
        return Probed(video=video, status=UNREADABLE, reason=f"the file cannot be read: {error.strerror}")
    try:
        found = isolated(_examined, path, options, seconds=SECONDS, megabytes=MEGABYTES)
    except StoppedError as error:
        found = {"status": UNREADABLE, "reason": str(error)}
    return Probed(video=video, **found, **hashes)


def _examined(path: str, options: FeatureFilesOptions) -> dict[str, Any]:
    """Return the columns of the probe table that tell of a file."""
    try:
        rows = _rows(path, options)
        _check_finite(rows)
    except DataError as error:
        return {"status": UNREADABLE, "reason": str(error)}
    count, width = rows.shape
    seconds = count / options.rate
    timing = {"fps": options.rate, "frames": count, "start": options.start, "duration": seconds}
    return timing | {"width": width, "kept": True, "status": READABLE}


def _rows(path: str | Path, options: FeatureFilesOptions) -> np.ndarray:
    """Return the features of one file, (T, D), in the type of the file; DataError with the reason alone."""
    rows = read_matrix(path, options.key)
    rows = rows.T if options.orientation == "D x T" else rows
    if not rows.shape[1]:
        raise DataError(f"its array has the shape {rows.shape}, without columns")
    return rows


def _check_finite(rows: np.ndarray) -> None:
    for first in range(0, len(rows), ROWS):
        bad = np.argwhere(~np.isfinite(rows[first : first + ROWS]))
        if len(bad):
            raise DataError(f"the value in row {first + bad[0, 0]}, column {bad[0, 1]} (counted from 0) is not finite")


def feature_files(root: Folder, table: In, shard: Out, options: FeatureFilesOptions, code: str = "") -> None:
    """Take the feature files of a shard over: one row each 1 / rate seconds.

    root: the folder of the feature files
    table: the probe table of the shard
    shard: the feature shard to write
    code: fingerprint of the stage's code; found out if not given
    """
    files = sorted((row for row in read(table, Probed) if row.kept), key=lambda row: os.fsencode(row.video))
    width = _common_width(root, files, options)
    keys = {row.video: key_of(row.sha256, resolved(options), code) for row in files}
    old = ShardRows(shard)
    progress = Progress(f"feature-files {shard.stem}", total=len(files), items="files")
    with writing(shard, _attrs(options), frames=False, width=width, dtype=options.dtype) as writer, progress:
        for video, key in keys.items():
            if key in old:
                writer.add(video, *old[key])
            else:
                rows = _stored(root / video, width, options)
                writer.add(video, rows, options.start + np.arange(len(rows)) / options.rate)
                log.info("read %r", video)
            progress.step()
    write_keys(shard, keys)


def _attrs(options: FeatureFilesOptions) -> dict[str, str]:
    return {
        "extractor": resolved(options),
        "dtype": options.dtype,
        "blocks": json.dumps(options.blocks, sort_keys=True),
    }


def _common_width(root: Path, files: list[Probed], options: FeatureFilesOptions) -> int:
    """Return the number of columns that all files have; DataError if two differ, or a block lies outside."""
    if not files:
        return 0
    first = files[0]
    for row in files:
        if row.width != first.width:
            raise DataError(
                f"{root}: {first.video!r} has {first.width} columns, {row.video!r} {row.width};"
                " leave one of them out with exclude, or put them into another dataset"
            )
    for name, (_, last) in options.blocks.items():
        if last > (first.width or 0):
            raise DataError(
                f"blocks.{name}: it ends at column {last}, but {str(root / first.video)!r} has {first.width} columns"
            )
    return first.width or 0


def _stored(path: Path, width: int, options: FeatureFilesOptions) -> np.ndarray:
    """Return the features of one file, (T, D), in the type in which they are stored."""
    try:
        rows = _rows(path, options)
    except DataError as error:
        raise DataError(f"{str(path)!r}: {error}") from None
    if rows.shape[1] != width:
        raise DataError(f"{str(path)!r}: {rows.shape[1]} columns, {width} when it was probed; run the probe again")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(rows, dtype=options.dtype)
    if not np.isfinite(stored).all():
        largest = np.abs(rows).max()
        raise DataError(
            f"{str(path)!r}: values up to {largest:.3g} do not fit into {options.dtype}; set dtype: float32"
        )
    return stored
