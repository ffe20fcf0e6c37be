"""What these tests share: one thread of torch, and processes that are cheap to start."""

import multiprocessing
import os
import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)


def in_child(work, *arguments) -> int:
    """Run work(*arguments) in a forked process; return its exit code (minus the signal that ended it)."""
    child = multiprocessing.get_context("fork").Process(target=_plain, args=(work, *arguments))
    child.start()
    child.join()
    return child.exitcode


def _plain(work, *arguments):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    work(*arguments)


def in_team(size: int, port: int, work, *arguments) -> list[int]:
    """Run work(*arguments) in ``size`` forked processes that find each other as torchrun's do; return their exit codes."""
    context = multiprocessing.get_context("fork")
    children = []
    for rank in range(size):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        children.append(context.Process(target=_placed, args=(place, work, *arguments)))
        children[-1].start()
    for child in children:
        child.join()
    return [child.exitcode for child in children]


def _placed(place, work, *arguments):
    os.environ |= {name: str(value) for name, value in place.items()}
    work(*arguments)
