"""Records of a teacher: what it says of every segment, and what it had read. One HDF5 file for a teacher, all splits in it.

N rows, C classes, F width of the features, H actions of the longest history kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes
from kinoflow.errors import DataError
from kinoflow.store import hdf5
from kinoflow.store.files import make_room, replacing

ROOM, KIND = "anticipation", "teacher-records"


@dataclass(frozen=True)
class Records:
    """The rows, in the order of the file."""

    uids: list[str]  # N
    classes: tuple[str, ...]  # C names
    logits: np.ndarray  # (N, C) float32
    features: np.ndarray  # (N, F) float32
    history: np.ndarray  # (N, H) int32, actions, the oldest first, -1 on the left
    lengths: np.ndarray  # (N,) int32, of the whole histories
    targets: np.ndarray  # (N,) int32, -1 where it is not known
    dataset: str
    policy: str
    about: dict[str, Any] = field(default_factory=dict)  # gap, last, teacher

    def find(self, uids: Sequence[str]) -> np.ndarray:
        """Return the row of each uid, (n,) int64; -1 where there is none."""
        place = {uid: i for i, uid in enumerate(self.uids)}
        return np.array([place.get(str(uid), -1) for uid in uids], np.int64)


def write_records(path: Path, records: Records) -> None:
    """Write records in one piece; the same records, the same bytes."""
    arrays = {
        "logits": records.logits.astype(np.float32),
        "features": records.features.astype(np.float32),
        "history": records.history.astype(np.int32),
        "length": records.lengths.astype(np.int32),
        "target": records.targets.astype(np.int32),
    }
    with replacing(path) as new:
        make_room(new, sum(values.nbytes for values in arrays.values()) + 100 * len(records.uids))
        _write(new, records, arrays)


def _write(path: Path, records: Records, arrays: dict[str, np.ndarray]) -> None:
    import h5py

    with h5py.File(path, "w", track_order=True) as file:
        for name, values in {"uid": _bytes(records.uids), "classes": _bytes(records.classes), **arrays}.items():
            file.create_dataset(name, data=values, track_times=False)
        told = {"room": ROOM, "kind": KIND, "dataset": records.dataset, "policy": records.policy}
        hdf5.tell(file, {**told, **dict(sorted(records.about.items()))})


def _bytes(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.encode("utf-8", "surrogateescape") for text in texts] or [b""], dtype=bytes)[: len(texts)]


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8", "surrogateescape") for value in values.tolist()]


def read_records(path: Path) -> Records:
    """Return the records of a file; DataError if it is none."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            about = hdf5.told(file)
            if about.get("kind") != KIND:
                raise DataError(
                    f"{path}: these are no teacher records; give a file that `kinoflow teacher-records` wrote"
                )
            names = ("logits", "features", "history", "length", "target")
            arrays = [hdf5.array(file, name) for name in names]
            uids, classes = _texts(hdf5.array(file, "uid")), tuple(_texts(hdf5.array(file, "classes")))
    except OSError as error:
        raise DataError(f"{path}: these records cannot be read: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(f"{path}: these records are not complete: {error}; make them again") from None
    more = {name: value for name, value in about.items() if name not in ("room", "kind", "dataset", "policy")}
    return Records(uids, classes, *arrays, dataset=about["dataset"], policy=about["policy"], about=more)


def check_dataset(records: Records, classes: Classes, source: Path) -> None:
    """Raise DataError if records are of another dataset, or of other classes."""
    if (records.dataset, records.classes) != (classes.dataset, classes.names):
        lost = next((name for name in records.classes if name not in classes.names), "")
        more = f" (the class {lost!r} is not among them)" if lost else ""
        raise DataError(
            f"{source}: these records are of {records.dataset} with {len(records.classes)} classes{more}, and the actions are of"
            f" {classes.dataset} with {len(classes.names)}; make the records from the same actions"
        )


def combine(records: Sequence[Records], how: str) -> Records:
    """Return the mean, or the element-wise largest, logits of several teachers; features are the mean where widths agree.

    how: mean or max. Rows are those of the first; DataError if another has other uids, classes, or another policy.
    """
    if how not in ("mean", "max"):
        raise ValueError(f"how: {how!r} is neither mean nor max")
    first = records[0]
    logits, features = [first.logits], [first.features]
    for other in records[1:]:
        if (other.dataset, other.classes, other.policy) != (first.dataset, first.classes, first.policy):
            raise DataError(
                f"teachers of {first.dataset} ({first.policy}) and {other.dataset} ({other.policy}) cannot be combined: dataset,"
                " classes and policy must be the same"
            )
        rows = other.find(first.uids)
        if (rows < 0).any() or len(other.uids) != len(first.uids):
            raise DataError("the teachers have records of different segments; make them from the same actions")
        logits.append(other.logits[rows])
        features.append(other.features[rows])
    joined = np.mean(logits, axis=0) if how == "mean" else np.max(logits, axis=0)
    same = len({each.shape[1] for each in features}) == 1
    told = np.mean(features, axis=0) if same else np.zeros((len(first.uids), 0))
    return Records(
        first.uids,
        first.classes,
        joined.astype(np.float32),
        told.astype(np.float32),
        first.history,
        first.lengths,
        first.targets,
        first.dataset,
        first.policy,
        {**first.about, "teacher": f"{how} of {len(records)}"},
    )
