"""Verb-object pairs of instruction sentences, by rules.

An instruction is a chain of clauses; each begins with a verb in its base form ("now slice the bread, then butter it"), is
passive ("the bread and the ham are sliced and then fried"), or hangs on a gerund or an infinitive ("by slicing the bread",
"to slice the bread"). The object is the noun phrase behind the verb; verbs without one share the next one's ("peel and slice
the apples"). A word that is in no list is a verb where a clause may begin and "the" follows ("spiralize the courgettes").
"""

import re
from collections.abc import Sequence

from kinoflow.tasks.anticipation import lexicon as words
from kinoflow.tasks.anticipation.noun_phrases import Pair, Phrase, trimmed

TOKEN = re.compile(r"[a-zé]+(?:['’-][a-zé]+)*|\d+(?:[./]\d+)?|[½¼¾⅓⅔]|[.,;:!?]")
REWRITTEN = ((r"\b(?:needs?|ought|ha(?:ve|s)) to\b", "must"), (r",? as well as\b", " and"))  # one way to say it
ENDS = frozenset(".;:!?")
FRACTIONS = "½¼¾⅓⅔"
BREAKS = words.JOINTS | words.PREPOSITIONS | words.AUXILIARIES | words.MODALS | words.SUBJECTS | words.FILLERS | {","}
PHRASAL = {("turn", "on"), ("turn", "off"), ("switch", "on"), ("switch", "off")}  # the particle is the meaning


def pairs(sentence: str, before: Pair | None = None) -> list[Pair]:
    """Return the pairs of a sentence, in order; pronouns stand for the object before.

    before: the last pair of the sentence before, whose object a pronoun may mean.

    >>> [(pair.verb, pair.head) for pair in pairs("Peel and slice the ripe tomatoes, then season them with salt.")]
    [('peel', 'tomato'), ('slice', 'tomato'), ('season', 'tomato')]
    """
    reader = _Reader(sentence)
    if before:
        reader.last = Phrase(tuple(before.object.split()), 0)
    return reader.read()


class _Reader:
    """The tokens of a sentence, read from left to right."""

    def __init__(self, sentence: str):
        plain = re.sub(r"\([^)]*\)?", " ", sentence.lower().replace("’", "'"))
        for said, plainly in REWRITTEN:
            plain = re.sub(said, plainly, plain)
        self.tokens = TOKEN.findall(plain)
        self.forms = words.forms()
        self.found: list[Pair] = []
        self.waiting: list[str] = []  # verbs that have no object yet
        self.last: Phrase | None = None  # the latest object
        self.subjects: list[Phrase] = []  # the latest noun phrases that no verb has
        self.aside = False  # whether the latest phrase hangs on a preposition, and is nobody's subject
        self.passive = False  # whether the clause has said what is done to its subjects
        self.start = True  # whether a clause may begin here
        self.negated = False  # whether the clause says what is not to be done
        self.without = False  # whether it says so by that word
        self.at = 0

    def read(self) -> list[Pair]:
        while self.at < len(self.tokens):
            self._token(self.tokens[self.at])
        return self.found

    def _peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place] if 0 <= place < len(self.tokens) else "."

    def _token(self, token: str) -> None:
        self._negate(token)
        if token in ENDS or token == ",":
            self._end(token)
        elif token in words.JOINTS:
            self.start = True
            self.at += 1
        elif token in words.AUXILIARIES:
            self._passive()
        elif self._participle(self.at):
            self._done()
        elif self._begins_clause(self.at):
            self._verb()
        elif token in words.WHEN or (
            self.start
            and (token in words.FILLERS or token in words.MODALS or token in words.SUBJECTS or token.endswith("ly"))
        ):
            self.at += 1
        elif token in words.PREPOSITIONS:
            self.start, self.waiting = token in ("while", "after", "before", "by", "without"), []
            self.at += 1
        else:
            self._phrase_alone()

    def _negate(self, token: str) -> None:
        """Keep whether what follows is not to be done: to the end of the clause, or of "without stirring, ..."."""
        ended = token in ENDS or token in words.JOINTS or (token == "," and self.without)
        self.negated = token in words.NEGATIONS or (self.negated and not ended)
        self.without = token == "without" or (self.without and self.negated)

    def _end(self, token: str) -> None:
        self.start, self.aside = True, False
        if token != ",":
            self.waiting, self.subjects, self.passive = [], [], False
        self.at += 1

    def _phrase_alone(self) -> None:
        phrase = self._phrase(self.at)
        self.aside = self._hangs()
        if phrase and phrase.words and not self.aside:
            self.subjects = [*self.subjects, phrase] if self._listed() else [phrase]
            self.passive = False
        self.start = bool(phrase and self._after_list(phrase.end))
        self.at = max(phrase.end if phrase else 0, self.at + 1)

    def _hangs(self) -> bool:
        """Whether the phrase here hangs on a preposition: in a bowl, with salt *and pepper*."""
        before = self.tokens[self.at - 1] if self.at else ""
        if before in words.JOINTS:
            return self.aside and bool(self.subjects) and not self.passive
        return before in words.PREPOSITIONS and before not in words.SUBORDINATE

    def _listed(self) -> bool:
        """Whether the phrase here goes on with a list of subjects: nothing but commas and joints between."""
        between = self.tokens[self.subjects[-1].end : self.at] if self.subjects else []
        return not self.passive and bool(between) and all(token == "," or token in words.JOINTS for token in between)

    def _after_list(self, place: int) -> bool:
        return place < len(self.tokens) and self.tokens[place] in words.MODALS

    # ---------------------------------------------------------------- verbs

    def _begins_clause(self, place: int) -> bool:
        """Whether the token is a verb of an instruction."""
        token = self.tokens[place]
        verb, kind = self.forms.get(token, ("", ""))
        before = self.tokens[place - 1] if place else ""
        if not verb:
            return self._unknown_verb(place, before)
        if kind == "ing":
            return self.start and (before in words.GERUND or before in ("", ",")) and not self._named(place)
        if before == "to":
            return kind == "base" and token != "taste" and self._object_follows(place)
        if not self.start or kind != "base":
            return False
        if token in words.NOUNS_FIRST:
            return self._determined(place + 1)
        return token not in words.ALSO_NOUNS or self._object_follows(place) or (place == 0 and self._fits_alone(place))

    def _unknown_verb(self, place: int, before: str) -> bool:
        """Whether a word that no list has must be a verb: a determiner follows where a clause may begin."""
        token, after = self.tokens[place], self._at(place + 1)
        other = token in BREAKS or token in words.DETERMINERS or token in words.PRONOUNS or token in words.NEGATIONS
        formed = token.endswith(("ly", "ing", "ed")) or (token.endswith("s") and not token.endswith("ss"))
        counted = words.singular(token) in words.QUANTITIES or token in words.TIMES
        if not self.start or other or formed or counted or not token[0].isalpha() or before in words.PREPOSITIONS:
            return False
        return after in ("the", "your", "it", "them") or (place == 0 and after in ("a", "an"))

    def _determined(self, place: int) -> bool:
        """Whether a phrase begins that can only be an object."""
        return self._begins_phrase(self._at(place))

    def _participle(self, place: int) -> bool:
        """Whether a token is what is done to something, and not what sort a thing is: "peeled", but not "peeled eggs"."""
        token, after = self._at(place), self._at(place + 1)
        kind = self.forms.get(token, ("", ""))[1]
        if kind == "ed":
            return not self._goes_on(place + 1) or after in words.DETERMINERS or after[0].isdigit()
        # cut, put: the base form is the participle, too
        return self.passive and self.start and token in words.IRREGULAR and not self._goes_on(place + 1)

    def _named(self, place: int) -> bool:
        """Whether a form with -ing is a food, or the first part of a noun, as in baking powder."""
        after = self.tokens[place + 1] if place + 1 < len(self.tokens) else "."
        if place and self.tokens[place] in words.FOODS and not self._determined(place + 1):
            return self.tokens[place - 1] in ("and", "or", ",")
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
        verb, kind = self.forms.get(token, (token, "base"))
        self.start = self.passive = False
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
        if particle == "on" and verb not in words.ON:  # "drain on paper": not what is drained
            self.waiting = []
            return
        while (
            self._peek() in words.PARTICLES
            or (self._peek() in words.FILLERS and self._peek() not in ("to", "so"))
            or self._peek().endswith("ly")
        ):
            self.at += 1
        self._objects(f"{verb}-{particle}" if (verb, particle) in PHRASAL else verb, gerund=kind == "ing")

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

    def _objects(self, verb: str, gerund: bool) -> None:
        """Read the objects of a verb whose first possible token is now."""
        phrase = self._phrase(self.at)
        object_ = self._resolved(phrase) if phrase else None
        if phrase is None or object_ is None:
            self.waiting = [*self.waiting, verb] if self._shares(gerund) else []
            self.at = phrase.end if phrase else self.at
            return
        self.at = phrase.end
        objects = [object_, *self._more(), *self._later()]
        last = self._peek() if (verb, self._peek()) in PHRASAL else ""
        for each in [*self.waiting, f"{verb}-{last}" if last else verb]:
            for one in objects:
                self._add(each, one)
        self.waiting = []

    def _shares(self, gerund: bool) -> bool:
        """Whether a verb without an object may have that of the next; a gerund that of a gerund alone."""
        if self._peek() != "," and self._peek() not in words.JOINTS:
            return False
        return not gerund or self.forms.get(self._peek(1), ("", ""))[1] == "ing"

    def _passive(self) -> None:
        """Read "is sliced" behind subjects; not "has melted", which nobody does."""
        told = set()
        while self._peek() in words.FILLERS or self._peek() in words.AUXILIARIES or self._peek().endswith("ly"):
            told.add(self._peek())
            self.at += 1
        self.start = True
        self.passive = bool(told & words.BE)
        if self._participle(self.at):
            self._done()
        self.start = False

    def _done(self) -> None:
        """Take a participle: what is done to the subjects if an auxiliary has said so."""
        verb = self.forms.get(self._peek(), ("", ""))[0]
        if self.passive and self.start and verb not in words.STOP:
            for subject in self.subjects:
                self._add(verb, subject)
        self.at += 1
        self.start = False

    def _add(self, verb: str, phrase: Phrase) -> None:
        if not self.negated:
            self.found.append(Pair(verb, " ".join(phrase.words), phrase.head))
        self.last = phrase

    # ---------------------------------------------------------------- noun phrases

    def _resolved(self, phrase: Phrase) -> Phrase | None:
        if phrase.pronoun:
            return self.last or (self.subjects[-1] if self.subjects else None)
        return phrase if phrase.words else None

    def _more(self) -> list[Phrase]:
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
            if self._at(phrase.end) in words.AUXILIARIES:  # the subject of the next clause
                break
            found.append(phrase)
            place = phrase.end
            if closing:
                self.at = place
                return found
        self.start = False
        return []

    def _later(self) -> list[Phrase]:
        """Return the object of "the spices first, *then the stock*", whose verb is not said again."""
        place = self.at
        while self._at(place) in (",", "and") or (self._at(place) in words.FILLERS and self._at(place) != "then"):
            place += 1
        phrase = self._phrase(place + 1) if self._at(place) == "then" else None
        if not phrase or not phrase.words or self._at(place + 1) not in words.DETERMINERS:
            return []
        if self._at(phrase.end) in words.AUXILIARIES or self._at(phrase.end) in words.MODALS:
            return []
        self.at = phrase.end
        return [phrase, *self._more()]

    def _at(self, place: int) -> str:
        return self.tokens[place] if place < len(self.tokens) else "."

    def _continues(self, place: int) -> bool:
        """Whether a list goes on behind a phrase."""
        return self._at(place) in (",", "and", "or", "&")

    def _phrase(self, place: int, upto_verb: bool = False) -> Phrase | None:
        """Return the noun phrase that begins at a token; None if none does."""
        first, kept = place, []
        while place < len(self.tokens):
            token = self.tokens[place]
            if place == first and (
                token in ("it", "them") or (token in words.PRONOUNS and not self._goes_on(place + 1))
            ):
                return Phrase((), place + 1, pronoun=True)
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
        kept = trimmed(kept)
        timed = bool(kept) and words.singular(kept[-1]) in words.TIMES
        return Phrase(() if timed else tuple(kept), place)

    def _ends_phrase(self, token: str, kept: Sequence[str]) -> bool:
        """Whether a noun phrase with these words ends in front of a token."""
        closing = (
            token in ENDS
            or (token in BREAKS and (bool(kept) or token not in words.WHEN))
            or (token.endswith("ly") and token not in ("jelly", "fly"))
        )
        return closing or (bool(kept) and self._begins_phrase(token))

    def _begins_phrase(self, token: str) -> bool:
        """Whether a token is the first of another phrase: the penne *2* minutes."""
        return token in words.DETERMINERS or token in words.PRONOUNS or token[0].isdigit()

    def _last_verb(self, place: int) -> bool:
        """Whether a token is the verb that ends "let the dough rest"."""
        return self.forms.get(self.tokens[place], ("", ""))[1] == "base" and not self._goes_on(place + 1)

    def _goes_on(self, place: int) -> bool:
        """Whether another word of the same phrase follows."""
        token = self._at(place)
        outside = token in ENDS or token == "," or token in words.JOINTS or token in words.PREPOSITIONS
        return not (outside or token in words.AUXILIARIES or token in words.FILLERS or token.endswith("ly"))
