"""The splits: how they are called, and how one of the three usual ones is drawn where none is given."""

import hashlib
import os

from kinoflow.datasets.options import DrawOptions
from kinoflow.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
# Of published datasets, read by nobody who does not ask for them: videos of other tasks, and videos that no split takes.
RELATED, UNUSED = MORE_SPLITS = ("related", "unused")
ALIASES = {
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "dev": VALIDATION,
    "testing": TEST,
    **{name: name for name in SPLITS + MORE_SPLITS},
}


def draw(recording: str, options: DrawOptions) -> str:
    """Return the split of a recording, by its name and the seed alone: one more recording moves no other.

    A larger share of one split only takes recordings from training: nothing moves between test and validation
    as long as the share of test stays.
    """
    text = f"{options.seed}\0".encode() + os.fsencode(recording)
    place = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64  # uniform in 0 to 1
    if place < options.test:
        return TEST
    return VALIDATION if place < options.test + options.validation else TRAIN


def split_name(word: str, where: str) -> str:
    """Return the split that a user's word means, "" for an empty cell; ``where`` (file and line) begins the error."""
    name = ALIASES.get(word.lower()) if word else ""
    if name is None:
        known = ", ".join(sorted(ALIASES, key=lambda name: name in MORE_SPLITS))
        raise DataError(f"{where}: {word!r} is no split; write train, validation or test (understood: {known})")
    return name
