"""What teachers say of training actions: looked up by uid, missing ones counted and masked, never replaced by anything.

N actions, M teachers, C classes, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.tasks.anticipation.records import Records, check_dataset, read_records

SHUFFLE = 11  # first word of what seeds the shuffled control
LOSSES = ("distill", "ens_distill", "distill_feat", "distill_feat_mse")


@dataclass(frozen=True)
class Teaching:
    """Teachers' records of actions, in the order of the actions.

    scores: (N, M, C) float32; features: (N, M, F) float32, or None; both 0 where there: (N,) bool is false. policies: of the
    histories that the teachers read, one of each.
    """

    scores: np.ndarray
    features: np.ndarray | None
    there: np.ndarray
    policies: tuple[str, ...]

    @property
    def missing(self) -> int:
        """The number of actions without a record."""
        return int((~self.there).sum())

    def about(self) -> dict[str, Any]:
        """Return what a checkpoint says of its teachers, as JSON values."""
        return {"policies": list(self.policies), "records": int(self.there.sum()), "missing": self.missing}


def taught(
    paths: Sequence[Path],
    uids: Sequence[str],
    classes: Classes,
    most: float,
    shuffle: int | None = None,
) -> Teaching:
    """Return what the records of teachers say of the actions ``uids``.

    most: the largest share of them that may be missing. shuffle: a seed, to give every action another one's records.
    Raises DataError for records of another dataset, or too many missing ones.
    """
    if not paths:
        raise ConfigError(
            "teacher: the losses of distillation need the records of a teacher; give them, or set the weights to 0"
        )
    found = [read_records(path) for path in paths]
    for records, path in zip(found, paths, strict=True):
        check_dataset(records, classes, path)
    places = np.stack([records.find(list(uids)) for records in found], 1)  # (N, M)
    there = (places >= 0).all(1)
    _check_missing(there, uids, paths[0], most)
    if shuffle is not None:
        places = _shuffled(places, there, shuffle)
    scores = np.stack([_picked(records.logits, places[:, m]) for m, records in enumerate(found)], 1)
    policies = tuple(records.policy for records in found)
    return Teaching(
        np.where(there[:, None, None], scores, 0).astype(np.float32), _features(found, places), there, policies
    )


def _check_missing(there: np.ndarray, uids: Sequence[str], path: Path, most: float) -> None:
    missing = int((~there).sum())
    if not missing:
        return
    first = str(uids[int(np.flatnonzero(~there)[0])])
    log.warning("%s: %d of %d training actions have no record: they learn without a teacher", path, missing, len(there))
    if missing > most * len(there):
        raise DataError(
            f"{path}: {missing} of {len(there)} training actions have no record, {first!r} for example; make records of all,"
            f" or raise max_missing_records (now {most:g})"
        )


def _shuffled(places: np.ndarray, there: np.ndarray, seed: int) -> np.ndarray:
    """Return the places with those that are there handed round at random."""
    found, own = places.copy(), np.flatnonzero(there)
    found[own] = places[np.random.default_rng((SHUFFLE, seed)).permutation(own)]
    return found


def _picked(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows by place, (N, ...); any row (row 0, or zeros of an empty table) where there is none."""
    if not len(values):
        return np.zeros((len(places), *values.shape[1:]), np.float32)
    return np.asarray(values, np.float32)[np.maximum(places, 0)]


def _features(found: Sequence[Records], places: np.ndarray) -> np.ndarray | None:
    """Return the teachers' features (N, M, F); None if there are none, or widths differ."""
    widths = {records.features.shape[1] for records in found}
    if len(widths) > 1 or 0 in widths:
        return None
    picked = np.stack([_picked(records.features, places[:, m]) for m, records in enumerate(found)], 1)
    return np.where((places >= 0).all(1)[:, None, None], picked, 0).astype(np.float32)
