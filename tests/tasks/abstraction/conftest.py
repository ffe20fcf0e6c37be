"""What tests of this room share: a tiny dataset of features, and networks trained on it for a moment."""

import pytest


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The toy dataset with few sets."""
    from tests.tasks.abstraction import toys

    return toys.make(tmp_path_factory.mktemp("toy") / "toy", train=300, test=40, rankings=8, odd=8)


@pytest.fixture(scope="session")
def sam(toy, tmp_path_factory):
    """The checkpoint of a SAM that has seen the toy for some steps."""
    from tests.tasks.abstraction import toys

    return toys.train(toy, tmp_path_factory.mktemp("sam") / "sam" / "seed-0", toys.options(20))


@pytest.fixture(scope="session")
def films(tmp_path_factory, make_video):
    """A few real videos with tables, frames, features and sets."""
    from tests.tasks.abstraction import films

    return films.make(tmp_path_factory.mktemp("films"), make_video)
