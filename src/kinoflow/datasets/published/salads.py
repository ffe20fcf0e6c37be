"""50Salads: sequences of its 17 mid-level activities, from the original annotation files, or from labels of frames.

Original: ``NN-N-activityAnnotation.txt`` with lines ``start end name`` of several levels; the finest end in _prep, _core or
_post, and what touches of the same activity is one segment, as it would be as labels of frames. Times count the camera's
clock; a recording of 5 minutes has 3 x 10^8 ticks, so they are taken for microseconds, from the first annotation on.
Labels of frames (Abu Farha et al., MS-TCN): ``rgb-NN-N.txt``, one name a line, 30 a second.
"""

from collections.abc import Sequence
from pathlib import Path

from kinoflow.datasets.actions import Action, Classes, checked
from kinoflow.datasets.published.files import Files, lines
from kinoflow.datasets.published.runs import runs, tested, text
from kinoflow.errors import DataError
from kinoflow.progress import log

RATE, TICKS, FOLDS = 30.0, 1e6, 5  # labels of frames; ticks of the clock a second
LEVELS = ("prep", "core", "post")
NAMES = (
    "cut_tomato",
    "place_tomato_into_bowl",
    "cut_cheese",
    "place_cheese_into_bowl",
    "cut_lettuce",
    "place_lettuce_into_bowl",
    "add_salt",
    "add_vinegar",
    "add_oil",
    "add_pepper",
    "mix_dressing",
    "peel_cucumber",
    "cut_cucumber",
    "place_cucumber_into_bowl",
    "add_dressing",
    "mix_ingredients",
    "serve_salad_onto_plate",
    "action_start",
    "action_end",
)
Run = tuple[str, float, float]  # name, start and end in seconds


def read(files: Files, split: int = 1, people: Sequence[str] = ()) -> tuple[list[Action], Classes]:
    """Return the segments in order, and the 19 classes.

    people: those whose recordings are the test ("07"); none: part number ``split`` of five, by person.
    """
    paths = files.all(r"\d\d-\d-activityAnnotation\.txt") or files.all(r"(rgb-)?\d\d-\d\.txt")
    if not paths:
        raise DataError(
            f"{files.folder}: there is no file like 01-1-activityAnnotation.txt or rgb-01-1.txt in this folder"
        )
    sequences = {_recording(path): _segments(path) for path in paths}
    test = tested(sorted({name[:2] for name in sequences}), people, split, FOLDS)
    number = {name: i for i, name in enumerate(NAMES)}
    rows, wheres = [], []
    for name, found in sorted(sequences.items()):
        for i, (activity, start, end) in enumerate(found):
            where = f"{name}, segment {i + 1}"
            if activity not in number:
                raise DataError(f"{where}: {activity!r} is no activity of 50Salads; check which files these are")
            side = "test" if name[:2] in test else "train"
            rows.append(
                Action(
                    uid=f"{name}#{i:03d}",
                    video=name,
                    start=start,
                    end=end,
                    action=number[activity],
                    split=side,
                    recording=name[:2],
                )
            )
            wheres.append(where)
    classes = Classes("salads", RATE, NAMES, tuple(map(text, NAMES)))
    return checked(rows, classes, lambda i: wheres[i]), classes


def _recording(path: Path) -> str:
    return path.name.removeprefix("rgb-")[:4]


def _segments(path: Path) -> list[Run]:
    if not path.name.endswith("-activityAnnotation.txt"):
        return [(name, first / RATE, end / RATE) for name, first, end in runs(label for _, label in lines(path))]
    fine, coarse = [], 0
    for where, line in lines(path):
        try:
            start, end, name = line.split()
            activity, _, level = name.rpartition("_")
            fine.append((int(start), int(end), activity, where)) if level in LEVELS else None
            coarse += level not in LEVELS
        except ValueError:
            raise DataError(
                f"{where}: a line is start, end and name, as in 105911773 106878578 cut_tomato_post"
            ) from None
    wrong = next((row for row in fine if row[1] <= row[0]), None)
    if wrong:
        raise DataError(f"{wrong[3]}: the segment ends at {wrong[1]}, not after its start at {wrong[0]}")
    log.info("%s: %d fine segments; %d of coarser levels left out", path.name, len(fine), coarse)
    return _joined(fine)


def _joined(fine: list[tuple[int, int, str, str]]) -> list[Run]:
    """Return the segments in order; those of one activity that touch or overlap, with no other between, are one."""
    found: list[list] = []
    for start, end, activity, _ in sorted(fine):
        if found and found[-1][0] == activity and start <= found[-1][2]:
            found[-1][2] = max(found[-1][2], end)
        else:
            found.append([activity, start, end])
    zero = found[0][1] if found else 0
    return [(activity, (start - zero) / TICKS, (end - zero) / TICKS) for activity, start, end in found]
