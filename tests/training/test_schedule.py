"""The learning rate of every step: the published tables, torch's own schedulers, and what holds for all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.training.options import TrainingOptions
from kinoflow.training.schedule import Plan, base_rate, reductions, share

GOLDEN = Path(__file__).parents[1] / "golden"


def rates(samples: int = 40, **values) -> np.ndarray:
    """Return the rate of every step, batches of 4."""
    options = TrainingOptions(batch=4, **values)
    plan = Plan.of(samples, options)
    return np.array([base_rate(options) * share(step, options, plan) for step in range(plan.steps)])


def a_row(rates: np.ndarray, per_epoch: int = 10) -> np.ndarray:
    """Return the rate of every epoch, which must not change inside it."""
    table = rates.reshape(-1, per_epoch)
    assert (table == table[:, :1]).all()
    return table[:, 0]


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_rates_are_those_of_the_published_recognition_trainings(schedule):
    golden = np.load(GOLDEN / "lsnet" / "optim.npz")
    name = schedule[:3] if schedule == "cosine" else schedule
    rate, _, epochs, *milestones = golden[f"lr_{name}_cfg"]
    found = rates(learning_rate=rate, epochs=int(epochs), schedule=schedule, milestones=[int(m) for m in milestones])
    np.testing.assert_allclose(a_row(found), golden[f"lr_{name}_lr1_wd1_lr10_wd0"][:, 0], rtol=1e-12)


def test_rates_are_those_of_the_published_alignment_trainings():
    golden = np.load(GOLDEN / "carl" / "lr_schedules.npz")
    found = rates(learning_rate=1e-4, epochs=500, schedule="cosine", planned=501)
    np.testing.assert_allclose(a_row(found), golden["cosine_500"], rtol=1e-12)
    np.testing.assert_allclose(
        a_row(rates(learning_rate=1e-4, epochs=300, schedule="constant")), golden["fixed_300"], rtol=1e-12
    )


def test_milestones_are_at_two_and_four_fifths_unless_given():
    given_ones = rates(epochs=50, schedule="step", milestones=[20, 40])
    assert (rates(epochs=50, schedule="step") == given_ones).all()
    assert rates(steps=5, schedule="step", per="step", learning_rate=1) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_one_cycle_is_torchs():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2.0, total_steps=201)
    expected = []
    for _ in range(200):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    found = rates(steps=200, schedule="one_cycle", per="step", learning_rate=2)
    assert found == pytest.approx(expected, abs=0.03)  # theirs counts both ends


def test_plateau_is_torchs():
    rng = np.random.default_rng(0)
    for patience in (0, 1, 3):
        losses = 10 + np.cumsum(rng.normal(-0.02, 0.3, 60))
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=0.2, patience=patience, threshold=1e-5, min_lr=1e-3, eps=0
        )
        options = TrainingOptions(
            steps=60, batch=1, schedule="plateau", gamma=0.2, patience=patience, final_rate=1e-3, learning_rate=1
        )
        plan = Plan.of(1, options)
        for epoch, loss in enumerate(losses):
            now = share(epoch, options, plan, losses[:epoch].tolist())
            assert now == pytest.approx(optimiser.param_groups[0]["lr"])
            theirs.step(loss)


def test_plateau_takes_losses_below_zero():
    assert reductions([-1.0, -2.0, -3.0], 0) == 0
    assert reductions([-3.0, -3.0, -3.0], 0) == 2


def test_the_rate_grows_evenly_first_from_step_to_step():
    found = rates(epochs=4, warm_up=2, schedule="cosine", learning_rate=1)
    assert found[:20] == pytest.approx(np.arange(1, 21) / 20)
    assert a_row(found[20:]) == pytest.approx([1, 0.5])
    assert rates(steps=8, warm_up=4, schedule="linear", per="step", learning_rate=1) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]
    )


def test_a_schedule_may_be_planned_for_longer_than_the_training():
    whole = rates(epochs=6, schedule="one_cycle", per="step")
    assert (rates(epochs=4, planned=6, schedule="one_cycle", per="step") == whole[:40]).all()


SCHEDULES = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["constant", "step", "linear", "cosine"]),
        "per": st.sampled_from(["epoch", "step"]),
        "learning_rate": st.floats(1e-6, 10),
        "final_rate": st.floats(0, 1),
        "gamma": st.floats(0.01, 1),
    }
)


@given(SCHEDULES, st.sampled_from(["epochs", "steps"]), st.integers(1, 30))
def test_rates_never_grow_and_begin_with_the_learning_rate(values, unit, length):
    found = rates(**values, **{unit: length})
    assert found[0] == pytest.approx(values["learning_rate"])
    assert (np.diff(found) <= 1e-12).all() and (found >= 0).all() and np.isfinite(found).all()


def test_the_rate_is_scaled_to_the_batch_only_where_it_says_for_which_it_is_meant():
    assert base_rate(TrainingOptions(learning_rate=0.01, batch=16, lr_at_batch=64)) == pytest.approx(0.0025)
    assert base_rate(TrainingOptions(learning_rate=0.01, batch=16)) == 0.01


def test_an_epoch_with_remainder_has_one_more_step_only_without_drop_last():
    assert Plan.of(43, TrainingOptions(batch=4, epochs=3)).steps == 30
    assert Plan.of(43, TrainingOptions(batch=4, epochs=3, drop_last=False)).steps == 33


@pytest.mark.parametrize(
    ("samples", "said"), [(3, "the 3 training samples are fewer than one batch of 4"), (0, "no training")]
)
def test_too_few_samples_are_refused(samples, said):
    with pytest.raises(DataError, match=said):
        Plan.of(samples, TrainingOptions(batch=4))
