"""What is known of the steps of videos, as tensors for the model: which states, in which order, where in time."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.constraints import Constraints
from kinoflow.tasks.segmentation.data import Films, Item
from kinoflow.tasks.segmentation.labels import Stretch, Vocabulary, inside, own_chain
from kinoflow.tasks.segmentation.options import ConstraintOptions


def check(films: Films, options: ConstraintOptions, labelled: bool, name: str) -> None:
    """Raise ConfigError if what is asked for cannot be known; ``name``: of the options."""
    if options.known and not labelled:
        raise ConfigError(f"{name}: the states stand for no labels, so nothing is known of them; train with labels")
    if options.narration == "table" and not films.windows:
        raise ConfigError(f"{name}.narration: the table of windows is missing or empty; give it with --narration")


def windows_of(item: Item, films: Films, options: ConstraintOptions) -> list[Stretch] | None:
    """Return when each step of a video may be; None if nothing is known of this video."""
    if options.narration == "table":
        return films.windows.get(item.video)
    if options.narration == "drawn":
        return drawn_windows(item.video, item.stretches, options) if item.annotated else None
    return None


def drawn_windows(video: str, stretches: Sequence[Stretch], options: ConstraintOptions) -> list[Stretch]:
    """Return windows around a share of the true steps: functions of the seed, the video's name and the step's number."""
    name = zlib.crc32(video.encode("utf-8", "surrogateescape"))
    found = []
    for number, (start, end, step) in enumerate(stretches):
        rng = np.random.default_rng((options.narration_seed, name, number))
        chosen, before, after = rng.random(3)
        if chosen < options.narration_share:
            margin = options.narration_margin
            found.append((max(0.0, start - before * margin), end + after * margin, step))
    return found


def penalties(item: Item, films: Films, options: ConstraintOptions) -> np.ndarray | None:
    """Return what each row adds to the log likelihood of each class, (T, L) float32; background is never punished."""
    windows = windows_of(item, films, options)
    if windows is None:
        return None
    vocabulary = films.vocabulary
    allowed = inside(windows, vocabulary.tasks[item.task], item.times, item.seconds / 2, "overlap")
    found = np.zeros((item.frames, len(vocabulary.names)), np.float32)
    found[:, list(vocabulary.steps_of(item.task))] = np.where(allowed, 0.0, options.narration_weight)
    return found


def order(item: Item, vocabulary: Vocabulary, options: ConstraintOptions) -> np.ndarray | None:
    """Return the classes that a video goes through, in order, (S,); None if that is not known."""
    if options.ordering == "task":
        return np.array(vocabulary.chain_of(item.task), np.int64)
    if options.ordering == "video":
        return own_chain(item.labels) if item.annotated else None
    return None


def collated(items: Sequence[Item], films: Films, options: ConstraintOptions, valid: bool) -> dict[str, Any]:
    """Return what is known of a batch of videos, as tensors that `constraints_of` understands.

    valid: videos have the classes of their tasks alone (if the batch is of one task, and no order says more). A batch in which
    the order of some videos is known must know that of all.
    """
    vocabulary, found = films.vocabulary, {}
    chains = [order(item, vocabulary, options) for item in items]
    if any(chain is not None for chain in chains):
        lost = [item for item, chain in zip(items, chains, strict=True) if chain is None]
        if lost:
            raise ConfigError(f"constraints.ordering: {lost[0].video!r} has no labelled steps, so it has no order")
        longest = max(len(chain) for chain in chains if chain is not None)
        padded = [np.pad(chain, (0, longest - len(chain)), constant_values=-1) for chain in chains if chain is not None]
        found["order"] = torch.from_numpy(np.stack(padded))
    tasks = {item.task for item in items}
    if valid and not found and len(tasks) == 1 and next(iter(tasks)) in vocabulary.tasks:
        found["states"] = torch.tensor(vocabulary.classes_of(next(iter(tasks))))
    punished = [penalties(item, films, options) for item in items]
    if any(each is not None for each in punished):
        whole = np.zeros((len(items), max(item.frames for item in items), len(vocabulary.names)), np.float32)
        for row, each in zip(whole, punished, strict=True):
            if each is not None:
                row[: len(each)] = each
        found["penalties"] = torch.from_numpy(whole)
    return found


def constraints_of(batch: dict[str, Any]) -> Constraints | None:
    """Return the constraints of a batch that `collated` made (and that has been moved to a device); None if it is free."""
    names = [name for name in ("states", "order", "penalties") if name in batch]
    return Constraints(**{name: batch[name] for name in names}) if names else None
