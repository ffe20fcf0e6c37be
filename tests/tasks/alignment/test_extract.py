"""A trained network along whole videos: features for other rooms."""

import numpy as np
import pytest
from tests.tasks import filmed
from tests.tasks.alignment import discs as tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.options import FeaturesOptions
from kinoflow.store import shards
from kinoflow.store.shards import Shard
from kinoflow.tasks.alignment.embed import Trained, alignment_embed
from kinoflow.tasks.alignment.extract import alignment_features
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.tasks.alignment.model import build
from kinoflow.training import checkpoint


def run(shard, model, **more):
    options = FeaturesOptions.model_validate(
        {"backbone": "trained", "stride": 3, "dtype": "float32"} | more.pop("options", {})
    )
    alignment_features(shard, options, model, device="cpu", code="t", **more)
    return Shard(shard)


def test_rows_are_the_room_s_own_vectors_of_whole_videos(discs, scl, tmp_path):
    test = AlignmentTestOptions(every=3)
    alignment_embed(
        scl, discs.videos, discs.segments, tmp_path / "own.h5", test, frames=discs.shards, device="cpu", code="t"
    )
    own, seen = Shard(tmp_path / "own.h5"), []
    for number, frames in enumerate(discs.shards):
        found = run(tmp_path / f"{number}.h5", scl, frames=frames)
        seen += found.videos
        for video in found.videos:
            np.testing.assert_array_equal(found.rows(video), own.rows(video))
            np.testing.assert_array_equal(found.times(video), Shard(frames).times(video)[::3])
    assert sorted(seen) == own.videos == sorted(discs.labels)


def test_vectors_of_videos_are_those_of_frames_made_alike(videos, tmp_path):
    root, names, stored = videos
    model = filmed.aligner(tmp_path / "model.safetensors", stored)
    one = run(tmp_path / "a.h5", model, frames=stored)
    table = {"root": root, "table": root / "probe.csv"}
    other = run(tmp_path / "b.h5", model, options={"from": "video"}, **table)
    assert one.videos == other.videos == names
    for video in names:
        np.testing.assert_array_equal(one.rows(video), other.rows(video))
        assert one.rows(video).shape == (12, 6)


def test_the_same_network_works_on_no_video_again(discs, scl, tmp_path, caplog):
    caplog.set_level("INFO", logger="kinoflow")
    for count in (6, 0):
        caplog.clear()
        run(tmp_path / "a.h5", scl, frames=discs.shards[0])
        assert sum("extracted" in record.getMessage() for record in caplog.records) == count


def test_networks_and_frames_that_do_not_fit_are_refused(discs, scl, unlike, tmp_path):
    with pytest.raises(ConfigError, match="is made with size: 24, but the network was trained on frames with size: 20"):
        run(tmp_path / "a.h5", scl, frames=unlike)
    with pytest.raises(ConfigError, match="here it is `trained`"):
        run(tmp_path / "a.h5", scl, frames=discs.shards[0], options={"backbone": "small"})
    with pytest.raises(ConfigError, match="need --frames"):
        run(tmp_path / "a.h5", scl)
    with pytest.raises(ConfigError, match="need --root and --table"):
        run(tmp_path / "a.h5", scl, options={"from": "video"})
    with pytest.raises(ConfigError, match="reads rows of features, not pictures"):
        run(tmp_path / "a.h5", of_rows(tmp_path / "rows.safetensors"), frames=discs.shards[0])
    checkpoint.save(tmp_path / "other.safetensors", build(tiny.options()), {"room": "recognition"})
    with pytest.raises(DataError, match="no checkpoint of an alignment run"):
        run(tmp_path / "a.h5", tmp_path / "other.safetensors", frames=discs.shards[0])


@pytest.fixture
def unlike(tmp_path):
    """A shard of frames of another size."""
    path = tmp_path / "unlike.h5"
    with shards.writing(path, {"store": "raw", "options": '{"size": 24, "store": "raw"}'}, frames=True) as writer:
        writer.add("v.mp4", np.zeros((5, 24, 24, 3), np.uint8), np.arange(5) / tiny.FPS)
    return path


def of_rows(path):
    """Write the checkpoint of a network that reads rows of features."""
    options = tiny.options(network={"backbone": "features", "pool": 1})
    checkpoint.save(path, *_with_about(build(options, inputs=5), options))
    return path


def _with_about(network, options):
    return network, Trained(network, options, (), None, True, "trial", "none", 4, 0).about()
