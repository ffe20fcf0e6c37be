"""The stage that makes several teachers one: the mean of their scores, or the largest of each class."""

import numpy as np

from kinoflow.datasets.actions import read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.stage import In, Out
from kinoflow.store.files import write_json
from kinoflow.tasks.anticipation.outcome import outcome
from kinoflow.tasks.anticipation.records import check_dataset, combine, read_records, write_records
from kinoflow.tasks.anticipation.text_options import CombineOptions


def teacher_combine(
    teachers: list[In],
    actions: In,
    classes: In,
    records: Out,
    metrics: Out,
    options: CombineOptions,
    splits: list[str] | None = None,
) -> None:
    """Combine the records of several teachers of the same actions into one, and say how right it is.

    teachers: the records, of `kinoflow teacher-records`
    actions: the table of segments that they are of
    classes: the table of classes
    records: the records to write, HDF5
    metrics: the measures to write, JSON: policy, teacher
    splits: the splits that are measured; all if not given
    """
    if len(teachers) < 2:
        raise ConfigError("teachers: give the records of two or more")
    table = read_classes(classes)
    found = [read_records(path) for path in teachers]
    for each, path in zip(found, teachers, strict=True):
        check_dataset(each, table, path)
    joined = combine(found, options.how)
    rows = read_rows(actions, table)
    there = sorted(set(rows.split))
    lost = [split for split in splits or () if split not in there]
    if lost:
        raise ConfigError(f"splits: no segment is in the split {lost[0]!r} (splits there: {', '.join(there)})")
    measured = rows.take(np.isin(rows.split.astype(str), splits or there))
    places = joined.find(list(measured.uid))
    if (places < 0).any():
        missing = measured.uid[np.flatnonzero(places < 0)[0]]
        raise DataError(f"{teachers[0]}: the segment {missing} has no record; make the records from the same actions")
    write_records(records, joined)
    told = outcome({"action": joined.logits[places]}, measured, table)
    write_json(metrics, {"policy": joined.policy, "teachers": len(found), "how": options.how, "teacher": told})
