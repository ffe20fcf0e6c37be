"""Which frames become segments and windows: the published tables (golden), and what holds whatever the numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.tasks.recognition.options import InputOptions, SamplingOptions
from kinoflow.tasks.recognition.sampling import consecutive, needed, segments, windows

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"
FILL = -9999  # in windows.npz, after the last index of a row

counts = st.integers(1, 400)
parts = st.integers(1, 40)
lengths = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)


def sampling(T: int, scheme: str = "uniform", cover: str = "exact") -> SamplingOptions:
    return SamplingOptions(segments=T, scheme=scheme, cover=cover)


def original(T: int, scheme: str = "uniform") -> SamplingOptions:
    return sampling(T, scheme, "original")


# ---------------------------------------------------------------- the published tables


@pytest.fixture(scope="module")
def tables():
    return np.load(GOLDEN / "samplers.npz")


@pytest.mark.parametrize("combination", range(5))
@pytest.mark.parametrize("mode", ["validate", "test", "twice", "dense"])
def test_original_positions_are_the_published_ones(tables, combination, mode):
    T, length = map(int, tables["combos_T_newlen"][combination])
    name = {"validate": "val", "dense": "dense_test"}.get(mode, mode)
    for frames, wanted in zip(tables["N"].tolist(), tables[f"{name}_{combination}"] - 1, strict=True):
        np.testing.assert_array_equal(segments(frames, original(T), length, mode), wanted)


@pytest.mark.parametrize("combination", range(5))
@pytest.mark.parametrize("scheme", ["uniform", "dense"])
def test_original_draws_are_the_published_ones(tables, combination, scheme):
    T, length = map(int, tables["combos_T_newlen"][combination])
    name = "train_seed0to3" if scheme == "uniform" else "dense_train_seed0to3"
    for frames, rows in zip(tables["N"].tolist(), tables[f"{name}_{combination}"], strict=True):
        for seed, wanted in enumerate(rows):
            if wanted[0] != -999:  # not computed
                got = segments(frames, original(T, scheme), length, "train", np.random.RandomState(seed))
                np.testing.assert_array_equal(got, wanted - 1)


def test_original_dense_validation_draws_as_training_does(tables):
    for frames, rows in zip(tables["N"].tolist(), tables["dense_train_seed0to3_0"], strict=True):
        got = segments(frames, original(8, "dense"), 1, "validate", np.random.RandomState(2))
        np.testing.assert_array_equal(got, rows[2] - 1)


def test_original_draws_reach_as_far_as_the_published_ones(tables):
    rng = np.random.default_rng(0)
    for frames, T, length, *support in tables["train_support_N_T_L_min6_max6"].tolist():
        least, most = np.reshape(support, (2, 6)) - 1
        drawn = np.stack([segments(frames, original(T), length, "train", rng) for _ in range(600)])[:, :6]
        assert (drawn >= least).all() and (drawn <= most).all()
        if frames - length + 1 >= T:  # else the draws are sorted, and seldom all at one end
            assert (drawn.min(0) == least).all() and (drawn.max(0) == most).all()


def test_original_dense_starts_leave_out_the_last_one(tables):
    rng = np.random.default_rng(0)
    for frames, first, last, different in tables["dense_train_start_support"].tolist():
        starts = [segments(frames, original(8, "dense"), 1, "train", rng)[0] for _ in range(1500)]
        assert (min(starts), max(starts), len(set(starts))) == (first - 1, last - 1, different)


def window_rows(ok: bool = True):
    table = np.load(GOLDEN / "windows.npz")
    names = table["meta_columns"].tolist()
    for meta, indices in zip(table["meta"].tolist(), table["idx"].astype(int), strict=True):
        row = dict(zip(names, meta, strict=True))
        if row["ok"] == ok:
            mode = ["validate", "test", "train"][row["mode_0val_1test_2train"]]
            options = InputOptions(kind="gray", frames=row["num_frame"], interval=row["interval"], border="original")
            rng = np.random.RandomState(11)
            positions = segments(row["N"], original(row["T"]), 1, "dense" if row["dense"] else mode, rng)
            wanted = indices[indices != FILL].reshape(-1, row["num_frame"])
            yield row, options, positions, wanted


def test_original_windows_are_the_published_ones_inside_and_at_the_ends():
    rows = [item for item in window_rows() if not item[0]["data_0image_1video"]]
    for row, options, positions, wanted in rows:
        # The published code takes 0-based moments of a dense test for numbers that count from 1.
        got = windows(positions - row["dense"], row["N"], options)
        # Numbers that lie outside the clip (it is shorter than window and half a window) name no frame: the nearest.
        np.testing.assert_array_equal(got, (wanted - 1).clip(0, row["N"] - 1), str(row))
    assert len(rows) > 400
    assert any(row["dense"] for row, *_ in rows)


def decoded(row, options, positions):
    """The published windows of decoded videos, numbers from 0: uniform moments still count from 1, both ends differ."""
    half, i = needed(options) // 2, positions + (not row["dense"])
    i = np.where(i < half, i + half, np.where(i > row["N"] - half - 1, i - half - 1, i))
    numbers = i[:, None] - half + np.arange(options.frames) * (options.interval + 1)
    return np.where(numbers < 0, numbers + row["N"], numbers)  # Python counts them from the end


def test_published_windows_of_decoded_videos_are_made_of_the_same_moments():
    rows = [item for item in window_rows() if item[0]["data_0image_1video"]]
    for row, options, positions, wanted in rows:
        np.testing.assert_array_equal(decoded(row, options, positions), wanted, str(row))
    failed = [item for item in window_rows(ok=False) if item[0]["data_0image_1video"]]
    for row, options, positions, _ in failed:  # the published code raised there
        numbers = decoded(row, options, positions)
        assert ((numbers < 0) | (numbers >= row["N"])).any(), str(row)
    assert len(rows) > 300 and failed


def test_published_windows_of_decoded_videos_come_one_frame_late():
    compared = 0
    for row, options, positions, wanted in window_rows():
        if row["data_0image_1video"]:
            late = positions + (not row["dense"])
            ends = late > row["N"] - 1 - needed(options) // 2  # moved by one more there
            compared += (~ends).sum()
            got = windows(late[~ends], row["N"], options)
            inside = (wanted[~ends] < row["N"]).all(axis=1) & (got[:, -1] - got[:, 0] == needed(options) - 1)
            np.testing.assert_array_equal(got[inside], wanted[~ends][inside], str(row))
    assert compared > 1000


def test_clamped_windows_are_the_published_ones_away_from_the_ends():
    compared = 0
    for row, options, positions, wanted in window_rows():
        half = needed(options) // 2
        if not row["data_0image_1video"] and not row["dense"]:
            clamp = options.model_copy(update={"border": "clamp"})
            inner = (positions >= half) & (positions < row["N"] - half)
            np.testing.assert_array_equal(windows(positions[inner], row["N"], clamp), wanted[inner] - 1)
            compared += inner.sum()
    assert compared > 1000


def test_a_window_at_the_beginning_is_clamped_by_as_little_as_needed():
    five = InputOptions(kind="gray", frames=5)
    assert windows([1], 100, five).tolist() == [[0, 1, 2, 3, 4]]
    assert windows([1], 100, five.model_copy(update={"border": "original"})).tolist() == [[1, 2, 3, 4, 5]]


# ---------------------------------------------------------------- whatever the numbers


@given(
    counts,
    parts,
    lengths,
    seeds,
    st.sampled_from(["exact", "original"]),
    st.sampled_from(["train", "validate", "test"]),
)
def test_uniform_moments_lie_in_the_clip_in_order(frames, T, length, seed, cover, mode):
    got = segments(frames, sampling(T, cover=cover), length, mode, np.random.default_rng(seed))
    assert got.shape == (T,) and got.dtype == np.int64
    assert got.min() >= 0 and got.max() <= max(0, frames - length)
    assert (np.diff(got) >= 0).all()


@given(counts, parts, lengths, seeds)
def test_each_draw_lies_in_its_own_part(frames, T, length, seed):
    M = max(1, frames - length + 1)
    got = segments(frames, sampling(T), length, "train", np.random.default_rng(seed))
    k = np.arange(T)
    assert (got >= M * k // T).all()
    assert (got <= -(-M * (k + 1) // T)).all()
    if M >= T:
        got = segments(frames, original(T), length, "train", np.random.default_rng(seed))
        assert (got >= k * (M // T)).all() and (got < (k + 1) * (M // T)).all()


@given(counts, parts, lengths)
def test_exact_middles_are_the_published_test_moments(frames, T, length):
    ours = segments(frames, sampling(T), length, "test")
    published = segments(frames, original(T), length, "test")
    assert np.abs(ours - published).max() <= 1  # the published code rounds M / T to a float first
    assert (segments(frames, sampling(T), length, "validate") == ours).all()
    if frames - length + 1 >= T:
        assert (np.diff(ours) > 0).all()


@settings(max_examples=25)
@given(st.integers(1, 14), st.integers(1, 6), st.integers(1, 3), seeds)
def test_exact_training_draws_every_frame_in_the_end(frames, T, length, seed):
    rng, M = np.random.default_rng(seed), max(1, frames - length + 1)
    drawn = {int(m) for _ in range(600) for m in segments(frames, sampling(T), length, "train", rng)}
    assert drawn == set(range(M))
    read = {min(m + i, frames - 1) for m in drawn for i in range(length)}
    assert read == set(range(frames))


def test_exact_training_draws_uniformly_from_real_parts():
    rng = np.random.default_rng(0)
    drawn = np.stack([segments(5, sampling(2), 1, "train", rng) for _ in range(20000)])
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=5) / 20000, [0.4, 0.4, 0.2, 0, 0], atol=0.015)
    np.testing.assert_allclose(np.bincount(drawn[:, 1], minlength=5) / 20000, [0, 0, 0.2, 0.4, 0.4], atol=0.015)


@given(counts, parts, st.sampled_from(["uniform", "dense"]), st.sampled_from(["validate", "test", "twice", "dense"]))
def test_exact_cover_leaves_nothing_to_chance_outside_training(frames, T, scheme, mode):
    options = sampling(T, scheme)
    first = segments(frames, options, 1, mode, np.random.default_rng(0))
    assert (first == segments(frames, options, 1, mode, None)).all()


@given(counts, parts, seeds, st.sampled_from(["uniform", "dense"]), st.sampled_from(["exact", "original"]))
def test_twice_and_dense_give_two_and_ten_clips(frames, T, seed, scheme, cover):
    options, rng = sampling(T, scheme, cover), np.random.default_rng(seed)
    for mode, clips in {"train": 1, "validate": 1, "test": 1, "twice": 2, "dense": 10}.items():
        got = segments(frames, options, 1, mode, rng)
        assert got.shape == (clips * T,)
        assert got.min() >= 0 and got.max() < frames


@given(counts, parts)
def test_the_second_clip_of_twice_is_half_a_segment_earlier(frames, T):
    later, earlier = segments(frames, sampling(T), 1, "twice").reshape(2, T)
    assert (later == segments(frames, sampling(T), 1, "test")).all()
    assert (earlier == np.arange(T) * frames // T).all()


def test_dense_stretches_are_evenly_spaced():
    got = segments(300, sampling(8, "dense"), 1, "test")
    assert got.tolist() == [118, 126, 134, 142, 150, 158, 166, 174]  # from the middle start of 0 .. 236
    assert segments(300, sampling(8, "dense"), 1, "twice")[8:].tolist() == [i - 4 for i in got]
    assert (segments(300, sampling(8, "dense"), 1, "validate") == got).all()


def test_exact_dense_training_draws_the_last_stretch_too():
    rng = np.random.default_rng(0)
    starts = {int(segments(66, sampling(8, "dense"), 1, "train", rng)[0]) for _ in range(200)}
    assert starts == {0, 1, 2}


def test_more_dense_segments_than_a_stretch_has_frames_are_no_standing_picture():
    assert segments(200, sampling(100, "dense"), 1, "validate").tolist() == list(range(68, 168))


def test_a_clip_without_frames_has_no_segments():
    with pytest.raises(ValueError, match="without frames"):
        segments(0, sampling(8), 1, "test")


@given(counts, st.integers(1, 6), st.integers(0, 3), st.sampled_from(["clamp", "original"]), st.data())
def test_windows_keep_their_spacing_inside_the_clip(frames, nf, interval, border, data):
    options = InputOptions(kind="gray", frames=nf, interval=interval, border=border)
    span = needed(options)
    half = span // 2
    position = data.draw(st.integers(0, frames - 1))
    (got,) = windows([position], frames, options)
    assert got.min() >= 0 and got.max() < frames
    if frames >= span + half or (border == "clamp" and frames >= span):
        assert (np.diff(got) == interval + 1).all()
        if border == "clamp":
            assert got[0] <= position <= got[-1]
    if nf == 1:
        assert got.tolist() == [position]


def test_flow_and_differences_are_read_onwards_and_stay_at_the_end():
    flow, difference = InputOptions(kind="flow", frames=3), InputOptions(kind="difference", frames=3)
    assert windows([0, 5], 7, flow).tolist() == [[0, 1, 2], [5, 6, 6]]
    assert windows([0, 5], 7, difference).tolist() == [[0, 1, 2, 3], [5, 6, 6, 6]]
    assert windows([4, 2], 7, InputOptions()).tolist() == [[4], [2]]


def test_how_many_frames_a_window_spans():
    assert [needed(InputOptions(kind=kind, frames=n)) for kind, n in (("rgb", 1), ("flow", 5), ("difference", 5))] == [
        *(1, 5, 6)
    ]
    assert needed(InputOptions(kind="gray", frames=3, interval=2)) == 7
    kinds = (("rgb", 1), ("gray", 3), ("flow", 5), ("difference", 5))
    assert [consecutive(InputOptions(kind=kind, frames=n)) for kind, n in kinds] == [1, 1, 5, 6]
