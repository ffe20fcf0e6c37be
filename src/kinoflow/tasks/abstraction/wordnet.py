"""A taxonomy out of WordNet's dictionary files: every class below the first sense of its verb, all hypernyms above it.

    index.verb   one lemma a line: lemma, part of speech, senses, pointer kinds, the kinds, senses, tagged senses, offsets
    data.verb    one synset a line, at the byte of its offset: offset, file, kind, words, pointers (@ is a hypernym) | gloss
    verb.exc     irregular forms: a form and its lemmas

Debian's package wordnet-base has them in /usr/share/wordnet; any ``dict`` folder of WordNet 3.x will do. A synset is named as
is usual: its first lemma, part of speech and the number of the sense, ``travel.v.01``. Nouns are a second source for the
classes that no verb places.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction.edits import spliced
from kinoflow.tasks.abstraction.taxonomy import ROOT, Taxonomy, of

DEBIAN = Path("/usr/share/wordnet")
PARTS = {"v": "verb", "n": "noun"}
HYPERNYM = "@"  # "@i", the class of a single thing, is no concept of an action
# Endings that a form may have, and what stands there in the lemma, in the order in which they are tried.
ENDINGS = {
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "n": (
        ("s", ""),
        ("ses", "s"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
}
DOUBLING = ("ing", "ed")  # endings before which a short verb doubles its last consonant
SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")  # one vowel, one consonant: rid, tap, swim
PARTICLES = frozenset(("up", "down", "out", "off", "on", "over", "in", "back"))


class Synset(NamedTuple):
    """A sense that words share. above: offsets of its hypernyms."""

    offset: int
    lemmas: tuple[str, ...]
    above: tuple[int, ...]
    gloss: str


@dataclass(frozen=True)
class Dictionary:
    """The verbs (``v``) or the nouns (``n``) of a folder of dictionary files."""

    folder: Path
    part: Literal["v", "n"] = "v"

    @cached_property
    def _index(self) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
        senses, tagged = {}, {}
        for number, line in self._lines("index"):
            cells = line.split()
            try:
                count, kinds = int(cells[2]), int(cells[3])
                senses[cells[0]] = tuple(int(cell) for cell in cells[-count:])
                tagged[cells[0]] = int(cells[5 + kinds])
            except (IndexError, ValueError):
                raise self._fault("index", number) from None
        return senses, tagged

    @property
    def senses(self) -> dict[str, tuple[int, ...]]:
        """The offsets of each lemma's synsets, the commonest sense first."""
        return self._index[0]

    @cached_property
    def _data(self) -> bytes:
        return self._read("data")

    @cached_property
    def irregular(self) -> dict[str, tuple[str, ...]]:
        """The lemmas of irregular forms; empty without that file."""
        path = self.folder / f"{PARTS[self.part]}.exc"
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        return {cells[0]: tuple(cells[1:]) for cells in map(str.split, lines) if len(cells) > 1}

    def synset(self, offset: int) -> Synset:
        """Return the synset at an offset; DataError if none stands there."""
        line = self._data[offset : self._data.find(b"\n", offset) % (len(self._data) + 1)].decode("utf-8", "replace")
        head, _, gloss = line.partition("|")
        cells = head.split()
        try:
            if int(cells[0]) != offset:
                raise ValueError
            words = int(cells[3], 16)
            lemmas = tuple(re.sub(r"\(.*\)$", "", cells[4 + 2 * i]).lower() for i in range(words))
            start = 4 + 2 * words
            pointers = [cells[start + 1 + 4 * i : start + 5 + 4 * i] for i in range(int(cells[start]))]
            above = tuple(int(place) for kind, place, part, _ in pointers if kind == HYPERNYM and part == self.part)
        except (IndexError, ValueError):
            raise DataError(
                f"{self.folder / f'data.{PARTS[self.part]}'}: no synset stands at byte {offset}, where the index says so;"
                " the files are not of one version"
            ) from None
        return Synset(offset, lemmas, above, gloss.strip())

    def name(self, synset: Synset) -> str:
        """Return a synset's usual name, such as ``travel.v.01``."""
        lemma = synset.lemmas[0]
        places = self.senses.get(lemma, ())
        number = places.index(synset.offset) + 1 if synset.offset in places else 0
        return f"{lemma}.{self.part}.{number:02}"

    def lemma(self, word: str) -> str | None:
        """Return the lemma of a form: an irregular form's, the word itself, or what remains when an ending is taken off.

        Where several remain (swinging: swing and swinge) that with the most senses met in texts, as the index counts them.
        """
        for found in (*self.irregular.get(word, ()), word):
            if found in self.senses:
                return found
        stems = [word.removesuffix(end) + instead for end, instead in ENDINGS[self.part] if word.endswith(end)]
        if word.endswith(DOUBLING):
            # riding is of ride: that of rid would be ridding; and bobsledding is of bobsled.
            stems = [stem for stem in stems if not SHORT.fullmatch(stem)]
            stems += [stem[:-1] for stem in stems if len(stem) > 2 and stem[-1] == stem[-2]]
        return max((stem for stem in stems if stem in self.senses), key=self._index[1].__getitem__, default=None)

    def above(self, synset: Synset) -> dict[int, Synset]:
        """Return a synset and everything above it, by offset."""
        found, waiting = {}, [synset]
        while waiting:
            each = waiting.pop()
            if each.offset not in found:
                found[each.offset] = each
                waiting += [self.synset(offset) for offset in each.above]
        return found

    def _lines(self, kind: str):
        for number, line in enumerate(self._read(kind).decode("utf-8", "replace").splitlines(), 1):
            if line.strip() and not line.startswith(" "):  # the licence is indented
                yield number, line

    def _read(self, kind: str) -> bytes:
        path = self.folder / f"{kind}.{PARTS[self.part]}"
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: this dictionary file cannot be read ({error.strerror}); install wordnet-base, or give the `dict`"
                " folder of WordNet 3.x"
            ) from None

    def _fault(self, kind: str, number: int) -> DataError:
        return DataError(
            f"{self.folder / f'{kind}.{PARTS[self.part]}'}, line {number}: this is no line of WordNet's {kind}"
        )


def words_of(label: str) -> list[str]:
    """Return the words of a class name; merged names (``cooking/baking``) and ``+`` or ``_`` for a space are told apart."""
    return [word for word in re.split(r"[\s+/_,()]+", label.lower()) if word]


def place(label: str, dictionary: Dictionary) -> Synset | None:
    """Return the first sense of the word that says what is done; None if no word is in the dictionary.

    The first form in -ing if there is one (ice skating: skate), else the last word, the head of English compounds (long jump:
    jump); particles, which WordNet has as verbs too (up), come last.
    """
    lemmas = [(word, lemma) for word in words_of(label) if (lemma := dictionary.lemma(word))]
    forms = [lemma for word, lemma in lemmas if word.endswith("ing") and word != lemma]
    others = sorted((lemma for _, lemma in reversed(lemmas) if lemma not in forms), key=PARTICLES.__contains__)
    return dictionary.synset(dictionary.senses[found[0]][0]) if (found := forms + others) else None


def taxonomy(classes: Iterable[str], folder: Path, parts: Sequence[Literal["v", "n"]] = ("v",)) -> Taxonomy:
    """Make the taxonomy of a dataset's class names.

    parts: what places a class: verbs, then, for those without one, nouns. Every class hangs below its synset, abstract nodes
    with a single child are spliced out. ``about`` holds unplaced (names), glosses (by node), and placed: {part: count}.
    Raises DataError if no class is placed.
    """
    waiting, edges, glosses, placed = list(dict.fromkeys(classes)), [], {}, {}
    names: list[str] = []
    for part in parts:
        dictionary, left = Dictionary(Path(folder), part), []
        for label in waiting:
            if synset := place(label, dictionary):
                names.append(label)
                edges.append((dictionary.name(synset), label))
                glosses[label] = synset.gloss
                for each in dictionary.above(synset).values():
                    name = dictionary.name(each)
                    glosses[name] = each.gloss
                    edges += [(dictionary.name(dictionary.synset(offset)), name) for offset in each.above]
                    if not each.above:
                        edges.append((ROOT, name))
            else:
                left.append(label)
        placed[PARTS[part]] = len(waiting) - len(left)
        waiting = left
    if not names:
        raise DataError(f"{folder}: no class has a word of the dictionary; give another taxonomy")
    found = spliced(of(edges, {name: name for name in names}))
    kept = {name: glosses[name] for name in found.nodes if name in glosses}
    about = {"source": "wordnet", "placed": placed, "unplaced": sorted(waiting), "glosses": kept}
    return Taxonomy(found.nodes, found.num_class, found.edges, found.categories, found.root, about)
