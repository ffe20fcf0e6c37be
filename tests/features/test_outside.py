"""Feature files from outside: told apart by content, examined by the probe, taken over into shards, never executed."""

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kinoflow
from kinoflow.datasets.options import FeatureFilesOptions
from kinoflow.errors import DataError
from kinoflow.features.arrays import read_matrix
from kinoflow.features.outside import feature_files, probe_files
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import READABLE, UNREADABLE, Probed, read

RNG = np.random.default_rng(5)
X = RNG.standard_normal((7, 5)).astype(np.float32)


class Dataset:
    """A folder of feature files with the two stages that read it."""

    def __init__(self, folder: Path):
        self.root, self.table, self.shard = folder / "root", folder / "probe/000.csv", folder / "features/000.h5"
        self.root.mkdir()

    def add(self, video: str, x: np.ndarray) -> Path:
        (self.root / video).parent.mkdir(parents=True, exist_ok=True)
        with open(self.root / video, "wb") as file:
            np.save(file, x)
        return self.root / video

    def probe(self, code: str = "1", **options) -> dict[str, Probed]:
        names = [os.path.relpath(p, self.root) for p in self.root.rglob("*") if p.is_file()]
        stats = {name: (self.root / name).stat() for name in names}
        states = {name: [stat.st_size, stat.st_mtime_ns, f"{stat.st_mtime_ns}"] for name, stat in stats.items()}
        (self.root.parent / "list.json").write_text(json.dumps(states))
        probe_files(self.root, self.root.parent / "list.json", self.table, FeatureFilesOptions(**options), code)
        return {row.video: row for row in read(self.table, Probed)}

    def take(self, code: str = "1", **options) -> Shard:
        self.probe(**options)
        feature_files(self.root, self.table, self.shard, FeatureFilesOptions(**options), code)
        return Shard(self.shard)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


@pytest.fixture
def worked_on(caplog):
    """Names of the files that were really opened since the last call."""
    caplog.set_level(logging.INFO, logger="kinoflow")

    def names(word: str) -> list[str]:
        found = [record.args[0] for record in caplog.records if record.msg.startswith(f"{word} %r")]
        caplog.clear()
        return found

    return names


# ---------------------------------------------------------------- reading


def write_npy(path, x):
    with open(path, "wb") as file:
        np.save(file, x)


def write_npz(path, x, name="features"):
    with open(path, "wb") as file:
        np.savez(file, **{name: x})


def write_packed(path, x):
    with open(path, "wb") as file:
        np.savez_compressed(file, features=x)


def write_hdf5(path, x, name="group/features"):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=x, chunks=True if x.size else None, compression="gzip" if x.size else None)


WRITERS = [write_npy, write_npz, write_packed, write_hdf5]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", ">f4"])
@pytest.mark.parametrize("writer", WRITERS)
def test_every_format_is_told_by_its_content(tmp_path, writer, dtype):
    x = (100 * X).astype(dtype)
    writer(tmp_path / "no_suffix", x)
    np.testing.assert_array_equal(read_matrix(tmp_path / "no_suffix"), x)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_without_rows_is_read(tmp_path, writer):
    writer(tmp_path / "x", np.empty((0, 5), np.float32))
    assert read_matrix(tmp_path / "x").shape == (0, 5)


def test_columns_first_in_memory_are_read(tmp_path):
    write_npy(tmp_path / "x", np.asfortranarray(X))
    np.testing.assert_array_equal(read_matrix(tmp_path / "x"), X)


def test_the_key_names_one_of_several_arrays(tmp_path):
    with open(tmp_path / "x.npz", "wb") as file:
        np.savez(file, a=X, b=2 * X)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["deep/b"] = X, 2 * X
    np.testing.assert_array_equal(read_matrix(tmp_path / "x.npz", "b"), 2 * X)
    np.testing.assert_array_equal(read_matrix(tmp_path / "x.h5", "/deep/b"), 2 * X)
    for name in ("x.npz", "x.h5"):
        with pytest.raises(DataError, match=r"holds 2 arrays \(a, .*b\); name one of them by key"):
            read_matrix(tmp_path / name)
        with pytest.raises(DataError, match=r"no array 'c'; its arrays: a, "):
            read_matrix(tmp_path / name, "c")


@pytest.mark.parametrize("writer", [write_npy, write_npz])
def test_pickled_objects_are_refused_and_run_nothing(tmp_path, monkeypatch, writer):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, ("harm",)

    monkeypatch.chdir(tmp_path)
    writer(tmp_path / "x", np.array([[Harmful()]], dtype=object))
    with pytest.raises(DataError, match="pickled objects"):
        read_matrix(tmp_path / "x")
    (tmp_path / "y").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(DataError, match="pickle, which may run code"):
        read_matrix(tmp_path / "y")
    assert not (tmp_path / "harm").exists()


def test_arrays_of_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(70)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = X
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("x", (7, 10), "u1", external=[(str(tmp_path / "secret"), 0, 70)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(X.shape, X.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", X.shape)
        file.create_virtual_dataset("x", layout)
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["x"] = h5py.ExternalLink(tmp_path / "other.h5", "x")
    for name in ("external", "virtual"):
        with pytest.raises(DataError, match="the values of 'x' lie in another file, which is not read"):
            read_matrix(tmp_path / f"{name}.h5")
    for key in ("", "x"):
        with pytest.raises(DataError, match=r"it holds (0 arrays|no array 'x')"):
            read_matrix(tmp_path / "links.h5", key)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (X[0], r"shape \(5,\); two axes"),
        (X[None], r"shape \(1, 7, 5\); two axes"),
        (X.astype(complex), "type complex128"),
        (X.astype("S4"), "type [|]?S4"),
    ],
)
def test_arrays_that_are_no_features_are_refused(tmp_path, x, reason):
    write_npy(tmp_path / "x", x)
    with pytest.raises(DataError, match=reason):
        read_matrix(tmp_path / "x")


@given(data=st.data())
def test_a_file_cut_anywhere_is_refused_in_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    writer = data.draw(st.sampled_from(WRITERS))
    writer(folder / "x", X)
    content = (folder / "x").read_bytes()
    (folder / "x").write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        read_matrix(folder / "x")  # the last bytes of an HDF5 file may be none of the array's
    except DataError as error:
        assert str(error) and "\n" not in str(error)


@given(data=st.data())
def test_a_file_with_a_wrong_byte_never_raises_anything_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("byte")
    writer = data.draw(
        st.sampled_from(WRITERS[:3])
    )  # HDF5's library may crash: the probe examines in a process of its own
    writer(folder / "x", X)
    content = bytearray((folder / "x").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "x").write_bytes(content)
    try:
        read_matrix(folder / "x")
    except (DataError, MemoryError) as error:
        assert "\n" not in str(error)


# ---------------------------------------------------------------- the probe


def test_the_probe_writes_down_rows_columns_and_rate(dataset):
    dataset.add("sub/a.npy", X)
    row = dataset.probe(rate=2.0)["sub/a.npy"]
    assert (row.frames, row.width, row.height, row.fps, row.duration) == (7, 5, None, 2.0, 3.5)
    assert row.kept and row.status == READABLE and row.sha256 == sha256_of(dataset.root / "sub/a.npy") and row.quick
    assert dataset.probe(orientation="D x T")["sub/a.npy"].frames == 5


def test_bad_files_are_listed_with_their_reason_and_cost_no_other(dataset):
    x = X.copy()
    x[3, 2] = np.nan
    dataset.add("nan.npy", x)
    dataset.add("good.npy", X)
    dataset.add("object.npy", np.array([[None]]))
    dataset.add("flat.npy", X[0])
    dataset.add("empty.npy", np.empty((3, 0), np.float32))
    (dataset.root / "text.npy").write_text("1 2 3\n")
    (dataset.root / "cut.npy").write_bytes(dataset.add("whole.npy", X).read_bytes()[:150])
    rows = dataset.probe()
    assert [video for video, row in rows.items() if row.kept] == ["good.npy", "whole.npy"]
    assert {row.status for row in rows.values()} == {READABLE, UNREADABLE}
    assert rows["nan.npy"].reason == "the value in row 3, column 2 (counted from 0) is not finite"
    for video, words in {
        "object": "pickled",
        "flat": "two axes",
        "empty": "without columns",
        "text": "no npy",
        "cut": "damaged",
    }.items():
        assert words in rows[f"{video}.npy"].reason
        assert rows[f"{video}.npy"].sha256


def test_a_file_without_rows_is_a_video_of_no_length(dataset):
    dataset.add("none.npy", X[:0])
    row = dataset.probe()["none.npy"]
    assert row.kept and (row.frames, row.duration, row.width) == (0, 0.0, 5)
    shard = dataset.take()
    assert shard.videos == ["none.npy"] and shard.x.shape == (0, 5)


def test_one_more_file_is_the_only_one_probed_and_read(dataset, worked_on):
    dataset.add("a.npy", X)
    dataset.take()
    worked_on("probed")
    dataset.add("b.npy", 2 * X)
    dataset.probe()
    assert worked_on("probed") == ["b.npy"]
    dataset.take()
    assert worked_on("read") == ["b.npy"]
    updated = dataset.shard.read_bytes(), dataset.table.read_bytes()
    for path in (dataset.shard, dataset.table):
        path.unlink()
    dataset.take()
    assert worked_on("read") == ["a.npy", "b.npy"]
    assert updated == (dataset.shard.read_bytes(), dataset.table.read_bytes())


def test_only_options_that_the_probe_heeds_are_reasons_to_probe_again(dataset, worked_on):
    dataset.add("a.npy", X)
    dataset.probe()
    worked_on("probed")
    dataset.probe(dtype="float32", blocks={"all": [0, 5]})
    assert worked_on("probed") == []
    dataset.probe(rate=2.0, start=3.0)
    assert worked_on("probed") == ["a.npy"]
    dataset.probe(rate=2.0, start=3.0, code="2")
    assert worked_on("probed") == ["a.npy"]


def test_names_of_any_bytes_are_videos_like_others(dataset):
    odd = os.fsdecode(b"-caf\xe9 [1]\n.npy")
    dataset.add(odd, X)
    assert dataset.take().videos == [odd]


# ---------------------------------------------------------------- the shard


def test_rows_stand_at_their_times_in_the_type_asked_for(dataset):
    dataset.add("a.npy", X)
    shard = dataset.take(rate=4.0, start=0.5)
    np.testing.assert_allclose(shard.times("a.npy"), 0.5 + np.arange(7) / 4)
    assert shard.x.dtype == np.float16 and shard.attrs["dtype"] == "float16"
    np.testing.assert_array_equal(shard.rows("a.npy"), X.astype(np.float16))
    np.testing.assert_array_equal(dataset.take(dtype="float32").rows("a.npy"), X)


def test_columns_that_follow_time_are_turned(dataset):
    dataset.add("a.npy", X.T)
    np.testing.assert_array_equal(dataset.take(orientation="D x T", dtype="float32").rows("a.npy"), X)


def test_named_blocks_stand_in_the_shard(dataset):
    dataset.add("a.npy", X)
    shard = dataset.take(blocks={"sound": [4, 5], "picture": [0, 4]})
    assert json.loads(shard.attrs["blocks"]) == {"sound": [4, 5], "picture": [0, 4]}


def test_blocks_outside_the_columns_are_refused(dataset):
    dataset.add("a.npy", X)
    with pytest.raises(DataError, match=r"blocks\.sound: it ends at column 6, but '.*a\.npy' has 5 columns"):
        dataset.take(blocks={"sound": [4, 6]})
    with pytest.raises(ValueError, match=r"blocks\.sound: \[4, 4\] holds no column"):
        FeatureFilesOptions(blocks={"sound": (4, 4)})


def test_files_of_different_width_are_named_both(dataset):
    dataset.add("a.npy", X)
    dataset.add("b.npy", X[:, :4])
    with pytest.raises(DataError, match=r"'a\.npy' has 5 columns, 'b\.npy' 4"):
        dataset.take()


def test_values_that_do_not_fit_into_float16_are_refused(dataset):
    dataset.add("a.npy", 1e6 * np.abs(X))
    with pytest.raises(DataError, match=r"a\.npy': values up to .*e\+06 do not fit into float16; set dtype: float32"):
        dataset.take()
    assert dataset.take(dtype="float32").rows("a.npy").max() > 65504


def test_a_file_that_changed_since_its_probe_is_refused(dataset):
    dataset.add("a.npy", X)
    dataset.probe()
    dataset.add("a.npy", X[:, :3])
    with pytest.raises(DataError, match=r"a\.npy': 3 columns, 5 when it was probed; run the probe again"):
        feature_files(dataset.root, dataset.table, dataset.shard, FeatureFilesOptions(), "1")


def test_a_shard_of_no_file_is_a_shard(dataset):
    assert dataset.take().videos == []


def test_crosstask_features_of_a_second_a_row_keep_their_blocks(dataset):
    x = RNG.standard_normal((30, 3200)).astype(np.float32)
    dataset.add("_-AbC_d1.npy", x)
    shard = dataset.take(blocks={"i3d": [0, 1024], "resnet": [1024, 3072], "audio": [3072, 3200]})
    first, last = json.loads(shard.attrs["blocks"])["audio"]
    np.testing.assert_array_equal(shard.rows("_-AbC_d1.npy")[:, first:last], x[:, 3072:].astype(np.float16))


# ---------------------------------------------------------------- as commands


def test_the_commands_run_without_torch(dataset):
    dataset.add("a.npy", X)
    dataset.probe()
    code = """
import sys
from kinoflow.cli import main
root, table, shard, list = sys.argv[1:]
assert main(["probe-files", "--root", root, "--list", list, "--table", table]) == 0
assert main(["feature-files", "--root", root, "--table", table, "--shard", shard, "--rate", "2"]) == 0
assert not {"torch", "torchvision", "av"} & set(sys.modules)
"""
    words = [sys.executable, "-c", code, dataset.root, dataset.table, dataset.shard, dataset.root.parent / "list.json"]
    environment = os.environ | {"PYTHONPATH": str(Path(kinoflow.__file__).parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert Shard(dataset.shard).videos == ["a.npy"]
