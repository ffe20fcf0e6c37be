"""An events file is what TensorBoard reads."""

import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.training.conftest import in_child
from tests.training.test_loop import bytes_of
from tests.training.toy import Strays

from kinoflow.training.events import Events
from kinoflow.training.loop import fit
from kinoflow.training.options import TrainingOptions

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


def pictures(folder: Path) -> dict[str, list[tuple[int, np.ndarray]]]:
    """{name: [(step, (T, H, W, 3))]} as TensorBoard has read them."""
    found = EventAccumulator(str(folder), {"images": 0}).Reload()
    return {
        name: [(each.step, frames(each.encoded_image_string)) for each in found.Images(name)]
        for name in found.Tags()["images"]
    }


def frames(encoded: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(encoded))
    every = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        every.append(np.asarray(picture.convert("RGB")))
    return np.stack(every)


def test_pictures_and_videos_come_back(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (5, 7, 3), np.uint8)
    video = np.zeros((3, 8, 6, 3), np.uint8)
    for number, frame in enumerate(video):
        frame[number:, :, number] = 255
    events = Events(tmp_path)
    events.show(4, {"similarity/a": picture, "views/b": video})
    events.show(8, {})
    events.show(9, {"similarity/a": picture[::-1]})
    events.write(ROWS)
    events.close()
    found = pictures(tmp_path)
    assert {name: [step for step, _ in each] for name, each in found.items()} == {
        "similarity/a": [4, 9],
        "views/b": [4],
    }
    np.testing.assert_array_equal(found["similarity/a"][1][1][0], picture[::-1])
    np.testing.assert_array_equal(found["views/b"][0][1], video)
    assert scalars(tmp_path)["learning_rate"] == [(10, 0.5), (300, 0.25)]


@pytest.mark.parametrize("x", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4, 1), np.uint8)])
def test_what_is_no_picture_is_named(tmp_path, x):
    with pytest.raises(ValueError, match=r"^odd is \w+ \(.*\): show pictures"):
        Events(tmp_path).show(1, {"odd": x})


@pytest.mark.parametrize("cut", [0, 7])
def test_a_continued_training_keeps_pictures_up_to_where_it_goes_on(tmp_path, cut):
    first, second = (np.full((9, 9, 3), value, np.uint8) for value in (1, 2))
    events = Events(tmp_path)
    for step in (4, 8):
        events.show(step, {"a": first, "b": first})
    (file,) = tmp_path.iterdir()  # and is killed, in the middle of a write or not
    file.write_bytes(file.read_bytes()[: -cut or None])
    for _ in range(2):  # the second is killed before it writes anything
        events = Events(tmp_path)
        events.resume(ROWS[:0], 4)
    events.show(8, {"a": second})
    events.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert {name: [(step, x.max()) for step, x in each] for name, each in pictures(tmp_path).items()} == {
        "a": [(4, 1), (8, 2)],
        "b": [(4, 1)],
    }


class Shown(Strays):
    """Shows a picture whose first value is the step, and draws from everything that draws."""

    left = -1

    def show(self, step):
        assert not self.model.training and not torch.is_grad_enabled()
        torch.rand(3), np.random.rand(3), np.random.default_rng()
        self.model(self.x)
        return {"step": np.full((2, 3, 3), step, np.uint8), "still": np.full((2, 4, 4, 3), step, np.uint8)}

    def losses(self, batch):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().losses(batch)


def shown(folder, left=-1, **values):
    trainee = Shown()
    trainee.left = left
    given = {"epochs": 5, "batch": 8, "save_minutes": 0.0001} | values
    history = fit(trainee, TrainingOptions(**given), 0, folder / "place", "toy", device="cpu", events=folder / "events")
    return bytes_of(folder, history, trainee)


def steps(folder):
    return {name: [(step, int(x.max())) for step, x in each] for name, each in pictures(folder / "events").items()}


def test_a_training_shows_what_its_room_has_to_show_and_learns_the_same(tmp_path):
    assert shown(tmp_path / "a", show_every=2) == shown(tmp_path / "b")
    assert steps(tmp_path / "a") == {name: [(8, 8), (16, 16), (20, 20)] for name in ("step", "still")}
    assert not steps(tmp_path / "b")
    assert shown(tmp_path / "c", epochs=None, steps=7, show_every=3)
    assert steps(tmp_path / "c")["step"] == [(3, 3), (6, 6), (7, 7)]


@pytest.mark.parametrize("minutes", [1e-9, 1000], ids=["saved at each step", "never saved"])
def test_a_training_that_was_killed_shows_each_picture_once(tmp_path, minutes):
    for name in "ab":
        (tmp_path / name).mkdir()
    shown(tmp_path / "a", show_every=1)
    for left in (9, 1, 7):
        assert in_child(lambda left=left: shown(tmp_path / "b", left, show_every=1, save_minutes=minutes)) < 0
    shown(tmp_path / "b", show_every=1, save_minutes=minutes)
    assert steps(tmp_path / "b") == steps(tmp_path / "a")
    assert scalars(tmp_path / "b" / "events") == scalars(tmp_path / "a" / "events")
    assert len(list((tmp_path / "b" / "events").iterdir())) == 1
