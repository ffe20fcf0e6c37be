"""Training on sets, as a stage."""

import csv
import json
import re
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from tests.conftest import ROOT
from tests.tasks import together
from tests.tasks.abstraction import toys
from tests.tasks.abstraction.golden import GOLDEN
from tests.tasks.killed import ends_alike

from kinoflow.errors import ConfigError, DataError
from kinoflow.options import resolved
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.abstraction import train as stage
from kinoflow.tasks.abstraction.checkpoints import read_checkpoint
from kinoflow.tasks.abstraction.log_lines import Average, progress_line
from kinoflow.tasks.abstraction.model import ClipClassifier
from kinoflow.tasks.abstraction.options import AbstractionOptions
from kinoflow.tasks.abstraction.train import ClassTraining, SetTraining, planned, published_name
from kinoflow.training.draws import Draw

FEW = 3  # steps where nothing need be learned


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def plan_of(toy, wanted=None):
    return planned(wanted or toys.options(), **toy.inputs(), validation=None)


# ---------------------------------------------------------------- what comes out


def test_the_checkpoint_says_all_that_is_needed_to_use_it(toy, sam):
    found = read_checkpoint(sam)
    assert found.taxonomy.nodes[:2] == ("class000", "class001") and len(found.taxonomy) == 53
    assert np.array_equal(found.vectors, load_file(toy / "vectors.safetensors")["nodes"])
    assert found.network.scales == (1, 2, 3, 4) and found.dataset == "toy"
    assert found.options == toys.options(20) and not found.network.training
    assert set(found.majority) == {1, 2, 3, 4}


def test_the_checkpoint_holds_no_path_and_no_time(sam):
    with safe_open(sam, "pt") as file:
        text = json.dumps(file.metadata())
    assert str(sam.parent) not in text and str(ROOT) not in text and time.strftime("%Y-") not in text


def test_the_history_tells_losses_and_shares_of_subsets_named_right(toy, tmp_path):
    wanted = toys.options(4, training={"log_every": 2})
    toys.train(toy, tmp_path, wanted, validation=toy / "test.json")
    (first, last) = rows(tmp_path / "history.csv")
    assert (first["step"], last["step"]) == ("2", "4")
    total = float(last["train/embed"]) + float(last["train/abstr"])
    assert float(last["train/loss"]) == pytest.approx(total, rel=1e-6)
    assert 0 <= float(last["validation/top1"]) <= float(last["validation/top5"]) <= 1


def test_training_names_more_subsets_right(sam):
    found = rows(sam.parent / "history.csv")
    assert float(found[-1]["train/loss"]) < float(found[0]["train/loss"])


@pytest.mark.parametrize("change", [{}, {"noise": 0.3}, {"online": True}, {"network": {"kind": "classifier"}}])
def test_one_seed_gives_the_same_bytes_and_another_one_others(toy, tmp_path, change):
    made = [toys.train(toy, tmp_path / str(i), toys.options(FEW, **change), seed) for i, seed in enumerate((0, 0, 1))]
    found = [path.read_bytes() for path in made]
    assert found[0] == found[1] != found[2]
    assert (tmp_path / "0" / "history.csv").read_bytes() == (tmp_path / "1" / "history.csv").read_bytes()


def test_a_killed_training_continues_to_the_same_bytes(toy, tmp_path):
    wanted = toys.options(60, noise=0.3, training={"save_minutes": 1e-4})
    expected = toys.train(toy, tmp_path / "whole", wanted)
    words = ["abstraction-train"]
    for name, value in toy.inputs().items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    words += ["--model", tmp_path / "model.safetensors", "--history", tmp_path / "history.csv"]
    words += ["--place", tmp_path / ".work", "--options", resolved(wanted), "--seed", 0, "--dataset", "toy"]
    words += ["--device", "cpu", "--code", "test"]
    ends_alike(words, tmp_path, expected)


@pytest.mark.parametrize("run", ["sam", "head", "classifier"])
def test_two_processes_train_the_networks_of_the_embedded_study_as_one_does(toy, tmp_path, port, run):
    wanted = together.brief(AbstractionOptions, together.study().abstraction[run], 7)
    together.trains_alike(tmp_path, port, stage, lambda folder: toys.train(toy, folder, wanted))


# ---------------------------------------------------------------- baselines are runs of the same config


def test_all_kinds_train_for_as_many_steps_on_the_same_sets(toy, tmp_path):
    plan = plan_of(toy)
    for kind in ("sam", "pooled", "head", "classifier"):
        wanted = toys.options(FEW, network={"kind": kind})
        told = plan.trainee(plan.network(wanted, 0), wanted, None)
        assert told.samples == 300
        toys.train(toy, tmp_path / kind, wanted)
        assert rows(tmp_path / kind / "history.csv")[-1]["step"] == str(FEW)


def test_without_the_loss_of_vectors_their_head_stays_as_it_was_drawn(toy, tmp_path):
    wanted = toys.options(FEW, embedding_weight=0.0)
    trained = load_file(toys.train(toy, tmp_path, wanted))
    drawn = plan_of(toy).network(wanted, 0).state_dict()
    assert np.array_equal(trained["network.embedding.weight"], drawn["embedding.weight"].numpy())
    assert not np.array_equal(trained["network.node.weight"], drawn["node.weight"].numpy())


def test_the_path_target_changes_what_is_learned(toy, tmp_path):
    found = [toys.train(toy, tmp_path / t, toys.options(FEW, target=t)).read_bytes() for t in ("node", "path_multihot")]
    assert found[0] != found[1]


# ---------------------------------------------------------------- samples


def trainee(toy, wanted=None, kind=SetTraining):
    plan, wanted = plan_of(toy), wanted or toys.options()
    return kind(plan.network(wanted, 0), plan, wanted)


def test_a_sample_shows_features_vectors_and_labels_of_its_set(toy):
    told = trainee(toy)
    record = json.loads((toy / "train.json").read_text())[7]
    batch = told.load([Draw(7, 0, 0, 0)])
    shard, tree = Shard(toy.shard), told.plan.taxonomy
    features = [shard.rows(name.removesuffix("#0"))[0] for name in record["videos"]]
    assert np.array_equal(batch["x"][0], features)
    names = [tree.names[label] for label in batch["labels"][0].tolist()]
    assert names == [label for (label,) in record["labels"].values()]
    assert np.array_equal(batch["vectors"][0], told.plan.vectors[batch["labels"][0].numpy()])


def test_noise_is_each_samples_own_and_as_large_as_the_features_deviation(toy):
    plain, noisy = trainee(toy), trainee(toy, toys.options(noise=0.5))
    draws = [Draw(i, 0, i, 0) for i in range(200)]
    change = noisy.load(draws)["x"].numpy() - plain.load(draws)["x"].numpy()
    assert np.allclose(change.std(axis=(0, 1)), 0.5 * plain.plan.deviation, rtol=0.15)
    assert np.array_equal(noisy.load(draws[5:6])["x"][0], noisy.load(draws)["x"][5])
    assert not np.array_equal(noisy.load([Draw(5, 1, 0, 0)])["x"], noisy.load(draws[5:6])["x"])


def test_a_model_of_larger_scales_learns_the_subsets_that_it_tells(toy):
    told = trainee(toy, toys.options(network={"scales": [2, 3]}))
    batch = told.load([Draw(0, 0, 0, 0)])
    assert batch["labels"].shape == (1, 11) and batch["vectors"].shape == (1, 11, 32)
    assert set(told.losses(batch)) == {"embed", "abstr"}


def test_online_sets_are_new_in_every_epoch_and_of_the_same_clips(toy):
    told = trainee(toy, toys.options(online=True))
    first, second = (told.load([Draw(0, epoch, 0, 0)])["x"].numpy() for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, told.load([Draw(0, 0, 0, 0)])["x"])
    assert len(told.chosen([Draw(i, 0, i, 0) for i in range(300)])) == 300


def test_the_classifier_sees_every_clip_about_as_often(toy):
    wanted = toys.options(network={"kind": "classifier"})
    told = trainee(toy, wanted, ClassTraining)
    assert isinstance(told.model, ClipClassifier)
    batch = told.load([Draw(i, 0, i, 0) for i in range(told.samples)])
    clips = told.plan.clips
    assert batch["labels"][:5].tolist() == clips.items.first[:5].tolist()
    assert np.array_equal(batch["x"][0], clips.features[0])


def test_features_divided_by_their_deviation_are_so_inside_the_network(toy):
    plan, wanted = plan_of(toy), toys.options(scale="deviation")
    assert np.allclose(plan.network(wanted, 0).spread, plan.deviation, rtol=1e-6)


# ---------------------------------------------------------------- lines in the published format


def test_the_progress_line_and_its_averages_equal_the_published_ones():
    found = json.loads((GOLDEN / "meters.json").read_text())
    full, top1, seconds = Average(), Average(), {"Time": Average(), "Data": Average()}
    for value, weight in found["updates"]:
        full.update(value, weight)
        top1.update(10 * value, weight)
    assert (full.last, full.mean, full.sum, full.count) == tuple(
        found["full"][k] for k in ("val", "avg", "sum", "count")
    )
    seconds["Time"].update(0.1234)
    seconds["Data"].update(0.01)
    losses = {"abstr": Average(), "embed": Average(), "full": full}
    line = progress_line(found["epoch"], 5, found["num_batches"], seconds, losses, {"top1@abstr": top1})
    assert line == found["line_at_step_5"]


def test_lines_are_written_beside_the_checkpoint_under_the_published_name(toy, tmp_path):
    wanted = toys.options(6, log_lines=2, training={"validate_every": 3})
    toys.train(toy, tmp_path, wanted, validation=toy / "test.json")
    name = published_name(wanted, "toy", "features")
    assert name == "AbstractionEmbedding_None_toy_features_10.0-1.0_MSE-CE_Adam-0.002_SAM_1-2-3-4"
    lines = (tmp_path / "logs" / f"{name}.txt").read_text().splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["Epoch: [0][0/2]", "Epoch: [1][0/2]", "Epoch: [2][0/2]"]
    assert re.search(r"\tabstr \d\.\d{4} \(\d\.\d{4}\)\tembed .*\tfull .*\ttop1@abstr .*\ttop5@abstr ", lines[0])
    last = (tmp_path / "logs" / f"{name}_val.txt").read_text().splitlines()[-1]
    assert re.search(r"Best top1@abstr: \d+\.\d{3}$", last)


@pytest.mark.parametrize("kind", ["sam", "classifier"])
def test_numbered_copies_are_the_checkpoints_of_shorter_trainings(toy, tmp_path, kind):
    constant = {"steps": None, "batch": 150, "schedule": "constant", "weight_decay": 0.0}  # two steps an epoch
    wanted = toys.options(network={"kind": kind}, training=constant | {"epochs": 4, "checkpoint_every": 2})
    toys.train(toy, tmp_path / "long", wanted)
    copies = tmp_path / "long" / "checkpoints"
    assert sorted(path.name for path in copies.iterdir()) == ["epoch_00002.safetensors", "epoch_00004.safetensors"]
    short = toys.train(toy, tmp_path / "short", toys.options(network={"kind": kind}, training=constant | {"epochs": 2}))
    copy = copies / "epoch_00002.safetensors"
    assert all(np.array_equal(value, load_file(short)[name]) for name, value in load_file(copy).items())
    assert read_checkpoint(copy).options == wanted


# ---------------------------------------------------------------- what is refused, what is left out


def without(toy, folder, lost):
    """The toy's shard without some videos."""
    shard, path = Shard(toy.shard), folder / "less.h5"
    with writing(path, {"blocks": "{}"}, frames=False, width=48, dtype="float32") as writer:
        for video in shard.videos:
            if video not in lost:
                writer.add(video, np.asarray(shard.rows(video)), shard.times(video))
    return path


def test_sets_with_videos_without_features_are_left_out_once_and_told(toy, tmp_path, caplog):
    some = json.loads((toy / "train.json").read_text())[0]["videos"][0]
    less = without(toy, tmp_path, {some.removesuffix("#0")})
    inputs = toy.inputs() | {"features": [less]}
    plan = planned(toys.options(max_missing=0.01), **inputs, validation=None)
    left = sum(some in record["videos"] for record in json.loads((toy / "train.json").read_text()))
    assert len(plan.sets) == 300 - left
    assert f"videos have no features ({some!r})" in caplog.text and f"{left} of 300 sets are left out" in caplog.text
    with pytest.raises(ConfigError, match=f"no features .{some!r}., more than max_missing: 0 allows"):
        planned(toys.options(max_missing=0.0), **inputs, validation=None)


def test_an_unknown_category_in_a_set_file_is_named(toy, tmp_path):
    text = (toy / "train.json").read_text().replace('"class000"', '"jumping"')
    (tmp_path / "sets.json").write_text(text)
    with pytest.raises(DataError, match="'jumping' is no category and no node"):
        planned(toys.options(), **toy.inputs() | {"sets": tmp_path / "sets.json"}, validation=None)


def test_sets_below_the_smallest_scale_are_refused_before_any_training(toy, tmp_path):
    with pytest.raises(DataError, match=r"sets of 4 are smaller than the smallest scale, network.scales: \[5\]"):
        toys.train(toy, tmp_path / "run", toys.options(FEW, network={"scales": [5]}))
    assert not any((tmp_path / "run").iterdir())


def test_a_shard_of_frames_is_no_features(toy, tmp_path):
    with writing(tmp_path / "frames.h5", {"store": "raw"}, frames=True) as writer:
        writer.add("a", np.zeros((2, 4, 4, 3), np.uint8), [0, 1])
    with pytest.raises(DataError, match="this shard holds frames"):
        planned(toys.options(), **toy.inputs() | {"features": [tmp_path / "frames.h5"]}, validation=None)


def test_weights_that_features_were_not_made_with_are_refused(toy, tmp_path):
    shard, there = tmp_path / "made.h5", Shard(toy.shard)
    with writing(
        shard,
        {"blocks": "{}", "weights": "0" * 64, "extractor": '{"backbone": "small"}'},
        frames=False,
        width=48,
        dtype="float32",
    ) as writer:
        for video in there.videos:
            writer.add(video, np.asarray(there.rows(video)), [0.5])
    (tmp_path / "weights.pt").write_bytes(b"other")
    with pytest.raises(DataError, match="were not made with these weights"):
        toys.train(toy, tmp_path / "run", toys.options(FEW), features=[shard], weights=tmp_path / "weights.pt")
