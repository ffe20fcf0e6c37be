"""Where features come from: each source on the smallest real file."""

import gzip
import io
import pickle
import sys

import h5py
import numpy as np
import pytest
from tests.tasks.anticipation import world as tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.store import shards
from kinoflow.tasks.anticipation.rulstm_lmdb import KEY, Lmdb
from kinoflow.tasks.anticipation.sources import Files, Labels, Pictures, Shards, View

ROWS = np.arange(40, dtype=np.float32).reshape(10, 4)


def database(folder, stored, video="P01_01"):
    """A small LMDB in the layout of RULSTM."""
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder), map_size=1 << 20) as made, made.begin(write=True) as writing:
        for number in stored:
            writing.put(KEY.format(video=video, number=number).encode(), np.full(4, number, np.float32).tobytes())
    return folder


# ---------------------------------------------------------------- LMDB


def test_frames_of_an_lmdb_are_read_by_their_keys_and_missing_ones_looked_for_before(tmp_path):
    source = Lmdb(database(tmp_path, [30, 60, 75]))
    assert source.width == 4
    assert source.frames("P01_01", np.array([30, 60, 60, 69, 90]))[:, 0].tolist() == [30, 60, 60, 60, 0]


def test_only_the_frames_that_are_asked_for_are_read(tmp_path, monkeypatch):
    source, asked = Lmdb(database(tmp_path, range(1, 100)), lookback=9), []
    nearest = source._nearest
    monkeypatch.setattr(
        source, "_nearest", lambda reading, video, number: asked.append(number) or nearest(reading, video, number)
    )
    source.frames("P01_01", np.array([10, 40, 40]))
    assert sorted(asked) == [10, 40]


def test_a_window_without_a_single_stored_frame_is_refused(tmp_path):
    with pytest.raises(DataError, match="none of the frames 50 to 60 of 'P01_01' is stored"):
        Lmdb(database(tmp_path, [1])).frames("P01_01", np.array([50, 60]))


def test_an_lmdb_goes_into_other_processes_and_is_not_read_whole(tmp_path):
    source = pickle.loads(pickle.dumps(Lmdb(database(tmp_path, [30]))))
    assert source.frames("P01_01", np.array([30])).tolist() == [[30] * 4]
    with pytest.raises(ConfigError, match="take read: frames"):
        source.rows("P01_01")


def test_values_that_are_no_float32_and_folders_that_are_no_lmdb_are_refused(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "a")) as made, made.begin(write=True) as writing:
        writing.put(b"x_frame_0000000001.jpg", b"abc")
    with pytest.raises(DataError, match="has 3 bytes, which is no row of float32"):
        Lmdb(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "data.mdb").write_bytes(b"nothing of the kind" * 999)
    with pytest.raises(DataError, match="no readable LMDB"):
        Lmdb(tmp_path / "b")


def test_an_lmdb_that_is_cut_off_anywhere_is_refused_in_a_sentence(tmp_path):
    whole = (database(tmp_path / "a", range(1, 400)) / "data.mdb").read_bytes()
    (tmp_path / "b").mkdir()
    for length in range(0, len(whole), len(whole) // 40):
        (tmp_path / "b/data.mdb").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"b: this (LMDB is damaged \(it is cut off|is no readable LMDB)"):
            Lmdb(tmp_path / "b")


def test_an_lmdb_with_damaged_pages_is_refused_or_read_and_never_ends_the_process(tmp_path):
    whole = (database(tmp_path / "a", range(1, 400)) / "data.mdb").read_bytes()
    (tmp_path / "b").mkdir()
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        page = 4096 * random.integers(2, len(whole) // 4096)
        for place in page + random.integers(0, 64, 16):
            damaged[place] = random.integers(256)
        (tmp_path / "b/data.mdb").write_bytes(damaged)
        try:
            Lmdb(tmp_path / "b").frames("P01_01", np.array([5, 100, 300, 399]))
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{tmp_path / 'b'}: ")
    assert refused


def test_without_the_package_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ConfigError, match="need the package lmdb; install it"):
        Lmdb(tmp_path)


# ---------------------------------------------------------------- files


def write_npy(path):
    np.save(path, ROWS)


def write_npz(path):
    np.savez(path, x=ROWS)


def write_h5(path):
    with h5py.File(path, "w") as file:
        file["x"] = ROWS


def write_gz_of_npy(path):
    content = io.BytesIO()
    np.save(content, ROWS)
    path.write_bytes(gzip.compress(content.getvalue()))


def write_gz_of_text(path):
    path.write_bytes(gzip.compress("\n".join(" ".join(map(str, row)) for row in ROWS).encode()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", write_npy),
        ("a.npz", write_npz),
        ("a.h5", write_h5),
        ("a.npy.gz", write_gz_of_npy),
        ("a.txt.gz", write_gz_of_text),
        ("a.gz", write_gz_of_text),
    ],
)
def test_files_of_every_kind_give_their_rows_as_numbered_frames(tmp_path, name, write):
    write(tmp_path / name)
    source = Files(tmp_path, fps=5.0)
    rows, times = source.rows("a.mp4")
    assert source.width == 4 and np.array_equal(rows, ROWS)
    assert times[:2].tolist() == [0.2, 0.4]
    assert np.array_equal(source.frames("a", np.array([1, 3, 10, 12])), ROWS[[0, 2, 9, 9]])


def test_files_that_are_missing_damaged_or_of_another_width_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file of features"):
        Files(tmp_path, 5.0)
    write_npy(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", ROWS[:, :3])
    (tmp_path / "c.gz").write_bytes(b"no gz")
    source = Files(tmp_path, 5.0)
    for video, sentence in (
        ("b", "3 columns, other files have 4"),
        ("c", "no gz file"),
        ("d", "no file of features of the video 'd'"),
    ):
        with pytest.raises(DataError, match=sentence):
            source.rows(video)


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled objects"):
        Files(tmp_path, 5.0)


# ---------------------------------------------------------------- shards, labels, pictures


def test_a_frame_of_a_shard_is_the_latest_row_that_is_not_after_it(world):
    source = Shards(world.features, fps=30.0)
    rows, times = source.rows("v00.mp4")
    assert source.width == tiny.WIDTH and times[0] == 0.125
    found = source.frames("v00.mp4", np.array([1, 4, 12, 30]))  # .033, .133, .4 and 1 s; rows at .125, .375, ...
    assert np.array_equal(found, rows[[0, 0, 1, 3]])


def test_frames_far_from_every_row_are_zeros_and_windows_of_such_frames_alone_are_refused(tmp_path):
    with shards.writing(tmp_path / "f.h5", {}, frames=False, width=1, dtype="float32") as writer:
        writer.add("dense", np.arange(1, 31, dtype=np.float32)[:, None], np.arange(31, 61) / 30)
        writer.add("sparse", np.arange(1, 4, dtype=np.float32)[:, None], np.arange(3) + 0.5)
        writer.add("none", np.zeros((0, 1), np.float32), np.zeros(0))
    np.save(tmp_path / "dense.npy", np.arange(1, 31, dtype=np.float32)[:, None])

    def shown(source, video: str, *numbers: int) -> list[float]:
        return source.frames(video, np.array(numbers))[:, 0].tolist()

    source = Shards([tmp_path / "f.h5"], 30.0)  # rows of the frames 31 to 60
    assert shown(source, "dense", 21, 22, 31, 60, 69, 70) == [0, 1, 1, 30, 30, 0]
    assert shown(Shards([tmp_path / "f.h5"], 30.0, lookback=2), "dense", 60, 62, 63) == [30, 30, 0]
    assert shown(source, "sparse", 1, 30, 90, 105, 106) == [
        1,
        1,
        3,
        3,
        0,
    ]  # as far as rows are from each other: a second
    assert shown(Files(tmp_path, 30.0), "dense", 30, 39, 40) == [30, 30, 0]
    for video, numbers in (("dense", [3000, 3300]), ("none", [1])):
        with pytest.raises(DataError, match=f"the video '{video}' has nothing from"):
            source.frames(video, np.array(numbers))


def test_pictures_far_from_every_frame_are_zeros_too(tmp_path):
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        writer.add("a", np.full((4, 16, 16, 3), 255, np.uint8), np.arange(4) / 4)
    source = Pictures([tmp_path / "f.h5"], fps=4.0, size=16, clip=2, lookback=1)
    found = source.frames("a", np.array([3, 4, 5, 9]))
    assert found[:2].min() == 1.0 and not found[2:].any()
    with pytest.raises(DataError, match="the video 'a' has nothing from 5.00 s to 5.25 s"):
        source.frames("a", np.array([20, 21]))


def test_shards_that_do_not_fit_together_are_refused(world, tmp_path):
    with pytest.raises(DataError, match="in none of the feature shards"):
        Shards(world.features[:1], 30.0).rows("v01.mp4")
    with pytest.raises(DataError, match="is in two shards"):
        Shards([world.features[0]] * 2, 30.0)
    with shards.writing(tmp_path / "wide.h5", {}, frames=False, width=3, dtype="float32") as writer:
        writer.add("x", np.zeros((2, 3), np.float32), np.arange(2.0))
    with pytest.raises(DataError, match="3 columns, and .* has 8"):
        Shards([world.features[0], tmp_path / "wide.h5"], 30.0)


def shard_of(path, *videos, width=3):
    with shards.writing(path, {}, frames=False, width=width, dtype="float32") as writer:
        for number, video in enumerate(videos):
            writer.add(video, np.full((2, width), number, np.float32), np.arange(2.0))
    return path


def test_a_shard_without_videos_has_no_width(tmp_path):
    paths = [shard_of(tmp_path / "empty.h5", width=0), shard_of(tmp_path / "a.h5", "a")]
    assert Shards(paths, 30.0).width == 3


def test_a_video_is_meant_by_its_name_without_folders_and_extension_too(tmp_path):
    path = shard_of(tmp_path / "a.h5", "P01/P01_01.MP4", "P01/P01_010.MP4", "P02_01", "b.v2", "b.v2.mp4")
    source = Shards([path], 30.0)
    meant = ("P01_01", "P01_01.MP4", "P01/P01_010", "train/P02_01.mp4", "b.v2", "b.v2.mp4")
    assert [source.rows(video)[0][0, 0] for video in meant] == [0, 0, 1, 2, 3, 4]  # the name itself goes first
    for other in ("P01_01.avi", "P01_0", "P02_01.mp4.gz"):
        with pytest.raises(DataError, match="in none of the feature shards"):
            source.rows(other)


def test_a_name_that_may_mean_two_videos_is_refused(tmp_path):
    source = Shards([shard_of(tmp_path / "a.h5", "left/a.mp4", "right/a.mp4")], 30.0)
    with pytest.raises(DataError, match="'a' may be 'left/a.mp4' or 'right/a.mp4' of the feature shards"):
        source.rows("a")
    assert source.rows("right/a.mp4")[0][0, 0] == 1


def test_the_oracle_shows_the_true_action_of_every_moment():
    actions = {"a": (np.array([0.5, 2.0]), np.array([1.0, 3.0]), np.array([3, 1]))}
    source = Labels(actions, 4, fps=4.0)
    rows, times = source.rows("a")
    assert rows.shape == (len(times), 4) and times[-1] >= 3.0
    assert source.frames("a", np.array([1, 2, 6, 9])).argmax(1).tolist() == [0, 3, 0, 1]
    assert source.frames("a", np.array([1])).sum() == 0


def test_squares_lie_where_a_view_says_and_may_be_mirrored(tmp_path):
    wide = np.zeros((1, 20, 30, 3), np.uint8)
    wide[:] = np.arange(30)[:, None] * 5 + np.arange(20)[:, None, None]
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        writer.add("high", wide.transpose(0, 2, 1, 3).copy(), np.zeros(1))
        writer.add("wide", wide, np.zeros(1))
    source = Pictures([tmp_path / "f.h5"], fps=2.0, size=16)

    def corner(video: str, view: View) -> float:
        found = source.frames(video, np.array([0]), view)
        assert found.shape == (1, 3, 16, 16)
        return round(float(found[0, 0, 0, 0] + 1) / 2 * 255, 3)

    ends = [corner("wide", View(20, (along, 0.5))) for along in (0, 0.5, 1)]
    assert ends == [2, 7 * 5 + 2, 14 * 5 + 2]  # 16 of 20 by 16 of 30 pixels, none of them scaled
    assert ends == [corner("high", View(20, (along, 0.5))) for along in (0, 0.5, 1)]
    assert corner("wide", View(20, (0, 0))) == 0 and corner("wide", View(20, (1, 1))) == 14 * 5 + 4
    assert corner("wide", View(20, flip=True)) == (7 + 15) * 5 + 2
    with pytest.raises(DataError, match="none of the frame shards"):
        source.frames("broad", np.array([0]))


def test_pictures_are_cut_square_scaled_and_stand_for_clips_that_end_with_them(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), np.uint8)
    frames[:, :, 5:25] = np.arange(6)[:, None, None, None] * 51
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        writer.add("a", frames, np.arange(6) / 2)
    single = Pictures([tmp_path / "f.h5"], fps=2.0, size=16)
    found = single.frames("a", np.array([0, 2, 5]))
    assert found.shape == (3, 3, 16, 16)
    assert found[:, 0, 8, 8] == pytest.approx([-1, 2 * 0.4 - 1, 1], abs=1e-5)
    clips = Pictures([tmp_path / "f.h5"], fps=2.0, size=16, clip=3).frames("kitchen/a.mp4", np.array([1, 5]))
    assert clips.shape == (2, 3, 3, 16, 16)
    assert clips[0, 0, :, 8, 8] == pytest.approx([-1, -1, -0.6], abs=1e-5)  # the first frame again, before it
