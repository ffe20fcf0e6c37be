"""What the rooms' tests share: one thread of torch, so that tests beside each other do not fight for the cores."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)
