import os
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.datasets.options import DrawOptions
from kinoflow.datasets.splits import SPLITS, draw, split_name
from kinoflow.errors import DataError

SHARES = st.tuples(st.floats(0, 0.49), st.floats(0, 0.49))
NAMES = st.binary(max_size=20).map(os.fsdecode)


@settings(deadline=None)
@given(SHARES, st.integers(0, 2**32 - 1))
def test_shares_are_near_the_asked_ones(shares, seed):
    test, validation = shares
    options = DrawOptions(test=test, validation=validation, seed=seed)
    counts = Counter(draw(f"recording {i}", options) for i in range(1000))
    assert set(counts) <= set(SPLITS)
    for split, share in (("test", test), ("validation", validation)):
        # Seven standard deviations: one in 10^11 draws of hypothesis lies outside.
        assert abs(counts[split] / 1000 - share) <= 7 * (share * (1 - share) / 1000) ** 0.5 + 1e-9


@settings(deadline=None)
@given(NAMES, SHARES, st.integers(0, 99))
def test_a_draw_is_a_function_of_name_and_seed_alone(name, shares, seed):
    options = DrawOptions(test=shares[0], validation=shares[1], seed=seed)
    assert draw(name, options) == draw(name, options.model_copy())


@settings(deadline=None)
@given(NAMES, SHARES, st.floats(0, 0.02))
def test_a_larger_share_takes_recordings_from_training_only(name, shares, more):
    test, validation = shares
    before = draw(name, DrawOptions(test=test, validation=validation))
    after = draw(name, DrawOptions(test=test, validation=validation + more))
    assert after == before or (before, after) == ("train", "validation")


def test_another_seed_is_another_draw():
    draws = [[draw(str(i), DrawOptions(test=0.5, seed=seed)) for i in range(64)] for seed in range(8)]
    assert len({tuple(d) for d in draws}) == 8
    agree = sum(a == b for a, b in zip(*draws[:2], strict=True))
    assert 8 < agree < 56


def test_the_draw_of_today_is_the_draw_of_tomorrow():
    # int(sha256(b"0\0v0.mp4").hexdigest()[:16], 16) / 2**64 and so on: .309 .956 .630 .903 .370 .494 .941 .876
    drawn = [draw(f"v{i}.mp4", DrawOptions(test=0.4, validation=0.3)) for i in range(8)]
    assert drawn == ["test", "train", "validation", "train", "test", "validation", "train", "train"]


@pytest.mark.parametrize(
    "word, split",
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("VALIDATION", "validation"),
        ("dev", "validation"),
        ("test", "test"),
        ("testing", "test"),
        ("", ""),
    ],
)
def test_splits_have_several_names_and_one_meaning(word, split):
    assert split_name(word, "splits.csv, line 2") == split


def test_another_word_is_an_error_that_names_file_line_and_word():
    with pytest.raises(DataError, match=r"splits.csv, line 2: 'tset' is no split; write train, validation or test"):
        split_name("tset", "splits.csv, line 2")
