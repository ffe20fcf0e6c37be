"""The stage that reads the record lists of published teachers, without running anything that is in them.

They are pickled lists of dictionaries: uid, target, history, uid_history, logit_action (C, 1), LM_feat (F, 1). A pickle may
hold any program, so only plain values, arrays and tensors are read; a file that needs more is refused in a sentence.
50Salads' records have no uid but the prefix of the sequence, as a text: see `prefix_key`.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import read_classes
from kinoflow.datasets.published.rulstm import plain_uid
from kinoflow.errors import DataError
from kinoflow.metrics.anticipation import mean_by_uid
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.tasks.anticipation.records import Records, write_records
from kinoflow.tasks.anticipation.text_options import ImportOptions

LONGEST = 30  # actions of a prefix's key


def import_teacher_records(source: list[In], classes: In, records: Out, options: ImportOptions) -> None:
    """Turn the record lists of a published teacher into records; rows of one uid are averaged.

    source: the pickled lists: of the training and of the validation segments
    classes: the table of classes of their dataset
    records: the records to write, HDF5
    """
    table = read_classes(classes)
    if table.dataset != options.dataset:
        raise DataError(
            f"{classes}: these classes are of {table.dataset}, and dataset is {options.dataset}; give those of one dataset"
        )
    items = [(path, i, item) for path in source for i, item in enumerate(read_list(path))]
    if not items:
        raise DataError(f"{source[0]}: there is no record in this list")
    rows = [_row(item, len(table.names), f"{path}, record {i + 1}") for path, i, item in items]
    uids, logits = mean_by_uid([row[0] for row in rows], np.stack([row[1] for row in rows]))
    features = mean_by_uid([row[0] for row in rows], np.stack([row[2] for row in rows]))[1]
    first = {row[0]: row for row in reversed(rows)}
    past = [first[uid][3] for uid in uids]
    width = max(1, max(map(len, past)))
    history = np.full((len(uids), width), -1, np.int32)
    for i, numbers in enumerate(past):
        history[i, width - len(numbers) :] = numbers
    about = {"gap": 1.0, "last": options.last or 0, "teacher": options.name}
    write_records(
        records,
        Records(
            list(map(str, uids)),
            table.names,
            logits,
            features,
            history,
            np.array(list(map(len, past)), np.int32),
            np.array([first[uid][4] for uid in uids], np.int32),
            table.dataset,
            options.policy,
            about,
        ),
    )
    log.info("%s: %d records of %d segments", records.name, len(rows), len(uids))


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
        found = _Plain(io.BytesIO(Path(path).read_bytes())).load()
    except OSError as error:
        raise DataError(f"{path}: these records cannot be read: {error.strerror}") from None
    except _NeededError as error:
        raise DataError(
            f"{path}: this pickle needs {error}, which would be run to read it; save its records as plain lists and arrays with"
            " a program you trust"
        ) from None
    except Exception as error:  # a broken pickle may raise anything
        raise DataError(f"{path}: this is no pickled list of records ({type(error).__name__}: {error})") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: this pickle holds a {type(found).__name__}, not a list of records")
    return found


class _NeededError(Exception):
    """What a pickle asks for that is not allowed."""


class _Plain(pickle.Unpickler):
    """Reads what numpy and torch write for arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace("numpy._core", "numpy.core")
        if (place, name) in _allowed():
            return _allowed()[place, name]
        raise _NeededError(f"{module}.{name}")


def _storage(content: bytes) -> np.ndarray:
    """Return the values of a storage that torch pickled within a list: a file of its own, read with weights_only."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _allowed() -> dict[tuple[str, str], Any]:
    """Return what a pickle of arrays may name."""
    import torch
    from numpy._core import multiarray

    return {
        ("numpy.core.multiarray", "_reconstruct"): multiarray._reconstruct,
        ("numpy.core.multiarray", "scalar"): multiarray.scalar,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encode,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch.storage", "_load_from_bytes"): _storage,
    }


def _encode(text: str, coding: str) -> bytes:
    if coding not in ("latin1", "latin-1"):
        raise _NeededError(f"the coding {coding}")
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
