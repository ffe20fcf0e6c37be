"""The published learning rate."""

import numpy as np
import pytest
from tests.conftest import ROOT

from kinoflow.tasks.anticipation.schedule import kd_rate


@pytest.mark.parametrize("name", ["egtea", "ek55"])
def test_every_rate_equals_the_published_one(name):
    golden = np.load(ROOT / "tests/golden/anticipation/lr_schedule.npz")
    rate, epochs, warm, per_epoch, lowest = golden[f"{name}__params_lr_epochs_warmup_iters_eta"].tolist()
    wanted = golden[f"{name}__lr"]
    found = [kd_rate(i, rate, int(warm * per_epoch), int(epochs * per_epoch), lowest) for i in range(len(wanted))]
    assert np.abs(np.array(found) - wanted).max() < 1e-12


def test_the_cosine_ends_at_the_lowest_rate():
    assert kd_rate(998, 1e-3, 0, 1000, lowest=1e-4) == pytest.approx(1e-4, rel=0.01)
    assert kd_rate(0, 1e-3, 10, 100) == 1e-7
