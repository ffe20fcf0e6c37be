"""A workplace belongs to its inputs and identity; it stays after a failure and goes after a success."""

import json
import os
import signal

import pytest
from tests.training.conftest import in_child

from kinoflow.training.state import State
from kinoflow.training.workplace import SNAPSHOT, workplace


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").write_text("a")
    return [tmp_path / "in"]


def failed(folder, inputs, *identity):
    """Return the place of a training that was stopped."""
    with pytest.raises(KeyboardInterrupt):
        with workplace(folder, inputs, *identity) as place:
            (place / "state").write_text("half")
            State(place, 1).save({})
            raise KeyboardInterrupt
    return place


def test_the_same_training_finds_what_it_left(tmp_path, inputs):
    place = failed(tmp_path / "work", inputs, "{}", 0)
    with workplace(tmp_path / "work", inputs, "{}", 0) as again:
        assert again == place and (again / "state").read_text() == "half"


@pytest.mark.parametrize("changed", ["options", "seed", "input", "time"])
def test_another_training_finds_nothing_and_removes_what_was_left(tmp_path, inputs, changed):
    place = failed(tmp_path / "work", inputs, "{}", 0)
    (tmp_path / "work" / "stray").write_text("x")
    if changed == "input":
        inputs[0].write_text("ab")
    if changed == "time":
        os.utime(inputs[0], ns=(5, 5))
    identity = {"options": ("{1}", 0), "seed": ("{}", 1)}.get(changed, ("{}", 0))
    with workplace(tmp_path / "work", inputs, *identity) as other:
        assert other != place and list((tmp_path / "work").iterdir()) == [other] and not list(other.iterdir())


@pytest.mark.parametrize(
    ("options", "seed", "said"),
    [
        ({"training": {"epochs": 4, "clip": 1.0}, "only": ["a"]}, 0, "training.epochs (3, now 4)"),
        ({"training": {"epochs": 3}, "only": []}, 0, "only (['a'], now []), training.clip (1.0, now none)"),
        ({"training": {"epochs": 3, "clip": 1.0}, "only": ["a"]}, 1, "its seed, inputs or code differ"),
    ],
)
def test_what_differs_is_told_before_a_state_goes(tmp_path, inputs, caplog, options, seed, said):
    before = {"training": {"epochs": 3, "clip": 1.0}, "only": ["a"]}
    failed(tmp_path / "work", inputs, json.dumps(before), 0)
    with workplace(tmp_path / "work", inputs, json.dumps(before), 0):
        assert not caplog.records
        failed(tmp_path / "other", inputs, json.dumps(before), 0)
    with workplace(tmp_path / "other", inputs, json.dumps(options), seed):
        (record,) = caplog.records
    assert record.levelname == "WARNING" and said in record.getMessage()
    assert "the training that was stopped is given up" in record.getMessage()


def test_a_saved_state_is_known_although_its_training_was_killed_at_once(tmp_path, inputs, caplog):
    def killed():
        with workplace(tmp_path / "work", inputs, '{"a": {"b": 1}}') as place:
            State(place, 1).save({})
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(killed) == -signal.SIGKILL
    with workplace(tmp_path / "work", inputs, '{"a": {"b": 2}}'):
        assert "these options differ: a.b (1, now 2)" in caplog.text


def test_nothing_is_told_where_nothing_was_saved(tmp_path, inputs, caplog):
    with pytest.raises(KeyboardInterrupt), workplace(tmp_path / "work", inputs, '{"a": 1}'):
        raise KeyboardInterrupt
    with workplace(tmp_path / "work", inputs, '{"a": 2}'):
        assert not caplog.records


def test_without_a_snapshot_it_is_told_that_something_differs(tmp_path, inputs, caplog):
    place = failed(tmp_path / "work", inputs, '{"a": 1}')
    (place / SNAPSHOT).write_bytes(b"\xff")  # cut short by a power failure
    with workplace(tmp_path / "work", inputs, '{"a": 2}'):
        assert "its options, seed, inputs or code differ" in caplog.text


def test_nothing_is_left_after_success(tmp_path, inputs):
    with workplace(tmp_path / "work", inputs, "{}"):
        pass
    assert not (tmp_path / "work").exists()


def test_only_the_first_process_makes_and_removes(tmp_path, inputs, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with workplace(tmp_path / "work", inputs, "{}") as place:
        assert not place.exists()
    monkeypatch.setenv("RANK", "0")
    with workplace(tmp_path / "work", inputs, "{}") as same:
        assert same == place and place.exists()
