"""What tests of this room share: a tiny dataset of features, and models trained on it."""

import pytest
from tests.tasks.segmentation import tiny

from kinoflow.tasks.segmentation.train import segmentation_train


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> tiny.Films:
    """Videos of two tasks as tables and feature shards."""
    return tiny.make(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def train(films):
    """Return a function that trains into a folder: train(folder, options, seed=0) -> the checkpoint."""

    def into(folder, options, seed=0, of=films, **more):
        given = {"dataset": "tiny", "device": "cpu", "code": "test"} | more
        outputs = {"model": folder / "model.safetensors", "history": folder / "history.csv", "place": folder / ".work"}
        segmentation_train(**of.tables, features=of.features, options=options, seed=seed, **outputs, **given)
        return folder / "model.safetensors"

    return into


@pytest.fixture(scope="session")
def unlabelled(train, tmp_path_factory):
    """The checkpoint of a low-rank model that was trained without labels."""
    return train(tmp_path_factory.mktemp("run") / "low" / "seed-0", tiny.options())


@pytest.fixture(scope="session")
def labelled(train, tmp_path_factory):
    """The checkpoint of a dense model that was fitted by counting."""
    folder = tmp_path_factory.mktemp("run") / "counted" / "seed-0"
    return train(folder, tiny.options(**tiny.LABELLED, learn="closed_form"))
