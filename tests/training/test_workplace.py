"""A workplace belongs to its inputs and identity; it stays after a failure and goes after a success."""

import os

import pytest

from kinoflow.training.workplace import workplace


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").write_text("a")
    return [tmp_path / "in"]


def failed(folder, inputs, *identity):
    """Return the place of a training that was stopped."""
    with pytest.raises(KeyboardInterrupt):
        with workplace(folder, inputs, *identity) as place:
            (place / "state").write_text("half")
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
