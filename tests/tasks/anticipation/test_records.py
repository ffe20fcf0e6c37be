"""What teachers say: records of them, and several of them as one."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation import toy

from kinoflow.errors import DataError
from kinoflow.tasks.anticipation import records as recording
from kinoflow.tasks.anticipation.ensemble import TeacherAttention

GOLDEN = Path(__file__).parents[2] / "golden" / "anticipation"

# ---------------------------------------------------------------- ensembles


def test_ensembles_are_those_of_the_published_code():
    golden = {name: torch.from_numpy(value) for name, value in np.load(GOLDEN / "ensemble.npz").items()}
    logits, features = golden["teacher_logits"], golden["teacher_feats"]
    made = [some_records(each.numpy()) for each in logits.unbind(1)]
    np.testing.assert_allclose(recording.combine(made, "mean").logits, golden["mean"], atol=1e-6)
    np.testing.assert_allclose(recording.combine(made, "max").logits, golden["maxpool"], atol=1e-6)
    attention = TeacherAttention(12, int(golden["num_heads"])).double()
    attention.load_state_dict({name: golden[f"w.{name}"] for name in ("in_proj_weight", "in_proj_bias")})
    found, weights = attention(golden["student_feat"], features, logits)
    np.testing.assert_allclose(weights.detach(), golden["attn_weights"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.detach(), golden["attention"], rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99))
def test_equal_teachers_are_that_teacher_and_weights_add_up(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, 4)).astype(np.float32)
    for how in ("mean", "max"):
        np.testing.assert_allclose(recording.combine([some_records(logits)] * 3, how).logits, logits, rtol=1e-6)
    query, features = (torch.from_numpy(rng.normal(size=size)).float() for size in ((3, 8), (3, 2, 8)))
    found, weights = TeacherAttention(8, 2)(query, features, torch.from_numpy(logits)[:, None].repeat(1, 2, 1))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    np.testing.assert_allclose(found.detach(), logits, rtol=1e-5, atol=1e-6)


def some_records(logits: np.ndarray, uids: tuple[str, ...] = (), **more) -> recording.Records:
    rows, classes = logits.shape
    names = list(uids) or [f"u{i}" for i in range(rows)]
    values = {"dataset": "toy", "policy": "order"} | more
    kinds = tuple(f"c{i}" for i in range(classes))
    past = np.full((rows, 2), -1)
    return recording.Records(
        names, kinds, logits, np.ones((rows, 3)), past, np.zeros(rows), np.zeros(rows), **values, about={"last": 2}
    )


def test_teachers_of_other_segments_or_policies_are_not_combined():
    logits = np.zeros((2, 3))
    one = some_records(logits, ("a", "b"))
    turned = recording.combine([one, some_records(np.eye(2, 3), ("b", "a"))], "mean")
    np.testing.assert_allclose(turned.logits, np.eye(2, 3)[::-1] / 2)
    for other in (some_records(logits, ("a", "c")), some_records(logits, ("a", "b"), policy="ended")):
        with pytest.raises(DataError):
            recording.combine([one, other], "mean")


# ---------------------------------------------------------------- records


def test_records_come_back_and_the_same_records_are_the_same_bytes(tmp_path):
    made = some_records(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), ("ä", "b", "c"))
    for name in ("one.h5", "two.h5"):
        recording.write_records(tmp_path / name, made)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = recording.read_records(tmp_path / "one.h5")
    assert (again.uids, again.classes, again.dataset, again.policy, again.about) == (
        made.uids,
        made.classes,
        "toy",
        "order",
        {"last": 2},
    )
    np.testing.assert_array_equal(again.logits, made.logits)
    assert again.find(["c", "nobody", "ä"]).tolist() == [2, -1, 0]


def test_records_of_another_dataset_and_files_that_are_none_are_refused(tmp_path):
    made = some_records(np.zeros((1, 3)))
    with pytest.raises(DataError, match="these records are of toy with 3 classes"):
        recording.check_dataset(made, toy.CLASSES, tmp_path / "r.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["uid"] = 1
    with pytest.raises(DataError, match="no teacher records"):
        recording.read_records(tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(DataError, match="cannot be read"):
        recording.read_records(tmp_path / "text.h5")
