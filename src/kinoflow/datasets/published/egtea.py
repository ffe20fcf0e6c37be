"""EGTEA Gaze+ in RULSTM's form: training1.csv, validation1.csv (2 and 3) and actions.csv. Frames count at 30 a second.

The splits are not video-disjoint: a history within one side has holes where the other side's segments lie.
"""

from kinoflow.datasets.actions import Action, Classes, checked
from kinoflow.datasets.published.files import Files
from kinoflow.datasets.published.rulstm import RATE, cells_of, check_numbers, check_parts, read_segments
from kinoflow.errors import DataError


def read(files: Files, split: int = 1) -> tuple[list[Action], Classes]:
    """Return the segments of one of the three splits in order, and their classes."""
    classes = _classes(files)
    found = []
    for name, side in (("training", "train"), ("validation", "validation")):
        found += read_segments(files.need(rf"{name}{split}\.csv", f"{name}{split}.csv"), side)
    rows = [row for _, row in found]
    ordered = checked(rows, classes, lambda i: found[i][0])
    check_parts(found, classes)
    return ordered, classes


def _classes(files: Files) -> Classes:
    path = files.need(r"actions\.csv", "actions.csv")
    names, pairs = [], []
    for where, cells in cells_of(path):
        try:
            number, pair, name = cells
            verb, noun = map(int, pair.split("_"))
            place = int(number)
        except ValueError:
            raise DataError(
                f"{where}: an action is a number, verb_noun as numbers, and a name; check which file this is"
            ) from None
        check_numbers(where, verb, noun)
        if place != len(names):
            raise DataError(f"{where}: the action {name} must have the number {len(names)}; fetch the file again")
        names.append(name)
        pairs.append((verb, noun))
    if not names:
        raise DataError(f"{path}: this list names no action; fetch the file again")
    spelt = [name.partition("_") for name in names]
    verbs, nouns = (
        _of_each([pair[i] for pair in pairs], [parts[2 * i].lower().replace(":", " ") for parts in spelt])
        for i in (0, 1)
    )
    verb, noun = (tuple(pair[i] for pair in pairs) for i in (0, 1))
    return Classes("egtea", RATE, tuple(names), tuple(map(text, names)), verb, noun, verbs, nouns)


def _of_each(numbers: list[int], spelt: list[str]) -> tuple[str, ...]:
    first = dict(zip(reversed(numbers), reversed(spelt), strict=True))
    return tuple(first.get(number, "") for number in range(max(numbers) + 1))


def text(name: str) -> str:
    """Return an action as a language model reads it.

    >>> text("Inspect/Read_recipe"), text("Take_eating:utensil")
    ('inspect or read <v> recipe', 'take <v> eating utensil')
    """
    return name.lower().replace("_", " <v> ").replace("/", " or ").replace(":", " ")
