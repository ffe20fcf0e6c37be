"""A student's own features of whole videos."""

import logging

import numpy as np
import pytest
import torch
from tests.tasks.anticipation.world import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.anticipation.extract import anticipation_features
from kinoflow.tasks.anticipation.options import AnticipationFeaturesOptions
from kinoflow.tasks.anticipation.scoring import read_checkpoint


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
