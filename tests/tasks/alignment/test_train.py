"""Training on real frames, as a stage."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.tasks import killed, together
from tests.tasks.alignment import discs as tiny
from tests.tasks.alignment.discs import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.media.write import write_video
from kinoflow.options import resolved
from kinoflow.store import shards, tables
from kinoflow.store.tables import Segment
from kinoflow.tasks.alignment import data
from kinoflow.tasks.alignment import train as stage
from kinoflow.tasks.alignment.embed import Trained, read_checkpoint
from kinoflow.tasks.alignment.model import build
from kinoflow.tasks.alignment.options import AlignmentOptions, AlignOptions
from kinoflow.tasks.alignment.predict import align
from kinoflow.tasks.alignment.train import ViewTraining, labels_seen, planned
from kinoflow.training import checkpoint
from kinoflow.training.draws import Draw

FEW = 2  # steps where nothing need be learned


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def training_of(discs, wanted, mirror=True):
    source = data.sources(wanted, discs.shards, [], None)
    plan = planned(wanted, discs.segments, discs.videos, source)
    network = build(wanted, len(plan.classes), 3, 0)
    trained = Trained(network, wanted, plan.classes, source.made, mirror, "discs", "none", len(plan.clips), 0)
    return ViewTraining(trained, plan, source, None)


def draws(*samples, epoch=0):
    return [Draw(sample, epoch, i, 0) for i, sample in enumerate(samples)]


# ---------------------------------------------------------------- what comes out


def test_the_checkpoint_says_all_that_is_needed_to_use_it(scl):
    found = read_checkpoint(scl)
    assert found.classes == tiny.PHASES and (found.dataset, found.mirror, found.seen) == ("discs", True, "none")
    assert (found.clips, found.seed, found.frames.size) == (8, 0, 20) and not found.network.training
    assert found.options.network == options().network
    assert str(scl.parent) not in json.dumps(found.about()) and not (scl.parent / ".work").exists()


@pytest.mark.parametrize(
    "more",
    [
        {"algorithm": "tcc", "sampling": {"scheme": "uniform"}, "network": {"normalise": False}},
        {"algorithm": "tcn", "sampling": {"scheme": "tcn", "views": 1}},
        {"algorithm": "classification", "fraction": 0.5, "sampling": {"views": 1}},
        {"network": {"encoder": "vanilla", "pool": 1}, "sampling": {"contexts": 2, "context_stride": 3}},
        {"network": {"projection": True}, "training": {"precision": "bfloat16"}},
    ],
)
def test_every_algorithm_learns_and_says_its_loss(train, tmp_path, more):
    path = train(tmp_path, options(FEW, **more))
    (row,) = rows(tmp_path / "history.csv")[-1:]
    losses = [float(value) for name, value in row.items() if name.startswith("train/")]
    assert losses and np.isfinite(losses).all()
    assert ("train/accuracy" in row) == (more.get("algorithm") == "classification")
    assert (read_checkpoint(path).network.classifier is not None) == (more.get("algorithm") == "classification")


def test_one_seed_gives_the_same_bytes_and_another_one_others(train, tmp_path):
    found = [train(tmp_path / str(i), options(FEW), seed=seed).read_bytes() for i, seed in enumerate((0, 0, 1))]
    assert found[0] == found[1] != found[2]


def test_the_order_of_the_shards_and_how_it_is_tested_change_nothing(discs, train, tmp_path):
    a = train(tmp_path / "a", options(FEW))
    b = train(tmp_path / "b", options(FEW, test={"stride": 5}), frames=discs.shards[::-1])
    assert a.read_bytes() == b.read_bytes()


def test_validation_while_training_tells_how_well_clips_are_aligned(train, tmp_path):
    train(tmp_path, options(4, validate_on=["test"], training={"validate_every": 2, "keep": "best"}))
    found = rows(tmp_path / "history.csv")
    assert [row["step"] for row in found] == ["2", "4"]
    for row in found:
        assert 0 <= float(row["validation/retrieval_5"]) <= 1 and -1 <= float(row["validation/kendalls_tau"]) <= 1
        assert np.isfinite(float(row["validation/scl_loss"]))


def test_validation_measures_on_demand_all_that_tests_measure(train, tmp_path):
    tasks = ["kendalls_tau", "retrieval", "classification", "progression", "probe"]
    wanted = {"tasks": tasks, "neighbours": [3], "fractions": [0.5, 1.0], "probe": {"epochs": 2, "batch": 2}}
    train(tmp_path, options(FEW, validate_on=["test"], validation=wanted))
    (row,) = rows(tmp_path / "history.csv")[-1:]
    found = {name.removeprefix("validation/"): float(v) for name, v in row.items() if name.startswith("validation/")}
    learned = {f"{name}_{share}" for name in tasks[2:] for share in (50, 100)} | {"kendalls_tau"}
    assert set(found) == learned | {f"train_{name}" for name in learned} | {"retrieval_3", "scl_loss"}
    assert next(iter(found)) == "retrieval_3" and np.isfinite(list(found.values())).all()


def test_the_validation_loss_is_that_of_all_clips_the_last_ones_too(discs):
    training = training_of(discs, options(training={"batch": 2}))
    training.how = Arithmetic(torch.device("cpu"))
    training.model.eval()
    clips = training.plan.clips[:3]
    with torch.no_grad():
        whole, two, one = (training._validation_losses(some)["scl_loss"] for some in (clips, clips[:2], clips[2:]))
    assert whole == pytest.approx((2 * two + one) / 3) and two != pytest.approx(one)


def test_a_last_clip_alone_has_no_cycle_and_counts_for_nothing(discs):
    sampling = {"scheme": "uniform", "views": 1}
    wanted = options(algorithm="tcc", sampling=sampling, network={"normalise": False}, training={"batch": 2})
    training = training_of(discs, wanted)
    training.how = Arithmetic(torch.device("cpu"))
    training.model.eval()
    with torch.no_grad():
        three, two = (training._validation_losses(training.plan.clips[:n]) for n in (3, 2))
    assert three == two


def test_validation_batches_of_tcc_are_of_one_set(discs):
    sampling = {"scheme": "uniform", "views": 1}
    more = {"algorithm": "tcc", "sampling": sampling, "network": {"normalise": False}, "training": {"batch": 2}}
    training = training_of(discs, options(sets="task", **more))
    training.how = Arithmetic(torch.device("cpu"))
    training.model.eval()
    a, b = ([replace(clip, set=name) for clip in training.plan.clips[i:6:2]] for i, name in enumerate("ab"))
    mixed = [clip for pair in zip(a, b, strict=True) for clip in pair]  # a b a b a b: each has a third one alone
    with torch.no_grad():
        found, one, two = (training._validation_losses(clips)["tcc_loss"] for clips in (mixed, a[:2], b[:2]))
        assert found == pytest.approx((one + two) / 2)
        assert training._validation_losses([a[0], b[0]])["tcc_loss"] == 0


def test_phases_told_right_are_told_while_phases_are_learnt(train, tmp_path):
    more = {"sampling": {"views": 1}, "validate_on": ["test"]}
    train(tmp_path, options(FEW, algorithm="classification", **more))
    (row,) = rows(tmp_path / "history.csv")[-1:]
    assert 0 <= float(row["validation/accuracy"]) <= 1 and "validation/classification_loss" in row


def test_the_best_weights_need_something_that_can_be_measured(train, tmp_path):
    more = {"validate_on": ["test"], "validation": {"tasks": ["retrieval"]}, "label": "noun"}
    with pytest.raises(ConfigError, match="validation.tasks: nothing of it can be measured on these clips"):
        train(tmp_path, options(FEW, training={"keep": "best"}, **more))


def test_a_killed_training_continues_to_the_same_bytes(discs, train, tmp_path):
    wanted = options(12, training={"save_minutes": 1e-4})
    expected = train(tmp_path / "whole", wanted)
    words = ["alignment-train", "--videos", discs.videos, "--segments", discs.segments, "--frames", *discs.shards]
    words += ["--model", tmp_path / "model.safetensors", "--history", tmp_path / "history.csv"]
    words += ["--place", tmp_path / ".work", "--options", resolved(wanted), "--seed", 0, "--dataset", "discs"]
    words += ["--device", "cpu", "--code", "test"]
    killed.ends_alike(words, tmp_path, expected)


def test_weights_of_epochs_are_checkpoints_as_any_other(train, tmp_path):
    steady = {"schedule": "constant", "steps": None}
    long = train(tmp_path / "long", options(training=steady | {"epochs": 4, "checkpoint_every": 2}))
    short = train(tmp_path / "short", options(training=steady | {"epochs": 2}))
    copies = long.parent / "checkpoints"
    assert sorted(path.name for path in copies.iterdir()) == ["epoch_00002.safetensors", "epoch_00004.safetensors"]
    copy, wanted = (load_file(path) for path in (copies / "epoch_00002.safetensors", short))
    assert all(np.array_equal(copy[name], wanted[name]) for name in wanted)
    assert (copies / "epoch_00004.safetensors").read_bytes() == long.read_bytes()
    rng = np.random.default_rng(0)
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", rng.integers(0, 256, (5, 32, 32, 3), np.uint8), 10)
    align(
        [tmp_path / "a.mp4", tmp_path / "b.mp4"], copies / "epoch_00002.safetensors", AlignOptions(), tmp_path / "m.csv"
    )
    assert len(rows(tmp_path / "m.csv")) == 5


@pytest.mark.parametrize("algorithm", ["scl", "tcc", "classification"])
def test_two_processes_train_the_network_of_the_embedded_study_as_one_does(train, tmp_path, port, algorithm):
    """Of three clips one process has one, the other two; some frames are padding."""
    other = {"clips": "videos", "only": [], "cut": 0, "augment": {"size": tiny.SIDE}, "sampling": {"frames": 12}}
    wanted = together.brief(AlignmentOptions, together.study().alignment["scl"], 3, **other, algorithm=algorithm)
    together.trains_alike(tmp_path, port, stage, lambda folder: train(folder, wanted))


# ---------------------------------------------------------------- first weights


def test_a_training_may_begin_with_another_run(train, scl, tmp_path):
    path = train(tmp_path, options(1, algorithm="classification", training={"learning_rate": 1e-12}), initial=scl)
    ours, theirs = load_file(path), load_file(scl)
    name = "embedder.layers.0.q.weight"
    assert np.allclose(ours[name], theirs[name], atol=1e-9) and "classifier.weight" in ours
    assert read_checkpoint(path).seen == "none; and phases, of 100% of the training clips"


def test_another_network_s_run_is_refused(train, scl, tmp_path):
    with pytest.raises(DataError, match=r"of another model: fc0.weight is 32 x 256 there, and 48 x 256 in the network"):
        train(tmp_path, options(1, network={"hidden": 48}), initial=scl)


def test_weights_of_a_file_are_the_backbone_s_first_ones(train, scl, tmp_path):
    path = train(tmp_path, options(1, network={"frozen": 2}, training={"learning_rate": 1e-12}), weights=scl)
    ours, theirs = load_file(path), load_file(scl)
    assert np.array_equal(ours["backbone.conv1.0.weight"], theirs["backbone.conv1.0.weight"])
    assert not np.allclose(ours["embedder.fc0.weight"], theirs["embedder.fc0.weight"])


def test_what_labels_the_backbone_has_seen_is_told(tmp_path):
    assert labels_seen("none") == "none" and "ImageNet" in labels_seen("torchvision:DEFAULT")
    about = {"room": "recognition", "heads": {"verb": [], "noun": []}, "dataset": "kitchen"}
    checkpoint.save(tmp_path / "m", torch.nn.Linear(1, 1), about)
    assert labels_seen(str(tmp_path / "m")) == "noun, verb of the clips of kitchen, by a recognition run; no phases"


def test_weights_and_a_run_exclude_each_other(train, scl, tmp_path):
    with pytest.raises(ConfigError, match="weights and initial exclude each other"):
        train(tmp_path, options(1), weights=scl, initial=scl)


# ---------------------------------------------------------------- what cannot work


def only(discs, folder, change):
    """Write the table of segments as ``change`` leaves each row (None: without it)."""
    kept = [new for row in tables.read(discs.segments, Segment) if (new := change(row))]
    tables.write(folder / "s.csv", kept, Segment)
    return folder / "s.csv"


def test_classification_of_a_single_phase_is_refused(discs, tmp_path):
    segments = only(discs, tmp_path, lambda row: None if row.phase else row)
    wanted = options(FEW, algorithm="classification")
    source = data.sources(wanted, discs.shards, [], None)
    with pytest.raises(DataError, match="needs two phases, and the training clips have 0"):
        planned(wanted, segments, discs.videos, source)


def test_clips_of_one_frame_are_left_out_and_only_such_are_an_error(discs):
    wanted = options(FEW)
    source = data.sources(wanted, discs.shards, [], None)

    class One:
        def times(self, video):
            return np.zeros(1) if video != "v00.mp4" else source.read.times(video)

    class Single(One):
        def times(self, video):
            return np.zeros(1)

    plan = planned(wanted, discs.segments, discs.videos, data.Sources(One(), source.made))
    assert [clip.name for clip in plan.clips] == ["v00.mp4"]
    with pytest.raises(DataError, match="every clip has one frame only, 'v00.mp4' for example"):
        planned(wanted, discs.segments, discs.videos, data.Sources(Single(), source.made))


# ---------------------------------------------------------------- samples


def test_a_batch_is_a_pure_function_of_its_draws(discs):
    training = training_of(discs, options())
    both, one = training.load(draws(3, 5)), training.load([Draw(5, 0, 1, 0)])
    assert both["x"].shape == (2, 2, 12, 3, 20, 20) and both["steps"].shape == (2, 2, 12)
    assert torch.equal(both["x"][1], one["x"][0]) and torch.equal(both["steps"][1], one["steps"][0])
    assert not torch.equal(one["steps"], training.load(draws(5, epoch=1))["steps"])


def test_labels_are_those_of_the_chosen_frames_and_none_of_padding(discs):
    training = training_of(discs, options(sampling={"frames": 40}))
    batch = training.load(draws(0))
    labels = discs.labels["v00.mp4"]
    real = batch["masks"][0] > 0
    assert not real.all() and torch.equal(batch["labels"][0][real], torch.from_numpy(labels)[batch["steps"][0][real]])
    assert (batch["labels"][0][~real] == -1).all() and (batch["lengths"] == len(labels)).all()


def test_a_dataset_that_must_not_be_mirrored_is_not(discs):
    assert training_of(discs, options()).augment.flip and not training_of(discs, options(), mirror=False).augment.flip


def test_batches_of_tcc_are_of_one_set(discs):
    wanted = options(algorithm="tcc", sampling={"scheme": "uniform"}, sets="task", network={"normalise": False})
    training = training_of(discs, wanted)
    clips = [data.Clip(f"c{i}", "v", 0, np.arange(3.0), ("",) * 3, "ab"[i % 3 == 0]) for i in range(12)]
    training.plan.clips[:], training.samples = clips, 12
    found = training.order(0, 0)
    assert len(found) == 12 and found != training.order(1, 0) and found == training.order(0, 0)
    for first in range(0, 12, 4):
        batch = found[first : first + 4]
        assert len({clips[i].set for i in batch}) == 1 and len(set(batch)) == 4


def test_rows_of_features_are_trained_on_too(discs, train, tmp_path):
    with shards.writing(tmp_path / "f.h5", {}, frames=False, width=6) as writer:
        for video, labels in discs.labels.items():
            rng = np.random.default_rng(len(labels))
            writer.add(video, rng.normal(size=(len(labels), 6)).astype(np.float16), np.arange(len(labels)) / tiny.FPS)
    wanted = options(FEW, network={"backbone": "features", "pool": 1}, augment={"noise": 0.1})
    path = train(tmp_path / "run", wanted, frames=None, features=[tmp_path / "f.h5"])
    assert read_checkpoint(path).network.inputs == 6 and read_checkpoint(path).frames is None
