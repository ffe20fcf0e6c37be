"""UCF101: numbered classes, and three splits of ``Class/v_Class_gNN_cNN.avi`` into training and test.

The class of a clip is its folder in the list: one class is spelt differently in its files' names. Lists end lines with CR LF.
Clips of one group (gNN) show the same person and scene.
"""

from pathlib import Path, PurePosixPath

from kinoflow.datasets.published.entries import Entry, Published, Vocabulary
from kinoflow.datasets.published.files import Files, lines
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError

CLASSES = 101
SPLITS = {"train": "trainlist", "test": "testlist"}


def read(files: Files, options: PublishedOptions) -> Published:
    """Read the annotation files of UCF101."""
    listed = files.need(r"classInd\.txt", "classInd.txt")
    vocabulary = Vocabulary([_class(where, text, i) for i, (where, text) in enumerate(lines(listed), 1)], str(listed))
    paths = {split: f"{name}{options.split:02d}.txt" for split, name in SPLITS.items()}
    splits = {split: _entries(files.need(name.replace(".", r"\."), name), vocabulary) for split, name in paths.items()}
    return Published(list(vocabulary.names), splits)


def _class(where: str, text: str, number: int) -> str:
    fields = text.split()
    if len(fields) != 2 or fields[0] != str(number):
        raise DataError(f"{where}: {text!r} should be {number} and the name of a class; fetch the file again")
    return fields[1]


def _entries(path: Path, vocabulary: Vocabulary) -> list[Entry]:
    return [_entry(where, text, vocabulary) for where, text in lines(path)]


def _entry(where: str, text: str, vocabulary: Vocabulary) -> Entry:
    """Read ``Class/v_name.avi`` with or without the number of the class, from 1."""
    head, blank, number = text.rpartition(" ")
    video, number = (head.strip(), number) if blank and number.isdecimal() else (text, "")
    folder, slash, name = video.partition("/")
    if not slash or not name or "/" in name:
        raise DataError(f"{where}: {text!r} should be a class, /, and a video, as in Archery/v_Archery_g01_c01.avi")
    label = vocabulary.find(folder, where)
    if number and int(number) != label + 1:
        raise DataError(f"{where}: {folder} has the number {label + 1} in {vocabulary.source}, but {number} here")
    stem = PurePosixPath(name).stem
    group = stem.rpartition("_c")[0] or stem
    return Entry(video, (f"{folder}/{stem}", stem), label, recording=group)
