"""Published record lists are read, and nothing in them is run."""

import os
import pickle

import numpy as np
import pytest
import torch
from tests.tasks.anticipation import toy

from kinoflow.datasets.actions import write_classes
from kinoflow.errors import DataError
from kinoflow.tasks.anticipation.record_import import import_teacher_records, prefix_key, read_list
from kinoflow.tasks.anticipation.records import read_records
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


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps([Runs(str(tmp_path / "made"))]))
    with pytest.raises(DataError, match="needs posix.mkdir"):
        read_list(tmp_path / "bad.pkl")
    assert not (tmp_path / "made").exists()


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
