"""Each epoch is a permutation of its own; how a batch is cut changes neither its samples nor their randomness."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.training.draws import Draw, Order, parts, permutation
from kinoflow.training.options import TrainingOptions
from kinoflow.training.schedule import Plan


def an_order(samples: int = 10, batch: int = 4, own=None, **values) -> Order:
    return Order(Plan.of(samples, TrainingOptions(batch=batch, **values)), seed=5, own=own)


def test_an_epoch_has_every_sample_once_and_the_next_one_in_another_order():
    order = an_order(epochs=2, drop_last=False)
    steps = [order.step(step) for step in range(6)]
    assert [len(draws) for draws in steps] == [4, 4, 2] * 2
    first, second = ([d.sample for draws in half for d in draws] for half in (steps[:3], steps[3:]))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert [d.position for draws in steps[:3] for d in draws] == list(range(10))


def test_steps_may_be_asked_for_in_any_order():
    straight, jumping = an_order(epochs=3), an_order(epochs=3)
    assert [jumping.step(step) for step in (5, 0, 3)] == [straight.step(step) for step in (5, 0, 3)]


def test_the_order_depends_on_seed_and_epoch_alone():
    assert (permutation(20, 1, 2) == permutation(20, 1, 2)).all()
    assert len({tuple(permutation(20, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_a_draws_randomness_depends_on_seed_epoch_and_sample_alone():
    here, there = Draw(3, 1, position=0, seed=5), Draw(3, 1, position=9, seed=5)
    assert (here.rng().random(4) == there.rng().random(4)).all()
    others = [here, Draw(4, 1, 0, 5), Draw(3, 2, 0, 5), Draw(3, 1, 0, 6), Draw(3, 1, 0, 5, again=1)]
    assert len({draw.rng().random() for draw in others}) == 5


def test_a_rooms_own_order_may_repeat_samples_and_each_repeat_is_random_by_itself():
    order = an_order(4, 4, own=lambda epoch, seed: [1, 1, 2, 1], epochs=1)
    assert [(d.sample, d.again) for d in order.step(0)] == [(1, 0), (1, 1), (2, 0), (1, 2)]
    assert len({draw.rng().random() for draw in order.step(0)}) == 4


def test_a_room_may_leave_the_order_to_the_loop():
    assert an_order(epochs=1, own=lambda epoch, seed: None).step(0) == an_order(epochs=1).step(0)


def test_an_order_of_another_length_is_a_bug():
    with pytest.raises(ValueError, match="an order of 4 samples"):
        an_order(4, 4, own=lambda epoch, seed: [0, 1], epochs=1).step(0)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))
def test_parts_are_the_batch_and_differ_by_one_sample_at_most(count, accumulate, size):
    draws = [Draw(int(i), 0, int(i), 0) for i in np.arange(count)]
    ranks = [parts(draws, accumulate, size, rank) for rank in range(size)]
    assert len({len(rounds) for rounds in ranks}) == 1  # all processes make as many passes
    cut = [part for each in zip(*ranks, strict=True) for part in each]
    assert [draw for part in cut for draw in part] == draws
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert all(any(each) for each in zip(*ranks, strict=True))
