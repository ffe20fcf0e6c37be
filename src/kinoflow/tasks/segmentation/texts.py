"""Predictions as text files, one for each video, as the published code writes them; and predictions made by others.

### Recognized sequence: ###
tea:boil tea:<BKG> tea:pour            the segments
### Score: ###
0.93                                   mean probability
### Frame level recognition: ###
tea:boil tea:boil tea:<BKG> ...        every row
"""

import tokenize
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from kinoflow.errors import DataError
from kinoflow.metrics.segmentation import segments
from kinoflow.store.files import inner_name, parse_json, write_text
from kinoflow.tasks.segmentation.data import Item
from kinoflow.tasks.segmentation.labels import Vocabulary

HEADS = ("### Recognized sequence: ###", "### Score: ###", "### Frame level recognition: ###")
BACKGROUND = "<BKG>"
SUFFIXES = (".txt", ".npy", ".json")


def names_of(labels: np.ndarray, task: str, vocabulary: Vocabulary) -> list[str]:
    """Return ``task:label`` of labels; background is ``<BKG>``, a number that is no label stands as it is."""
    found = []
    for label in labels.tolist():
        known = 0 <= label < len(vocabulary.names)
        name = BACKGROUND if label in vocabulary.backgrounds else vocabulary.names[label] if known else str(label)
        name = name.removeprefix(f"{task} ") if vocabulary.task_specific else name
        found.append(f"{task}:{name}".replace(" ", "_"))
    return found


def write(folder: Path, item: Item, labels: np.ndarray, score: float, vocabulary: Vocabulary) -> None:
    """Write what is told of a video, (T,) labels; DataError if its name leads out of the folder."""
    path = folder / f"{inner_name(item.video, 'a shard of the features')}.txt"
    rows = names_of(labels, item.task, vocabulary)
    runs = names_of(segments(labels)[0], item.task, vocabulary)
    parts = [" ".join(runs), f"{score:.6f}", " ".join(rows)]
    write_text(path, "".join(f"{h}\n{p}\n" for h, p in zip(HEADS, parts, strict=True)))


def read(folder: Path, items: Sequence[Item], vocabulary: Vocabulary, whole: Sequence[Item]) -> list[np.ndarray]:
    """Return what others say of videos, (T,) labels each: of the rows that are read, or of all (``whole``).

    For each video a file of its name, with or without its own suffix: .txt as above; .npy: labels as numbers of the task's
    steps from 0 (T,), -1 for background, or one-hot over them (T, S), a row without a one for background; .json: a list
    ``y_pred`` of such numbers or of names. Raises DataError that names the file if it is not there, or has other rows.
    """
    return [_read(_file(folder, each), each, vocabulary, every) for each, every in zip(items, whole, strict=True)]


def _file(folder: Path, item: Item) -> Path:
    stem = str(PurePosixPath(item.video).with_suffix(""))
    for name in (item.video, stem):
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise DataError(f"{folder}: there is no prediction of {item.video!r}, such as {stem}.npy")


def _read(path: Path, item: Item, vocabulary: Vocabulary, whole: Item) -> np.ndarray:
    try:
        values = _values(path)
        if values.ndim == 2:
            values = np.where(values.any(axis=1), values.argmax(axis=1), -1)
        found = _labels(values, item, vocabulary)
    except (OSError, EOFError, ValueError, KeyError, IndexError, SyntaxError, tokenize.TokenError) as error:
        raise DataError(f"{path}: this is no prediction of {item.video!r}: {error}") from None
    if len(found) not in (item.frames, whole.frames):
        raise DataError(f"{path}: it has {len(found)} rows, the features of {item.video!r} have {whole.frames}")
    return found


def _values(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        with open(path, "rb") as file:  # np.load takes other formats for one
            return np.lib.format.read_array(file, allow_pickle=False)
    if path.suffix == ".json":
        return np.asarray(parse_json(path.read_bytes())["y_pred"])
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return np.asarray(lines[lines.index(HEADS[2]) + 1].split())


def _labels(values: np.ndarray, item: Item, vocabulary: Vocabulary) -> np.ndarray:
    still, steps = vocabulary.backgrounds_of(item.task)[0], vocabulary.steps_of(item.task)
    if values.dtype.kind in "US":
        known = {name: label for label, name in zip(steps, _named(steps, item.task, vocabulary), strict=True)}
        known |= {_named([still], item.task, vocabulary)[0]: still}
        return np.array(
            [known[name if ":" in name else f"{item.task}:{name}".replace(" ", "_")] for name in values.tolist()]
        )
    numbers = values.astype(np.int64)
    if not ((numbers >= -1) & (numbers < len(steps))).all():
        raise ValueError(f"numbers of steps run from 0 to {len(steps) - 1}, -1 is background")
    return np.array([*steps, still])[numbers]


def _named(labels: Sequence[int], task: str, vocabulary: Vocabulary) -> list[str]:
    return names_of(np.asarray(labels), task, vocabulary)
