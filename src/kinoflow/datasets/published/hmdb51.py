"""HMDB51: a file for each class and each of three splits, ``CLASS_test_splitN.txt``, its lines ``NAME.avi FLAG ``.

Flag 1 is training, 2 is test, 0 neither. Classes are sorted by code point, clips stay in the order of their file. Names
hold nearly anything: ``#``, ``;``, ``[``, round brackets.
"""

import re
from pathlib import Path, PurePosixPath

from kinoflow.datasets.published.entries import Entry, Published
from kinoflow.datasets.published.files import Files, lines
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError

CLASSES = 51
FLAGS = {"0": "", "1": "train", "2": "test"}


def read(files: Files, options: PublishedOptions) -> Published:
    """Read the annotation files of HMDB51."""
    end = f"_test_split{options.split}.txt"
    paths = {path.name[: -len(end)]: path for path in files.all(f".+{re.escape(end)}")}
    if not paths:
        raise DataError(
            f"{files.folder}: there is no file ending in {end} in this folder; unpack test_train_splits.rar there"
        )
    classes = sorted(paths)
    sides: dict[str, list[Entry]] = {split: [] for split in FLAGS.values()}
    for label, name in enumerate(classes):
        for split, entry in _entries(paths[name], name, label):
            sides[split].append(entry)
    unused = len(sides.pop(""))
    return Published(classes, sides, unused=unused)


def _entries(path: Path, name: str, label: int) -> list[tuple[str, Entry]]:
    found = []
    for where, text in lines(path):
        video, _, flag = text.rpartition(" ")
        video = video.strip()
        if flag not in FLAGS or not video or "/" in video:
            raise DataError(f"{where}: {text!r} should be a video and 0, 1 or 2; fetch the file again")
        stem = PurePosixPath(video).stem
        found.append((FLAGS[flag], Entry(f"{name}/{video}", (f"{name}/{stem}", stem), label)))
    return found
