"""Where features come from: what a checkpoint says of it, and the files beside it."""

import json

import numpy as np
import pytest

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.options import PcaOptions
from kinoflow.features.origin import Origin, copy_beside
from kinoflow.features.pca import pca_fit, pca_partial
from kinoflow.media.options import FramesOptions
from kinoflow.options import resolved
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import writing

MADE = {"extractor": json.dumps({"from": "frames", "backbone": "small"}), "dtype": "float16"}


@pytest.fixture
def weights(tmp_path):
    """A file that stands for weights, and the attributes of a shard that was made with them."""
    (tmp_path / "net.pt").write_bytes(b"weights")
    return tmp_path / "net.pt", MADE | {"weights": sha256_of(tmp_path / "net.pt"), "device": "cpu", "rows": 3}


@pytest.fixture
def basis(tmp_path):
    """Components, and the attributes of a shard that was reduced to them."""
    options = PcaOptions(components=2, fit_on="all")
    with writing(tmp_path / "f.h5", {}, frames=False, width=3, dtype="float32") as writer:
        writer.add("v", np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32), np.arange(9.0))
    pca_partial(tmp_path / "f.h5", tmp_path / "p.h5", options)
    pca_fit([tmp_path / "p.h5"], tmp_path / "components.safetensors", options)
    return tmp_path / "components.safetensors", MADE | {"weights": "drawn", "pca": resolved(options)}


def test_what_is_known_survives_a_checkpoint(weights, tmp_path):
    file, attrs = weights
    with writing(tmp_path / "x.h5", {"store": "raw", "options": '{"size": 32}'}, frames=True):
        pass
    origin = Origin.of(attrs, file, None, tmp_path / "x.h5")
    assert Origin.from_about(json.loads(json.dumps(origin.about())), "here") == origin
    assert origin.frames == FramesOptions(size=32) and origin.weights == "extractor.pt"
    assert set(origin.attrs) == {"extractor", "dtype", "weights"}  # neither the device nor what is no text


def test_copies_lie_beside_the_checkpoint_and_are_found_there(weights, basis, tmp_path):
    (file, attrs), (components, reduced) = weights, basis
    (tmp_path / "run").mkdir()
    origin = Origin.of(attrs | {"pca": reduced["pca"]}, file, components)
    copy_beside(tmp_path / "run/model.safetensors", file, components)
    assert origin.weights_file(tmp_path / "run", None).read_bytes() == b"weights"
    assert origin.basis_file(tmp_path / "run").read_bytes() == components.read_bytes()
    assert (
        origin.weights_file(tmp_path / "run/checkpoints", None) == tmp_path / "run/extractor.pt"
    )  # for those of epochs
    assert origin.basis_file(tmp_path / "run/checkpoints") == tmp_path / "run/basis.safetensors"
    (tmp_path / "run/basis.safetensors").write_bytes(b"others")
    with pytest.raises(DataError, match="these are other components"):
        origin.basis_file(tmp_path / "run")


def test_what_is_not_beside_the_checkpoint_is_told_with_its_checksum(weights, basis, tmp_path):
    (file, attrs), (components, reduced) = weights, basis
    with pytest.raises(ConfigError, match=f"give by --weights the file whose SHA-256 is {sha256_of(file)}"):
        Origin.of(attrs).weights_file(tmp_path, None)
    assert Origin.of(attrs).weights_file(tmp_path, file) == file
    with pytest.raises(DataError, match="these are other weights"):
        Origin.of(attrs).weights_file(tmp_path, components)
    with pytest.raises(ConfigError, match=f"put basis.* of the PCA there, whose SHA-256 is {sha256_of(components)}"):
        Origin.of(reduced, None, components).basis_file(tmp_path)
    assert Origin.of(MADE | {"weights": "drawn"}).weights_file(tmp_path, None) is None


def test_files_that_have_not_made_the_features_are_refused(weights, basis, tmp_path):
    (file, attrs), (components, reduced) = weights, basis
    with pytest.raises(DataError, match="not made with these weights"):
        Origin.of(attrs, components)
    with pytest.raises(ConfigError, match="were not reduced by a PCA"):
        Origin.of(attrs, file, components)
    with pytest.raises(DataError, match="did not reduce the features"):
        Origin.of(reduced | {"pca": resolved(PcaOptions(components=3))}, None, components)
    with pytest.raises(ConfigError, match="come from outside"):
        Origin.of({"extractor": '{"from": "files"}'}, file)


@pytest.mark.parametrize("attrs", [{}, {"extractor": '{"from": "files"}'}, {"extractor": '{"student": "0"}'}])
def test_features_of_nothing_that_reads_videos_here_come_from_outside(attrs):
    assert Origin.of(attrs).outside and not Origin.of(MADE).outside
