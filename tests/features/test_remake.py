"""Features of single videos, made as the stages made those of a dataset."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.features.origin import Origin, copy_beside
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.features.remake import remade
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import READABLE, Probed
from kinoflow.training import checkpoint


@pytest.fixture(scope="module")
def films(tmp_path_factory, make_video):
    """Two videos, and their features decoded straight into the network."""
    folder, rows = tmp_path_factory.mktemp("films"), []
    for number in range(2):
        path = make_video(folder / f"v{number}.mp4", frames=20, seed=number)
        rows.append(Probed(video=path.name, status=READABLE, kept=True, sha256=sha256_of(path)))
    tables.write(folder / "probe.csv", rows, Probed)
    options = FeaturesOptions.model_validate({"from": "video", "resize": 32, "stride": 2})
    features(folder / "f.h5", options, root=folder, table=folder / "probe.csv", device="cpu", code="test")
    return folder


def made(videos, origin, folder, **more):
    with remade(videos, origin, folder, None, "cpu", **more) as shard:
        return {name: (np.array(shard.rows(name)), np.array(shard.times(name))) for name in shard.videos}


def test_videos_decoded_into_a_network_get_the_very_rows_of_the_dataset(films, tmp_path):
    shard = Shard(films / "f.h5")
    found = made([films / "v1.mp4", films / "v0.mp4", films / "v1.mp4"], Origin.of(shard.attrs), tmp_path)
    assert list(found) == [str(films / "v0.mp4"), str(films / "v1.mp4")]
    for name, (rows, times) in found.items():
        assert np.array_equal(rows, shard.rows(Path(name).name))
        assert np.array_equal(times, shard.times(Path(name).name))


def test_components_of_each_task_take_the_task(films, tmp_path):
    options = PcaOptions(components=2, by_task=True, fit_on="all")
    (tmp_path / "roles.json").write_text(json.dumps({f"v{n}.mp4": ["train", f"task{n}", ""] for n in range(2)}))
    roles = {"roles": tmp_path / "roles.json"}
    pca_partial(films / "f.h5", tmp_path / "p.h5", options, **roles)
    pca_fit([tmp_path / "p.h5"], tmp_path / "basis.safetensors", options)
    pca_apply(films / "f.h5", tmp_path / "basis.safetensors", tmp_path / "r.h5", options, **roles)
    shard = Shard(tmp_path / "r.h5")
    copy_beside(tmp_path / "run/model.safetensors", None, tmp_path / "basis.safetensors")
    origin = Origin.of(shard.attrs, basis=tmp_path / "basis.safetensors")
    ((rows, _),) = made([films / "v1.mp4"], origin, tmp_path / "run", task="task1").values()
    assert np.array_equal(rows, shard.rows("v1.mp4"))
    with pytest.raises(ConfigError, match="task: the features are reduced task by task"):
        made([films / "v1.mp4"], origin, tmp_path / "run")
    with pytest.raises(DataError, match="the task 'soup' of .* has no components"):
        made([films / "v1.mp4"], origin, tmp_path / "run", task="soup")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (None, "this is no safetensors file"),
        (torch.nn.Linear(1, 1), "features cannot be made: .*this is no checkpoint of a recognition run"),
    ],
)
def test_a_network_of_a_run_that_cannot_be_read_is_told_in_its_own_words(films, tmp_path, network, said):
    if network is None:
        (tmp_path / "model.safetensors").write_bytes(b"no checkpoint")
    else:
        checkpoint.save(tmp_path / "model.safetensors", network, {"frames": {"dataset": "kitchen"}})
    attrs = {"extractor": json.dumps({"from": "video", "backbone": "trained"})}
    attrs["weights"] = sha256_of(tmp_path / "model.safetensors")
    with (
        pytest.raises(DataError, match=said),
        remade([films / "v0.mp4"], Origin.of(attrs), tmp_path, tmp_path / "model.safetensors", "cpu"),
    ):
        pass
