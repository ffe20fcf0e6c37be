"""Breakfast: sequences of its 48 actions, from labels of frames or from the original ``.labels``, at 15 frames a second.

``Pnn_camera_Pnn_dish.txt`` has one name a line; ``*.labels`` has lines ``first-last name`` that count frames from 1. Names
that mapping.txt does not have are left out and told. Cameras film the same act, so parts are by person.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kinoflow.datasets.actions import Action, Classes, checked
from kinoflow.datasets.published.files import Files, lines
from kinoflow.datasets.published.runs import runs, tested, text
from kinoflow.errors import DataError
from kinoflow.progress import log

RATE, FOLDS = 15.0, 4


def read(files: Files, split: int = 1, people: Sequence[str] = ()) -> tuple[list[Action], Classes]:
    """Return the segments in order, and the classes of mapping.txt.

    people: those whose recordings are the test ("P34"); none: part number ``split`` of four, by person.
    """
    classes = _classes(files)
    paths = files.all(r"P\d\d_.+\.(txt|labels)")
    if not paths:
        raise DataError(f"{files.folder}: there is no file like P16_cam01_P16_cereals.txt in this folder")
    test = tested(sorted({path.name[:3] for path in paths}), people, split, FOLDS)
    number = {name: i for i, name in enumerate(classes.names)}
    rows, unknown = [], Counter()
    for path in sorted(paths):
        for i, (name, first, end) in enumerate(_segments(path)):
            if name not in number:
                unknown[name] += 1
                continue
            rows.append(
                Action(
                    uid=f"{path.stem}#{i:03d}",
                    video=path.stem,
                    start=first / RATE,
                    end=end / RATE,
                    action=number[name],
                    split="test" if path.name[:3] in test else "train",
                    recording=path.name[:3],
                )
            )
    for name, count in sorted(unknown.items()):
        log.info("breakfast: %d segments of %r left out: mapping.txt does not have it", count, name)
    return checked(rows, classes, lambda i: rows[i].video), classes


def _segments(path: Path) -> list[tuple[str, int, int]]:
    if path.suffix == ".txt":
        return runs(label for _, label in lines(path))
    found = []
    for where, line in lines(path):
        try:
            frames, name = line.split()
            first, last = map(int, frames.split("-"))
        except ValueError:
            raise DataError(f"{where}: a line is first-last name, as in 31-150 take_cup") from None
        found.append((name, first - 1, last))
    return found


def _classes(files: Files) -> Classes:
    path = files.need(r"mapping\.txt", "mapping.txt")
    names = []
    for where, line in lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(names)) or not name.strip():
            raise DataError(f"{where}: this line must name class {len(names)}, as in {len(names)} pour_milk")
        names.append(name.strip())
    return Classes("breakfast", RATE, tuple(names), tuple(map(text, names)))
