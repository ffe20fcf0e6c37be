"""What several tests share: real clips, as small as they can be, and the folder of real data where it is present."""

import os
import random
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from kinoflow.media.write import write_video

ROOT = Path(__file__).resolve().parents[1]
LONGEST = ("slurm", "workflow")  # folders of tests

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let what a test draws from torch's own generator not depend on the tests before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: of several processes none is then left alone with it at the end."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and annotation files; tests that need it skip, saying so, where it is absent."""
    folder = Path(os.environ.get("KINOFLOW_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set KINOFLOW_SHARED to its place")
    return folder


@pytest.fixture
def port() -> int:
    """A port of the loopback that is free, below those that the kernel gives to whoever asks for any."""
    for number in random.SystemRandom().sample(range(10_000, 20_000), 100):
        with socket.socket() as server:
            try:
                server.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
    raise RuntimeError("no port is free")


def moving_square(frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A bright square that moves over noise: (frames, height, width, 3) uint8, every frame different."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(rng.integers(0, 90, (1, height, width, 3), np.uint8), frames, axis=0)
    for i in range(frames):
        y, x = i * (height - 12) // max(1, frames - 1), i * (width - 12) // max(1, frames - 1)
        clip[i, y : y + 12, x : x + 12] = rng.integers(120, 256, 3, np.uint8)
    return clip


@pytest.fixture(scope="session")
def make_video():
    """Return a function that writes a real mp4: make_video(path, frames=12, fps=12, height=48, width=64, seed=0)."""

    def make(path: Path, frames: int = 12, fps: int = 12, height: int = 48, width: int = 64, seed: int = 0) -> Path:
        write_video(path, moving_square(frames, height, width, seed), fps, gop=6)
        return path

    return make
