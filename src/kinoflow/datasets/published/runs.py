"""Labels of frames as runs of equal labels, and how people are told apart: 50Salads and Breakfast."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from kinoflow.errors import ConfigError


def runs(labels: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return (label, first frame, end) of each run of equal labels; the end is the frame after the last.

    >>> runs(["a", "a", "b", "a"])
    [('a', 0, 2), ('b', 2, 3), ('a', 3, 4)]
    """
    found, first = [], 0
    for label, group in groupby(labels):
        end = first + len(list(group))
        found.append((label, first, end))
        first = end
    return found


def text(name: str) -> str:
    """Return an action as a language model reads it: the verb stands before the first underscore.

    >>> text("place_tomato_into_bowl"), text("SIL")
    ('place <v> tomato into bowl', 'sil')
    """
    verb, _, noun = name.lower().partition("_")
    return f"{verb} <v> {noun.replace('_', ' ')}" if noun else verb


def tested(people: Sequence[str], asked: Sequence[str], split: int, folds: int) -> set[str]:
    """Return the people whose videos are the test.

    people: all of them, sorted. asked: those that the user names; empty: one of ``folds`` even parts, number ``split`` from
    1. Raises ConfigError for a person that is not there, and if nobody would be left to train on.
    """
    unknown = sorted(set(asked) - set(people))
    if unknown:
        raise ConfigError(f"people: there is no video of {unknown[0]!r}; there are {', '.join(people)}")
    parts = min(folds, len(people))
    if not asked and split > parts:
        raise ConfigError(f"split: {len(people)} people make {parts} parts; take a number up to {parts}")
    size = len(people)
    chosen = set(asked) or set(people[size * (split - 1) // parts : size * split // parts])
    if chosen == set(people):
        raise ConfigError("people: nobody is left to train on; name fewer people for the test")
    return chosen
