"""Published record lists are read, and nothing in them is run."""

import dataclasses
import os
import pickle
import sys

import numpy as np
import pytest
import torch
from numpy._core import numeric
from tests.tasks.anticipation import toy

from kinoflow.datasets.actions import Action, write_actions, write_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.anticipation.record_import import import_teacher_records, prefix_key, read_list
from kinoflow.tasks.anticipation.records import read_records
from kinoflow.tasks.anticipation.teaching import taught
from kinoflow.tasks.anticipation.text_options import ImportOptions


def record(uid: object, value: float, **more) -> dict:
    logits = torch.full((6, 1), value)
    return {
        "uid": uid,
        "target": np.int64(2),
        "history": [[0, 1]],
        "logit_action": logits,
        "LM_feat": np.ones((4, 1), np.float32),
    } | more


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Asks:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def imported(tmp_path, *items):
    paths = []
    for i, item in enumerate(items):
        paths.append(tmp_path / f"{i}.pkl")
        paths[-1].write_bytes(pickle.dumps(item))
    write_classes(tmp_path / "classes.json", toy.CLASSES)
    import_teacher_records(paths, tmp_path / "classes.json", tmp_path / "r.h5", ImportOptions(dataset="toy"))
    return read_records(tmp_path / "r.h5")


def test_lists_become_records_and_rows_of_one_uid_are_averaged(tmp_path):
    found = imported(tmp_path, [record("003", 1.0), record(3, 2.0)], [record("P01_1", 5.0, history=[])])
    assert found.uids == ["3", "P01_1"]
    np.testing.assert_allclose(found.logits[:, 0], [1.5, 5.0])
    assert found.history.tolist() == [[0, 1], [-1, -1]]
    assert (found.classes, found.dataset, found.policy, found.features.shape) == (toy.NAMES, "toy", "order", (2, 4))
    assert found.targets.tolist() == [2, 2]


def salads(tmp_path, keys: dict[str, float], videos: dict[str, list[int]]):
    """Import records of 50Salads by the keys of published ones; return those that two videos find."""
    classes = dataclasses.replace(toy.CLASSES, dataset="salads", verb=(), noun=(), verbs=(), nouns=(), many_shot={})
    rows = [
        Action(uid=f"{video}#{i}", video=video, start=i, end=i + 1, action=number, split="train")
        for video, numbers in videos.items()
        for i, number in enumerate(numbers)
    ]
    write_actions(tmp_path / "actions.csv", rows)
    write_classes(tmp_path / "classes.json", classes)
    (tmp_path / "r.pkl").write_bytes(pickle.dumps([record(key, value) for key, value in keys.items()]))
    options = ImportOptions(dataset="salads")
    files = ([tmp_path / "r.pkl"], tmp_path / "classes.json", tmp_path / "r.h5", options)
    import_teacher_records(*files, actions=tmp_path / "actions.csv")
    return files, taught([tmp_path / "r.h5"], [row.uid for row in rows], classes, 1.0)


def test_records_of_salads_are_found_by_all_that_was_done_before(tmp_path):
    keys = {"5": 1.0, "5_0": 2.0, "5_0_1": 3.0, "0": 9.0}
    files, found = salads(tmp_path, keys, {"01-1": [5, 0, 1, 2], "02-1": [5, 0, 0, 1], "03-1": [4, 3, 2, 1]})
    told = np.where(found.there, found.scores[:, 0, 0], -1)
    assert told.tolist() == [-1, 1, 2, 3, -1, 1, 2, 2, -1, -1, -1, -1]  # repeats in a row are one
    assert read_records(tmp_path / "r.h5").targets.tolist() == [0, 1, 2, 0, 0, 1]
    with pytest.raises(ConfigError, match="actions: the table is needed for published records of 50Salads"):
        import_teacher_records(*files)


@pytest.mark.parametrize(
    ("key", "said"), [("P01_3", "'P01_3' is no list of actions"), ("3_2", "number the classes alike")]
)
def test_records_of_salads_that_fit_nothing_are_refused(tmp_path, key, said):
    with pytest.raises(DataError, match=said):
        salads(tmp_path, {key: 1.0}, {"01-1": [5, 0, 1, 2]})


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps([Runs(str(tmp_path / "made"))]))
    with pytest.raises(DataError, match="needs posix.mkdir"):
        read_list(tmp_path / "bad.pkl")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("module", ["numpy._core.numeric", "numpy.core.numeric"])
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_arrays_are_read_of_every_protocol_and_release_of_numpy(tmp_path, monkeypatch, module, protocol):
    monkeypatch.setitem(sys.modules, module, numeric)
    monkeypatch.setattr(numeric._frombuffer, "__module__", module)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = pickle.dumps([values, np.asfortranarray(values), values[:, ::2], np.float32(2)], protocol)
    assert protocol == 2 or module.encode() in content
    (tmp_path / "x.pkl").write_bytes(content)
    found = read_list(tmp_path / "x.pkl")
    assert [np.asarray(each).tolist() for each in found] == [values.tolist(), values.tolist(), [[0, 2], [3, 5]], 2]


def test_an_array_of_objects_in_a_buffer_is_refused(tmp_path):
    buffer = np.arange(6.0).__reduce_ex__(5)
    asked = Asks(buffer[0], (bytearray(8), np.dtype(object), (1,), "C"))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([asked], 5))
    with pytest.raises(DataError, match="this is no pickled list of records"):
        read_list(tmp_path / "x.pkl")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"uid": 1}), pickle.dumps([1])[:-3]])
def test_what_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError):
        read_list(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("item", "said"), [({"uid": 1}, "a record has uid"), (record(1, 0.0, logit_action=np.ones(9)), "another dataset")]
)
def test_wrong_records_are_refused(tmp_path, item, said):
    with pytest.raises(DataError, match=said):
        imported(tmp_path, [item])


def test_records_of_another_dataset_are_refused(tmp_path):
    write_classes(tmp_path / "classes.json", toy.CLASSES)
    with pytest.raises(DataError, match="these classes are of toy"):
        import_teacher_records(
            [tmp_path / "x"], tmp_path / "classes.json", tmp_path / "r.h5", ImportOptions(dataset="egtea")
        )


def test_keys_of_prefixes_have_no_repeats_in_a_row():
    assert prefix_key([1, 1, 2, 2, 1]) == "1_2_1"
    assert prefix_key(range(40)).startswith("10_11_")
    assert prefix_key([]) == ""
