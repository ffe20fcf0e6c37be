"""A step of the optimiser with scaled gradients: what moves must not depend on the scale."""

import pytest
import torch
from torch import nn

from kinoflow.training.distributed import Team
from kinoflow.training.groups import Group
from kinoflow.training.options import TrainingOptions
from kinoflow.training.update import Update


def update(precision: str, **options) -> Update:
    """Of a linear layer that is in a group, and a norm behind it that takes a gradient but is in none."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    given = TrainingOptions(precision=precision, momentum=0, weight_decay=0, **options)
    made = Update([Group("linear", list(model[0].named_parameters()))], model, given, torch.device("cpu"), Team())
    made.train()
    return made


def stepped(made: Update, weight: float = 1.0) -> torch.Tensor:
    """Return what one step adds to the linear layer's weight. weight: of the norm's own scale in the loss."""
    before = made.model[0].weight.detach().clone()
    x = torch.arange(32.0).reshape(8, 4).sin()
    made.begin()
    made.backward((made.model(x) ** 2 * torch.arange(3)).mean() + weight * made.model[1].weight.sum(), 1)
    made.step(0.1)
    return made.model[0].weight.detach() - before


@pytest.mark.parametrize("clip", [None, 1.0, 0.1])
def test_scaled_gradients_move_the_weights_as_far_as_unscaled_ones(clip):
    plain, scaled = stepped(update("float32", clip=clip)), stepped(update("float16", clip=clip))
    assert plain.abs().max() > 1e-6
    assert torch.allclose(scaled, plain, rtol=1e-4, atol=1e-7)


def test_an_overflow_in_no_group_moves_nothing_and_lowers_the_scale():
    made = update("float16", clip=1.0)
    before = made.scaler.get_scale()
    assert not stepped(made, weight=1e35).any()
    assert made.scaler.get_scale() == before / 2
