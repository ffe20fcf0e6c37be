"""The stage that opens every video of a shard once and records what can be read.

A row is carried over, its file unopened, if the video's token, the code and the options are those that it was made with.
``max_corrupt`` is no reason to look again: it is judged anew on the counts in the row.
"""

import os
from dataclasses import replace
from pathlib import Path

from kinoflow.errors import DataError
from kinoflow.media.examine import examine
from kinoflow.media.isolate import StoppedError, isolated
from kinoflow.media.options import ProbeOptions
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import key_of, parse_json, quick_hash, read_keys, sha256_of, write_keys
from kinoflow.store.tables import PARTLY, READABLE, UNREADABLE, Probed, read, write

LEFT_OUT = "; left out: "


def probe(root: Folder, list: In, table: Out, options: ProbeOptions, code: str = "") -> None:
    """Open every video of a shard once and record what can be read.

    A video that crashes or blocks its decoder, takes too much memory, cannot be read or is gone costs its own row only.

    root: the folder of the videos
    list: the list of the shard's videos, {path below root: [size, time, token]} as JSON
    table: the probe table to write
    code: fingerprint of the stage's code; found out if not given
    """
    tokens = _tokens(list)
    known = read_keys(table)
    old = {row.video: row for row in read(table, Probed)} if known else {}
    settings, rows, keys = resolved(options, exclude=("max_corrupt",)), [], {}
    with Progress(f"probe {table.stem}", total=len(tokens), items="videos") as progress:
        for video in sorted(tokens, key=os.fsencode):
            keys[video] = key_of(tokens[video], code, settings)
            row = old.get(video) if known.get(video) == keys[video] else None
            if row is None:
                row = _probed(root, video, options)
                log.info("probed %r: %s", video, ", ".join(filter(None, [row.status, row.reason])))
            if not row.sha256:
                del keys[video]  # gone, or not ours to read: look again the next time
            rows.append(_judged(row, options.max_corrupt))
            progress.step()
    write(table, rows, Probed)
    write_keys(table, keys)


def _tokens(path: Path) -> dict[str, str]:
    try:
        return {video: state[2] for video, state in parse_json(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError, IndexError, KeyError):
        raise DataError(f"{path}: this is no list of videos; write it anew with `kinoflow lists`") from None


def _probed(root: Path, video: str, options: ProbeOptions) -> Probed:
    path = os.path.join(root, video)
    try:
        hashes = {"sha256": sha256_of(path), "quick": quick_hash(path)}
    except OSError as error:
        return Probed(video=video, status=UNREADABLE, reason=f"the file cannot be read: {error.strerror}")
    try:
        found = isolated(
            examine,
            path,
            options.check == "decode",
            options.max_pixels,
            seconds=options.timeout,
            megabytes=options.memory,
        )
    except StoppedError as error:
        found = {"status": UNREADABLE, "reason": str(error)}
    return Probed(video=video, **found, **hashes)


def _judged(row: Probed, max_corrupt: float) -> Probed:
    """Say whether a video is used by the stages that follow, and if a readable part is not, why."""
    damage = row.reason.partition(LEFT_OUT)[0]
    if row.status not in (READABLE, PARTLY):
        return replace(row, kept=False)
    share = (row.bad_packets + row.corrupt_frames) / max(1, row.frames)
    if share <= max_corrupt:
        return replace(row, kept=True, reason=damage)
    why = f"{share:.1%} of its frames are bad, more than max_corrupt = {max_corrupt:.1%}"
    return replace(row, kept=False, reason=f"{damage}{LEFT_OUT}{why}")
