"""An events file is what TensorBoard reads."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kinoflow.training.events import Events

ROWS = [
    {"step": 10, "epoch": 1, "learning_rate": 0.5, "train/loss": 2.25},
    {"step": 300, "epoch": 2, "learning_rate": 0.25, "validation/top1": 1.0},
]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value)]} as TensorBoard has read them."""
    found = EventAccumulator(str(folder)).Reload()
    return {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}


def test_rows_come_back_as_scalars(tmp_path):
    events = Events(tmp_path / "new")
    events.write(ROWS[:1])
    events.write(ROWS)
    events.write(ROWS)
    events.close()
    assert scalars(tmp_path / "new") == {
        "learning_rate": [(10, 0.5), (300, 0.25)],
        "train/loss": [(10, 2.25)],
        "validation/top1": [(300, 1.0)],
    }


def test_a_continued_training_leaves_one_file_with_all_rows(tmp_path):
    first = Events(tmp_path)
    first.write(ROWS[:1])  # and is killed
    second = Events(tmp_path)
    second.write(ROWS)
    second.close()
    first.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert scalars(tmp_path)["learning_rate"] == [(10, 0.5), (300, 0.25)]


@pytest.mark.parametrize("rows", [[], ROWS])
def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, rows):
    monkeypatch.chdir(tmp_path)
    events = Events(None)
    events.write(rows)
    events.close()
    assert not list(tmp_path.iterdir())


def test_a_training_without_rows_makes_no_file(tmp_path):
    events = Events(tmp_path / "none")
    events.write([])
    events.close()
    assert not (tmp_path / "none").exists()
