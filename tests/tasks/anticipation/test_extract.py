"""A student's own features of whole videos."""

import logging

import numpy as np
import pytest
import torch
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.anticipation import backbones, data
from kinoflow.tasks.anticipation.extract import Steps, anticipation_features
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationFeaturesOptions
from kinoflow.tasks.anticipation.scoring import Trained, read_checkpoint


def extract(folder, world, student, **more):
    given = {"features": world.features[0], "device": "cpu", "code": "test"} | more
    what = AnticipationFeaturesOptions(what=given.pop("what", "future"))
    anticipation_features(student, folder / "x.h5", what, **given)
    return Shard(folder / "x.h5")


@pytest.mark.parametrize(("what", "width"), [("future", 8), ("hidden", 16), ("backbone", 8)])
def test_every_step_of_a_video_has_a_row(world, student, tmp_path, what, width):
    found = extract(tmp_path, world, student, what=what)
    assert found.videos == Shard(world.features[0]).videos
    rows = found.rows("v00.mp4")
    assert rows.shape == (len(found.times("v00.mp4")), width) and found.times("v00.mp4")[:2].tolist() == [1.0, 2.0]


def test_what_is_predicted_is_what_the_classifier_reads(world, student, tmp_path):
    found, model = extract(tmp_path, world, student).rows("v00.mp4"), read_checkpoint(student).network
    source = Shard(world.features[0])
    rows, times = source.rows("v00.mp4"), source.times("v00.mp4")
    x = np.stack([rows[(times >= t) & (times < t + 1)].mean(0) for t in range(5)])
    with torch.no_grad():
        assert np.allclose(found[4], model(torch.from_numpy(x)[None]).future[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("what", ["future", "hidden"])
def test_no_row_is_made_of_more_steps_than_the_student_was_trained_with(world, student, tmp_path, what):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((150, 8)).astype(np.float32)
    with writing(tmp_path / "long.h5", {}, frames=False, width=8, dtype="float32") as writer:
        writer.add("a", rows, np.arange(150) + 0.5)
    found = extract(tmp_path, world, student, what=what, features=tmp_path / "long.h5").rows("a")
    model = read_checkpoint(student).network
    assert model.head.transformer.room == 16 and found.shape[0] == 150
    for t in (0, 6, 7, 8, 9, 70, 71, 72, 149):  # 8 steps
        with torch.no_grad():
            forecast = model.head(torch.from_numpy(rows[None, max(0, t - 7) : t + 1]))
        wanted = forecast.future[0] if what == "future" else forecast.hidden[0, -1]
        assert np.allclose(found[t], wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("observed", [3.0, 2.6])
def test_rows_are_of_the_window_that_is_observed(world, train, tmp_path, observed):
    trained = read_checkpoint(model := train(tmp_path, options(2, sampling={"observed": observed})))
    found = extract(tmp_path, world, model)
    rows, times = found.rows("v00.mp4"), found.times("v00.mp4")
    source = data.source(trained.options, tiny.CLASSES, world.rows, world.features, None, None)
    reader = data.Reader(source, trained.options, world.rows, (), False)
    for i in range(len(times)):
        seen = reader.seen("v00.mp4", times[i] - observed, times[i])
        assert seen.length == min(i + 1, 3)
        with torch.no_grad():
            told = trained.network(torch.from_numpy(seen.x[None, : seen.length])).future[0].numpy()
        assert np.allclose(rows[i], told, atol=1e-5)


@pytest.mark.parametrize("every", [1.0, 0.7])
def test_a_student_of_single_frames_sees_the_frames_of_each_moment(world, train, tmp_path, every):
    sampling = {"gap": 1.0, "observed": 6.0, "read": "frames", "rate": 2.0, "steps": 6}
    trained = read_checkpoint(model := train(tmp_path, options(1, window="gap", sampling=sampling)))
    anticipation_features(
        model,
        tmp_path / "x.h5",
        AnticipationFeaturesOptions(every=every),
        features=world.features[0],
        device="cpu",
        code="test",
    )
    found = Shard(tmp_path / "x.h5")
    rows, times = found.rows("v00.mp4"), found.times("v00.mp4")
    source = data.source(trained.options, tiny.CLASSES, world.rows, world.features, None, None)
    reader = data.Reader(source, trained.options, world.rows, (), False)
    assert times[:3] == pytest.approx([every, 2 * every, 3 * every])
    for i in range(0, len(times), 3):
        seen = reader.seen("v00.mp4", times[i] - 6.0, times[i])
        with torch.no_grad():
            assert np.allclose(rows[i], trained.network(torch.from_numpy(seen.x)[None]).future[0].numpy(), atol=1e-5)


def test_a_student_with_a_backbone_sees_frames_as_in_its_training(train, world, tmp_path, monkeypatch):
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    frames = np.random.default_rng(0).integers(0, 256, (80, 20, 30, 3), np.uint8)
    with writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        writer.add("a", frames, np.arange(80) / 4)
    asked = options(
        window="gap",
        sampling={"gap": 1.0, "observed": 6.0, "read": "frames", "steps": 4, "rate": 1.0, "fps": 4.0},
        network={"backbone": "vit_b_16", "size": 16},
        pictures={"short": 20},
    )
    trained = Trained(Student(asked.network, 8, {"action": 6}, 4).eval(), asked, tiny.CLASSES, (1,) * 6, "tiny")
    how = Arithmetic(torch.device("cpu"), threads=1)
    rows, times = Steps(trained, AnticipationFeaturesOptions(), None, tmp_path / "f.h5", how).rows("a")
    source = data.source(asked, tiny.CLASSES, world.rows, None, [tmp_path / "f.h5"], None)
    for i in (0, 2, 3, 10, len(times) - 1):
        seen = data.Reader(source, asked, world.rows, (), False).seen("a", times[i] - 6.0, times[i])
        with torch.no_grad():
            assert np.allclose(rows[i], trained.network(torch.from_numpy(seen.x)[None]).future[0].numpy(), atol=1e-5)


def test_videos_that_are_done_are_not_worked_on_again(world, student, tmp_path, caplog):
    extract(tmp_path, world, student)
    before = (tmp_path / "x.h5").read_bytes()
    with caplog.at_level(logging.INFO, "kinoflow"):
        caplog.clear()
        extract(tmp_path, world, student)
    assert not [record for record in caplog.records if "extracted" in record.message]
    assert (tmp_path / "x.h5").read_bytes() == before


def test_what_cannot_be_told_step_by_step_is_refused(world, student, train, tmp_path):
    with pytest.raises(ConfigError, match="give the shard that this student reads"):
        extract(tmp_path, world, student, features=None)
    with writing(tmp_path / "wide.h5", {}, frames=False, width=3, dtype="float32") as writer:
        writer.add("x", np.zeros((2, 3), np.float32), np.arange(2.0))
    with pytest.raises(DataError, match="3 columns, the student reads 8"):
        extract(tmp_path, world, student, features=tmp_path / "wide.h5")
    grouped = train(tmp_path, options(1, network={"aggregator": "mean"}))
    with pytest.raises(ConfigError, match="joins groups of steps"):
        extract(tmp_path, world, grouped)
    plain = train(tmp_path, options(1, network={"head": "mlp"}))
    with pytest.raises(ConfigError, match="state of a transformer"):
        extract(tmp_path, world, plain, what="hidden")
