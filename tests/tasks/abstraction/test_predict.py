"""Naming clips by a checkpoint alone: real videos, features made again as in training."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.tasks import filmed
from tests.tasks.abstraction import toys

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.tasks.abstraction.checkpoints import read_checkpoint
from kinoflow.tasks.abstraction.options import NameOptions
from kinoflow.tasks.abstraction.predict import name, told


@pytest.fixture(scope="session")
def models(films, tmp_path_factory):
    """Return a function that gives the folder of a model with these options of its network, trained for a moment."""
    made = {}

    def of(**network):
        key = json.dumps(network)
        if key not in made:
            wanted = toys.options(3, network=network, rows=None, training={"batch": 8})
            folder = tmp_path_factory.mktemp("model") / "seed-0"
            made[key] = toys.train(films, folder, wanted, frames=films / "frames.h5").parent
        return made[key]

    return of


def say(folder, clips, tmp_path, **more):
    name(clips, folder / "model.safetensors", NameOptions(**more), json=tmp_path / "answer.json", device="cpu")
    return json.loads((tmp_path / "answer.json").read_text())


def test_clips_are_named_as_their_stored_features_are(films, models, tmp_path):
    clips = [films / f"v{i}.mp4" for i in (0, 4, 2)]
    found = say(models(), clips, tmp_path)
    trained, shard = read_checkpoint(models() / "model.safetensors"), Shard(films.shard)
    stored = np.stack([shard.rows(f"v{i}.mp4").mean(0, dtype=np.float64) for i in (0, 4, 2)]).astype(np.float32)
    expected = told(trained, stored, 5)
    assert found["node"] == expected.node and [b["node"] for b in found["best"]] == [n for n, _ in expected.best]
    assert found["distances"] == expected.distances
    assert found["odd"] == str(clips[expected.odd])


def test_a_checkpoint_alone_in_a_folder_is_enough_where_weights_are_drawn(films, models, tmp_path):
    shutil.copy(models() / "model.safetensors", tmp_path / "model.safetensors")
    assert say(tmp_path, [films / "v1.mp4"], tmp_path)["node"]


def test_the_answer_tells_node_path_best_nodes_and_the_odd_one(films, models, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "kinoflow"):
        found = say(models(), [films / f"v{i}.mp4" for i in range(6)], tmp_path, top=3)
    assert found["path"][0] == "root" and found["path"][-1] == found["node"] == found["best"][0]["node"]
    shares = [each["share"] for each in found["best"]]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True)
    assert len(found["distances"]) == 6 and found["odd"].endswith(f"v{int(np.argmax(found['distances']))}.mp4")
    assert f"in common: {found['node']}" in caplog.text and "the odd one" in caplog.text


def test_of_two_clips_none_is_odd(films, models, tmp_path):
    found = say(models(), [films / "v0.mp4", films / "v1.mp4"], tmp_path)
    assert found["odd"] is None and found["distances"] == []


def test_a_classifier_names_the_common_ancestor_of_its_classes(films, models, tmp_path):
    found = say(models(kind="classifier"), [films / f"v{i}.mp4" for i in range(3)], tmp_path)
    assert found["best"] == [] and found["odd"] is None and found["node"]


def test_a_set_below_the_smallest_scale_is_padded_by_the_pooled_model_and_refused_by_the_other(films, models, tmp_path):
    scales = {"scales": [2, 3]}
    assert say(models(kind="pooled", **scales), [films / "v0.mp4"], tmp_path)["node"]
    with pytest.raises(DataError, match="a set of 1 is smaller than the smallest scale of this model, 2"):
        say(models(**scales), [films / "v0.mp4"], tmp_path)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("count", [0, 7])
def test_none_or_seven_clips_are_refused(films, models, tmp_path, count):
    with pytest.raises(ConfigError, match=f"give 1 to 6 clips, not {count}"):
        say(models(), [films / "v0.mp4"] * count, tmp_path)


def test_what_is_no_video_is_named(films, models, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text.mp4' cannot be read \(unreadable\)"):
        say(models(), [tmp_path / "text.mp4"], tmp_path)
    with pytest.raises(DataError, match="there is no file 'lost.mp4'"):
        say(models(), [Path("lost.mp4")], tmp_path)


def test_features_from_outside_cannot_be_made_of_clips(sam, films, tmp_path):
    with pytest.raises(ConfigError, match="trained on feature files from outside"):
        say(sam.parent, [films / "v0.mp4"], tmp_path)


def test_a_checkpoint_of_another_room_is_refused(films, tmp_path):
    import torch

    from kinoflow.training import checkpoint

    checkpoint.save(tmp_path / "model.safetensors", torch.nn.Linear(1, 1), {"room": "recognition"})
    with pytest.raises(DataError, match="no checkpoint of an abstraction run"):
        say(tmp_path, [films / "v0.mp4"], tmp_path)


# ---------------------------------------------------------------- weights of the extractor


def test_clips_are_named_by_features_of_a_runs_network_and_their_components(films, tmp_path):
    names = [f"v{i}.mp4" for i in range(8)]
    made = filmed.reduced(tmp_path, films.folder, names, films / "frames.h5", trained=True)
    wanted, given = toys.options(2, rows=None, training={"batch": 8}), {"features": [made.reduced]}
    beside = {"weights": made.weights, "basis": made.basis, "frames": made.frames}
    folder = toys.train(films, tmp_path / "own" / "seed-0", wanted, **beside, **given).parent
    found, trained = say(folder, [films / "v3.mp4"], tmp_path), read_checkpoint(folder / "model.safetensors")
    stored = Shard(made.reduced).rows("v3.mp4").mean(0, dtype=np.float64).astype(np.float32)[None]
    expected = told(trained, stored, 5)
    assert found["best"] == [{"node": node, "share": share} for node, share in expected.best]


@pytest.fixture(scope="session")
def weighted(films, tmp_path_factory):
    """The films' features made with a file of weights: the files and a model's folder, with and without the copy."""
    import torch

    from kinoflow.features.backbones import build

    folder = tmp_path_factory.mktemp("weighted")
    torch.manual_seed(5)
    torch.save(build("small", 32).state_dict(), folder / "small.pt")
    options = FeaturesOptions(backbone="small", stride=2)
    shard = folder / "weighted.h5"
    features(shard, options, frames=films / "frames.h5", weights=str(folder / "small.pt"), device="cpu", code="test")
    wanted, given = (
        toys.options(2, rows=None, training={"batch": 8}),
        {"frames": films / "frames.h5", "features": [shard]},
    )
    own = toys.train(films, folder / "own" / "seed-0", wanted, weights=folder / "small.pt", **given).parent
    bare = toys.train(films, folder / "bare" / "seed-0", wanted, **given).parent
    return folder / "small.pt", own, bare


def test_the_checkpoints_folder_holds_the_extractors_weights(films, weighted, tmp_path):
    file, own, _ = weighted
    assert (own / "extractor.pt").read_bytes() == file.read_bytes()
    assert say(own, [films / "v0.mp4"], tmp_path)["node"]


def test_without_the_copy_their_hash_is_told_and_the_file_can_be_given(films, weighted, tmp_path):
    file, _, bare = weighted
    with pytest.raises(ConfigError, match=f"give by --weights the file whose SHA-256 is {sha256_of(file)}"):
        say(bare, [films / "v0.mp4"], tmp_path)
    name([films / "v0.mp4"], bare / "model.safetensors", NameOptions(), weights=file, device="cpu")
    (tmp_path / "other.pt").write_bytes(b"0")
    with pytest.raises(DataError, match="these are other weights"):
        name([films / "v0.mp4"], bare / "model.safetensors", NameOptions(), weights=tmp_path / "other.pt", device="cpu")
