"""A training in a job of SLURM whose time is nearly over saves its state and goes back into the queue."""

import os
import signal
from pathlib import Path

import pytest
import torch
from tests.training.conftest import in_child, in_team
from tests.training.test_loop import bytes_of, train
from tests.training.test_resume import Asked
from tests.training.toy import Toy

from kinoflow.training import loop, meter


@pytest.fixture
def scontrol(tmp_path, monkeypatch) -> Path:
    """A job of SLURM whose scontrol writes down what it is asked, and refuses if a file says so."""
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncat {tmp_path}/refusal >&2 2>/dev/null && exit 1\nexit 0\n'
    (tmp_path / "bin/scontrol").write_text(script)
    (tmp_path / "bin/scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    return tmp_path


def urged(place):
    bytes_of(place, *train(place / "place", Asked(signal.SIGURG)))


def test_near_its_time_limit_it_saves_and_asks_for_another_turn(scontrol):
    for name in "ab":
        (scontrol / name).mkdir()
    assert in_child(urged, scontrol / "a") == -signal.SIGTERM
    assert (scontrol / "asked").read_text() == "requeue 12\n"
    assert torch.load(scontrol / "a/place/state.pt", weights_only=True)["done"] == 5
    for name in "ab":
        bytes_of(scontrol / name, *train(scontrol / name / "place"))
    for file in ("model.safetensors", "history.csv"):
        assert (scontrol / "a" / file).read_bytes() == (scontrol / "b" / file).read_bytes()


def test_where_slurm_refuses_it_says_so_once_and_goes_on(scontrol, caplog):
    (scontrol / "refusal").write_text("Requested operation is presently disabled")
    (scontrol / "a").mkdir()
    with caplog.at_level("WARNING", "kinoflow"):
        urged(scontrol / "a")
    assert (
        caplog.text.count("does not put this job back into the queue (Requested operation is presently disabled)") == 1
    )
    assert (scontrol / "asked").read_text() == "requeue 12\n"


def test_outside_of_slurm_the_signal_means_nothing(scontrol, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    (scontrol / "a").mkdir()
    urged(scontrol / "a")
    assert not (scontrol / "asked").exists()


def in_second(place):
    rank = os.environ["RANK"]
    train(place / "place", Asked(signal.SIGURG) if rank == "1" else Toy())


def test_one_of_several_processes_is_enough_and_the_first_asks(scontrol, port):
    assert in_team(2, port, in_second, scontrol) == [-signal.SIGTERM] * 2
    assert (scontrol / "asked").read_text() == "requeue 12\n"
    assert 5 <= torch.load(scontrol / "place/state.pt", weights_only=True)["done"] < 12


def test_where_steps_are_slow_none_passes_before_several_processes_look(scontrol, port, monkeypatch):
    monkeypatch.setattr(loop, "SLOW", -1.0)
    assert in_team(2, port, in_second, scontrol) == [-signal.SIGTERM] * 2
    assert torch.load(scontrol / "place/state.pt", weights_only=True)["done"] == 5


def test_a_single_process_looks_after_every_step_also_where_it_reads_losses_seldom(scontrol, monkeypatch):
    """As on a GPU, whose numbers are read after ten steps."""
    begin = meter.Meter.__init__

    def seldom(own, *arguments):
        begin(own, *arguments)
        own.every = meter.AHEAD

    monkeypatch.setattr(meter.Meter, "__init__", seldom)
    (scontrol / "a").mkdir()
    assert in_child(urged, scontrol / "a") == -signal.SIGTERM
    assert torch.load(scontrol / "a/place/state.pt", weights_only=True)["done"] == 5
    for name in "ab":
        (scontrol / name).mkdir(exist_ok=True)
        bytes_of(scontrol / name, *train(scontrol / name / "place"))
    assert (scontrol / "a/model.safetensors").read_bytes() == (scontrol / "b/model.safetensors").read_bytes()


class Long(Asked):
    """Its validation takes longer than the notice."""

    def validate(self):
        if self.passes == self.at:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        return super().validate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGURG])
def test_a_signal_before_a_validation_is_obeyed_before_it_and_the_validation_is_made_up_for(scontrol, number):
    for name in "ab":
        (scontrol / name).mkdir()

    def work(place):
        train(place / "place", Long(number, at=4), keep="best")

    assert in_child(work, scontrol / "a") == -signal.SIGTERM
    assert torch.load(scontrol / "a/place/state.pt", weights_only=True)["done"] == 4
    assert not (scontrol / "a/place/best.safetensors").exists()
    for name in "ab":
        bytes_of(scontrol / name, *train(scontrol / name / "place", keep="best"))
    for file in ("model.safetensors", "history.csv"):
        assert (scontrol / "a" / file).read_bytes() == (scontrol / "b" / file).read_bytes()
