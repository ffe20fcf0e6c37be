"""The stage that joins the probe tables of all shards: what was found, and what cannot be used and why."""

import os
from pathlib import Path

from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.tables import Probed, Unreadable, read, write


def inventory(tables: list[In], inventory: Out, unreadable: Out) -> None:
    """Join the probe tables of all shards; list what cannot be used and why. Unreadable videos are no error here.

    tables: the probe tables of all shards
    inventory: the table to write: every file that was found, sorted by name
    unreadable: the table to write: video, status and reason of those that are not used
    """
    rows = _joined(tables)
    lost = [Unreadable(video=row.video, status=row.status, reason=row.reason) for row in rows if not row.kept]
    write(inventory, rows, Probed)
    write(unreadable, lost, Unreadable)
    log.info("%d files found, %d of them not used (see %s)", len(rows), len(lost), unreadable)


def _joined(tables: list[Path]) -> list[Probed]:
    """Return the rows of all tables, sorted by name; the same video in two tables is an error."""
    rows: dict[str, Probed] = {}
    for table in tables:
        for row in read(table, Probed):
            if row.video in rows:
                raise DataError(
                    f"{table}: the video {row.video!r} stands in another probe table too;"
                    " give the tables of one run, each of them once"
                )
            rows[row.video] = row
    return [rows[video] for video in sorted(rows, key=os.fsencode)]
