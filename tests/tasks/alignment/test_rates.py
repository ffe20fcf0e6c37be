"""Learning rates of the published alignment trainings."""

import numpy as np
import pytest
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.options import check
from kinoflow.tasks.alignment.options import AlignmentTraining
from kinoflow.tasks.alignment.rates import rate
from kinoflow.training.schedule import Plan

GOLDEN = np.load(ROOT / "tests/golden/carl/lr_schedules.npz")


def shares(**options) -> list[float | None]:
    """The share of the base rate in each epoch of two steps."""
    training = AlignmentTraining(batch=4, **options)
    plan = Plan.of(8, training)
    found = [rate(step, plan, training) for step in range(plan.steps)]
    assert found[0::2] == found[1::2]  # constant within an epoch
    return found[0::2]


@pytest.mark.parametrize("name", ["cosine_500", "cosinewarmup_100_w5"])
def test_rates_are_the_published_ones(name):
    base, epochs, warm, first, last = GOLDEN[f"{name}__params"]
    options = {"warm_up": int(warm), "warm_from": first / base} if name.startswith("cosinewarmup") else {}
    found = shares(epochs=int(epochs), learning_rate=base, final_rate=last / base, **options)
    np.testing.assert_allclose(found, GOLDEN[name] / base, atol=1e-6)


def test_a_fixed_rate_is_the_options_own():
    base = GOLDEN["fixed_300__params"][0]
    assert set(shares(epochs=300, schedule="constant")) == {None} and (GOLDEN["fixed_300"] == base).all()


@pytest.mark.parametrize("epochs", [1, 7, 100])
def test_the_cosine_falls_and_stays_above_0(epochs):
    found = shares(epochs=epochs)
    assert len(found) == epochs and found[0] == 1 and (np.diff(found) < 0).all() and found[-1] > 0


def test_trainings_by_steps_and_planned_ones_follow_the_options():
    assert set(shares(steps=6)) == {None} and set(shares(epochs=3, planned=9)) == {None}
    assert set(shares(epochs=6, warm_up=2)) == {None}


def test_warm_from_needs_a_warm_up():
    with pytest.raises(ConfigError, match="warm_from: it needs warm_up"):
        check(AlignmentTraining, {"warm_from": 0.1}, "here")
