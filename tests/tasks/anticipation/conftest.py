"""What tests of this room share: a tiny dataset, and students trained on it."""

import pytest
from tests.tasks.anticipation import world as tiny

from kinoflow.tasks.anticipation.train import anticipation_train


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> tiny.World:
    """Tables, feature shards and a teacher's records of a tiny dataset."""
    return tiny.make(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def train(world):
    """Return a function that trains on it into a folder: train(folder, options, seed=0) -> the checkpoint."""

    def into(folder, options, seed=0, **more):
        given = {
            "features": world.features,
            "teacher": [world.teacher],
            "dataset": "tiny",
            "device": "cpu",
            "code": "test",
        }
        outputs = {"model": folder / "model.safetensors", "history": folder / "history.csv", "place": folder / ".work"}
        anticipation_train(world.actions, world.classes, options=options, seed=seed, **outputs, **(given | more))
        return folder / "model.safetensors"

    return into


@pytest.fixture(scope="session")
def student(train, tmp_path_factory):
    """The checkpoint of a student that has learnt with the teacher."""
    return train(tmp_path_factory.mktemp("student"), tiny.options())
