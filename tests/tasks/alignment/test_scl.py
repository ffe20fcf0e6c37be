"""The sequence contrastive loss: the published numbers, the formula written out, and what must hold of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.tasks.alignment.formulas import scl_written_out

from kinoflow.tasks.alignment.options import SclOptions
from kinoflow.tasks.alignment.scl import prior, scl_loss

GOLDEN = ROOT / "tests/golden/carl"
NEGATIVES = ("single_noself", "single", "batch_noself", "batch")
CASES = {  # name: (padded, options)
    "default": (False, {}),
    "default_padded": (True, {}),
    "batch_noself": (False, {"negatives": "batch_noself"}),
    "batch_noself_padded": (True, {"negatives": "batch_noself"}),
    "single": (False, {"negatives": "single"}),
    "batch": (False, {"negatives": "batch"}),
    "var1": (False, {"variance": 1}),
    "var25_temp05": (True, {"variance": 25, "temperature": 0.5}),
    "temp1": (False, {"temperature": 1}),
    "positive_none": (False, {"positives": "none"}),
}
relaxed = settings(deadline=None, max_examples=30)


def close(found, wanted) -> bool:
    found, wanted = np.asarray(found), np.asarray(wanted)
    return bool((np.abs(found - wanted) <= 1e-5 * (1 + np.abs(wanted))).all())


def loss_and_gradient(z, steps, masks, lengths, **options) -> tuple[float, np.ndarray]:
    z = torch.tensor(z, requires_grad=True)
    loss = scl_loss(z, torch.tensor(steps), torch.tensor(masks), torch.tensor(lengths), SclOptions(**options))
    loss.backward()
    return loss.item(), z.grad.numpy()


@st.composite
def batches(draw, padded=True, videos=3, far=1) -> dict[str, np.ndarray]:
    """Unit vectors, growing frame numbers, masks that end in padding, and lengths; in float64."""
    B, T, D = draw(st.integers(1, videos)), draw(st.integers(1, 7)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    z = rng.standard_normal((B, 2, T, D))
    lengths = np.repeat(rng.integers(T, 4 * T + 2, (B, 1)), 2, 1)
    steps = np.stack([[np.sort(rng.choice(n, T, replace=False)) for n in row] for row in lengths])
    masks = np.ones((B, 2, T))
    if padded:
        for b, v in np.ndindex(B, 2):
            masks[b, v, rng.integers(0, T + 1) :] = 0
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    return {"z": z, "steps": steps * far, "masks": masks, "lengths": lengths * far}


def value(batch, dtype=torch.float64, **options) -> float:
    z, *rest = (torch.tensor(batch[key]) for key in ("z", "steps", "masks", "lengths"))
    return scl_loss(z.to(dtype), *rest, SclOptions(**options)).item()


# ---------------------------------------------------------------- published numbers


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_the_published_ones(name):
    golden, (padded, options) = np.load(GOLDEN / "scl_loss.npz"), CASES[name]
    end = "_padded" if padded else ""
    steps, masks = golden[f"steps{end}"], golden[f"masks{end}"]
    loss, gradient = loss_and_gradient(golden["embs"], steps, masks, golden["seq_lens"], **options)
    assert close(loss, golden[f"loss__{name}"]) and close(gradient, golden[f"grad__{name}"])


@pytest.mark.parametrize("name", ["far", "rate"])
def test_rows_far_from_everything_and_other_rates_cost_what_was_published(name):
    golden = np.load(GOLDEN / "scl_edges.npz")
    given_ = (golden[f"{name}_{key}"] for key in ("embs", "steps", "masks", "seq_lens"))
    loss, gradient = loss_and_gradient(*given_)
    assert close(loss, golden[f"{name}_loss"]) and close(gradient, golden[f"{name}_grad"])


@pytest.mark.parametrize("name", ["far", "rate"])
def test_the_prior_of_float64_embeddings_has_weights_of_float32_and_sums_of_float64(name):
    golden = np.load(GOLDEN / "scl_edges.npz")
    loss, gradient = loss_and_gradient(*(golden[f"{name}_{key}"] for key in ("embs", "steps", "masks", "seq_lens")))
    assert loss == pytest.approx(float(golden[f"{name}_loss"]), rel=1e-12)
    np.testing.assert_allclose(gradient, golden[f"{name}_grad"], atol=1e-12)


# ---------------------------------------------------------------- the formula


def test_times_are_scaled_in_float32_in_the_order_in_which_the_formula_is_written():
    rng = np.random.default_rng(0)
    lengths = rng.integers(40, 320, (50, 2))
    steps = np.stack([[np.sort(rng.choice(n, 40, replace=False)) for n in row] for row in lengths])
    time, length = (np.float32(x) for x in (steps, lengths))
    away = time[..., None] * length[:, ::-1, None, None] / length[..., None, None] - time[:, ::-1, None]
    found = prior(torch.tensor(steps), torch.ones(50, 2, 40) > 0, torch.tensor(lengths), 0.01)
    weights = torch.exp(-torch.tensor(away).abs().square() / (2 * 0.01))
    total = weights.sum(-1, keepdim=True)
    assert torch.equal(found, torch.where(total > 0, weights / total, 0))


@relaxed
@given(batches(), st.sampled_from(NEGATIVES), st.sampled_from(["original", "zero"]), st.sampled_from([0.1, 1.0]))
def test_blocks_give_loss_and_gradient_of_the_whole_table_written_out(batch, negatives, masked, temperature):
    options = SclOptions(negatives=negatives, masked=masked, temperature=temperature, variance=4)
    tensors = {key: torch.tensor(values) for key, values in batch.items()}
    found, wanted = (tensors["z"].clone().requires_grad_() for _ in range(2))
    rest = [tensors[key] for key in ("steps", "masks", "lengths")]
    one, two = scl_loss(found, *rest, options), scl_written_out(wanted, *rest, options)
    one.backward()
    two.backward()
    assert torch.allclose(one, two, rtol=1e-6, atol=1e-9)
    assert torch.allclose(found.grad, wanted.grad, rtol=1e-5, atol=1e-8)


@relaxed
@given(batches())
def test_the_prior_sums_to_one_or_nothing_and_padding_is_none_of_it(batch):
    real = torch.tensor(batch["masks"]) > 0
    q = prior(torch.tensor(batch["steps"]), real, torch.tensor(batch["lengths"]), 10.0)
    sums = q.sum(-1)
    assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()
    assert (sums[~real] == 0).all() and (q.sum(-2)[~real.flip(1)] == 0).all()
    some = real.flip(1).any(-1, keepdim=True) & real
    assert (sums[some] > 0).all() or batch["lengths"].max() > 45


@relaxed
@given(batches(padded=False))
def test_the_prior_is_symmetric_before_its_rows_are_scaled(batch):
    real = torch.tensor(batch["masks"]) > 0
    q = prior(torch.tensor(batch["steps"]), real, torch.tensor(batch["lengths"]), 1000.0).double()
    # q[0] = diag(1/r) W, q[1] = diag(1/c) W': the ratio has rank one
    ratio = q[:, 0] / q[:, 1].mT
    assert torch.allclose(ratio * ratio[:, :1, :1], ratio[:, :, :1] * ratio[:, :1], rtol=1e-3)


@relaxed
@given(batches(padded=False))
def test_without_padding_it_is_a_divergence(batch):
    T = batch["z"].shape[2]
    assert value(batch) >= -T * 1e-6


def test_it_is_zero_where_the_softmax_equals_the_prior():
    """Vectors whose inner products are minus squared distances in time, but for what the softmax does not see."""
    time = np.arange(6.0)
    z = np.stack([np.cos(time * 1e-3), np.sin(time * 1e-3)], 1)  # z_i z_j = cos(1e-3 (i - j))
    batch = {"z": np.stack([z, z])[None], "steps": np.tile(time, (1, 2, 1)), "masks": np.ones((1, 2, 6))}
    variance = 10.0
    loss = value(batch | {"lengths": np.full((1, 2), 6)}, temperature=1e-6 * variance, variance=variance)
    assert abs(loss) < 1e-4


# ---------------------------------------------------------------- what makes no difference


@relaxed
@given(batches(), st.sampled_from(NEGATIVES), st.randoms(use_true_random=False))
def test_order_of_views_videos_and_frames_makes_no_difference(batch, negatives, random):
    wanted = value(batch, negatives=negatives)
    swapped = {key: values[:, ::-1].copy() for key, values in batch.items()}
    order = random.sample(range(len(batch["z"])), len(batch["z"]))
    turned = {key: values[order] for key, values in batch.items()}
    frames = random.sample(range(batch["z"].shape[2]), batch["z"].shape[2])
    mixed = batch | {key: batch[key][:, :, frames] for key in ("z", "steps", "masks")}
    for other in (swapped, turned, mixed):
        assert value(other, negatives=negatives) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@relaxed
@given(batches(), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_turning_all_vectors_and_shifting_all_times_makes_no_difference(batch, shift, seed):
    wanted = value(batch)
    D = batch["z"].shape[-1]
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0]
    assert value(batch | {"z": batch["z"] @ turn}) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert value(batch | {"steps": batch["steps"] + shift}) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@relaxed
@given(batches(), st.integers(0, 2**32 - 1))
def test_padding_enters_by_its_weight_alone_or_not_at_all(batch, seed):
    other = np.random.default_rng(seed).standard_normal(batch["z"].shape)
    other /= np.linalg.norm(other, axis=-1, keepdims=True)
    changed = batch | {"z": np.where(batch["masks"][..., None] > 0, batch["z"], other)}
    assert value(changed, masked="zero") == pytest.approx(value(batch, masked="zero"), rel=1e-9, abs=1e-12)
    padding = (batch["masks"] == 0).sum()
    least = math.exp(-1 / 0.1)  # of a row's sum: one negative at least
    assert abs(value(changed) - value(batch)) <= math.log1p(padding * 1e-6 * math.exp(1 / 0.1) / least) + 1e-9


# ---------------------------------------------------------------- what cannot be otherwise


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("masked", ["original", "zero"])
@pytest.mark.parametrize("hidden", [np.s_[0, 0], np.s_[0], np.s_[:]], ids=["view", "video", "batch"])
def test_a_view_that_is_all_padding_is_no_nan(negatives, masked, hidden):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 2, 4, 3)).astype(np.float32)
    masks = np.ones((2, 2, 4), np.float32)
    masks[hidden] = 0
    steps = np.tile(np.arange(4), (2, 2, 1))
    loss, gradient = loss_and_gradient(z, steps, masks, np.full((2, 2), 4), negatives=negatives, masked=masked)
    assert math.isfinite(loss) and np.isfinite(gradient).all()
    if not masks.any():
        assert loss == 0 and not gradient.any()


def test_views_of_one_frame_cost_nothing():
    z = np.ones((1, 2, 1, 1))
    loss, gradient = loss_and_gradient(z, np.zeros((1, 2, 1), int), np.ones((1, 2, 1)), np.ones((1, 2), int))
    assert abs(loss) < 1e-5 and np.isfinite(gradient).all()


def test_temperatures_that_overflow_float32_give_finite_numbers():
    golden = np.load(GOLDEN / "scl_loss.npz")
    z = golden["embs"].astype(np.float32)
    loss, gradient = loss_and_gradient(z, golden["steps"], golden["masks"], golden["seq_lens"], temperature=0.001)
    assert math.isfinite(loss) and np.isfinite(gradient).all()


def test_half_precision_outside_makes_no_difference_inside():
    golden = np.load(GOLDEN / "scl_loss.npz")
    rest = [torch.tensor(golden[key]) for key in ("steps_padded", "masks_padded", "seq_lens")]
    z = torch.tensor(golden["embs"]).bfloat16()
    plain = scl_loss(z.float(), *rest, SclOptions())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = scl_loss(z, *rest, SclOptions())
    assert mixed.dtype == torch.float32 and mixed == plain
