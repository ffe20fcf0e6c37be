"""What the rooms' tests share: one thread of torch, so that tests beside each other do not fight for the cores; real videos."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def videos(tmp_path_factory, make_video):
    """Real videos and a shard of their frames: their folder, their names, the shard."""
    from tests.tasks import filmed

    folder = tmp_path_factory.mktemp("videos")
    return folder, *filmed.videos(folder, make_video)


@pytest.fixture(scope="session", params=["drawn", "trained"])
def filmed(request, videos, tmp_path_factory):
    """Reduced features of real videos, of a network with drawn weights and of one that a run has trained."""
    from tests.tasks import filmed

    return filmed.reduced(tmp_path_factory.mktemp(request.param), *videos, request.param == "trained")
