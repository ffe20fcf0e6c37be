"""Training students, as a stage."""

import csv
import json
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.tasks import killed, together
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import about, options, trainee

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.options import resolved
from kinoflow.store import shards
from kinoflow.tasks.anticipation import backbones
from kinoflow.tasks.anticipation import train as stage
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.planning import network, planned
from kinoflow.tasks.anticipation.scoring import read_checkpoint
from kinoflow.tasks.anticipation.train import StudentTrainee, _grouped
from kinoflow.training.draws import Draw

FEW = 3  # steps where nothing need be learned
ALL_LOSSES = {
    "cls_action": 1,
    "cls_verb": 0.5,
    "cls_noun": 0.5,
    "past_cls_action": 0.5,
    "feat": 1,
    "distill": 1,
    "distill_feat": 1,
    "distill_feat_mse": 1,
    "nce": 0.1,
    "quantised": 0.1,
    "gap": 0.1,
}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- what comes out


def test_the_checkpoint_says_all_that_is_needed_to_use_it(student):
    found = read_checkpoint(student)
    assert found.classes == tiny.CLASSES and found.dataset == "tiny"
    assert sum(found.counts) == 14 * (tiny.STEPS - 1)  # first steps of videos have no window before them
    assert found.options.losses == options().losses and not found.network.training
    assert found.teaching == {"policies": ["order"], "records": 84, "missing": 0}
    text = json.dumps(about(student))
    assert str(student.parent) not in text and time.strftime("%Y-") not in text


def test_the_history_tells_every_loss_and_score(train, tmp_path):
    wanted = options(4, training={"log_every": 2}, validate_on=("test",))
    train(tmp_path, wanted)
    first, last = rows(tmp_path / "history.csv")
    assert (first["step"], last["step"]) == ("2", "4")
    losses = [float(last[f"train/{key}"]) for key in wanted.losses]
    assert float(last["train/loss"]) == pytest.approx(sum(losses), rel=1e-5)
    assert 0 <= float(last["validation/action_top1"]) <= float(last["validation/action_top5"]) <= 1


def test_all_losses_of_all_targets_work_together(train, tmp_path):
    network = {"targets": ["action", "verb", "noun"], "regression": True, "codes": 4}
    train(tmp_path, options(FEW, losses=ALL_LOSSES, network=network))
    assert {f"train/{key}" for key in ALL_LOSSES} <= set(rows(tmp_path / "history.csv")[-1])


@pytest.mark.parametrize("network", [{"ahead": 2, "average": 2}, {"ahead": 3}])
def test_a_student_that_rolls_out_trains(train, tmp_path, network):
    path = train(tmp_path, options(FEW, network=network))
    assert read_checkpoint(path).network.head.ahead == network["ahead"]


@pytest.mark.parametrize("aggregator", ["mean", "transformer", "rulstm"])
def test_every_aggregator_trains(train, tmp_path, aggregator):
    path = train(tmp_path, options(FEW, network={"aggregator": aggregator}))
    assert read_checkpoint(path).network.network.aggregator == aggregator


def test_one_seed_gives_the_same_bytes_and_another_one_others(train, tmp_path):
    found = [train(tmp_path / str(i), options(FEW), seed=seed).read_bytes() for i, seed in enumerate((0, 0, 1))]
    assert found[0] == found[1] != found[2]
    assert (tmp_path / "0" / "history.csv").read_bytes() == (tmp_path / "1" / "history.csv").read_bytes()


def test_micro_batches_and_processes_that_load_ahead_change_nothing_but_rounding(train, tmp_path):
    even = {
        "optimiser": "sgd",
        "learning_rate": 0.01,
    }  # Adam makes whole steps of gradients that are nothing but rounding
    plain = load_file(train(tmp_path / "a", options(FEW, training=even)))
    for folder, more in (("b", {"accumulate": 4}), ("c", {"workers": 1})):
        other = load_file(train(tmp_path / folder, options(FEW, training=even | more)))
        assert all(np.allclose(plain[name], other[name], atol=2e-5) for name in plain)


@pytest.mark.parametrize(
    "more",
    [
        {"network": {"aggregator": "mean", "group": 2}},
        {"window": "gap", "sampling": {"read": "frames", "rate": 1.0, "strategy": "random_clip"}},
        {"past_mean": "samples"},
        {"parity": True},
    ],
)
def test_labelled_steps_weigh_alike_however_a_batch_is_cut(train, tmp_path, more):
    training, rest = {"optimiser": "sgd", "learning_rate": 0.1}, {"losses": {"past_cls_action": 1.0}, "noise": 0}
    found = [
        load_file(train(tmp_path / str(cut), options(4, training=training | {"accumulate": cut}, **rest | more)))
        for cut in (1, 4, 16)
    ]
    for other in found[1:]:
        assert all(np.allclose(found[0][name], other[name], atol=2e-5) for name in other)


def test_the_lowest_rate_grows_with_the_batch_as_the_rate_does(train, tmp_path):
    scaled = {"schedule": "constant", "learning_rate": 1e-3, "lr_at_batch": 8}  # batches of 16: twice the rate
    plain = {"schedule": "constant", "learning_rate": 2e-3}
    for folder, training, eta in (("a", scaled, 1e-4), ("b", plain, 2e-4)):
        train(tmp_path / folder, options(6, schedule="kd", eta_min=eta, training=training))
    found = [[row["learning_rate"] for row in rows(tmp_path / folder / "history.csv")] for folder in ("a", "b")]
    assert found[0] == found[1]


def test_the_order_of_shards_and_how_it_is_tested_change_nothing(world, train, tmp_path):
    a = train(tmp_path / "a", options(FEW))
    b = train(tmp_path / "b", options(FEW, test={"correlated": 3}), features=world.features[::-1])
    assert a.read_bytes() == b.read_bytes()


def test_held_out_recordings_are_validated_on_and_not_trained_on(train, tmp_path):
    path = train(tmp_path, options(FEW, hold_out=("p1",)))
    assert sum(read_checkpoint(path).counts) == 10 * (tiny.STEPS - 1)
    assert "validation/action_top1" in rows(tmp_path / "history.csv")[-1]


def test_a_student_may_begin_with_the_weights_of_another(train, student, tmp_path):
    path = train(tmp_path, options(1, training={"learning_rate": 1e-12, "weight_decay": 0}), weights=student)
    ours, theirs = load_file(path), load_file(student)
    assert all(np.allclose(ours[name], theirs[name], atol=1e-9) for name in ours)


def test_a_backbone_begins_with_the_weights_of_a_file(world, train, tmp_path, monkeypatch):
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for i in range(14):
            frames = np.random.default_rng(i).integers(0, 256, (80, 16, 16, 3), np.uint8)
            writer.add(f"P01/v{i:02d}.mp4", frames, np.arange(80) / 4)
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    monkeypatch.setitem(backbones.WIDTHS, "vit_b_16", 8)
    drawn = {name: torch.randn_like(value) for name, value in small.state_dict().items()}
    torch.save(drawn, tmp_path / "net.pt")
    wanted = options(
        1,
        window="gap",
        sampling={"gap": 1.0, "read": "frames", "steps": 4, "rate": 1.0, "fps": 4.0},
        network={"backbone": "vit_b_16", "size": 16},
        pictures={"drawn": [16, 20], "flip": 0.5},
        losses={"cls_action": 1},
    )
    read = {"features": None, "frames": [tmp_path / "f.h5"], "teacher": None}
    path = train(tmp_path / "a", wanted, backbone=tmp_path / "net.pt", **read)
    found = load_file(path)
    for name, value in drawn.items():
        assert np.array_equal(found[f"student.backbone.network.{name}"], value.numpy())
    assert read_checkpoint(path).options.network.weights == "none"
    again = train(tmp_path / "b", wanted, backbone=tmp_path / "net.pt", **read)
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(ConfigError, match="backbone: this student reads features, no frames"):
        train(tmp_path / "c", options(1), backbone=tmp_path / "net.pt")


def test_what_a_student_of_frames_sees_is_shown_as_videos(world, train, tmp_path, monkeypatch):
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for i in range(14):  # frame k is k all over, its left half one more
            frames = np.zeros((80, 16, 16, 3), np.uint8) + np.arange(80, dtype=np.uint8)[:, None, None, None]
            frames[:, :, :8] += 1
            writer.add(f"v{i:02d}.mp4", frames, np.arange(80) / 4)
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    monkeypatch.setitem(backbones.WIDTHS, "vit_b_16", 8)
    wanted = options(
        window="gap",
        sampling={"gap": 1.0, "read": "frames", "steps": 4, "rate": 1.0, "fps": 4.0},
        network={"backbone": "vit_b_16", "size": 16},
        pictures={"flip": 1.0},
        losses={"cls_action": 1},
    )

    def trainee(asked, frames):
        given = (None if frames else world.features, frames, None)
        plan = planned(asked, world.actions, world.classes, given, (), 0)
        return StudentTrainee(network(plan, 0), plan, Arithmetic(torch.device("cpu"), threads=1))

    told = trainee(wanted, [tmp_path / "f.h5"])
    shown = told.show(3)
    assert len(shown) == 4 and all(name.startswith("seen/v") for name in shown)
    for name, video in shown.items():
        assert video.shape == (4, 16, 16, 3) and video.dtype == np.uint8
        i = list(told.sequences.samples.rows.uid).index(name.removeprefix("seen/"))
        last = np.floor(
            told.sequences.samples.end[i] * 4
        )  # the number of the last frame, at so many quarters of a second
        assert (video[-1, :, :8] == last).all() and (video[-1, :, 8:] == last + 1).all()  # mirrored
    drawn = wanted.model_copy(update={"pictures": wanted.pictures.model_copy(update={"flip": 0.5})})
    told = trainee(drawn, [tmp_path / "f.h5"])
    sides = [
        tuple(bool(video[0, 0, 0, 0] > video[0, 0, -1, 0]) for video in told.show(step).values()) for step in range(8)
    ]
    assert len(set(sides)) > 1 and told.show(2).keys() == shown.keys()
    assert trainee(options(losses={"cls_action": 1}), None).show(1) == {}


def test_a_killed_training_continues_to_the_same_bytes(world, train, tmp_path):
    wanted = options(30, training={"save_minutes": 1e-5})
    expected = train(tmp_path / "whole", wanted)
    words = [
        "anticipation-train",
        "--actions",
        world.actions,
        "--classes",
        world.classes,
        "--features",
        *world.features,
    ]
    words += [
        "--teacher",
        world.teacher,
        "--model",
        tmp_path / "model.safetensors",
        "--history",
        tmp_path / "history.csv",
    ]
    words += ["--place", tmp_path / ".work", "--options", resolved(wanted), "--seed", 0, "--dataset", "tiny"]
    words += ["--device", "cpu", "--code", "test"]
    killed.ends_alike(words, tmp_path, expected)


def test_two_processes_train_the_student_of_the_embedded_study_as_one_does(train, tmp_path, port):
    wanted = together.brief(AnticipationOptions, together.study().anticipation["taught"], 7)
    together.trains_alike(tmp_path, port, stage, lambda folder: train(folder, wanted))


# ---------------------------------------------------------------- options of sampling and rate


def test_balanced_samples_come_alike_often_and_repeats_as_often_as_asked(world):
    told = trainee(world, options(balance="samples", repeat=40))
    assert told.samples == 84 * 40
    labels = told.sequences.samples.rows.action[np.array(told.order(0, 0)) % 84]
    counts = np.bincount(labels, minlength=6)
    assert counts.min() > 0.8 * counts.max()
    assert told.order(0, 0) != told.order(1, 0) and trainee(world, options()).order(0, 0) is None


def test_balanced_weights_of_classes_add_up_to_the_samples(world):
    told = trainee(world, options(balance="loss"))
    counts = np.array(told.plan.counts())
    assert (counts * told.balance["action"]).sum() == pytest.approx(84)
    uids = tuple(str(uid) for uid in told.sequences.samples.rows.uid[:5])
    few = trainee(world, options(balance="loss", only=uids))
    assert len(few.sequences) == 5 and 0 in few.balance["action"]  # a class without a sample weighs nothing


def test_the_published_schedule_may_be_asked_for(world, train, tmp_path):
    train(tmp_path, options(4, schedule="kd", training={"log_every": 1, "warm_up": 2, "learning_rate": 1e-3}))
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "history.csv")]
    assert rates == pytest.approx([1e-7, 1e-7 + 5e-4, (1e-7 + 5e-4) / 2, 3e-7])


def test_a_batch_is_a_pure_function_of_its_draws(world):
    told, draws = trainee(world, options()), [Draw(5, 0, 0, 0), Draw(7, 0, 1, 0)]
    both, one = told.load(draws), told.load(draws[1:])
    assert torch.equal(both["x"][1], one["x"][0])
    assert not torch.equal(one["x"], told.load([Draw(7, 1, 1, 0)])["x"])


def test_the_past_label_of_a_group_is_the_commonest_and_of_equals_the_smallest():
    labels = torch.tensor([[3, 1, 1, 3, -1, 2, 2, -1]])
    assert _grouped(labels, 2).tolist() == [[1, -1]]
    assert _grouped(labels, 8).tolist() == labels.tolist()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "more", "error", "sentence"),
    [
        ({}, {"teacher": None}, ConfigError, "teacher: the losses of distillation need the records"),
        ({}, {"features": None}, ConfigError, "features, root: give the feature shards, or a folder"),
        ({"train_on": ["tarin"]}, {}, ConfigError, "train_on: no action is in the split 'tarin'"),
        ({"hold_out": ["p9"]}, {}, ConfigError, "hold_out: no action to train on is of the recording 'p9'"),
        ({"only": ["x"]}, {}, ConfigError, "only: no action to train on has the uid 'x'"),
        ({"network": {"aggregator": "mean", "group": 3}}, {}, ConfigError, "3 does not divide the 8 steps"),
        ({"network": {"backbone": "vit_b_16"}}, {}, ConfigError, "sampling.read: a backbone reads single frames"),
        ({"training": {"batch": 99, "drop_last": True}}, {}, DataError, "fewer than one batch of 99"),
        (
            {"training": {"keep": "best"}},
            {},
            ConfigError,
            "keep: best needs a validation, and there is none; take last",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(train, tmp_path, change, more, error, sentence):
    with pytest.raises(error, match=sentence):
        train(tmp_path, options(FEW, **change), **more)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"losses": {"cls_action": 0}}, "give at least one a weight above 0"),
        ({"losses": {"cls_verb": 1}}, "network.targets has no verb"),
        ({"losses": {"gap": 1}}, "needs network.regression"),
        ({"losses": {"quantised": 1}}, "needs network.codes"),
        ({"losses": {"feat": 1}, "network": {"head": "identity"}}, "predicts no features"),
        ({"sampling": {"gap": None}}, "which is for window: gap"),
    ],
)
def test_options_that_contradict_each_other_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        options(**change)
