"""Groups hold multiples of rate and decay; the optimisers compute what torch's plain ones do, without loading a compiler."""

import os
import subprocess
import sys

import pytest
import torch
from tests.conftest import ROOT
from torch import nn

from kinoflow.training.groups import Group, one_group, optimiser
from kinoflow.training.options import TrainingOptions

PATHS = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
PLAIN = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01, foreach=False),
    "nesterov": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01, nesterov=True, foreach=False),
    "adam": lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.01, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01, foreach=False),
}


def after_steps(build) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(5, 3).double()
    chosen = build(model)
    for x in torch.randn(6, 8, 5, dtype=torch.float64):
        model.zero_grad()
        model(x).square().mean().backward()
        chosen.step()
    return model.weight.detach().clone()


@pytest.mark.parametrize("kind", PLAIN)
def test_an_optimiser_is_torchs_plain_one(kind):
    plain = kind if kind != "nesterov" else "sgd"
    options = TrainingOptions(optimiser=plain, learning_rate=0.05, weight_decay=0.01, nesterov=kind == "nesterov")
    ours = after_steps(lambda model: optimiser(one_group(model), options))
    torch.testing.assert_close(ours, after_steps(lambda model: PLAIN[kind](model.parameters())), rtol=1e-12, atol=1e-14)


def test_rates_and_decays_of_a_group_are_multiples_and_empty_groups_are_left_out():
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = [Group("body", [("a", a)]), Group("none", []), Group("head bias", [("b", b)], rate=10, decay=0)]
    found = optimiser(groups, TrainingOptions(learning_rate=0.01, weight_decay=5e-4, batch=32, lr_at_batch=64))
    rows = [(g["name"], g["rate"], g["lr"], g["weight_decay"]) for g in found.param_groups]
    assert rows == [("body", 1, pytest.approx(0.005), 5e-4), ("head bias", 10, pytest.approx(0.05), 0)]


def test_one_group_leaves_out_what_takes_no_gradient():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert [name for name, _ in one_group(model)[0].parameters] == ["weight"]


def test_a_parameter_in_two_groups_is_refused():
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="more than one group"):
        optimiser([Group("a", [("x", parameter)]), Group("b", [("x", parameter)])], TrainingOptions())


def test_a_parameter_whose_gradient_comes_later_is_taken_up_then():
    model = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    chosen = optimiser(one_group(model), TrainingOptions())
    before = [p.clone() for p in model.parameters()]
    for part in (0, 1):
        model.zero_grad()
        model[part](torch.ones(1, 1)).sum().backward()
        chosen.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="no parameter"):
        optimiser([Group("none", [])], TrainingOptions())


def test_a_training_does_not_load_torchs_compiler():
    script = """
import sys, tempfile
from pathlib import Path
from tests.training.toy import Toy
from kinoflow.training.loop import fit
from kinoflow.training.options import TrainingOptions
fit(Toy(), TrainingOptions(steps=2, batch=8), 0, Path(tempfile.mkdtemp()), "toy", device="cpu")
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": PATHS}).returncode == 0
