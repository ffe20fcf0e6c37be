"""What tests of this room share: a tiny dataset of real videos, and a network trained on it."""

import pytest
from tests.tasks.recognition import bars as tiny

from kinoflow.tasks.recognition.train import recognition_train


@pytest.fixture(scope="session")
def bars(tmp_path_factory) -> tiny.Bars:
    """Bars that go left or right, in real videos, as tables and frame shards."""
    return tiny.make(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="session")
def train(bars):
    """Return a function that trains on the bars into a folder: train(folder, options, seed=0) -> the checkpoint."""

    def into(folder, options, seed=0, **more):
        given = {"frames": bars.shards, "dataset": "bars", "mirror": False, "device": "cpu", "code": "test"} | more
        outputs = {"model": folder / "model.safetensors", "history": folder / "history.csv", "place": folder / ".work"}
        recognition_train(bars.videos, bars.segments, options=options, seed=seed, **outputs, **given)
        return folder / "model.safetensors"

    return into


@pytest.fixture(scope="session")
def tsm(train, tmp_path_factory):
    """The checkpoint of a TSM that knows the bars."""
    return train(tmp_path_factory.mktemp("tsm"), tiny.options())
