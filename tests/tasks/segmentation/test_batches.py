"""Mini-batches: the golden order, and what holds for any videos."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.tasks.segmentation.batches import batch_order, first_videos, mini_batches
from kinoflow.tasks.segmentation.options import BatchOptions

GOLDEN = ROOT / "tests/golden/lhsmm"
videos = st.lists(
    st.tuples(st.sampled_from("abc"), st.text("xyz", min_size=1, max_size=3), st.integers(1, 40)),
    min_size=1,
    max_size=25,
    unique_by=lambda video: video[:2],
)


def names(found, made, order):
    return [[list(found[number][:2]) for number in made[k]] for k in order]


def test_the_order_of_mini_batches_is_that_of_the_golden_file():
    golden = json.loads((GOLDEN / "batch_order.json").read_text())
    found = [(task, video, 1) for task, own in golden["videos_by_task"].items() for video in own]
    options = BatchOptions(videos=golden["batch_size"], order="original")
    made = mini_batches(found, options)
    for epoch, wanted in enumerate(golden["epochs"]):
        assert names(found, made, batch_order(len(made), options, 7, epoch)) == wanted


def test_the_order_and_the_first_videos_of_the_golden_training_are_found():
    golden = np.load(GOLDEN / "train_loop.npz")
    found = [tuple(key.split("__")[1:]) + (len(golden[key]),) for key in golden if key.startswith("features__")]
    options = BatchOptions(videos=1, order="original")
    made = mini_batches(found, options)
    for epoch, wanted in enumerate(json.loads(str(golden["batch_order_json"]))):
        assert names(found, made, batch_order(len(made), options, 0, epoch)) == wanted
    assert [list(found[n][:2]) for n in first_videos(found)] == json.loads(str(golden["init_batch_json"]))


@given(videos, st.integers(1, 6), st.booleans(), st.sampled_from(["names", "length", "drawn"]), st.integers(0, 3))
@settings(deadline=None)
def test_every_video_is_in_one_mini_batch_whatever_the_way(found, size, by_task, how, epoch):
    options = BatchOptions(videos=size, by_task=by_task, how=how)
    made = mini_batches(found, options, seed=5, epoch=epoch)
    assert sorted(n for each in made for n in each) == list(range(len(found)))
    assert list(map(len, made)) == list(map(len, mini_batches(found, options, seed=5)))
    assert all(1 <= len(each) <= size for each in made)
    if by_task:
        assert all(len({found[n][0] for n in each}) == 1 for each in made)
    assert sorted(batch_order(len(made), options, 5, epoch)) == list(range(len(made)))


def test_neighbours_in_length_share_a_mini_batch():
    found = [("t", str(n), length) for n, length in enumerate([9, 1, 5, 2, 8, 6])]
    assert mini_batches(found, BatchOptions(videos=2, how="length")) == [[1, 3], [2, 5], [4, 0]]


@pytest.mark.parametrize("how, same", [("names", True), ("length", True), ("drawn", False)])
def test_only_drawn_mini_batches_change_from_epoch_to_epoch(how, same):
    found = [("t", str(n), n + 1) for n in range(12)]
    options = BatchOptions(videos=3, how=how)
    assert (mini_batches(found, options, 0, 0) == mini_batches(found, options, 0, 1)) is same
    assert mini_batches(found, options, 0, 1) == mini_batches(found, options, 0, 1)


def test_the_order_depends_on_the_seed_unless_it_is_the_published_one():
    orders = [batch_order(20, BatchOptions(), seed, 0) for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert batch_order(20, BatchOptions(order="original"), 0, 0) == batch_order(
        20, BatchOptions(order="original"), 1, 0
    )
