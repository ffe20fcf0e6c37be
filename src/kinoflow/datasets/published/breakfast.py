"""Breakfast (Kuehne et al. 2014): people of numbers P03 to P54 make ten breakfasts, filmed by several cameras at 15 frames a second.

Two forms of the labels go round:

    groundTruth/P16_cam01_P16_cereals.txt                       one label a line, a line for each frame, from the first one
    BreakfastII_15fps_qvga_sync/P16/cam01/P16_cereals.txt       ``start-end label``, numbers of frames from 1, end included

Splits s1 to s4 go by persons, so that no person is on both sides however many cameras see them. The camera ``stereo`` is called
``stereo01``, and ``_ch0`` behind a name goes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from kinoflow.datasets.published.files import lines
from kinoflow.errors import DataError

RATE = 15.0  # frames a second
BACKGROUND = "SIL"
RECIPES = ("coffee", "cereals", "tea", "milk", "juice", "sandwich", "scrambledegg", "friedegg", "salat", "pancake")
TESTED = {1: range(3, 16), 2: range(16, 29), 3: range(29, 42), 4: range(42, 55)}  # persons of each split's test
MOST = 50  # frames by which labels and features of a video may differ
# Videos whose labels do not belong to what they show.
BAD = frozenset(
    (
        "P51_webcam01_P51_coffee",
        "P34_cam01_P34_coffee",
        "P34_cam01_P34_juice",
        "P34_cam01_P34_scrambledegg",
        "P34_cam01_P34_friedegg",
        "P52_stereo01_P52_sandwich",
        "P54_webcam01_P54_scrambledegg",
        "P54_cam01_P54_pancake",
        "P52_webcam01_P52_pancake",
    )
)
NAME = re.compile(r"(P\d\d)_(cam\d\d|stereo(?:01)?|webcam\d\d)_(P\d\d)_([a-z]+?)(?:_ch\d)?")
RUN = re.compile(r"(\d+)-(\d+)\s+(\S+)")

Run = tuple[int, int, str]  # first frame (from 0), the one behind the last, label


@dataclass(frozen=True)
class Recording:
    """What one camera saw of one breakfast."""

    person: str
    camera: str
    recipe: str

    @property
    def name(self) -> str:
        """Its name, that of its label file."""
        return f"{self.person}_{self.camera}_{self.person}_{self.recipe}"

    def split(self, number: int) -> str:
        """Return the side of a split s1 to s4 that it is on: train or test."""
        return "test" if int(self.person[1:]) in TESTED[number] else "train"


def recording(name: str) -> Recording:
    """Return the recording of a file's name without suffix; DataError if it is none.

    >>> recording("P16_stereo_P16_cereals_ch0").name
    'P16_stereo01_P16_cereals'
    """
    found = NAME.fullmatch(name)
    if not found or found[1] != found[3] or found[4] not in RECIPES:
        raise DataError(f"{name!r} is no name of Breakfast, as P16_cam01_P16_cereals is")
    return Recording(found[1], "stereo01" if found[2] == "stereo" else found[2], found[4])


def read(folder: Path) -> dict[Recording, list[Run]]:
    """Read all label files of either form below a folder, sorted by name; the nine bad videos are left out.

    Raises DataError that names the file and the line that does not fit.
    """
    found = {}
    for path in sorted(folder.glob("P*.txt")) or sorted((folder / "groundTruth").glob("P*.txt")):
        if NAME.fullmatch(path.stem):
            found[recording(path.stem)] = frame_labels(path)
    for path in sorted(folder.glob("**/P*/*/P*_*.txt")):
        person, camera = path.parent.parent.name, path.parent.name
        if re.fullmatch(r"P\d\d", person):
            found[recording(f"{person}_{camera}_{path.stem}")] = spans(path)
    if not found:
        raise DataError(
            f"{folder}: there are no label files of Breakfast, such as groundTruth/P16_cam01_P16_cereals.txt"
        )
    return {each: found[each] for each in sorted(found, key=lambda each: each.name) if each.name not in BAD}


def frame_labels(path: Path) -> list[Run]:
    """Read a file with a label for each frame."""
    runs: list[Run] = []
    for number, (where, text) in enumerate(lines(path)):
        if len(text.split()) != 1:
            raise DataError(f"{where}: {text!r} should be one label; fetch the file again")
        if runs and runs[-1][2] == text:
            runs[-1] = (runs[-1][0], number + 1, text)
        else:
            runs.append((number, number + 1, text))
    return runs


def spans(path: Path) -> list[Run]:
    """Read a file with a line for each stretch: ``31-150 take_cup``."""
    runs: list[Run] = []
    for where, text in lines(path):
        found = RUN.fullmatch(text)
        first, last = (int(found[1]), int(found[2])) if found else (0, 0)
        if not found or not 1 <= first <= last or (runs and first - 1 < runs[-1][1]):
            raise DataError(
                f"{where}: {text!r} should be numbers of frames and a label, as in 31-150 take_cup, in order"
            )
        runs.append((first - 1, last, found[3]))
    return runs


def common_length(labels: int, features: int, most: int = MOST) -> int | None:
    """Return how many frames of a video count where labels and features differ in number: the fewer; None: too different.

    >>> common_length(500, 548), common_length(500, 550), common_length(500, 551)
    (500, 500, None)
    """
    return min(labels, features) if abs(labels - features) <= most else None


def bundle(path: Path) -> list[str]:
    """Return the names of recordings in a split's list of files."""
    return [Path(text).stem for _, text in lines(path) if not text.startswith("#")]


def mapping(path: Path) -> dict[str, int]:
    """Return {label: number} of a list of classes; DataError unless numbers count from 0."""
    found = {}
    for where, text in lines(path):
        number, _, label = text.partition(" ")
        if number != str(len(found)) or not label.strip():
            raise DataError(f"{where}: {text!r} should be {len(found)} and a label")
        found[label.strip()] = len(found)
    return found
