"""The published files: their names and download, vectors and features, names of runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import published
from kinoflow.tasks.abstraction.metadata import abstraction_metadata
from kinoflow.tasks.abstraction.options import MetadataOptions
from kinoflow.tasks.abstraction.published import Naming, name_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "abstraction"


def test_files_are_called_as_published():
    names = published.file_names(["moments"], published.KINDS, ["train", "test"])
    assert names == [
        "moments_graph.json",
        "moments_category_embeddings.pth",
        "moments_train_listfile.txt",
        "moments_test_listfile.txt",
        "moments_train_abstraction_sets.json",
        "moments_human_abstraction_sets.json",
        "moments_train_embeddings.pth",
        "moments_test_embeddings.pth",
        "resnet3d50_moments_train_features.pth",
        "resnet3d50_moments_test_features.pth",
        "AbstractionEmbedding_moments_SAM_1-2-3-4_best.pth.tar",
    ]


@pytest.fixture
def host(tmp_path):
    folder = tmp_path / "host"
    folder.mkdir()
    for name in published.file_names(["moments"], ["graph", "listfile"], ["train", "val", "test"]):
        (folder / name).write_text(f"the file {name}\n")
    return folder


def options(host: Path, **changes) -> MetadataOptions:
    return MetadataOptions(datatypes=("graph", "listfile"), base=host.as_uri(), **changes)


def test_files_are_fetched_from_any_place(host, tmp_path, caplog):
    caplog.set_level("INFO")
    abstraction_metadata(tmp_path / "metadata", options(host, only_tell=True))
    assert not (tmp_path / "metadata").exists() and caplog.text.count("would come from") == 4
    abstraction_metadata(tmp_path / "metadata", options(host))
    assert sorted(path.name for path in (tmp_path / "metadata").glob("m*")) == sorted(
        path.name for path in host.iterdir()
    )
    (tmp_path / "metadata" / "moments_graph.json").unlink()
    (tmp_path / "metadata" / "moments_graph.json").write_text("mine")
    abstraction_metadata(tmp_path / "metadata", options(host))
    assert (tmp_path / "metadata" / "moments_graph.json").read_text() == "mine"
    abstraction_metadata(tmp_path / "metadata", options(host, overwrite=True))
    assert "the file" in (tmp_path / "metadata" / "moments_graph.json").read_text()


def test_a_wrong_checksum_or_a_missing_file_is_told(host, tmp_path):
    with pytest.raises(DataError, match="moments_graph.json"):
        abstraction_metadata(tmp_path / "m", options(host, sha256={"moments_graph.json": "0" * 64}))
    (host / "moments_graph.json").unlink()
    with pytest.raises(DataError, match="give another address, put the file at .* or let kinoflow make its own"):
        abstraction_metadata(tmp_path / "m", options(host))


@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_written_vectors_are_read_again(tmp_path, suffix):
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    path = tmp_path / f"vectors{suffix}"
    published.write_vectors(path, ["b", "a", "ü"], x)
    names, found = published.read_vectors(path)
    assert names == ("b", "a", "ü") and (found == x).all()


def test_a_file_that_would_run_code_is_refused(tmp_path):
    import pickle

    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was run",)

    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": Hostile()}))
    with pytest.raises(DataError, match="nothing in it was run"):
        published.read_vectors(tmp_path / "x.pth")
    assert not (tmp_path / "was run").exists()


def test_rows_of_features_have_their_names(tmp_path):
    import torch

    (tmp_path / "list.txt").write_text("v1 10 0\nv2 10 1\n")
    published.write_vectors(tmp_path / "e.pth", ["v2", "v1"], np.eye(2))
    torch.save(torch.arange(6.0).reshape(2, 3), tmp_path / "x.pth")
    order = published.row_names("moments", "train", tmp_path / "list.txt", tmp_path / "e.pth")
    assert order == ("v2", "v1")
    assert published.row_names("moments", "test", tmp_path / "list.txt", None) == ("v1", "v2")
    assert published.row_names("kinetics", "train", tmp_path / "list.txt", None) == ("v1.mp4", "v2.mp4")
    names, x = published.read_features(tmp_path / "x.pth", order)
    assert names == order and x.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match="there are no names for features"):
        published.read_features(tmp_path / "x.pth")
    torch.save({"features": torch.ones(2, 3), "path": ["a", "b"]}, tmp_path / "alt.pth")
    assert published.read_features(tmp_path / "alt.pth")[0] == ("a", "b")
    np.savez(tmp_path / "own.npz", features=np.ones((2, 3), np.float32), names=np.array(["a", "b"]))
    assert published.read_features(tmp_path / "own.npz")[1].shape == (2, 3)


@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_written_features_are_read_again(tmp_path, suffix):
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    published.write_features(tmp_path / f"named{suffix}", ["b", "a", "ü"], x)
    names, found = published.read_features(tmp_path / f"named{suffix}")
    assert names == ("b", "a", "ü") and (found == x).all()
    with pytest.raises(DataError, match="2 names for 3 features"):
        published.write_features(tmp_path / f"wrong{suffix}", ["a", "b"], x)


def test_features_without_names_are_written_as_published(tmp_path):
    published.write_features(tmp_path / "bare.pth", [], np.eye(2))
    assert published.read_features(tmp_path / "bare.pth", ["a", "b"])[1].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="0 names for 2 features"):
        published.write_features(tmp_path / "bare.npz", [], np.eye(2))


def cases():
    found = json.loads((GOLDEN / "run_names.json").read_text())
    for case in found["cases"]:
        values = found["defaults"] | case
        params = values["param_names"]
        naming = Naming(
            exp_id=values["exp_id"],
            dataset=values["dataset_name"],
            basemodel=values["basemodel_name"],
            loss_weights=params["loss_weights"],
            criterion=params["criterion"],
            optimizer=params["optimizer"],
            lr=values["lr"],
            scales=values["scales"],
            prefix=values["prefix"],
            resume=values.get("resume"),
        )
        yield naming, case["name"]


@pytest.mark.parametrize(("naming", "name"), list(cases()))
def test_runs_are_called_as_published(naming, name):
    if not naming.prefix:
        assert name_of(naming) == name


def test_a_prefix_stands_before_the_name():
    assert name_of(Naming(exp_id="X", prefix="foo_")) == "foo_" + name_of(Naming(exp_id="X"))
