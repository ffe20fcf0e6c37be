"""Losses: the published numbers, and what must hold for any scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.conftest import ROOT

from kinoflow.tasks.anticipation import loss
from kinoflow.tasks.anticipation.options import DistillOptions

GOLDEN = ROOT / "tests/golden/anticipation"
MODES = {"full": "full", "topk": "topk", "tmb": "topmidbottom"}
SCORES = hnp.arrays(np.float64, (3, 8), elements=st.floats(-20, 20))


def options(kind="full", k=3, T=2.0, reduction="batchmean"):
    return DistillOptions(kind=kind, k=k, temperature=T, reduction=reduction)


def gradient(function, x):
    x = x.clone().requires_grad_()
    function(x).backward()
    return x.grad


# ---------------------------------------------------------------- distillation


@pytest.mark.parametrize("name", ["full_k0_T10", "full_k0_T5", "full_k0_T1", "topk_k10_T5", "topk_k1_T5", "tmb_k5_T10"])
def test_distillation_equals_the_published_loss(name):
    golden = np.load(GOLDEN / "kl_distill.npz")
    mode, k, T = name.split("_")
    how = options(MODES[mode], max(int(k[1:]), 1), float(T[1:]))
    rows = 6 if mode == "full" else 5  # ties of the last, constant row decide which classes count
    student, teacher = (torch.from_numpy(golden[key][:rows]) for key in ("student", "teacher"))
    found = loss.distillation(student, teacher, how)
    assert np.abs(found.numpy() - golden[f"loss_sum_per_row__{name}"][:rows]).max() < 1e-8
    by_element = how.model_copy(update={"reduction": "elementmean"})
    used = loss.compared(teacher, how).shape[1] if mode != "full" else 40
    expected = golden[f"loss_sum_per_row__{name}"][:rows].sum() / (rows * used)
    assert abs(loss.distillation(student, teacher, by_element).mean().item() - expected) < 1e-8
    if mode == "full":
        assert abs(expected - golden[f"loss_mean__{name}"]) < 1e-8
    grad = gradient(lambda x: loss.distillation(x, teacher, by_element).mean(), student)
    assert np.abs(grad.numpy() - golden[f"grad_of_mean__{name}"][:rows] * 6 / rows).max() < 1e-8


@given(SCORES, SCORES, st.sampled_from(list(MODES.values())), st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_divergence_is_not_negative_and_constants_of_a_row_do_not_count(student, teacher, kind, constant):
    student, teacher = torch.from_numpy(student), torch.from_numpy(teacher)
    found = loss.distillation(student, teacher, options(kind))
    assert (found > -1e-9).all()
    assert torch.allclose(loss.distillation(student + constant, teacher, options(kind)), found, atol=1e-8)
    assert loss.distillation(teacher + constant, teacher, options(kind)).abs().max() < 1e-8


@given(SCORES, SCORES)
@settings(max_examples=20, deadline=None)
def test_all_classes_as_top_k_are_the_full_divergence_and_the_order_of_classes_does_not_count(student, teacher):
    student, teacher = torch.from_numpy(student), torch.from_numpy(teacher)
    full = loss.distillation(student, teacher, options())
    assert torch.allclose(loss.distillation(student, teacher, options("topk", k=8)), full, atol=1e-8)
    assert torch.allclose(loss.distillation(student, teacher, options("topk", k=99)), full, atol=1e-8)
    order = torch.randperm(8)
    assert torch.allclose(loss.distillation(student[:, order], teacher[:, order], options()), full, atol=1e-8)


@given(SCORES, SCORES, st.sampled_from(list(MODES.values())))
@settings(max_examples=20, deadline=None)
def test_gradients_of_a_row_add_up_to_nothing_and_stay_inside_the_classes_compared(student, teacher, kind):
    student, teacher = torch.from_numpy(student), torch.from_numpy(teacher)
    grad = gradient(lambda x: loss.distillation(x, teacher, options(kind)).sum(), student)
    assert grad.sum(1).abs().max() < 1e-8
    if kind != "full":
        outside = torch.ones_like(grad, dtype=torch.bool).scatter(1, loss.compared(teacher, options(kind)), False)
        assert grad[outside].abs().sum() == 0


def test_at_high_temperature_it_is_half_the_mean_squared_difference_of_centred_scores():
    student, teacher = torch.randn(2, 3, 8, dtype=torch.float64)
    apart = student - student.mean(1, keepdim=True) - (teacher - teacher.mean(1, keepdim=True))
    found = loss.distillation(student, teacher, options(T=1000))
    assert torch.allclose(found, apart.square().sum(1) / 16, rtol=1e-2)


def test_published_weights_are_those_of_the_batch_mean_over_the_classes():
    student, teacher = torch.randn(2, 4, 106, dtype=torch.float64)
    elements = 150 * loss.distillation(student, teacher, options(T=10, reduction="elementmean")).mean()
    assert torch.allclose(elements, 150 / 106 * loss.distillation(student, teacher, options(T=10)).mean())


def test_of_equal_scores_of_a_teacher_the_lower_class_counts_as_better():
    assert loss.compared(torch.zeros(1, 6), options("topk", k=2)).tolist() == [[0, 1]]


def test_missing_teachers_weigh_nothing_and_all_others_as_before():
    losses, there = torch.tensor([1.0, float("nan"), 3.0, 4.0]), torch.tensor([True, False, True, True])
    assert loss.present(losses, there).item() == 2.0  # 8 / 4
    assert loss.present(losses, torch.zeros(4, dtype=torch.bool)).item() == 0.0


# ---------------------------------------------------------------- features


def test_losses_of_features_equal_the_published_ones():
    golden = np.load(GOLDEN / "feature_losses.npz")
    student, teacher = (torch.from_numpy(golden[key]) for key in ("student_feat", "teacher_feat"))
    assert np.abs(loss.cosine_loss(student, teacher).numpy() - golden["cosine_loss"]).max() < 1e-8
    assert abs(loss.normalised_mse(student, teacher).mean().item() - golden["normed_mse"]) < 1e-8
    grad = gradient(lambda x: loss.cosine_loss(x, teacher).mean(), student)
    assert np.abs(grad.numpy() - golden["cosine_grad_of_mean"]).max() < 1e-8
    grad = gradient(lambda x: loss.normalised_mse(x, teacher).mean(), student)
    assert np.abs(grad.numpy() - golden["normed_mse_grad"]).max() < 1e-8


@given(st.floats(0.01, 100), st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_cosine_forgets_lengths_and_the_normalised_mse_is_twice_of_it_over_the_width(a, b):
    student, teacher = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = loss.cosine_loss(student, teacher)
    assert ((found >= 0) & (found <= 2)).all()
    assert torch.allclose(loss.cosine_loss(a * student, b * teacher), found)
    assert torch.allclose(7 * loss.normalised_mse(student, teacher), 2 * found)


def test_a_zero_row_has_no_likeness_and_finite_gradients():
    grad = gradient(lambda x: loss.cosine_loss(x, torch.ones(1, 3)).sum(), torch.zeros(1, 3))
    assert torch.isfinite(grad).all()


def test_the_two_unused_losses_are_lowest_for_what_came():
    came = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    centres = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    for function in (loss.info_nce, lambda told, x: loss.quantised(told, x, centres)):
        assert function(came, came).shape == (2, 6)
        assert function(came, came).mean() < function(came.flip(1), came).mean()


# ---------------------------------------------------------------- classes


def test_rows_without_a_label_count_for_nothing_unless_parity_is_asked_for():
    scores, labels = torch.randn(2, 3, 5), torch.tensor([[1, -1, -1], [0, 2, -1]])
    found = loss.class_loss(scores, labels)
    assert (found[labels < 0] == 0).all()
    assert loss.mean_of_labelled(found, labels).item() == pytest.approx(found[labels >= 0].mean().item())
    assert loss.mean_of_labelled(found, labels, "samples").item() == pytest.approx(
        ((found[0, 0] + found[1, :2].mean()) / 2).item()
    )
    assert loss.mean_of_labelled(found, labels, "all").item() == pytest.approx(found.mean().item())


def test_a_sample_without_any_label_does_not_dilute_the_mean():
    scores, labels = torch.randn(3, 4, 5), torch.full((3, 4), -1)
    labels[1, 2] = 3
    found = loss.class_loss(scores, labels)
    assert loss.mean_of_labelled(found, labels).item() == pytest.approx(found[1, 2].item())
    assert loss.mean_of_labelled(found[:1], labels[:1]).item() == 0  # there is nothing to learn from


def test_equal_weights_of_classes_are_none():
    scores, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 2])
    assert torch.equal(loss.class_loss(scores, labels, torch.ones(5)), loss.class_loss(scores, labels))


def test_terms_without_weight_are_left_out_of_the_graph():
    terms = {"b": torch.tensor(2.0), "a": torch.tensor(3.0)}
    assert {k: v.item() for k, v in loss.weighted(terms, {"b": 0.5, "a": 0.0}).items()} == {"b": 1.0}
