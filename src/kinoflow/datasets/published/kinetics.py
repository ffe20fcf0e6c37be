"""Kinetics: a list of names, and a CSV table for each split (``label,youtube_id,time_start,time_end,split``, in any order).

The index of a class is its line in the list of names; the official archive has no such list, and then it is its place among
the sorted names of the training table. Tables in circulation differ in quotes, in further columns (``is_cc``) and in
zeros before the seconds, so columns are found by name and seconds filled up to six digits. The table of the test split
names no classes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from kinoflow.datasets.published.entries import Entry, Published, Vocabulary
from kinoflow.datasets.published.files import MOST, Files, lines
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError
from kinoflow.store.tables import read_csv

CLASSES = 400
NAMES = r"(kinetics|k)?[-_]?(\d{3})?[-_]?label_map([-_]?k\d{3})?\.txt"
TABLE = r"(kinetics|k)?[-_]?(\d{{3}})?[-_]?{}\.csv"
SPLITS = {"train": "train", "validation": "val|validate|validation", "test": "test"}
COLUMNS = ("youtube_id", "time_start", "time_end")
BROKEN = ("4o5v7aDXU9k", "uLaU_15HYdo", "pNvkk7VDOws", "HvaU7W635to")  # clips that published training code leaves out


def read(files: Files, options: PublishedOptions) -> Published:
    """Read the annotation files of Kinetics."""
    tables = {split: files.find(TABLE.format(f"({names})")) for split, names in SPLITS.items()}
    tables = {split: path for split, path in tables.items() if path}
    if not tables:
        raise DataError(
            f"{files.folder}: there is no kinetics_train.csv, kinetics_val.csv or kinetics_test.csv in this folder"
        )
    listed = files.find(NAMES)
    names, source = _names(listed, tables.get("train"), files.folder)
    vocabulary = Vocabulary([folder_name(name) for name in names], source)
    splits = {split: _entries(path, vocabulary) for split, path in tables.items()}
    return Published(names, splits, listed=listed is not None)


def read_lists(files: Files, options: PublishedOptions) -> Published:
    """Read lists without a header, ``path,label``, the path below the folder of the videos, as self-supervised code has them.

    Labels are names, or numbers of classes. Clips that are known to be broken are in no split.
    """
    tables = {split: files.find(TABLE.format(f"({names})")) for split, names in SPLITS.items()}
    rows = {split: list(_listed(path)) for split, path in tables.items() if path}
    if not rows:
        raise DataError(f"{files.folder}: there is no train.csv or val.csv in this folder")
    listed = files.find(NAMES)
    names = (
        [text.strip('"') for _, text in lines(listed)]
        if listed
        else _told({row[2]: row[0] for r in rows.values() for row in r})
    )
    vocabulary = Vocabulary([folder_name(name) for name in names], str(listed or files.folder))
    splits = {
        split: [_list_entry(*row, vocabulary) for row in own if not _broken(row[1])] for split, own in rows.items()
    }
    unused = sum(map(len, rows.values())) - sum(map(len, splits.values()))
    return Published(names, splits, unused=unused, listed=listed is not None)


def _listed(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, path, label) of a list without a header."""
    for where, text in lines(path):
        video, comma, label = (part.strip().strip('"') for part in text.rpartition(","))
        if not comma or not video or not label or video.startswith("/") or ".." in PurePosixPath(video).parts:
            raise DataError(f"{where}: {text!r} should be a path below the folder of the videos, a comma, and a label")
        yield where, video, label


def _told(labels: Mapping[str, str]) -> list[str]:
    """Return the classes that labels tell, {label: where it stands}: their names sorted, or all numbers up to the largest."""
    if not all(label.isdecimal() for label in labels):
        return sorted(labels)
    largest = max(labels, key=int, default="-1")
    if int(largest) >= MOST:
        raise DataError(
            f"{labels[largest]}: classes have numbers up to {MOST - 1}, not {largest}; fetch the list again"
        )
    return [str(number) for number in range(int(largest) + 1)]


def _list_entry(where: str, path: str, label: str, vocabulary: Vocabulary) -> Entry:
    if label.isdecimal() and int(label) < len(vocabulary.names):
        number = int(label)
    else:
        number = vocabulary.find(folder_name(label), where)
    return Entry(path, (str(PurePosixPath(path).with_suffix("")),), number)


def _broken(path: str) -> bool:
    """Whether a clip, ID.mp4 or ID_start_end.mp4, is one of those that no decoder reads."""
    return PurePosixPath(path).stem.startswith(BROKEN)


def folder_name(label: str) -> str:
    """Return the name of a class as folders have it: blanks become _, brackets, quotes and apostrophes go.

    >>> folder_name("shooting goal (soccer)")
    'shooting_goal_soccer'
    """
    return label.strip().replace(" ", "_").translate(dict.fromkeys(map(ord, "\"()'")))


def _names(listed: Path | None, train: Path | None, folder: Path) -> tuple[list[str], str]:
    """Return the names of the classes in order, and where they come from."""
    if listed:
        return [text.strip('"') for _, text in lines(listed)], str(listed)
    if not train:
        raise DataError(
            f"{folder}: there is no kinetics_label_map.txt in this folder, and no training table that names all classes"
        )
    return sorted({_cell(row, "label", f"{train}, line {line}") for line, row in read_csv(train, ("label",))}), str(
        train
    )


def _entries(table: Path, vocabulary: Vocabulary) -> list[Entry]:
    found = []
    for line, row in read_csv(table, COLUMNS):
        where = f"{table}, line {line}"
        clip = _cell(row, "youtube_id", where)
        start, end = (_seconds(row, column, where) for column in COLUMNS[1:])
        label = vocabulary.find(folder_name(_cell(row, "label", where)), where) if "label" in row else None
        place = "test" if label is None else vocabulary.names[label]
        video = f"{clip}_{start}_{end}"
        found.append(Entry(f"{video}.mp4", (f"{place}/{clip}_{start}", f"{place}/{video}"), label))
    return found


def _cell(row: dict[str, str | None], column: str, where: str) -> str:
    text = (row[column] or "").strip()
    if not text or ("/" in text and column == "youtube_id"):
        raise DataError(f"{where}: the column {column!r} holds {text!r}; write what stands in the published table")
    return text


def _seconds(row: dict[str, str | None], column: str, where: str) -> str:
    """Return a time as file names have it: six digits."""
    text = _cell(row, column, where)
    if not (text.isdecimal() and text.isascii()):
        raise DataError(f"{where}: {column} {text!r} is no whole number of seconds, as in 417 or 000417")
    return f"{int(text):06d}"
