"""Losses, accuracies, one training step and the schedule against the published numbers."""

import json
import math

import numpy as np
import pytest
import torch
from tests.tasks.abstraction.golden import GOLDEN, arrays, published, weights

from kinoflow.metrics.abstraction import by_size, in_top
from kinoflow.tasks.abstraction.loss import path_loss, set_losses, share_right
from kinoflow.tasks.abstraction.subsets import sizes
from kinoflow.training.groups import one_group, optimiser
from kinoflow.training.options import TrainingOptions
from kinoflow.training.schedule import Plan, share

ACCURACY = 1e-4  # percent: published accuracies come from float32


def tensors(name):
    return {key: torch.from_numpy(value) for key, value in arrays(name).items()}


def test_losses_and_their_gradients_equal_the_published_ones():
    values = tensors("losses_accuracy")
    emb, logits = values["emb"].requires_grad_(), values["logits"].requires_grad_()
    embed, abstr = values["loss_weights"].tolist()
    losses = set_losses(emb, logits, values["emb_target"], values["labels"], embed, abstr)
    assert losses["embed"].item() == pytest.approx(values["loss_embed"].item(), rel=1e-9)
    assert losses["abstr"].item() == pytest.approx(values["loss_abstr"].item(), rel=1e-9)
    total = sum(losses.values())
    total.backward()
    assert total.item() == pytest.approx(values["loss_full"].item(), rel=1e-9)
    assert torch.allclose(emb.grad, values["grad_emb"], rtol=1e-9) and torch.allclose(
        logits.grad, values["grad_logits"], rtol=1e-9
    )


def test_accuracies_equal_the_published_ones_over_all_subsets_and_by_their_size():
    values = arrays("losses_accuracy")
    for k in (1, 5):
        right = in_top(values["logits"], values["labels"], k)
        assert 100 * right.mean() == pytest.approx(values[f"top{k}"], abs=ACCURACY)
        assert 100 * share_right(*map(torch.from_numpy, (values["logits"], values["labels"])), k) == pytest.approx(
            values[f"top{k}"], abs=ACCURACY
        )
        for size, shares in by_size(right, sizes(4)).items():
            assert 100 * shares.mean() == pytest.approx(values[f"top{k}_s{size}"], abs=ACCURACY)


def test_three_training_steps_give_the_published_weights():
    values = arrays("train_steps")
    rate, decay, clip, embed, abstr = values["settings"].tolist()
    model = published(values, prefix="init_").train()
    options = TrainingOptions(optimiser="adam", learning_rate=rate, weight_decay=decay, clip=clip, steps=3)
    steps = optimiser(one_group(model), options)
    found = []
    for i in range(3):
        x, target, labels = (torch.from_numpy(values[f"{name}_{i}"]) for name in ("x", "emb_target", "labels"))
        told = model(x)
        losses = set_losses(told.embeddings, told.logits, target, labels, embed, abstr)
        total = sum(losses.values())
        right = [100 * share_right(told.logits, labels, k).item() for k in (1, 5)]
        found.append([losses["embed"].item(), losses["abstr"].item(), total.item(), *right])
        for parameter in model.parameters():
            parameter.grad = None
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        steps.step()
    assert np.allclose(np.array(found)[:, :3], values["step_metrics"][:, :3], rtol=1e-9)
    assert np.allclose(np.array(found)[:, 3:], values["step_metrics"][:, 3:], atol=ACCURACY)
    for name, expected in weights(values, model, "final_").items():
        assert np.allclose(model.state_dict()[name].numpy(), expected, rtol=1e-9, atol=1e-12), name
    for name in ("scale_w", "scale_b"):  # no part of this model, and the published step leaves them alone
        assert np.array_equal(values[f"init_{name}"], values[f"final_{name}"]) and not hasattr(model, "scale_weight")


def test_the_cosine_equals_the_published_formula_where_it_is_given_epochs():
    found = json.loads((GOLDEN / "lr_schedule.json").read_text())
    base, length = found["base_lr"], found["T_max"]
    steps = 10  # per epoch: 4.2 epochs are 42 steps
    options = TrainingOptions(epochs=length, batch=1, learning_rate=base, schedule="cosine", per="step")
    plan = Plan.of(steps, options)
    for epoch, rate in found["original_val_loss_to_lr"]:
        assert base * share(round(epoch * steps), options, plan) == pytest.approx(rate, rel=1e-9)


# ---------------------------------------------------------------- what no published number tells


def test_the_cross_entropy_of_uniform_logits_is_the_logarithm_of_the_number_of_nodes():
    losses = set_losses(torch.zeros(2, 3, 4), torch.zeros(2, 7, 3), torch.zeros(2, 3, 4), torch.ones(2, 3).long())
    assert losses["abstr"].item() == pytest.approx(math.log(7)) and losses["embed"].item() == 0


def test_the_path_loss_is_the_binary_cross_entropy_against_a_node_and_all_above_it():
    paths = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)  # 0 and 1 below the root 2
    logits = torch.tensor([[[0.5, -1.0], [2.0, 0.0], [1.0, -3.0]]], dtype=torch.float64)  # (1, 3 nodes, 2 subsets)
    labels = torch.tensor([[0, 2]])
    wanted = [(0.5, 1), (2.0, 0), (1.0, 1), (-1.0, 0), (0.0, 0), (-3.0, 1)]  # (logit, whether it is on the way)
    expected = sum(math.log1p(math.exp(-z if on else z)) for z, on in wanted) / 6
    assert path_loss(logits, labels, paths).item() == pytest.approx(expected)
    with_paths = set_losses(torch.zeros(1, 2, 4), logits, torch.zeros(1, 2, 4), labels, 1.0, 2.0, paths)
    assert with_paths["abstr"].item() == pytest.approx(2 * expected)


def test_of_equal_logits_the_lower_node_comes_first():
    logits = np.array([[[1.0], [2.0], [2.0], [0.0]]])  # one set, four nodes, one subset
    told = [in_top(logits, np.array([[label]]), 1).item() for label in range(4)]
    assert told == [False, True, False, False]
    assert [in_top(logits, np.array([[label]]), 2).item() for label in range(4)] == [False, True, True, False]
    assert [share_right(torch.from_numpy(logits), torch.tensor([[k]]), 1).item() for k in range(4)] == [0, 1, 0, 0]


def test_a_loss_without_weight_is_left_out():
    z = torch.zeros(1, 3, 1)
    assert set(set_losses(z, z, z, torch.zeros(1, 1).long(), 0.0, 1.0)) == {"abstr"}
    assert set(set_losses(z, z, z, torch.zeros(1, 1).long(), 2.0, 0.0)) == {"embed"}
