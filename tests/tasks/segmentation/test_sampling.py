"""Drawn segmentations against enumeration."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tasks.segmentation.enumeration import CASES, every, random_chain

from kinoflow.tasks.segmentation.sampling import sample


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize(("rank", "kind"), CASES)
def test_segmentations_are_drawn_as_often_as_they_are_probable(rank, kind):
    chain, count = random_chain(1, lengths=(4, 3), states=2 if kind != "forbidden" else 3, rank=rank, kind=kind), 4000
    for video, drawn in enumerate(sample(chain, count, generator())):
        spans, scores = every(chain, video)
        p = np.exp(scores - np.logaddexp.reduce(scores))
        times = Counter(tuple(one.spans) for one in drawn)
        assert not set(times) - {tuple(one) for one, weight in zip(spans, p, strict=True) if weight}
        found = np.array([times[tuple(one)] for one in spans])
        spread = np.sqrt(count * p * (1 - p))
        assert (abs(found - count * p) < 4.5 * spread + 1).all()
        assert np.isclose(drawn[0].score, scores[spans.index(drawn[0].spans)])


def test_the_generator_alone_decides_what_is_drawn():
    chain = random_chain(2)
    assert sample(chain, 5, generator()) == sample(chain, 5, generator())


def test_nothing_is_drawn_of_an_impossible_video():
    chain = random_chain(3)
    emissions = chain.emissions.clone()
    emissions[1, 1] = -torch.inf
    found = sample(replace(chain, emissions=emissions), 3, generator())
    assert len(found[0]) == 3
    assert [one.spans for one in found[1]] == [[]]
