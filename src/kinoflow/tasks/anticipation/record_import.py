"""The stage that reads the record lists of published teachers, without running anything that is in them.

They are pickled lists of dictionaries: uid, target, history, uid_history, logit_action (C, 1), LM_feat (F, 1). A pickle may
hold any program, so only plain values, arrays and tensors are read; a file that needs more is refused in a sentence.
50Salads' records have for a uid the actions before the segment, as a text (`prefix_key`): each is found for the segments that come
after these.
"""

import dataclasses
import io
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.datasets.published.rulstm import plain_uid
from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.anticipation import mean_by_uid
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.pickles import NeededError, read_pickle
from kinoflow.tasks.anticipation.histories import histories
from kinoflow.tasks.anticipation.records import Records, write_records
from kinoflow.tasks.anticipation.text_options import ImportOptions

LONGEST = 30  # actions of a prefix's key
CORES = ("core", "_core")  # what numpy calls its inner package, by its release
SALADS = "salads"  # the dataset whose records are known by prefixes


def import_teacher_records(
    source: list[In], classes: In, records: Out, options: ImportOptions, actions: In | None = None
) -> None:
    """Turn the record lists of a published teacher into records; rows of one uid are averaged.

    source: the pickled lists: of the training and of the validation segments
    classes: the table of classes of their dataset
    records: the records to write, HDF5
    actions: 50Salads: the table of its actions; its published records are known by what was done before them
    """
    table = read_classes(classes)
    if (actions is not None) != (table.dataset == SALADS):
        raise ConfigError(
            "actions: the table is needed for published records of 50Salads, which have no uids of segments, and for no others"
        )
    if table.dataset != options.dataset:
        raise DataError(
            f"{classes}: these classes are of {table.dataset}, and dataset is {options.dataset}; give those of one dataset"
        )
    items = [(path, i, item) for path in source for i, item in enumerate(read_list(path))]
    if not items:
        raise DataError(f"{source[0]}: there is no record in this list")
    rows = [_row(item, len(table.names), f"{path}, record {i + 1}") for path, i, item in items]
    found = _joined(rows, table, options)
    if actions:
        found = _of_segments(found, read_rows(actions, table), source[0])
    write_records(records, found)
    log.info("%s: %d records of %d segments", records.name, len(rows), len(found.uids))


def _joined(rows: Sequence[tuple], table: Classes, options: ImportOptions) -> Records:
    """Return one record for each uid of ``rows`` (as `_row` gives them)."""
    uids, logits = mean_by_uid([row[0] for row in rows], np.stack([row[1] for row in rows]))
    features = mean_by_uid([row[0] for row in rows], np.stack([row[2] for row in rows]))[1]
    first = {row[0]: row for row in reversed(rows)}
    past = [first[uid][3] for uid in uids]
    width = max(1, max(map(len, past)))
    history = np.full((len(uids), width), -1, np.int32)
    for i, numbers in enumerate(past):
        history[i, width - len(numbers) :] = numbers
    return Records(
        list(map(str, uids)),
        table.names,
        logits,
        features,
        history,
        np.array(list(map(len, past)), np.int32),
        np.array([first[uid][4] for uid in uids], np.int32),
        table.dataset,
        options.policy,
        {"gap": 1.0, "last": options.last or 0, "teacher": options.name},
    )


def _of_segments(found: Records, rows: Rows, source: Path) -> Records:
    """Return the records of prefixes as those of the segments that come after them; DataError if there is none."""
    known = {_key(uid, source): i for i, uid in enumerate(found.uids)}
    past = histories(rows, 1.0, "order", last=None).of(rows.action)
    places = np.array([known.get(prefix_key(before[before >= 0]), -1) for before in past], np.int64)
    there = places >= 0
    if not there.any():
        raise DataError(
            f"{source}: no segment of the table of actions comes after the actions of any record; check that both number the"
            " classes alike"
        )
    place = places[there]
    return dataclasses.replace(
        found,
        uids=[str(uid) for uid in rows.uid[there]],
        logits=found.logits[place],
        features=found.features[place],
        history=found.history[place],
        lengths=found.lengths[place],
        targets=rows.action[there].astype(np.int32),
    )


def _key(uid: str, source: Path) -> str:
    try:
        return prefix_key(map(int, uid.split("_")))
    except ValueError:
        raise DataError(
            f"{source}: the uid {uid!r} is no list of actions as in 17_0_1, which records of 50Salads have; check which file"
            " this is"
        ) from None


def _row(item: Any, classes: int, where: str) -> tuple[str, np.ndarray, np.ndarray, list[int], int]:
    """Return uid, logits, feature, the latest history, and the target of a record; DataError if it is none."""
    try:
        logits, feature = (np.asarray(item[name], np.float32).reshape(-1) for name in ("logit_action", "LM_feat"))
        past = item.get("history") or []
        past = [int(number) for number in (past[0] if past and isinstance(past[0], Sequence | np.ndarray) else past)]
        uid, target = plain_uid(str(item["uid"])), int(item.get("target", -1))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{where}: a record has uid, logit_action and LM_feat; check which file this is") from None
    if len(logits) != classes:
        raise DataError(
            f"{where}: it tells {len(logits)} classes, and the table has {classes}; these are records of another dataset"
        )
    return uid, logits, feature, past, target


# ---------------------------------------------------------------- pickles, read safely


def read_list(path: Path) -> list[Any]:
    """Return the list of a pickle file that holds plain values, arrays and tensors only.

    Raises DataError if it needs anything else: that would mean to run what is in the file.
    """
    try:
        found = read_pickle(Path(path).read_bytes(), _allowed())
    except OSError as error:
        raise DataError(f"{path}: these records cannot be read: {error.strerror}") from None
    except NeededError as error:
        raise DataError(
            f"{path}: this pickle needs {error}, which would be run to read it; save its records as plain lists and arrays with"
            " a program you trust"
        ) from None
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: this is no pickled list of records ({type(error).__name__}: {error})") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: this pickle holds a {type(found).__name__}, not a list of records")
    return found


def _storage(content: bytes) -> np.ndarray:
    """Return the values of a storage that torch pickled within a list: a file of its own, read with weights_only."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _allowed() -> dict[tuple[str, str], Any]:
    """Return what a pickle of arrays may name."""
    import torch
    from numpy._core import multiarray, numeric

    return {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): multiarray._reconstruct for core in CORES},
        **{(f"numpy.{core}.multiarray", "scalar"): multiarray.scalar for core in CORES},
        # of protocol 5: it views bytes, and refuses objects
        **{(f"numpy.{core}.numeric", "_frombuffer"): numeric._frombuffer for core in CORES},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encode,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch.storage", "_load_from_bytes"): _storage,
    }


def _encode(text: str, coding: str) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise NeededError(f"the coding {coding}")
    return text.encode("latin1")


def prefix_key(numbers: Iterable[int], most: int = LONGEST) -> str:
    """Return what a published 50Salads record is called: the history without repeats in a row, the last ones of it.

    >>> prefix_key([3, 3, 4, 3])
    '3_4_3'
    """
    kept: list[int] = []
    for number in numbers:
        if not kept or kept[-1] != number:
            kept.append(int(number))
    return "_".join(map(str, kept[-most:]))
