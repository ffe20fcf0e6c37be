"""What the rule parser finds: pairs of a verb and an object, and noun phrases."""

from collections.abc import Sequence
from dataclasses import dataclass

from kinoflow.tasks.anticipation import lexicon as words


@dataclass(frozen=True)
class Pair:
    """What is done to what."""

    verb: str  # base form; turn-on and the like with their particle
    object: str  # the noun phrase without determiners and quantities
    head: str  # its last noun, in the singular


@dataclass(frozen=True)
class Phrase:
    """A noun phrase among the tokens."""

    words: tuple[str, ...]  # empty: a pronoun, or a stretch of time
    end: int  # number of the token after it
    pronoun: bool = False

    @property
    def head(self) -> str:
        """Return its last noun, in the singular."""
        return words.singular(self.words[-1])


def trimmed(kept: Sequence[str]) -> list[str]:
    """Return a phrase without units in front, and without what describes how it comes out: "golden", "smooth"."""
    found = list(kept)
    while (
        len(found) > 1
        and words.singular(found[0]) in words.QUANTITIES
        and found[0] not in ("pan", "bowl", "pot", "half")
    ):
        found = found[1:]
    while found and found[-1] in words.NO_OBJECT:
        found = found[:-1]
    return found
