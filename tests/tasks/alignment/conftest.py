"""What tests of this room share: a tiny dataset, and a network trained on it for a few steps."""

import pytest
from tests.tasks.alignment import discs as tiny


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> tiny.Discs:
    """Eight training and four test videos of discs, as tables and frame shards."""
    return tiny.make(tmp_path_factory.mktemp("discs"), 8, 4, least=4, most=7)


@pytest.fixture(scope="session")
def train(discs):
    """Return a function that trains on the discs into a folder: train(folder, options, seed=0) -> the checkpoint."""
    from kinoflow.tasks.alignment.train import alignment_train

    def into(folder, options, seed=0, **more):
        given = {"frames": discs.shards, "dataset": "discs", "device": "cpu", "code": "test"} | more
        outputs = {"model": folder / "model.safetensors", "history": folder / "history.csv", "place": folder / ".work"}
        alignment_train(discs.videos, discs.segments, options=options, seed=seed, **outputs, **given)
        return folder / "model.safetensors"

    return into


@pytest.fixture(scope="session")
def scl(train, tmp_path_factory):
    """The checkpoint of a network that was trained for a few steps."""
    return train(tmp_path_factory.mktemp("scl") / "scl" / "seed-0", tiny.options())
