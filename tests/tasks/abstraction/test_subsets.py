"""The order of subsets, and what adds up to what."""

from math import comb

import numpy as np
import pytest

from kinoflow.tasks.abstraction.subsets import keys, membership, places, sizes, subsets
from kinoflow.tasks.abstraction.sums import inclusions, means


def test_subsets_come_by_size_then_lexicographically():
    names = "0 1 2 3 0,1 0,2 0,3 1,2 1,3 2,3 0,1,2 0,1,3 0,2,3 1,2,3 0,1,2,3"
    assert keys(4) == tuple(names.split())
    assert sizes(4).tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]


@pytest.mark.parametrize("least", [1, 2, 3])
def test_places_find_every_subset_that_is_told(least):
    rows = membership(5, least)
    codes = rows @ (1 << np.arange(5))
    assert places(5, least)[codes].tolist() == list(range(len(rows)))
    assert (places(5, least) == -1).sum() == 32 - len(rows)


def test_four_videos_of_four_scales_take_20_products_and_five_take_30():
    assert [sum(s.choice.shape[1] for s in inclusions(n, (1, 2, 3, 4))) for n in (4, 5)] == [20, 30]


def test_every_subset_adds_up_the_tuples_inside_it():
    for sums in inclusions(4, (1, 3)):
        assert sums.weights.sum(axis=1).tolist() == [comb(len(each), sums.scale) for each in subsets(4)]


@pytest.mark.parametrize("scales", [(1, 2), (3,), (2, 5)])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_means_weigh_one_for_each_scale_that_a_subset_reaches(scales, n):
    total = sum(sums.weights.sum(axis=1) for sums in means(n, scales))
    reached = [max(1, sum(scale <= len(each) for scale in scales)) for each in subsets(n)]
    assert np.allclose(total, reached)
