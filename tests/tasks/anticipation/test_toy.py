"""Distillation on invented sequences: with the teacher it is better, with another's records it is not."""

import json

import numpy as np
import pytest

from kinoflow.datasets.actions import read_classes, read_rows
from kinoflow.store.shards import Shard
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.options import AnticipationOptions, AnticipationTestOptions, AnticipationToyOptions
from kinoflow.tasks.anticipation.records import read_records
from kinoflow.tasks.anticipation.toy import anticipation_toy
from kinoflow.tasks.anticipation.train import anticipation_train

SMALL = AnticipationToyOptions(classes=8, text=50, train=20, test=10)
LOSSES = {"cls_action": 1, "feat": 0.1, "past_cls_action": 0.5}


def make(folder, options=SMALL, seed=0):
    names = ("actions", "classes", "shard", "records")
    paths = {name: folder / name for name in names}
    anticipation_toy(**paths, options=options, seed=seed)
    return paths


def student(losses, epochs=30, **distill):
    return AnticipationOptions.model_validate(
        {
            "sampling": {"steps": 6, "step_seconds": 1.0, "observed": 6.0, "skip": 6},
            "network": {"width": 32, "heads": 4, "layers": 2, "positions": 8, "dropout": 0.2},
            "losses": losses,
            "distill": {"temperature": 2.0, "reduction": "elementmean"} | distill,
            "noise": 0,
            "training": {"epochs": epochs, "batch": 64, "learning_rate": 3e-3, "weight_decay": 1e-2},
        }
    )


def top1(folder, paths, options, seed=0):
    """Train and test; return the share of last actions told right, and the teacher's."""
    model = folder / "model.safetensors"
    anticipation_train(
        paths["actions"], paths["classes"], model, folder / "h.csv", folder / ".work", options, seed=seed,
        features=[paths["shard"]], teacher=[paths["records"]], device="cpu", code="test",
    )  # fmt: skip
    outputs = {name: folder / name for name in ("metrics", "predictions", "scores")}
    anticipation_evaluate(
        [model], paths["actions"], paths["classes"], options=AnticipationTestOptions(), features=[paths["shard"]],
        teacher=[paths["records"]], device="cpu", **outputs,
    )  # fmt: skip
    found = json.loads((folder / "metrics").read_bytes())
    return found["action"]["top1"], found["teacher"]["action"]["top1"]


def test_every_video_has_its_actions_features_and_one_record(tmp_path):
    paths = make(tmp_path)
    classes = read_classes(paths["classes"])
    rows, records = read_rows(paths["actions"], classes), read_records(paths["records"])
    assert len(rows) == 30 * 7 and len(records.uids) == 30 and len(classes.names) == 8
    last = rows.take(np.array([uid.endswith("-6") for uid in rows.uid]))
    assert (records.targets[records.find(list(last.uid))] == last.action).all()
    assert np.allclose(np.exp(records.logits).sum(1), 1, atol=1e-5)
    assert Shard(paths["shard"]).rows("train00000").shape == (7, 32)


def test_one_seed_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    a, b = make(tmp_path / "a"), make(tmp_path / "b")
    assert all(a[name].read_bytes() == b[name].read_bytes() for name in a)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_teacher_gives_three_points_over_three_seeds_and_shuffled_records_nothing(tmp_path):
    gains, shuffled = [], []
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        paths = make(folder, AnticipationToyOptions(), seed)
        plain, teacher = top1(folder, paths, student(LOSSES), seed)
        taught, _ = top1(folder, paths, student(LOSSES | {"distill": 60}), seed)
        control, _ = top1(folder, paths, student(LOSSES | {"distill": 60}, shuffle=True), seed)
        print(f"seed {seed}: {plain:.3f} alone, {taught:.3f} taught, {control:.3f} shuffled, teacher {teacher:.3f}")
        gains.append(taught - plain)
        shuffled.append(control - plain)
    assert np.mean(gains) >= 0.03 and min(gains) > 0
    assert np.mean(shuffled) <= 0
