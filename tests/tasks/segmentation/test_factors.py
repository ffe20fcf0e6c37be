"""Emissions, durations and transitions against their formulas."""

import numpy as np
import pytest
import torch
from scipy import stats

from kinoflow.tasks.segmentation.chain import LowRank
from kinoflow.tasks.segmentation.factors import gaussian, log_poisson, low_rank, masked_log_softmax


def test_emissions_are_normal_densities():
    rng = np.random.default_rng(0)
    x, means, deviations = rng.normal(3, 2, (2, 5, 4)), rng.normal(3, 2, (3, 4)), rng.uniform(0.1, 2, 4)
    expected = stats.norm.logpdf(x[:, :, None], means, deviations).sum(-1)
    assert np.allclose(gaussian(*map(torch.tensor, (x, means, deviations))), expected)


def test_emissions_far_from_zero_keep_single_precision():
    rng = np.random.default_rng(1)
    x, means = rng.normal(1000, 1, (1, 6, 50)), rng.normal(1000, 1, (4, 50))
    expected = stats.norm.logpdf(x[:, :, None], means, 0.5).sum(-1)
    single = gaussian(*(torch.tensor(a, dtype=torch.float32) for a in (x, means, np.full(50, 0.5))))
    assert np.allclose(single, expected, rtol=1e-4)


def test_durations_are_poissons_and_may_be_normalised_over_those_that_occur():
    rates = np.array([0.5, 4.0, 12.0])
    table = log_poisson(torch.tensor(np.log(rates)), 9)
    assert np.allclose(table, stats.poisson.logpmf(np.arange(9)[:, None], rates))
    normalised = log_poisson(torch.tensor(np.log(rates)), 9, normalise=True)
    assert np.allclose(normalised[1:].exp().sum(0), 1)
    assert np.allclose((normalised - table)[1:], (normalised - table)[1])


def test_low_rank_transitions_are_the_normalised_products_of_exponential_features():
    generator = torch.Generator().manual_seed(0)
    source, target, projection = (torch.randn(*shape, generator=generator) for shape in ((6, 4), (6, 4), (4, 3)))
    factors = low_rank(source, target, projection)
    kernel = (source @ projection).exp() @ (target @ projection).exp().T
    expected = kernel / kernel.sum(1, keepdim=True)
    assert torch.allclose(factors.dense().exp(), expected, rtol=1e-5)
    assert torch.allclose(factors.right.exp().sum(0), torch.ones(3))
    assert torch.allclose(factors.left.exp().sum(1), torch.ones(6))


def test_a_shift_of_a_rank_changes_nothing_only_together_with_its_opposite():
    """Through a projection the features move together; apart, adding to psi what phi loses leaves the transitions."""
    generator = torch.Generator().manual_seed(1)
    phi, psi, shift = (torch.randn(*shape, generator=generator) for shape in ((5, 3), (5, 3), (3,)))
    eye = torch.eye(3)
    before = low_rank(phi, psi, eye).dense()
    assert torch.allclose(low_rank(phi - shift, psi + shift, eye).dense(), before, atol=1e-5)
    assert not torch.allclose(low_rank(phi, psi + shift, eye).dense(), before, atol=1e-2)


def test_a_matrix_is_written_out_exactly_where_its_factors_underflow():
    left, right = torch.tensor([[0.0, -300.0], [-300.0, 0.0]]), torch.tensor([[0.0, -300.0], [-300.0, 0.0]])
    both = float(np.log(2)) - 300
    assert torch.allclose(LowRank(left, right).dense(), torch.tensor([[0.0, both], [both, 0.0]]))


@pytest.mark.parametrize("allowed", [[True, False, True], [False, True, False], [False, False, False]])
def test_the_soft_max_runs_over_what_is_allowed(allowed):
    allowed = torch.tensor(allowed)
    logits = torch.tensor([0.3, -1.0, 2.0], requires_grad=True)
    found = masked_log_softmax(logits, allowed)
    assert torch.isclose(found.exp().sum(), torch.tensor(float(allowed.any())), atol=1e-6)
    assert (found[~allowed] == -torch.inf).all()
    found[allowed].sum().backward()
    assert logits.grad.isfinite().all()
