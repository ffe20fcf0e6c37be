"""Losses by algorithm: TCN and classification against published numbers, and the choice among them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.tasks.alignment.loss import accuracy, batch_losses, classification_loss, known_labels, tcn_loss
from kinoflow.tasks.alignment.options import AlignmentOptions, TcnOptions
from kinoflow.tasks.alignment.scl import scl_loss
from kinoflow.tasks.alignment.tcc import tcc_loss

TCN = np.load(ROOT / "tests/golden/carl/tcn_npairs.npz")
PHASES = np.load(ROOT / "tests/golden/carl/classification_loss.npz")
relaxed = settings(deadline=None, max_examples=30)


def close(found, wanted) -> bool:
    return bool((np.abs(found - wanted) <= 1e-5 * (1 + np.abs(wanted))).all())


@pytest.mark.parametrize("weight", ["0.002", "0.0", "0.5"])
def test_tcn_and_its_gradient_are_the_published_ones(weight):
    z = torch.tensor(TCN["embs"], requires_grad=True)
    loss = tcn_loss(z, TcnOptions(regularise=float(weight)))
    loss.backward()
    assert close(loss.item(), TCN[f"loss__lambda_{weight}"]) and close(z.grad.numpy(), TCN[f"grad__lambda_{weight}"])


def test_classification_and_its_gradient_are_the_published_ones():
    logits = torch.tensor(PHASES["logits"], requires_grad=True)
    labels = known_labels({key: torch.tensor(PHASES[key]) for key in ("labels", "masks")})
    loss = classification_loss(logits, labels)
    loss.backward()
    assert close(loss.item(), PHASES["loss"]) and close(logits.grad.numpy(), PHASES["grad"])
    assert close(accuracy(logits, labels).item(), PHASES["accuracy"])


@relaxed
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_tcn_depends_on_no_joint_order_and_no_rotation(seed, order):
    rng = np.random.default_rng(seed)
    z = torch.from_numpy(rng.standard_normal((2, 8, 3)))
    turn = torch.from_numpy(np.linalg.qr(rng.standard_normal((3, 3)))[0])
    mixed = z.unflatten(1, (4, 2))[:, order].flatten(1, 2)
    wanted = tcn_loss(z, TcnOptions())
    assert torch.allclose(tcn_loss(mixed, TcnOptions()), wanted)
    assert torch.allclose(tcn_loss(z @ turn, TcnOptions()), wanted)
    assert tcn_loss(z, TcnOptions(regularise=0)) >= 0


def test_tcn_of_equal_embeddings_is_chance():
    assert math.isclose(tcn_loss(torch.ones(3, 10, 2), TcnOptions(regularise=0)).item(), math.log(5), rel_tol=1e-6)


def test_frames_without_label_cost_nothing_and_nobody_has_one_is_zero():
    logits = torch.tensor([[[9.0, 0.0], [0.0, 9.0]]], requires_grad=True)
    assert classification_loss(logits, torch.tensor([[0, -1]])).item() == pytest.approx(
        math.log1p(math.exp(-9)), rel=1e-3
    )
    loss = classification_loss(logits, torch.tensor([[-1, -1]]))
    loss.backward()
    assert loss == 0 and not logits.grad.any() and accuracy(logits, torch.tensor([[-1, -1]])) == 0


def test_each_algorithm_reads_what_it_needs():
    z = torch.nn.functional.normalize(torch.randn(2, 2, 6, 4), dim=-1)
    steps, lengths = torch.arange(6).expand(2, 2, 6), torch.full((2, 2), 6)
    batch = {"steps": steps, "masks": torch.ones(2, 2, 6), "lengths": lengths}
    logits, labels = torch.randn(2, 2, 6, 3), torch.randint(-1, 3, (2, 2, 6))

    def options(algorithm, **sampling) -> AlignmentOptions:
        return AlignmentOptions(algorithm=algorithm, sampling=sampling)

    scl, tcc = options("scl"), options("tcc")
    found = [
        batch_losses(scl, z, batch),
        batch_losses(tcc, z, batch),
        batch_losses(options("tcn", scheme="tcn"), z, batch),
        batch_losses(options("classification"), z, batch | {"labels": labels}, logits),
    ]
    sequences = z.flatten(0, 1)
    wanted = [
        {"scl": scl_loss(z, steps, batch["masks"], lengths, scl.scl)},
        {"tcc": tcc_loss(sequences, steps.flatten(0, 1), lengths.flatten(), tcc.tcc)},
        {"tcn": tcn_loss(sequences, TcnOptions())},
        {"classification": classification_loss(logits, labels)},
    ]
    assert found == wanted
