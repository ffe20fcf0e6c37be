"""Something-Something v1 and Jester (tables ``id;label``), and Something-Something v2 (JSON).

v1 and Jester are published as folders of pictures named by the clip's id. Their lists of names give no numbers: classes are
sorted by code point (the weights of TSN's and TSM's family count so), or stay in the order of the file on demand. v2 is
published as ``ID.webm``; its list numbers the classes. Answers to its test split, where they are at hand, are read too.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kinoflow.datasets.published.entries import Entry, Published, Vocabulary
from kinoflow.datasets.published.files import Files, lines, read_json
from kinoflow.datasets.published.options import PublishedOptions
from kinoflow.errors import DataError

CLASSES = {"something_v1": 174, "something_v2": 174, "jester": 27}
STEMS = {"something_v1": "something-something-v1", "something_v2": "something-something-v2", "jester": "jester-v1"}
SPLITS = ("train", "validation", "test")
BRACKETS = re.compile(r"[\[\]]")


def read_tables(files: Files, options: PublishedOptions) -> Published:
    """Read the annotation files of Something v1 or Jester."""
    stem = STEMS[options.kind]
    listed = files.need(rf"({stem}-)?labels\.csv", f"{stem}-labels.csv")
    names = [text for _, text in lines(listed)]
    vocabulary = Vocabulary(sorted(names) if options.order == "sorted" else names, str(listed))
    tables = _split_files(files, stem, "csv")
    splits = {split: [_row(where, text, vocabulary) for where, text in lines(path)] for split, path in tables.items()}
    return Published(list(vocabulary.names), splits, folders=True)


def _row(where: str, text: str, vocabulary: Vocabulary) -> Entry:
    clip, semicolon, label = text.partition(";")
    clip = _id(clip, where)
    folders = tuple(dict.fromkeys((clip, clip.zfill(6))))  # published flow of v1 fills numbers up
    return Entry(clip, folders, vocabulary.find(label.strip(), where) if semicolon else None)


def _split_files(files: Files, stem: str, suffix: str) -> dict[str, Path]:
    found = {split: files.find(rf"({stem}-)?{split}\.{suffix}") for split in SPLITS}
    found = {split: path for split, path in found.items() if path}
    if not found:
        wanted = ", ".join(f"{stem}-{split}.{suffix}" for split in SPLITS)
        raise DataError(f"{files.folder}: there is none of {wanted} in this folder; put the annotation files there")
    return found


def _id(text: Any, where: str) -> str:
    clip = str(text).strip()
    if not re.fullmatch(r"[\w-]+", clip):
        raise DataError(f"{where}: {text!r} is no id of a clip; each entry begins with one, as in 100218")
    return clip


# ---------------------------------------------------------------- v2


def read_json_files(files: Files, options: PublishedOptions) -> Published:
    """Read the annotation files of Something v2."""
    stem = STEMS[options.kind]
    listed = files.need(rf"({stem}-)?labels\.json", f"{stem}-labels.json")
    vocabulary = Vocabulary(
        _numbered(read_json(listed, dict, "list of classes with their numbers"), listed), str(listed)
    )
    answers = _answers(files.find(rf"({stem}-)?test-answers\.csv"), vocabulary)
    tables = _split_files(files, stem, "json")
    splits = {split: list(_objects(path, split, vocabulary, answers)) for split, path in tables.items()}
    return Published(list(vocabulary.names), splits)


def _numbered(numbers: dict[str, Any], source: Path) -> list[str]:
    """Return the names; their numbers must be 0, 1, 2, ... in the order of the file."""
    wanted = {str(i) for i in range(len(numbers))}
    given = {str(number): name for name, number in numbers.items()}
    if given.keys() != wanted:
        odd = sorted(given.keys() ^ wanted)[0]
        raise DataError(
            f"{source}: {len(numbers)} classes must have the numbers 0 to {len(numbers) - 1}; look at {odd!r}"
        )
    for place, (number, name) in enumerate(given.items()):
        if number != str(place):
            raise DataError(
                f"{source}: the class {name!r} is number {place} of the file, but has the number {number}; numbers follow"
                " the order of the published file: fetch it again"
            )
    return list(given.values())


def _answers(path: Path | None, vocabulary: Vocabulary) -> dict[str, int]:
    """Return {id: class} of the test split, as far as its answers are known."""
    rows: Iterable[tuple[str, str]] = lines(path) if path else ()
    found = {}
    for where, text in rows:
        clip, _, label = text.partition(";")
        found[_id(clip, where)] = vocabulary.find(label.strip(), where)
    return found


def _objects(path: Path, split: str, vocabulary: Vocabulary, answers: dict[str, int]) -> Iterator[Entry]:
    for number, item in enumerate(read_json(path, list, "list of clips"), 1):
        where = f"{path}, entry {number}"
        if not isinstance(item, dict) or "id" not in item:
            raise DataError(f"{where}: this is no clip: it has no id; check which file this is")
        clip = _id(item["id"], where)
        label = answers.get(clip)
        if split != "test":
            label = vocabulary.find(BRACKETS.sub("", str(item.get("template", ""))), where)
        yield Entry(f"{clip}.webm", (clip,), label, text=str(item.get("label", "")))
