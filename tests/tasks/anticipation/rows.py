"""Rows of actions made by hand, or drawn, or real."""

from functools import cache
from pathlib import Path

import numpy as np

from kinoflow.datasets.actions import Action, Classes, Rows, in_order
from kinoflow.datasets.published import epic
from kinoflow.datasets.published.files import Files


@cache
def epic55(shared: Path) -> tuple[list[Action], Classes]:
    """The real segments of EPIC-KITCHENS-55, read once for all tests."""
    return epic.read(Files(shared / "data" / "epic55"), "epic55")


def rows_of(*videos: list[tuple[float, float]], split=lambda video, i: "train") -> Rows:
    """Rows with the given times; uids count over all videos, and so do actions."""
    made, count = [], 0
    for number, times in enumerate(videos):
        for i, (start, end) in enumerate(times):
            side = split(number, i)
            made.append(Action(uid=str(count), video=f"v{number}", start=start, end=end, action=count, split=side))
            count += 1
    return Rows.of(in_order(made))


def drawn(seed: int, videos: int = 3, most: int = 12) -> Rows:
    """Rows that overlap and tie now and then, on a grid of half seconds, on two sides of a split."""
    rng = np.random.default_rng(seed)
    times = []
    for _ in range(videos):
        starts = rng.integers(0, 16, rng.integers(0, most)) / 2
        times.append([(float(s), float(s + rng.integers(1, 8) / 2)) for s in starts])
    sides = rng.integers(0, 2, (videos, most))
    return rows_of(*times, split=lambda video, i: ("train", "validation")[sides[video, i]])
