"""A training that is killed and started again ends with the same bytes as one that was not."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from tests.conftest import ROOT
from tests.training.conftest import in_child
from tests.training.test_loop import Spiked, bytes_of, train
from tests.training.toy import Mortal, MortalToy, Strays, Toy

from kinoflow.errors import DataError

# Every part of the state counts here: running statistics, moments, the best weights, half a row, a rate that follows losses.
VALUES = {
    "steps": 40,
    "samples": 29,
    "optimiser": "adam",
    "learning_rate": 0.02,
    "schedule": "plateau",
    "patience": 0,
    "keep": "best",
    "validate_every": 7,
    "log_every": 6,
    "accumulate": 2,
    "drop_last": False,
}


class MortalStrays(Mortal, Strays):
    pass


def attempt(folder, room, passes, values):
    trainee = room(29)
    trainee.left = passes
    bytes_of(folder, *train(folder / "place", trainee, **values))


class MortalSpiked(Mortal, Spiked):
    pass


@pytest.mark.parametrize(
    ("room", "values"),
    [
        (MortalToy, {}),
        (MortalSpiked, {"clip": 20.0}),
        (MortalToy, {"optimiser": "sgd", "workers": 1}),
        (MortalStrays, {"precision": "bfloat16"}),
    ],
    ids=["adam", "skipped steps", "sgd and workers", "strays in bfloat16"],
)
def test_killed_at_random_steps_it_ends_with_the_same_bytes(tmp_path, room, values):
    chance = random.Random(3)
    values = VALUES | values
    for name in "ab":
        (tmp_path / name).mkdir()
    assert in_child(attempt, tmp_path / "a", room, -1, values) == 0
    kills = 0
    while in_child(attempt, tmp_path / "b", room, chance.randrange(2, 60), values | {"save_minutes": 1e-4}) != 0:
        kills += 1
        assert kills < 50
    assert kills >= 2
    for file in ("model.safetensors", "history.csv"):
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


SCRIPT = """
import sys, time
from pathlib import Path
from tests.training.test_loop import bytes_of, train
from tests.training.toy import Toy
class Slow(Toy):
    def load(self, draws):
        time.sleep({pause})
        return super().load(draws)
place = Path(sys.argv[1])
print("begins", flush=True)
bytes_of(place, *train(place / "place", Slow(29), **{values}))
"""


def command(place, pause: float):
    values = VALUES | {"save_minutes": 2e-4}
    words = [sys.executable, "-c", SCRIPT.format(pause=pause, values=values), str(place)]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(
        words, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_process_of_its_own_killed_at_a_random_moment_is_continued_by_the_same_command(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    in_child(attempt, tmp_path / "a", MortalToy, -1, VALUES)
    state = tmp_path / "b" / "place" / "state.pt"
    with command(tmp_path / "b", 0.02) as child:
        while child.poll() is None and not state.exists():
            time.sleep(0.005)
        time.sleep(random.Random(1).uniform(0, 0.5))
        child.kill()
    assert child.returncode == -signal.SIGKILL and 0 < torch.load(state, weights_only=True)["done"] < 40
    with command(tmp_path / "b", 0) as child:
        assert child.wait() == 0
    for file in ("model.safetensors", "history.csv"):
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


class Asked(Toy):
    """Sends its own process signals in a given pass."""

    def __init__(self, *signals: int, at: int = 5, pause: float = 0):
        super().__init__()
        self.signals, self.at, self.passes, self.pause = signals, at, 0, pause

    def losses(self, batch):
        self.passes += 1
        if self.passes == self.at:
            for number in self.signals:
                signal.raise_signal(number)
                time.sleep(self.pause)
        return super().losses(batch)


def stopped(place, *signals, **options):
    train(place, Asked(*signals, **options))


def test_at_sigterm_the_step_is_ended_and_saved_and_then_the_signal_obeyed(tmp_path):
    assert in_child(stopped, tmp_path, signal.SIGTERM) == -signal.SIGTERM
    assert torch.load(tmp_path / "state.pt", weights_only=True)["done"] == 5


def test_the_second_signal_does_not_wait_for_the_step(tmp_path):
    def twice(place):
        stopped(place, signal.SIGTERM, signal.SIGTERM, pause=1.1)

    assert in_child(twice, tmp_path) == -signal.SIGTERM
    assert not (tmp_path / "state.pt").exists()


def test_two_signals_at_once_as_slurm_sends_them_at_a_time_limit_are_one(tmp_path):
    assert in_child(stopped, tmp_path, signal.SIGTERM, signal.SIGTERM) == -signal.SIGTERM
    assert torch.load(tmp_path / "state.pt", weights_only=True)["done"] == 5


def test_a_signal_in_the_last_step_is_obeyed_too(tmp_path):
    def last(place):
        stopped(place, signal.SIGTERM, at=12)

    assert in_child(last, tmp_path) == -signal.SIGTERM
    assert torch.load(tmp_path / "state.pt", weights_only=True)["done"] == 12


def test_an_interrupt_is_an_interrupt_after_the_step(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Asked(signal.SIGINT))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["done"] == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_that_was_done_is_not_done_again(tmp_path):
    first = bytes_of(tmp_path, *train(tmp_path, keep="best"))
    trainee = Toy()
    trainee.load = None  # nothing may be loaded
    assert bytes_of(tmp_path, *train(tmp_path, trainee, keep="best")) == first


def test_the_state_of_other_options_or_another_seed_does_not_count(tmp_path):
    train(tmp_path, learning_rate=0.2)
    train(tmp_path, seed=1)
    assert bytes_of(tmp_path, *train(tmp_path)) == bytes_of(tmp_path / "new", *train(tmp_path / "new"))


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="state.pt: this saved training cannot be read .* delete it to begin anew"):
        train(tmp_path)
