"""A trained network along whole videos: features for other rooms."""

import numpy as np
import pytest
import torch
from tests.tasks.recognition.bars import FPS, SIDE, options

from kinoflow.errors import ConfigError
from kinoflow.features.options import FeaturesOptions
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.media.write import write_video
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Probed
from kinoflow.tasks.recognition import extract
from kinoflow.tasks.recognition.extract import recognition_features
from kinoflow.tasks.recognition.inputs import prepare_validation
from kinoflow.tasks.recognition.scoring import read_checkpoint

LENGTHS = {"long.mp4": 90, "short.mp4": 7, "tiny.mp4": 2}


def asked(**more):
    values = {"backbone": "trained", "weights": "model.safetensors", "stride": 3, "dtype": "float32"}
    return FeaturesOptions.model_validate(values | more)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Videos of noise, their probe table and their shard of frames."""
    folder, rng, rows = tmp_path_factory.mktemp("films"), np.random.default_rng(3), []
    for name, count in LENGTHS.items():
        blocks = rng.integers(0, 256, (count, 4, 4, 3)).repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
        write_video(folder / "videos" / name, blocks.astype(np.uint8), FPS)
        about = {"status": "readable", "kept": True, "sha256": sha256_of(folder / "videos" / name)}
        rows.append(Probed(video=name, frames=count, fps=float(FPS), duration=count / FPS, **about))
    tables.write(folder / "table.csv", rows, Probed)
    frames(
        folder / "videos", folder / "table.csv", folder / "frames.h5", FramesOptions(size=SIDE, store="raw"), code="t"
    )
    return folder


@pytest.fixture(scope="module")
def lsnet(train, tmp_path_factory):
    given = options(steps=2, input={"kind": "gray", "frames": 3}, network={"shift": 8})
    return train(tmp_path_factory.mktemp("lsnet"), given)


def run(films, shard, model, **more):
    given = {"frames": films / "frames.h5", "device": "cpu", "code": "t", "options": asked()} | more
    recognition_features(shard, weights=model, **given)
    return Shard(shard)


def test_a_row_stands_for_each_window_and_sees_what_lies_before_and_after_it(films, lsnet, tmp_path):
    shard, trained = run(films, tmp_path / "a.h5", lsnet), read_checkpoint(lsnet)
    assert [len(shard.rows(video)) for video in LENGTHS] == [30, 2, 1]  # windows of 3 frames, 3 frames apart
    np.testing.assert_allclose(shard.times("long.mp4"), (np.arange(30) * 3 + 1) / FPS, atol=1e-6)
    pictures = Shard(films / "frames.h5").frames("short.mp4", np.arange(6)).reshape(2, 3, SIDE, SIDE, 3)
    sampling = trained.options.sampling.model_copy(update={"segments": 1})
    planes = prepare_validation(pictures, trained.options.model_copy(update={"sampling": sampling}))
    with torch.inference_mode():
        whole = trained.network.features(torch.from_numpy(planes)[None])[0].numpy()
        alone = trained.network.features(torch.from_numpy(planes[:1])[None])[0].numpy()
    np.testing.assert_allclose(shard.rows("short.mp4"), whole, atol=1e-5)
    assert np.abs(shard.rows("short.mp4")[0] - alone[0]).max() > 1e-3


def test_the_pieces_that_a_long_video_is_cut_into_leave_no_trace(films, lsnet, tmp_path, monkeypatch):
    whole = run(films, tmp_path / "a.h5", lsnet).rows("long.mp4")
    monkeypatch.setattr(extract, "PIECE", 5)
    np.testing.assert_allclose(run(films, tmp_path / "b.h5", lsnet).rows("long.mp4"), whole, atol=1e-5)


def test_features_of_videos_are_those_of_frames_made_alike(films, lsnet, tmp_path):
    more = {"frames": None, "root": films / "videos", "table": films / "table.csv"}
    decoded = run(films, tmp_path / "a.h5", lsnet, options=asked(**{"from": "video"}), **more)
    stored = run(films, tmp_path / "b.h5", lsnet)
    for video in LENGTHS:
        np.testing.assert_array_equal(decoded.rows(video), stored.rows(video))


def test_another_network_works_on_all_videos_again_the_same_one_on_none(films, lsnet, tsm, tmp_path, caplog):
    def worked(model):
        caplog.clear()
        with caplog.at_level("INFO"):
            run(films, tmp_path / "a.h5", model)
        return sum("extracted" in record.getMessage() for record in caplog.records)

    assert [worked(model) for model in (lsnet, lsnet, tsm)] == [3, 0, 3]


def test_networks_and_frames_that_do_not_fit_are_refused(films, train, lsnet, tmp_path):
    frames(films / "videos", films / "table.csv", tmp_path / "big.h5", FramesOptions(size=48, store="raw"), code="t")
    with pytest.raises(ConfigError, match="is made with size: 48, but the network was trained on frames with size: 32"):
        run(films, tmp_path / "a.h5", lsnet, frames=tmp_path / "big.h5")
    with pytest.raises(ConfigError, match="need --frames"):
        run(films, tmp_path / "a.h5", lsnet, frames=None)
    pooled = options(steps=1, network={"backbone": "resnet18", "temporal_pool": True})
    with pytest.raises(ConfigError, match=r"network\.temporal_pool reads clips of a fixed length"):
        run(films, tmp_path / "a.h5", train(tmp_path / "pooled", pooled))
