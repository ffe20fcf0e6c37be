"""Temporal cycle consistency: the published numbers, and what must hold of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.tasks.alignment.options import TccOptions
from kinoflow.tasks.alignment.tcc import cycle_labels, cycle_logits, tcc_loss

GOLDEN = np.load(ROOT / "tests/golden/carl/tcc_loss.npz")
CASES = {
    "mse_var_l2": {},
    "mse_var_cosine": {"similarity": "cosine"},
    "mse_l2": {"kind": "mse"},
    "huber_l2": {"kind": "huber"},
    "classification_l2": {"kind": "classification", "original": True},
    "mse_var_nosmooth": {"smoothing": 0},
    "mse_unnormalized": {"kind": "mse", "normalise_time": False},
}
KINDS = ("mse_var", "mse", "huber", "classification")
relaxed = settings(deadline=None, max_examples=30)


def close(found, wanted) -> bool:
    return bool((np.abs(found - wanted) <= 1e-5 * (1 + np.abs(wanted))).all())


def embeddings(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_the_published_ones(name):
    z = torch.tensor(GOLDEN["embs"], requires_grad=True)
    steps, lengths = torch.tensor(GOLDEN["steps"]), torch.tensor(GOLDEN["seq_lens"])
    loss = tcc_loss(z, steps, lengths, TccOptions(**CASES[name]))
    loss.backward()
    assert close(loss.item(), GOLDEN[f"loss__{name}"]) and close(z.grad.numpy(), GOLDEN[f"grad__{name}"])


@pytest.mark.parametrize("name", ["mse_var_l2", "mse_var_cosine", "mse_var_nosmooth"])
def test_the_parts_of_the_loss_are_the_published_ones(name):
    """The squared error alone, and the weight of the log variance as the slope of the loss along it."""
    z, steps, lengths = (torch.tensor(GOLDEN[key]) for key in ("embs", "steps", "seq_lens"))
    error = tcc_loss(z, steps, lengths, TccOptions(**CASES[name] | {"kind": "mse"})).item()
    one, two = (
        tcc_loss(z, steps, lengths, TccOptions(**CASES[name] | {"variance_weight": w})).item() for w in (1.0, 2.0)
    )
    assert close(error, GOLDEN[f"squared_error__{name}"])
    assert close(two - one, GOLDEN[f"pred_time_log_var__{name}"])


def test_logits_and_labels_of_one_cycle_are_the_published_ones():
    z = torch.tensor(GOLDEN["embs"])
    assert close(cycle_logits(z, TccOptions())[0].numpy(), GOLDEN["pair01_logits"])
    assert close(cycle_labels(9, 0.1).numpy(), GOLDEN["pair01_labels"])
    np.testing.assert_allclose(cycle_labels(9, 0.1, torch.float64).numpy(), GOLDEN["pair01_labels"], rtol=1e-15)


@relaxed
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.permutations(range(3)))
def test_the_order_of_the_batch_makes_no_difference(seed, kind, order):
    z, steps, lengths = embeddings(seed, 3, 5, 4), torch.arange(15).reshape(3, 5), torch.tensor([20, 15, 30])
    options = TccOptions(kind=kind)
    wanted = tcc_loss(z, steps, lengths, options)
    assert torch.allclose(tcc_loss(z[order], steps[order], lengths[order], options), wanted)


def test_cycles_between_equal_sequences_of_frames_far_apart_come_back():
    z = (10 * torch.eye(6, dtype=torch.float64)).expand(2, 6, 6)
    steps, lengths = torch.arange(6).expand(2, 6), torch.full((2,), 6)
    assert torch.equal(cycle_logits(z, TccOptions()).argmax(-1), torch.arange(6).expand(2, 6))
    assert tcc_loss(z, steps, lengths, TccOptions(kind="mse", smoothing=0)) < 1e-20
    assert tcc_loss(z, steps, lengths, TccOptions(kind="classification", smoothing=0)) < 1e-10


@relaxed
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.1, 0.9]))
def test_labels_sum_to_one(seed, length, smoothing):
    labels = cycle_labels(length, smoothing)
    assert torch.allclose(labels.sum(1), torch.ones(length)) and (labels >= 0).all()


@relaxed
@given(st.integers(0, 2**32 - 1))
def test_the_variance_is_above_zero_and_its_logarithm_as_if_written_out(seed):
    z, times = embeddings(seed, 2, 5, 4), torch.arange(5.0, dtype=torch.float64)
    steps, lengths = torch.arange(5).expand(2, 5), torch.full((2,), 5)
    share = cycle_logits(z, TccOptions()).softmax(-1)
    found = share @ times
    variance = (share * (times - found[..., None]).square()).sum(-1)
    assert (variance > 0).all()
    true = cycle_labels(5, 0.1, torch.float64) @ times
    wanted = ((true - found).square() / variance + 0.001 * variance.log()).mean()
    loss = tcc_loss(z, steps, lengths, TccOptions(normalise_time=False))
    assert torch.allclose(loss, wanted, rtol=1e-9)


def written_out(z: torch.Tensor, times: torch.Tensor, options: TccOptions) -> torch.Tensor:
    """The loss as its formula stands, cycle by cycle; times: (S, T)."""
    S, T, D = z.shape
    labels = torch.full((T, T), options.smoothing / (T - 1), dtype=z.dtype).fill_diagonal_(1 - options.smoothing)
    parts = []
    for a in range(S):
        for b in (b for b in range(S) if b != a):
            near = (-(z[a][:, None] - z[b][None]).square().sum(-1) / D / options.temperature).softmax(1) @ z[b]
            share = (-(near[:, None] - z[a][None]).square().sum(-1) / D / options.temperature).softmax(1)
            true, found = labels @ times[a], share @ times[a]
            variance = (share * (times[a] - found[:, None]).square()).sum(1)
            parts.append((true - found).square() / variance + options.variance_weight * variance.log())
    return torch.stack(parts).mean()


@pytest.mark.parametrize("temperature", [0.02, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_sharp_cycles_in_float64_cost_what_the_formula_says(seed, temperature):
    """Variances of far less than 1e-12, and errors that float32 labels would change."""
    z, ours = (embeddings(seed, 3, 12, 6).requires_grad_() for _ in range(2))
    steps, lengths = torch.arange(36).reshape(3, 12) % 30, torch.tensor([30, 40, 36])
    options = TccOptions(temperature=temperature)
    wanted = written_out(z, steps / lengths[:, None].double(), options)
    wanted.backward()
    loss = tcc_loss(ours, steps, lengths, options)
    loss.backward()
    assert close(loss.item(), wanted.item()) and close(ours.grad.numpy(), z.grad.numpy())


@pytest.mark.parametrize("knee", [0.1, 1.0, 2.5])
def test_huber_is_a_square_up_to_its_knee_and_a_line_of_the_same_slope_beyond(knee):
    z, steps, lengths = embeddings(0, 3, 9, 6), torch.arange(27).reshape(3, 9), torch.tensor([30, 40, 36])
    options = TccOptions(kind="huber", huber=knee, normalise_time=False)
    first = [a for a in range(3) for b in range(3) if a != b]
    found = (cycle_logits(z, options).softmax(-1) * steps.double()[first][:, None]).sum(-1)
    apart = (found - steps.double()[first] @ cycle_labels(9, 0.1, torch.float64).T).abs()
    wanted = torch.where(apart <= knee, apart.square() / 2, knee * apart - knee**2 / 2).mean()
    assert close(tcc_loss(z, steps, lengths, options).item(), wanted.item())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 1, 3), (1, 4, 3), (3, 4, 3)], ids=["one frame", "one sequence", "equal frames"])
def test_what_has_no_variance_or_no_partner_is_no_nan(kind, shape):
    z = torch.ones(shape, requires_grad=True)
    steps = torch.zeros(shape[:2], dtype=torch.int64)
    loss = tcc_loss(z, steps, torch.ones(shape[0], dtype=torch.int64), TccOptions(kind=kind))
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(z.grad).all()
    if shape[0] == 1:
        assert loss == 0
