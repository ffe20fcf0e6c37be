"""EPIC-KITCHENS-55 and -100 in the split of RULSTM, which the published anticipation numbers are of.

Wanted in the folder: training.csv, validation.csv and actions.csv (with or without ``rulstm_`` in front). Read where they are
there: the lists of verb and noun classes, the many-shot lists (55), the lists of validation segments of tail classes and of
unseen participants (100), and EPIC_train_action_labels.csv (55), whose time stamps must give the same frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kinoflow.datasets.actions import Action, Classes, checked
from kinoflow.datasets.published.files import Files
from kinoflow.datasets.published.rulstm import (
    RATE,
    cells_of,
    check_numbers,
    check_parts,
    frame_of,
    plain_uid,
    read_segments,
)
from kinoflow.errors import DataError
from kinoflow.progress import log
from kinoflow.store.tables import read_csv

CLASSES = {"epic55": (125, 352, 2513), "epic100": (97, 300, 3806)}  # verbs, nouns, actions
SUBSETS = {  # what a part of the validation is called here, and in the names of the files
    "tail_verb": "tail_verbs",
    "tail_noun": "tail_nouns",
    "tail_action": "tail_actions",
    "unseen": "unseen_participants",
}


def read(files: Files, kind: str) -> tuple[list[Action], Classes]:
    """Return the segments in order, and their classes. kind: epic55 or epic100."""
    classes = _classes(files, kind)
    found: list[tuple[str, Action]] = []
    for split in ("training", "validation"):
        path = files.need(rf"(rulstm_)?{split}\.csv", f"{split}.csv")
        found += read_segments(path, "train" if split == "training" else split)
    rows = _with_subsets(files, [row for _, row in found])
    ordered = checked(rows, classes, lambda i: found[i][0])
    check_parts(found, classes)
    _compare(files.find(r"EPIC_train_action_labels\.csv"), rows)
    return ordered, classes


# ---------------------------------------------------------------- classes


def _classes(files: Files, kind: str) -> Classes:
    path = files.need(r"(rulstm_)?actions\.csv", "actions.csv")
    rows = sorted(
        (_numbers(item, f"{path}, line {line}") for line, item in read_csv(path, ("id", "action", "verb", "noun")))
    )
    if [number for number, *_ in rows] != list(range(len(rows))):
        raise DataError(f"{path}: {len(rows)} actions must have the numbers 0 to {len(rows) - 1}; fetch the file again")
    names = [name for *_, name in rows]
    verb, noun = [v for _, v, _, _ in rows], [n for _, _, n, _ in rows]
    verbs = _names(files, "verb", verb, [_split(name)[0] for name in names])
    nouns = _names(files, "noun", noun, [_split(name)[1] for name in names])
    classes = Classes(kind, RATE, tuple(names), tuple(map(text, names)), tuple(verb), tuple(noun), verbs, nouns)
    found = (len(verbs), len(nouns), len(names))
    if found != CLASSES[kind]:
        log.info(
            "%s: %d verbs, %d nouns and %d actions, where %d, %d and %d were published", kind, *found, *CLASSES[kind]
        )
    return replace(classes, many_shot=_many_shot(files, classes))


def _numbers(item: dict, where: str) -> tuple[int, int, int, str]:
    try:
        number, verb, noun, name = int(item["id"]), int(item["verb"]), int(item["noun"]), item["action"].strip()
    except (TypeError, ValueError, AttributeError):
        raise DataError(
            f"{where}: an action has a number, a name, a verb and a noun; check which file this is"
        ) from None
    check_numbers(where, verb, noun)
    return number, verb, noun, name


def _split(name: str) -> tuple[str, str]:
    """Return verb and noun of "pick-up_chilli" (55) or "pick-up chilli" (100)."""
    verb, _, noun = name.partition("_" if "_" in name else " ")
    return verb, noun


def text(name: str) -> str:
    """Return an action as a language model reads it; a noun "bean:green" becomes "green bean".

    >>> text("take_bean:green"), text("turn-on tap")
    ('take <v> green bean', 'turn-on <v> tap')
    """
    verb, noun = _split(name)
    return f"{verb} <v> {' '.join(reversed(noun.split(':')))}"


def _names(files: Files, what: str, used: Sequence[int], spelt: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the verbs (or nouns): of their list, else as the first action spells each, "" where none does."""
    path = files.find(rf"EPIC_(100_)?{what}_classes\.csv")
    if path is None:
        first = dict(zip(reversed(used), reversed(spelt), strict=True))
        return tuple(first.get(number, "") for number in range(max(used) + 1))
    items = [item for _, item in read_csv(path, ())]
    number, name = (f"{what}_id", "class_key") if items and f"{what}_id" in items[0] else ("id", "key")
    try:
        listed = {int(item[number]): item[name] or "" for item in items}
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: a class has a number ({number}) and a name ({name}); fetch the file again") from None
    if sorted(listed) != list(range(len(listed))):
        raise DataError(
            f"{path}: {len(listed)} classes must have the numbers 0 to {len(listed) - 1}; fetch the file again"
        )
    return tuple(listed[i] for i in range(len(listed)))


def _many_shot(files: Files, classes: Classes) -> dict[str, tuple[int, ...]]:
    """Return the many-shot verbs, nouns and actions, where all their lists are there."""
    paths = {what: files.find(rf"EPIC_many_shot_{what}s\.csv") for what in ("verb", "noun", "action")}
    if None in paths.values():
        return {}
    number = {pair: i for i, pair in enumerate(zip(classes.verb, classes.noun, strict=True))}
    columns = {"verb": ("verb_class",), "noun": ("noun_class",), "action": ("verb_class", "noun_class")}
    found = {}
    for what, path in paths.items():
        try:
            cells = [tuple(int(item[name]) for name in columns[what]) for _, item in read_csv(path, columns[what])]
        except (TypeError, ValueError):
            raise DataError(
                f"{path}: {' and '.join(columns[what])} are numbers of classes; fetch the file again"
            ) from None
        missing = [pair for pair in cells if what == "action" and pair not in number]
        if missing:
            raise DataError(
                f"{path}: no action has the verb and noun {missing[0]}; take all files from the same release"
            )
        found[what] = tuple(sorted(number[pair] if what == "action" else pair[0] for pair in cells))  # type: ignore[index]
    return found


# ---------------------------------------------------------------- what else is said of segments


def _with_subsets(files: Files, rows: list[Action]) -> list[Action]:
    """Return the rows with the parts of the validation that each is in."""
    of: dict[str, list[str]] = {}
    for subset, name in SUBSETS.items():
        path = files.find(rf"(rulstm_)?validation_{name}_ids\.csv")
        for where, cells in cells_of(path) if path else ():
            of.setdefault(plain_uid(cells[0]), []).append(subset)
            if len(cells) != 1:
                raise DataError(f"{where}: a line of this list is a uid alone; check which file this is")
    unknown = of.keys() - {row.uid for row in rows}
    if unknown:
        raise DataError(
            f"{files.folder}: a list of validation segments has the uid {min(unknown)}, which no segment has;"
            " take all files from the same release"
        )
    return [replace(row, subsets=" ".join(of[row.uid])) if row.uid in of else row for row in rows]


def _compare(path: Path | None, rows: Iterable[Action]) -> None:
    """Raise DataError if the official labels give another frame than RULSTM's for a segment."""
    if path is None:
        return
    known = {row.uid: (round(row.start * RATE), round(row.end * RATE)) for row in rows}
    count = 0
    for line, item in read_csv(path, ("uid", "start_timestamp", "stop_timestamp")):
        try:
            uid = plain_uid(item["uid"])
            frames = frame_of(item["start_timestamp"]), frame_of(item["stop_timestamp"])
        except (AttributeError, ValueError, OverflowError):
            raise DataError(f"{path}, line {line}: a segment has a uid and times as in 00:01:06.10") from None
        if uid in known and known[uid] != frames:
            raise DataError(
                f"{path}, line {line}: the segment {uid} has the frames {frames} at 30 a second here, and {known[uid]} in"
                " RULSTM's list; take both from the same release"
            )
        count += uid in known
    log.info("%s: %d segments have the same frames in RULSTM's lists", path.name, count)
