"""Shards hold what was added, byte for byte, whatever the order; reading one is mapping it."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.conftest import ROOT

from kinoflow.errors import DataError
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard, decode_jpeg, encode_jpeg, put, writing

NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name).map(os.fsdecode)
ATTRS = {"options": '{"size": 40}', "backbone": "small", "device": "cpu", "rows": 3}


def write_features(path: Path, videos: dict[str, np.ndarray], order: list[str] | None = None, **shape) -> Shard:
    with writing(path, ATTRS, frames=False, **shape) as writer:
        for name in order or videos:
            writer.add(name, videos[name], np.arange(len(videos[name])) / 4)
    return Shard(path)


def write_frames(path: Path, videos: dict[str, np.ndarray], store: str = "raw") -> Shard:
    with writing(path, ATTRS | {"store": store}, frames=True) as writer:
        for name, x in videos.items():
            if store == "raw":
                writer.add(name, x, np.arange(len(x)) / 4)
            else:
                writer.add(name, (encode_jpeg(frame, 95) for frame in x), np.arange(len(x)) / 4, x.shape[1:3])
    return Shard(path)


def features_of(dtype: str, width: int) -> st.SearchStrategy:
    rows = hnp.arrays(dtype, st.tuples(st.integers(0, 4), st.just(width)), elements=st.floats(-100, 100, width=16))
    return st.tuples(st.just(width), st.dictionaries(NAMES, rows, max_size=4))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_come_back_as_they_were_whatever_the_order(tmp_path, dtype):
    @settings(max_examples=40, deadline=None)
    @given(drawn=st.integers(1, 3).flatmap(lambda width: features_of(dtype, width)), seed=st.integers(0, 99))
    def check(drawn, seed):
        width, videos = drawn
        shard = write_features(tmp_path / "a.h5", videos, width=width, dtype=dtype)
        order = random.Random(seed).sample(list(videos), len(videos))
        write_features(tmp_path / "b.h5", videos, order, width=width, dtype=dtype)
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
        assert shard.videos == sorted(videos, key=os.fsencode)
        for name, x in videos.items():
            assert name in shard and shard.rows(name).dtype == dtype
            assert np.array_equal(shard.rows(name), x)
            assert np.array_equal(shard.times(name), np.arange(len(x)) / 4)

    check()


@settings(max_examples=30, deadline=None)
@given(shapes=st.dictionaries(NAMES, st.tuples(*[st.integers(0, 3)] + [st.integers(1, 5)] * 2), max_size=4))
def test_raw_frames_come_back_as_they_were(tmp_path_factory, shapes):
    rng = np.random.default_rng(0)
    videos = {name: rng.integers(0, 256, (*shape, 3), np.uint8) for name, shape in shapes.items()}
    shard = write_frames(tmp_path_factory.getbasetemp() / "frames.h5", videos)
    assert shard.attrs == ATTRS | {"store": "raw"}
    for name, x in videos.items():
        assert np.array_equal(shard.frames(name), x)
        assert np.array_equal(shard.frames(name, np.arange(len(x))[::-2]), x[::-2])
        assert len(shard.times(name)) == len(x)
        assert all(shard.picture(name, i) == frame.tobytes() for i, frame in enumerate(x))


def test_coded_frames_come_back_as_they_were_coded(tmp_path):
    videos = {name: np.full((3, 16, 24, 3), value, np.uint8) for name, value in (("b", 10), ("a", 200))}
    shard = write_frames(tmp_path / "a.h5", videos, "jpeg")
    for name, x in videos.items():
        assert shard.picture(name, 1) == encode_jpeg(x[1], 95)
        assert np.abs(shard.frames(name).astype(int) - x).max() <= 2
        assert np.array_equal(
            shard.frames(name, [2, 0]), np.stack([decode_jpeg(shard.picture(name, i)) for i in (2, 0)])
        )


def test_a_shard_without_videos_and_one_without_rows_are_shards(tmp_path):
    empty = write_features(tmp_path / "a.h5", {}, width=7, dtype="float32")
    assert empty.videos == [] and empty.x.shape == (0, 7) and empty.x.dtype == np.float32
    silent = write_features(tmp_path / "b.h5", {"v": np.zeros((0, 5), np.float16)}, width=7, dtype="float32")
    assert silent.rows("v").shape == (0, 7)
    assert write_features(tmp_path / "c.h5", {}).x.shape == (0, 0)
    assert write_frames(tmp_path / "d.h5", {}).videos == []
    assert write_frames(tmp_path / "e.h5", {"v": np.zeros((0, 4, 6, 3), np.uint8)}).frames("v").shape == (0, 4, 6, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_plain_hdf5_reads_what_was_written_beside_it(tmp_path, dtype):
    """x is written through a plain file handle, at the place that HDF5 names for it."""
    rng = np.random.default_rng(1)
    videos = {f"v{i}": rng.normal(size=(i * 100, 33)).astype(dtype) for i in (3, 0, 2, 1)}
    write_features(tmp_path / "a.h5", videos)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert np.array_equal(file["x"][()], np.concatenate([videos[name] for name in sorted(videos)]))
        assert file["x"].chunks is None and file["x"].compression is None and file["x"].dtype == dtype
        assert file["offsets"][()].tolist() == [0, 0, 100, 300, 600]
        assert file["video"][()].tolist() == [b"v0", b"v1", b"v2", b"v3"]
    write_frames(tmp_path / "b.h5", {"v": rng.integers(0, 256, (5, 8, 6, 3), np.uint8)})
    with h5py.File(tmp_path / "b.h5", "r") as file:
        assert np.array_equal(file["x"][()].reshape(5, 8, 6, 3), Shard(tmp_path / "b.h5").frames("v"))
        assert file["bytes"][()].tolist() == [0, 144, 288, 432, 576, 720] and file["shape"][()].tolist() == [[8, 6]]


def test_what_hdf5_itself_would_write_is_read_too(tmp_path):
    """The layout is all there is to a shard: another program may write one."""
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["options"] = np.bytes_("{}")
        for name, values in (
            ("video", np.array([b"v", b"w"])),
            ("offsets", [0, 1, 4]),
            ("time", np.arange(4.0)),
            ("x", x),
        ):
            put(file, name, np.asarray(values))
    shard = Shard(tmp_path / "a.h5")
    assert np.array_equal(shard.rows("w"), x[1:]) and shard.attrs == {"options": "{}"}


def test_another_process_writes_the_same_bytes(tmp_path):
    program = (
        "import sys, numpy as np; from tests.store.test_shards import write_features as w;"
        "w(sys.argv[1], {f'v{i}': np.full((i, 4), i, np.float16) for i in range(5)})"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "MALLOC_PERTURB_": "77"}
    subprocess.run([sys.executable, "-c", program, tmp_path / "a.h5"], env=environment, check=True)
    write_features(tmp_path / "b.h5", {f"v{i}": np.full((i, 4), i, np.float16) for i in range(5)})
    assert sha256_of(tmp_path / "a.h5") == sha256_of(tmp_path / "b.h5")


def test_reading_maps_the_file_and_copies_nothing(tmp_path):
    shard = write_features(tmp_path / "a.h5", {"v": np.ones((5, 4), np.float32), "w": np.zeros((2, 4), np.float32)})
    assert isinstance(shard.x, np.memmap) and np.shares_memory(shard.rows("v"), shard.x)
    assert not shard.rows("v").flags.writeable
    frames = write_frames(tmp_path / "b.h5", {"v": np.ones((5, 4, 4, 3), np.uint8)})
    assert np.shares_memory(frames.frames("v"), frames.x)


def test_a_shard_goes_to_another_process(tmp_path):
    shard = write_features(tmp_path / "a.h5", {"v": np.ones((5, 4), np.float32)})
    text = pickle.dumps(shard)
    assert len(text) < 300
    again = pickle.loads(text)
    assert isinstance(again.x, np.memmap) and np.array_equal(again.rows("v"), shard.rows("v"))


def test_long_attributes_come_back(tmp_path):
    with writing(tmp_path / "a.h5", {"blocks": "x" * 200_000, "rate": 0.1, "none": ""}, frames=False):
        pass
    assert Shard(tmp_path / "a.h5").attrs == {"blocks": "x" * 200_000, "rate": 0.1, "none": ""}


# ---------------------------------------------------------------- what is refused


def test_a_video_stands_only_once_in_a_shard(tmp_path):
    with pytest.raises(DataError, match="'v' stands twice"), writing(tmp_path / "a.h5", {}, frames=False) as writer:
        writer.add("v", np.zeros((1, 2), np.float16), np.zeros(1))
        writer.add("v", np.zeros((1, 2), np.float16), np.zeros(1))
    assert list(tmp_path.iterdir()) == []


def test_as_many_times_as_items_are_asked_for(tmp_path):
    with (
        pytest.raises(DataError, match="'v': 3 items but 2 times"),
        writing(tmp_path / "a.h5", {}, frames=True) as writer,
    ):
        writer.add("v", iter([b"x", b"y", b"z"]), np.zeros(2), (1, 1))


@pytest.mark.parametrize("other", [np.zeros((1, 3), np.float16), np.zeros((1, 2), np.float32)])
def test_one_shard_has_one_width_and_one_type(tmp_path, other):
    with pytest.raises(DataError, match="differ in width or type"):
        write_features(tmp_path / "a.h5", {"v": np.zeros((1, 2), np.float16), "w": other})


@pytest.mark.parametrize(
    "frames, x",
    [
        (False, np.zeros((1, 2), np.float64)),
        (False, np.zeros(2, np.float32)),
        (True, np.zeros((1, 2, 2, 3), np.float32)),
        (True, np.zeros((2, 2, 3), np.uint8)),
    ],
)
def test_arrays_of_another_kind_are_a_bug(tmp_path, frames, x):
    with pytest.raises(ValueError, match="x must be"), writing(tmp_path / "a.h5", {}, frames=frames) as writer:
        writer.add("v", x, np.zeros(len(x)))


def test_a_video_that_fails_half_way_leaves_no_trace_in_the_others(tmp_path):
    def pictures():
        yield b"half of a video"
        raise DataError("cut off")

    with writing(tmp_path / "a.h5", {"store": "jpeg"}, frames=True) as writer:
        writer.add("a", iter([b"1", b"22"]), np.arange(2), (1, 1))
        with pytest.raises(DataError):
            writer.add("b", pictures(), np.arange(2), (1, 1))
        writer.add("c", iter([b"333"]), np.arange(1), (1, 1))
    with writing(tmp_path / "b.h5", {"store": "jpeg"}, frames=True) as writer:
        writer.add("a", iter([b"1", b"22"]), np.arange(2), (1, 1))
        writer.add("c", iter([b"333"]), np.arange(1), (1, 1))
    assert sha256_of(tmp_path / "a.h5") == sha256_of(tmp_path / "b.h5")


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_an_interrupted_writer_leaves_the_old_shard_and_nothing_else(tmp_path, error):
    write_features(tmp_path / "a.h5", {"v": np.ones((1, 2), np.float16)})
    before = sha256_of(tmp_path / "a.h5")
    with pytest.raises(error), writing(tmp_path / "a.h5", {}, frames=False) as writer:
        writer.add("w", np.ones((1, 2), np.float16), np.zeros(1))
        raise error
    assert sha256_of(tmp_path / "a.h5") == before and [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def broken(path: Path, edit) -> Path:
    write_features(path, {"v": np.ones((100, 20), np.float32)})
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def replaced(file: h5py.File, name: str, **keywords) -> None:
    del file[name]
    file.create_dataset(name, **keywords)


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file.__delitem__("x"),
        lambda file: replaced(file, "x", data=np.ones((100, 20), np.float32), chunks=(10, 20)),
        lambda file: replaced(file, "x", data=np.ones((99, 20), np.float32)),
        lambda file: replaced(file, "offsets", data=[0]),
        lambda file: replaced(file, "time", data=np.zeros(3)),
        lambda file: (file.__delitem__("video"), file.create_group("video")),
        lambda file: replaced(file, "offsets", data=[-5, 100]),
        lambda file: replaced(file, "offsets", data=[0.0, 100.0]),
        lambda file: (replaced(file, "x", data=[b"a"]), replaced(file, "time", data=[0.0])),
        lambda file: (file.__delitem__("x"), file.__setitem__("x", h5py.SoftLink("/x"))),
        lambda file: file.__setitem__("bytes", h5py.SoftLink("/bytes")),
    ],
)
def test_a_file_of_another_layout_is_refused_in_a_sentence(tmp_path, edit):
    """Above all one whose x is stored in chunks: mapped, it would read as something else."""
    with pytest.raises(DataError, match=r"a\.h5: this is no shard of kinoflow .*; delete it and run its stage again"):
        Shard(broken(tmp_path / "a.h5", edit))


@pytest.mark.parametrize("offsets", [[0, 4 + 2**40, 10], [0, 11, 10], [1, 4, 10], [0, -1, 10], [0, 4, 11]])
def test_a_damaged_offset_is_never_read_as_another_video(tmp_path, offsets):
    write_features(tmp_path / "a.h5", {"a": np.ones((4, 3), np.float32), "b": np.zeros((6, 3), np.float32)})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        assert file["offsets"][()].tolist() == [0, 4, 10]
        file["offsets"][()] = offsets
    with pytest.raises(DataError, match="its parts do not fit each other"):
        Shard(tmp_path / "a.h5")


@pytest.mark.parametrize("store", ["raw", "jpeg"])
@pytest.mark.parametrize(
    "name, damage",
    [
        ("bytes", lambda marks: np.r_[marks[:1], marks[1] + 2**40, marks[2:]]),
        ("bytes", lambda marks: np.r_[-1, marks[1:]]),
        ("shape", lambda sizes: -sizes),
        ("shape", lambda sizes: sizes[:, :1]),
        ("shape", lambda sizes: sizes * 1.0),
    ],
)
def test_damaged_places_and_sizes_of_frames_are_refused(tmp_path, store, name, damage):
    x = np.arange(3 * 4 * 6 * 3, dtype=np.uint8).reshape(3, 4, 6, 3)
    with writing(tmp_path / "a.h5", {"store": store}, frames=True) as writer:
        writer.add("a", x if store == "raw" else [encode_jpeg(each, 90) for each in x], np.arange(3.0), (4, 6))
    assert Shard(tmp_path / "a.h5").frames("a").shape == x.shape
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        replaced(file, name, data=damage(file[name][()]))
    with pytest.raises(DataError, match="its parts do not fit each other"):
        Shard(tmp_path / "a.h5")


def test_raw_frames_of_another_size_are_refused(tmp_path):
    with writing(tmp_path / "a.h5", {"store": "raw"}, frames=True) as writer:
        writer.add("a", np.zeros((3, 4, 6, 3), np.uint8), np.arange(3.0))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["shape"][()] = [[4, 7]]
    with pytest.raises(DataError, match="its parts do not fit each other"):
        Shard(tmp_path / "a.h5")


def test_x_of_another_file_is_refused(tmp_path):
    write_features(tmp_path / "other.h5", {"v": np.ones((100, 20), np.float32)})
    path = broken(
        tmp_path / "a.h5",
        lambda file: (file.__delitem__("x"), file.__setitem__("x", h5py.ExternalLink(tmp_path / "other.h5", "x"))),
    )
    with pytest.raises(DataError, match="x is not there, or only as a link"):
        Shard(path)


def test_files_that_are_no_shards_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no such shard"):
        Shard(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(DataError, match="this is no shard of kinoflow"):
        Shard(tmp_path / "a.h5")
    whole = broken(tmp_path / "b.h5", lambda file: None).read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="this is no shard of kinoflow"):
        Shard(tmp_path / "b.h5")


# ---------------------------------------------------------------- memory

PEAK = """
import hashlib, resource, sys
import numpy as np
from kinoflow.store.shards import writing
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, megabytes = peak(), int(sys.argv[2])
with writing(sys.argv[1], {}, frames=False) as writer:
    for i in range(megabytes // 4):
        writer.add(f"v{i}", np.full((4096, 256), i, np.float32), np.arange(4096))
print(peak() - before)
"""


def test_writing_takes_the_memory_of_one_video(tmp_path):
    """100 MB here; with 300 MB it were 18 MB of memory too."""
    command = [sys.executable, "-c", PEAK, tmp_path / "a.h5", "100"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 60
    assert Shard(tmp_path / "a.h5").rows("v24")[4095, 255] == 24
