"""List files as annotation files: the classes of clips are numbers there, which a list of names gives names to.

Files are called train_videofolder.txt, val_videofolder.txt and test_videofolder.txt (or train.txt, trainlist.txt, ...), the names
category.txt or classes.txt, one a line; without it the numbers are the names. A line is a folder of pictures, the number of
its files and the class, or a video and the class; all lists are of one kind. They do not say from which number they count:
``first_class`` declares it. A test list that says the first class of every clip has no answers, as published ones have none.
"""

from pathlib import Path, PurePosixPath

from kinoflow.datasets.published.entries import Entry, Published
from kinoflow.datasets.published.files import Files, lines
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError
from kinoflow.store.clip_lists import Clip, read_list_file

LISTS = {"train": "train", "validation": "val|validation", "test": "test"}
NAMES = r"(category|categories|classes|labels|kinetics_label_map)\.txt"


def read(files: Files, options: PublishedOptions) -> Published:
    """Read list files, and the list of names beside them if there is one."""
    paths = {split: files.find(rf"({names})[-_]?(videofolder|list)?\.txt") for split, names in LISTS.items()}
    paths = {split: path for split, path in paths.items() if path}
    if not paths:
        raise DataError(
            f"{files.folder}: there is no train_videofolder.txt, val_videofolder.txt or test_videofolder.txt here"
        )
    listed = files.find(NAMES)
    names = [text.strip('"') for _, text in lines(listed)] if listed else None
    if listed and (twice := next((name for i, name in enumerate(names) if name in names[:i]), None)):
        raise DataError(f"{listed}: the class {twice!r} stands there twice; remove one of them")
    counted = all(_is_counted(path) for path in paths.values())
    known = len(names) if names else options.class_count
    found = {
        split: read_list_file(path, counted=counted, first_class=options.first_class, classes=known)
        for split, path in paths.items()
    }
    classes = names or [
        str(number) for number in range(known or 1 + max(c.label for own in found.values() for c in own))
    ]
    splits = {
        split: _entries(own, answered=split != "test" or any(c.label for c in own)) for split, own in found.items()
    }
    return Published(classes, splits, listed=listed is not None, folders=counted)


def _is_counted(path: Path) -> bool:
    """Tell whether every line of a list ends with two numbers."""
    found = [text.rsplit(" ", 2) for _, text in lines(path)]
    return all(len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal() for fields in found)


def _entries(clips: list[Clip], answered: bool) -> list[Entry]:
    """Return the clips, each once."""
    once = {clip.clip: clip for clip in clips}
    return [_entry(clip, clip.label if answered else None) for clip in once.values()]


def _entry(clip: Clip, label: int | None) -> Entry:
    place = PurePosixPath(clip.clip)
    folder = clip.clip if clip.count is not None else str(place.with_suffix(""))
    return Entry(clip.clip, (folder,), label)
