"""Verb-object pairs of instruction sentences, by rules.

An instruction is a chain of clauses; each begins with a verb in its base form ("now slice the bread, then butter it"), is
passive ("the bread is sliced"), or hangs on a gerund or an infinitive ("by slicing the bread", "to slice the bread"). The
object is the noun phrase behind the verb; verbs without one share the next one's ("peel and slice the apples").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kinoflow.tasks.anticipation import lexicon as words

TOKEN = re.compile(r"[a-zé]+(?:['’-][a-zé]+)*|\d+(?:[./]\d+)?|[½¼¾⅓⅔]|[.,;:!?]")
ENDS = frozenset(".;:!?")
FRACTIONS = "½¼¾⅓⅔"
BREAKS = words.JOINTS | words.PREPOSITIONS | words.AUXILIARIES | words.MODALS | words.SUBJECTS | words.FILLERS | {","}
PHRASAL = {("turn", "on"), ("turn", "off"), ("switch", "on"), ("switch", "off")}  # the particle is the meaning


@dataclass(frozen=True)
class Pair:
    """What is done to what."""

    verb: str  # base form; turn-on and the like with their particle
    object: str  # the noun phrase without determiners and quantities
    head: str  # its last noun, in the singular


@dataclass(frozen=True)
class _Phrase:
    """A noun phrase among the tokens."""

    words: tuple[str, ...]  # empty: a pronoun, or a stretch of time
    end: int  # number of the token after it
    pronoun: bool = False

    @property
    def head(self) -> str:
        return words.singular(self.words[-1])


def pairs(sentence: str, before: Pair | None = None) -> list[Pair]:
    """Return the pairs of a sentence, in order; pronouns stand for the object before.

    before: the last pair of the sentence before, whose object a pronoun may mean.

    >>> [(pair.verb, pair.head) for pair in pairs("Peel and slice the ripe tomatoes, then season them with salt.")]
    [('peel', 'tomato'), ('slice', 'tomato'), ('season', 'tomato')]
    """
    reader = _Reader(sentence)
    if before:
        reader.last = _Phrase(tuple(before.object.split()), 0)
    return reader.read()


class _Reader:
    """The tokens of a sentence, read from left to right."""

    def __init__(self, sentence: str):
        plain = re.sub(r"\([^)]*\)?", " ", sentence.lower().replace("’", "'"))
        self.tokens = TOKEN.findall(plain)
        self.forms = words.forms()
        self.found: list[Pair] = []
        self.waiting: list[str] = []  # verbs that have no object yet
        self.last: _Phrase | None = None  # the latest object
        self.subject: _Phrase | None = None  # the latest noun phrase that no verb has
        self.start = True  # whether a clause may begin here
        self.negated = False  # whether the clause says what is not to be done
        self.at = 0

    def read(self) -> list[Pair]:
        while self.at < len(self.tokens):
            self._token(self.tokens[self.at])
        return self.found

    def _peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place] if 0 <= place < len(self.tokens) else "."

    def _token(self, token: str) -> None:
        self.negated = token in words.NEGATIONS or (self.negated and token not in ENDS and token not in words.JOINTS)
        if token in ENDS or token == ",":
            self._end(token)
        elif token in words.JOINTS:
            self.start = True
            self.at += 1
        elif token in words.AUXILIARIES:
            self._passive()
        elif self._begins_clause(self.at):
            self._verb()
        elif self.start and (
            token in words.FILLERS or token in words.MODALS or token in words.SUBJECTS or token.endswith("ly")
        ):
            self.at += 1
        elif token in words.PREPOSITIONS:
            self.start, self.waiting = token in ("while", "after", "before", "by", "without"), []
            self.subject = None
            self.at += 1
        else:
            self._phrase_alone()

    def _end(self, token: str) -> None:
        self.start = True
        if token != ",":
            self.waiting, self.subject = [], None
        self.at += 1

    def _phrase_alone(self) -> None:
        phrase = self._phrase(self.at)
        self.subject = phrase if phrase and phrase.words else self.subject
        self.start = bool(phrase and self._after_list(phrase.end))
        self.at = max(phrase.end if phrase else 0, self.at + 1)

    def _after_list(self, place: int) -> bool:
        return place < len(self.tokens) and self.tokens[place] in words.MODALS

    # ---------------------------------------------------------------- verbs

    def _begins_clause(self, place: int) -> bool:
        """Whether the token is a verb of an instruction."""
        token = self.tokens[place]
        verb, kind = self.forms.get(token, ("", ""))
        if not verb:
            return False
        before = self.tokens[place - 1] if place else ""
        if kind == "ing":
            return self.start and (before in words.GERUND or before in ("", ",")) and not self._named(place)
        if before == "to":
            return kind == "base" and token != "taste" and self._object_follows(place)
        if not self.start or kind != "base":
            return False
        return token not in words.ALSO_NOUNS or self._object_follows(place) or (place == 0 and self._fits_alone(place))

    def _named(self, place: int) -> bool:
        """Whether a form with -ing is the first part of a noun, as in baking powder."""
        after = self.tokens[place + 1] if place + 1 < len(self.tokens) else "."
        return after in ("powder", "soda", "pin", "sheet", "paper", "pan", "tray", "dish", "board", "bowl", "stock")

    def _object_follows(self, place: int) -> bool:
        """Whether what follows a word can be its object, so that the word is a verb."""
        after = self.tokens[place + 1] if place + 1 < len(self.tokens) else "."
        if after in words.PARTICLES and self.tokens[place] not in words.INGREDIENTS:
            after = self.tokens[place + 2] if place + 2 < len(self.tokens) else "."
        if after in words.DETERMINERS or after in words.PRONOUNS or after[0].isdigit():
            return True
        ended = after in ENDS or after == "," or after in words.PREPOSITIONS or after in words.AUXILIARIES
        if after in words.JOINTS:  # "peel and slice": a verb if the other is one
            other = self.tokens[place + 2] if place + 2 < len(self.tokens) else "."
            return (place == 0 or bool(self.waiting)) and self.forms.get(other, ("", ""))[1] == "base"
        return not ended

    def _fits_alone(self, place: int) -> bool:
        """Whether a word at the beginning of a sentence is an instruction without object: cover and ..., drain."""
        after = self.tokens[place + 1] if place + 1 < len(self.tokens) else "."
        return after in ENDS or after in words.PREPOSITIONS or after in (",", "and")

    def _verb(self) -> None:
        token = self.tokens[self.at]
        verb = self.forms[token][0]
        self.start = False
        if verb == "let" or (verb == "allow"):
            self._let()
            return
        if verb in words.STOP or token in words.STOP:
            self._skipped()
            return
        self.at += 1
        if verb in words.LEADING:
            self.start = self._peek() not in words.DETERMINERS
            return
        particle = self._peek() if self._peek() in words.PARTICLES else ""
        while (
            self._peek() in words.PARTICLES
            or (self._peek() in words.FILLERS and self._peek() != "to")
            or self._peek().endswith("ly")
        ):
            self.at += 1
        self._objects(f"{verb}-{particle}" if (verb, particle) in PHRASAL else verb)

    def _skipped(self) -> None:
        """Go past a verb that says nothing, and its object."""
        phrase = self._phrase(self.at + 1)
        self.at = phrase.end if phrase else self.at + 1

    def _let(self) -> None:
        """Read "let the dough rest": what follows the object is the verb."""
        phrase = self._phrase(self.at + 1, upto_verb=True)
        if not phrase:
            self.at += 1
            return
        self.at = phrase.end
        if self._peek() == "to":
            self.at += 1
        verb, kind = self.forms.get(self._peek(), ("", ""))
        object_ = self._resolved(phrase)
        if kind == "base" and object_ and verb not in words.STOP:
            self._add(verb, object_)
            self.at += 1

    def _objects(self, verb: str) -> None:
        """Read the objects of a verb whose first possible token is now."""
        phrase = self._phrase(self.at)
        object_ = self._resolved(phrase) if phrase else None
        if phrase is None or object_ is None:
            self.waiting = [*self.waiting, verb] if self._peek() in (*words.JOINTS, ",") else []
            self.at = phrase.end if phrase else self.at
            return
        self.at = phrase.end
        objects = [object_, *self._more()]
        last = self._peek() if (verb, self._peek()) in PHRASAL else ""
        for each in [*self.waiting, f"{verb}-{last}" if last else verb]:
            for one in objects:
                self._add(each, one)
        self.waiting = []

    def _passive(self) -> None:
        """Read "is sliced" behind a subject."""
        self.at += 1
        while self._peek() in words.FILLERS or self._peek() in words.AUXILIARIES or self._peek().endswith("ly"):
            self.at += 1
        verb, kind = self.forms.get(self._peek(), ("", ""))
        same = self._peek() in words.IRREGULAR  # cut, put: the base form is the participle, too
        if (kind == "ed" or same) and self.subject and verb not in words.STOP:
            self._add(verb, self.subject)
            self.at += 1
            while self._peek() == "and" and self.forms.get(self._peek(1), ("", ""))[1] == "ed":
                self._add(self.forms[self._peek(1)][0], self.subject)
                self.at += 2
        self.start = False

    def _add(self, verb: str, phrase: _Phrase) -> None:
        if not self.negated:
            self.found.append(Pair(verb, " ".join(phrase.words), phrase.head))
        self.last = phrase

    # ---------------------------------------------------------------- noun phrases

    def _resolved(self, phrase: _Phrase) -> _Phrase | None:
        return self.last or self.subject if phrase.pronoun else phrase if phrase.words else None

    def _more(self) -> list[_Phrase]:
        """Return the other phrases of a list: ", sugar and salt"; none if what follows is another clause."""
        found, place = [], self.at
        while place < len(self.tokens) and self.tokens[place] in (",", "and", "or", "&"):
            closing = self.tokens[place] != ","
            after = place + 1
            if not closing and self._at(after) in ("and", "or"):
                closing, after = True, after + 1
            self.start = True
            skipped = after
            while self._at(skipped).endswith("ly") or self._at(skipped) in words.FILLERS:
                skipped += 1
            if skipped < len(self.tokens) and self._begins_clause(skipped):
                break
            phrase = self._phrase(after)
            if not phrase or not phrase.words or (not closing and not self._continues(phrase.end)):
                break
            found.append(phrase)
            place = phrase.end
            if closing:
                self.at = place
                return found
        self.start = False
        return []

    def _at(self, place: int) -> str:
        return self.tokens[place] if place < len(self.tokens) else "."

    def _continues(self, place: int) -> bool:
        """Whether a list goes on behind a phrase."""
        return self._at(place) in (",", "and", "or", "&")

    def _phrase(self, place: int, upto_verb: bool = False) -> _Phrase | None:
        """Return the noun phrase that begins at a token; None if none does."""
        first, kept = place, []
        while place < len(self.tokens):
            token = self.tokens[place]
            if place == first and (
                token in ("it", "them") or (token in words.PRONOUNS and not self._goes_on(place + 1))
            ):
                return _Phrase((), place + 1, pronoun=True)
            if token == "of" and place > first and (not kept or words.singular(kept[-1]) in words.QUANTITIES):
                kept = []
            elif token in words.MODALS and self.tokens[place - 1] in words.DETERMINERS:
                kept.append(token)  # the can
            elif self._ends_phrase(token, kept) or (upto_verb and kept and self._last_verb(place)):
                break
            elif token not in words.DETERMINERS and not token[0].isdigit() and token not in FRACTIONS:
                kept.append(token)
            place += 1
        if place == first:
            return None
        kept = _trimmed(kept)
        timed = bool(kept) and words.singular(kept[-1]) in words.TIMES
        return _Phrase(() if timed else tuple(kept), place)

    def _ends_phrase(self, token: str, kept: Sequence[str]) -> bool:
        """Whether a noun phrase with these words ends in front of a token."""
        closing = token in ENDS or token in BREAKS or (token.endswith("ly") and token not in ("jelly", "fly"))
        return closing or ((token in words.DETERMINERS or token in words.PRONOUNS) and bool(kept))

    def _last_verb(self, place: int) -> bool:
        """Whether a token is the verb that ends "let the dough rest"."""
        return self.forms.get(self.tokens[place], ("", ""))[1] == "base" and not self._goes_on(place + 1)

    def _goes_on(self, place: int) -> bool:
        """Whether another word of the same phrase follows."""
        token = self._at(place)
        outside = token in ENDS or token == "," or token in words.JOINTS or token in words.PREPOSITIONS
        return not (outside or token in words.AUXILIARIES or token in words.FILLERS or token.endswith("ly"))


def _trimmed(kept: Sequence[str]) -> list[str]:
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
