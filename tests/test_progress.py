"""Long work is heard of, but not too often."""

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow import progress
from kinoflow.progress import PIPE_SECONDS, Progress, Transfer, duration, log, size


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch, caplog):
    caplog.set_level(logging.INFO, log.name)
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(progress, "time", found := Clock())
    return found


def test_into_a_pipe_goes_at_most_a_line_every_ten_seconds(clock, caplog):
    with Progress("frames 003", total=100, items="videos") as counter:
        for _ in range(100):
            clock.now += 1.0
            counter.step()
    assert len(caplog.messages) == 100 / PIPE_SECONDS + 1
    assert caplog.messages[0] == "frames 003: 10 of 100 videos (10 %), about 1 min 30 s left"
    assert caplog.messages[-1] == "frames 003: 100 videos in 1 min 40 s"


def test_a_terminal_hears_more_often(clock, caplog, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("x", total=4) as counter:
        for _ in range(4):
            clock.now += progress.TERMINAL_SECONDS
            counter.step()
    assert len(caplog.messages) == 5


def test_what_is_done_in_larger_steps_counts_as_much(clock, caplog):
    with Progress("x", total=10) as counter:
        clock.now += 60
        counter.step(0)
        counter.step(5)
    assert caplog.messages[0] == "x: 5 of 10 items (50 %), about 1 min 00 s left"


def test_nothing_to_do_is_nothing_to_say(clock, caplog):
    with Progress("x", total=0):
        pass
    assert caplog.messages == []


def test_work_that_fails_is_not_said_to_be_done(clock, caplog):
    with pytest.raises(ValueError), Progress("x", total=1):
        raise ValueError
    assert caplog.messages == []


def test_bytes_are_said_as_people_do(clock, caplog):
    with Transfer("film.zip", total=4_000_000, already=1_000_000) as counter:
        clock.now += 10
        counter.step(1_000_000)
        clock.now += 20
        counter.step(2_000_000)
    assert caplog.messages == [
        "film.zip: 2.0 MB of 4.0 MB (50 %), about 20.0 s left",
        "film.zip: 4.0 MB",
        "film.zip: 3.0 MB in 30.0 s",
    ]


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0.0 s"),
        (3.24, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 1e7))
def test_every_duration_is_near_what_it_says(seconds):
    numbers = [float(n) for n in re.findall(r"[\d.]+", duration(seconds))]
    units = {"s": 1, "min": 60, "h": 3600}
    said = sum(n * units[u] for n, u in zip(numbers, re.findall(r"[a-z]+", duration(seconds)), strict=True))
    assert abs(said - seconds) <= max(0.5, 60 * (seconds >= 3599))


@pytest.mark.parametrize(
    "count, text",
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (30_100_000_000, "30.1 GB"),
    ],
)
def test_sizes(count, text):
    assert size(count) == text
