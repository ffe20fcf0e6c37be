"""Which videos make a mini-batch, and in which order mini-batches come: functions of names, seed and epoch alone."""

import random
from collections.abc import Sequence

import numpy as np

from kinoflow.tasks.segmentation.options import BatchOptions

PUBLISHED = 1  # seed of the order in the published code, in every run
MADE = 3  # first word of what seeds a generator here: kinoflow.training.draws has 1 and 2

Key = tuple[str, str, int]  # task, name and number of rows of a video


def mini_batches(videos: Sequence[Key], options: BatchOptions, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    """Return the mini-batches of an epoch, numbers of videos in each; every epoch has as many of the same sizes.

    Tasks and names are sorted as texts; each task (or all videos at once) is cut into runs of ``options.videos``.
    """
    tasks: dict[str, list[int]] = {}
    for number in sorted(range(len(videos)), key=lambda n: videos[n][:2]):
        tasks.setdefault(videos[number][0] if options.by_task else "", []).append(number)
    found = []
    for place, task in enumerate(sorted(tasks)):
        own = tasks[task]
        if options.how == "length":
            own = sorted(own, key=lambda n: videos[n][2])
        elif options.how == "drawn":
            own = np.random.default_rng((MADE, seed, epoch, place)).permutation(own).tolist()
        elif not options.by_task:
            own = sorted(own, key=lambda n: (videos[n][1], videos[n][0]))
        found += [own[first : first + options.videos] for first in range(0, len(own), options.videos)]
    return found


def batch_order(count: int, options: BatchOptions, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch's mini-batches: a list that is shuffled again in each epoch."""
    draw = random.Random(PUBLISHED if options.order == "original" else f"mini-batches {seed}")
    order = list(range(count))
    for _ in range(epoch + 1):
        draw.shuffle(order)
    return order


def first_videos(videos: Sequence[Key]) -> list[int]:
    """Return the videos whose rows the published code begins with: up to 100 of one task, the first mini-batch of such a loader."""
    options = BatchOptions(videos=100, order="original")
    made = mini_batches(videos, options)
    return made[batch_order(len(made), options, 0, 0)[0]]
