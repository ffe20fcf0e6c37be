"""The annotation files of any published dataset, read and checked."""

from collections.abc import Callable
from pathlib import Path

from kinoflow.datasets.published import clip_lists, hmdb51, kinetics, something, ucf101
from kinoflow.datasets.published.entries import Published
from kinoflow.datasets.published.files import Files
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError
from kinoflow.progress import log

# kind: (how its files are read, classes that it has; None: any number)
READERS: dict[str, tuple[Callable[[Files, PublishedOptions], Published], int | None]] = {
    "kinetics": (kinetics.read, kinetics.CLASSES),
    "kinetics_csv": (kinetics.read_lists, kinetics.CLASSES),
    "something_v1": (something.read_tables, something.CLASSES["something_v1"]),
    "something_v2": (something.read_json_files, something.CLASSES["something_v2"]),
    "jester": (something.read_tables, something.CLASSES["jester"]),
    "ucf101": (ucf101.read, ucf101.CLASSES),
    "hmdb51": (hmdb51.read, hmdb51.CLASSES),
    "list_files": (clip_lists.read, None),
}


def read_published(folder: Path, options: PublishedOptions) -> Published:
    """Read the annotation files in a folder (or in folders in it).

    Raises DataError that names the file, and the line, that does not fit: a file that is not there, a class that the list of
    classes does not have, another number of classes than ``options.class_count``.
    """
    read, published = READERS[options.kind]
    found = read(Files(folder), options)
    wanted = options.class_count or published or len(found.classes)
    if len(found.classes) != wanted:
        raise DataError(
            f"{folder}: there are {len(found.classes)} classes, and {options.kind} has {wanted};"
            " check which files these are, or say with class_count how many there must be"
        )
    sizes = ", ".join(f"{split} {len(entries)}" for split, entries in found.splits.items())
    log.info("%s: %d classes; clips: %s, in no split %d", options.kind, wanted, sizes, found.unused)
    return found
