"""Training on real videos, as a stage."""

import csv
import io
import json
import time

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.conftest import ROOT
from tests.tasks import killed, together
from tests.tasks.recognition.bars import SIDE, options

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.options import resolved
from kinoflow.tasks.recognition import data
from kinoflow.tasks.recognition import train as stage
from kinoflow.tasks.recognition.options import RecognitionOptions
from kinoflow.tasks.recognition.scoring import read_checkpoint
from kinoflow.tasks.recognition.train import ClipTraining, Trained, planned
from kinoflow.training.draws import Draw

FEW = 3  # steps where nothing need be learned


def about(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["kinoflow"])


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def plan_of(bars, wanted):
    return planned(wanted, bars.segments, bars.videos, data.Sources(bars.shards, None), mirror=False)


# ---------------------------------------------------------------- what comes out


def test_the_checkpoint_says_all_that_is_needed_to_use_it(tsm):
    found = read_checkpoint(tsm)
    assert found.heads == {"verb": ("left", "right"), "noun": ("dark", "light")}
    assert found.training == {"verb": (16, 16), "noun": (16, 16)}
    assert (found.dataset, found.mirror, found.frames) == ("bars", False, FramesOptions(size=SIDE, store="raw"))
    assert found.options.heads == options().heads and found.options.network == options().network
    assert not found.network.training


def test_a_network_with_non_local_blocks_is_trained_and_read_again(train, tmp_path):
    wanted = options(1, network={"backbone": "resnet50", "non_local": True}, training={"batch": 2})
    found = read_checkpoint(train(tmp_path, wanted))
    assert found.network.network.non_local and found.heads["verb"] == ("left", "right")


def test_the_checkpoint_holds_no_path_and_no_time(tsm):
    text = json.dumps(about(tsm))
    assert str(tsm.parent) not in text and str(ROOT) not in text and time.strftime("%Y-") not in text


def test_the_history_tells_losses_and_scores(train, tmp_path):
    train(tmp_path, options(steps=4, training={"log_every": 2}, validate_on=("test",)))
    (first, last) = rows(tmp_path / "history.csv")
    assert (first["step"], last["step"]) == ("2", "4")
    assert {"learning_rate", "train/loss", "train/verb", "train/noun", "train/verb_top1", "train/noun_top1"} <= set(
        last
    )
    assert float(last["train/loss"]) == pytest.approx(float(last["train/verb"]) + float(last["train/noun"]), rel=1e-6)
    assert 0 <= float(last["validation/verb_top1"]) <= 1


def test_recordings_that_are_held_out_are_validated_on_and_not_trained_on(bars, train, tmp_path):
    path = train(tmp_path, options(2, hold_out=("v00.mp4", "v01.mp4"), validate_on=()))
    assert read_checkpoint(path).training["verb"] == (15, 15)
    assert float(rows(tmp_path / "history.csv")[-1]["validation/verb_top1"]) in (0, 0.5, 1)


def test_the_best_weights_lie_beside_the_last_where_there_is_a_validation(train, tmp_path):
    wanted = {"training": {"validate_every": 1}, "validate_on": ("test",)}
    last = train(tmp_path / "last", options(6, **wanted))
    best = train(tmp_path / "best", options(6, **wanted | {"training": {"validate_every": 1, "keep": "best"}}))
    for one, other in ((last, best.with_name("last.safetensors")), (last.with_name("best.safetensors"), best)):
        one, other = load_file(one), load_file(other)
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert read_checkpoint(last.with_name("best.safetensors")).heads == read_checkpoint(last).heads


def test_clips_are_shown_as_they_are_varied(train, tmp_path):
    seen = train(tmp_path, options(FEW, training={"steps": 2, "show_every": 1}))
    found = EventAccumulator(str(seen.parent / "events"), {"images": 0}).Reload()
    names = found.Tags()["images"]
    assert len(names) == 4 and all(name.startswith("clips/") for name in names)
    one, two = found.Images(names[0])
    assert (one.step, two.step) == (1, 2) and one.encoded_image_string != two.encoded_image_string
    with Image.open(io.BytesIO(one.encoded_image_string)) as picture:
        assert picture.format == "GIF"


def test_the_folder_of_the_state_is_gone_in_the_end(tsm):
    assert sorted(path.name for path in tsm.parent.iterdir() if path.name != "events") == [
        "history.csv",
        "model.safetensors",
    ]


def test_one_seed_gives_the_same_bytes_and_another_one_others(train, tmp_path):
    found = [train(tmp_path / str(i), options(FEW), seed=seed).read_bytes() for i, seed in enumerate((0, 0, 1))]
    assert found[0] == found[1] != found[2]
    assert (tmp_path / "0" / "history.csv").read_bytes() == (tmp_path / "1" / "history.csv").read_bytes()


def test_how_it_is_tested_changes_nothing_of_a_checkpoint(train, tmp_path):
    a = train(tmp_path / "a", options(FEW))
    b = train(tmp_path / "b", options(FEW, test={"crops": 3}, test_on=("train",)))
    assert a.read_bytes() == b.read_bytes()


def test_the_order_of_the_shards_changes_nothing(bars, train, tmp_path):
    a, b = train(tmp_path / "a", options(FEW)), train(tmp_path / "b", options(FEW), frames=bars.shards[::-1])
    assert a.read_bytes() == b.read_bytes()


def test_videos_decoded_while_training_give_the_weights_that_shards_give(bars, train, tmp_path):
    a, b = train(tmp_path / "a", options(FEW)), train(tmp_path / "b", options(FEW), frames=None, root=bars.root)
    ours, theirs = load_file(a), load_file(b)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_processes_that_load_clips_ahead_change_nothing(train, tmp_path):
    a = train(tmp_path / "a", options(FEW))
    b = train(tmp_path / "b", options(FEW, training={"workers": 1}))
    ours, theirs = load_file(a), load_file(b)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_training_may_begin_with_the_weights_of_another(train, tsm, tmp_path):
    path = train(tmp_path, options(1, training={"learning_rate": 1e-12}), weights=tsm)
    ours, theirs = load_file(path), load_file(tsm)
    name = "blocks.1.conv1.weight"
    assert np.allclose(ours[name], theirs[name], atol=1e-9)
    assert np.allclose(ours["fc.verb.weight"], theirs["fc.verb.weight"], atol=1e-9)


def test_a_killed_training_continues_to_the_same_bytes(bars, train, tmp_path):
    wanted = options(12, training={"save_minutes": 1e-4})
    expected = train(tmp_path / "whole", wanted)
    words = ["recognition-train", "--videos", bars.videos, "--segments", bars.segments, "--frames", *bars.shards]
    words += ["--model", tmp_path / "model.safetensors", "--history", tmp_path / "history.csv"]
    words += ["--place", tmp_path / ".work", "--options", resolved(wanted), "--seed", 0, "--dataset", "bars"]
    words += ["--mirror", "false", "--device", "cpu", "--code", "test"]
    killed.ends_alike(words, tmp_path, expected)


def test_two_processes_train_the_network_of_the_embedded_study_as_one_does(train, tmp_path, port):
    wanted = together.brief(RecognitionOptions, together.study().recognition["lsnet"], 4, input={"size": SIDE})
    together.trains_alike(tmp_path, port, stage, lambda folder: train(folder, wanted))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"heads": {"tool": {}}}, ConfigError, "heads: 'tool' is no column"),
        ({"heads": {"text": {}}}, DataError, "the column 'text' of segments.csv is empty in 32 of 32"),
        ({"heads": {"verb": {"classes": ["left", "up"]}}}, ConfigError, "heads.verb.classes: 'right' is in"),
        ({"train_on": ["tarin"]}, ConfigError, "train_on: no segment is in the split 'tarin'"),
        ({"input": {"kind": "gray", "frames": 15}}, DataError, "'v00.mp4#0' of 'v00.mp4' has 12 frames, .* needs 15"),
        ({"input": {"kind": "flow", "frames": 5}}, ConfigError, "input.kind: flow needs shards of flow"),
        ({"test": {"crops": 10}}, ConfigError, "test.crops: 10 crops"),
        ({"test": {"groups": {"slow": ["lft"]}}}, ConfigError, "groups.slow: no head has all of these classes"),
    ],
)
def test_what_cannot_work_is_refused_before_any_training(train, tmp_path, change, error, sentence):
    with pytest.raises(error, match=sentence):
        train(tmp_path, options(FEW, **change))
    assert not any(tmp_path.iterdir())


def test_videos_cannot_be_read_as_flow(bars, train, tmp_path):
    with pytest.raises(ConfigError, match="give shards of `kinoflow flow`"):
        train(tmp_path, options(FEW, input={"kind": "flow", "frames": 5}), frames=None, root=bars.root)


# ---------------------------------------------------------------- samples


def sampled(bars, wanted):
    plan = plan_of(bars, wanted)
    return ClipTraining(Trained(None, wanted, plan.classes, plan.counts(), plan.made, False, "bars"), plan, [], None)


def test_a_batch_is_a_pure_function_of_its_draws(bars):
    training, draws = sampled(bars, options()), [Draw(5, 0, 0, 0), Draw(7, 0, 1, 0)]
    both, one = training.load(draws), training.load(draws[1:])
    assert np.array_equal(both["clips"][1], one["clips"][0])
    assert not np.array_equal(one["clips"], training.load([Draw(7, 1, 1, 0)])["clips"])


def test_a_sample_shows_the_frames_of_its_clip_under_its_labels(bars):
    plain = options(augment={"crop": "none", "contrast": 0.0}, sampling={"segments": 12})
    batch = sampled(bars, plain).load([Draw(6, 0, 0, 0)])
    (frames, _) = next(decode_video(bars.root / "v06.mp4", FramesOptions(size=SIDE)))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((frames / 255 - mean) / deviation).transpose(0, 3, 1, 2)
    assert np.allclose(batch["clips"][0], expected, atol=1e-5)
    assert {head: numbers.tolist() for head, numbers in batch["targets"].items()} == {"verb": [0], "noun": [1]}
