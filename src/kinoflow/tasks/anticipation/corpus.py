"""The stage that turns recipes into sequences of actions: one JSON line a recipe, ``{"id": ..., "text": "open <v> jar <a> ..."}``.

Recipes are read one by one: JSON lines, or one list as Recipe1M's layer1.json (1.4 GB). Each has an id and instructions with
a text. Also here: what the published code makes of sentences whose phrases another program has tagged.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.files import parse_json, replacing
from kinoflow.tasks.anticipation import phrases
from kinoflow.tasks.anticipation.lexicon import STOP
from kinoflow.tasks.anticipation.text_options import CorpusOptions
from kinoflow.tasks.anticipation.tokens import BETWEEN, WITHIN

ORIGINAL_STOP = (STOP - {"could", "want"}) | {"couldwant"}  # a missing comma in the published list
BLOCK = 1 << 20  # characters read at once
LONGEST = 1 << 26  # characters of a recipe
SAID = 50_000  # recipes between two lines of the log
Sequences = Iterator[tuple[str, list[str]]]  # id, texts of actions
Find = Callable[[Sequence[str]], list[tuple[str, str]]]  # the verbs and objects of a recipe's sentences


def text_corpus(recipes: In, corpus: Out, options: CorpusOptions) -> None:
    """Turn recipes into sequences of actions, one a line.

    recipes: JSON lines or a JSON list of recipes with ``id`` and ``instructions``; with form: steps, lines of actions with
        ``,`` between
    corpus: the sequences to write, JSON lines
    """
    found = of_steps(recipes) if options.form == "steps" else of_recipes(recipes, finder(options), stop_words(options))
    end = None if options.count is None else options.start + options.count
    lines = actions = empty = 0
    with replacing(corpus) as new, open(new, "w", encoding="utf-8") as file:
        for number, (name, texts) in enumerate(islice(found, options.start, end), 1):
            if number % SAID == 0:  # how many there are is known at the end only
                log.info("%s: %d recipes", corpus.name, number)
            empty += not texts
            if texts:
                file.write(json.dumps({"id": name, "text": f" {BETWEEN} ".join(texts)}) + "\n")
                lines, actions = lines + 1, actions + len(texts)
    if not lines:
        raise DataError(f"{recipes}: no action was found in any recipe; look at the form and at the sentences")
    log.info("%s: %d sequences of %d actions; %d recipes without any", corpus.name, lines, actions, empty)


def stop_words(options: CorpusOptions) -> frozenset[str]:
    """Return the verbs that say nothing of what is done."""
    return ORIGINAL_STOP if options.original_stop_words else STOP


def finder(options: CorpusOptions) -> Find:
    """Return what finds verbs and objects in a sentence; ConfigError if spaCy is asked for and not installed."""
    return by_spacy() if options.parser == "spacy" else by_rules


def by_rules(sentences: Sequence[str]) -> list[tuple[str, str]]:
    """Return verbs and the nouns of their objects; a pronoun may mean the object of the sentence before."""
    found: list[phrases.Pair] = []
    for sentence in sentences:
        found += phrases.pairs(sentence, found[-1] if found else None)
    return [(pair.verb, pair.head) for pair in found]


def by_spacy() -> Find:
    """Return what finds verbs and objects with spaCy's small English model; ConfigError if either is not installed."""
    try:
        import spacy

        model = spacy.load("en_core_web_sm")
    except ImportError:
        raise ConfigError(
            "parser: spacy is not installed; take rules, or install spacy and its model en_core_web_sm"
        ) from None
    except OSError:
        raise ConfigError("parser: spacy's model en_core_web_sm is not installed; take rules, or install it") from None

    def find(sentences: Sequence[str]) -> list[tuple[str, str]]:
        found = []
        for text in map(model, sentences):
            objects = [token for token in text if token.dep_ in ("dobj", "obj", "nsubjpass")]
            objects.sort(key=lambda token: token.head.i)
            found += [(token.head.lemma_.lower(), token.lemma_.lower()) for token in objects]
        return found

    return find


# ---------------------------------------------------------------- recipes


def of_steps(path: Path) -> Sequences:
    """Yield the sequence of each line of steps, "open jar , pull tray"; the first word of a step is its verb."""
    for number, line in enumerate(_lines(path)):
        steps = [step.split() for step in line.split(",") if step.strip()]
        yield (
            f"{number:07d}",
            [f" {WITHIN} ".join((step[0], " ".join(step[1:]))) if step[1:] else step[0] for step in steps],
        )


def of_recipes(path: Path, find: Find, stop: frozenset[str]) -> Sequences:
    """Yield the sequence of each recipe: a pair with a verb that is no stop word is an action."""
    for number, recipe in enumerate(recipes_of(path)):
        try:
            name = str(recipe.get("id", f"{number:07d}"))
            sentences = [item["text"] if isinstance(item, dict) else item for item in recipe["instructions"]]
            texts = _actions(find(sentences), stop)
        except (KeyError, TypeError, AttributeError):
            raise DataError(
                f"{path}, recipe {number + 1}: a recipe has an id and instructions with a text; check the file"
            ) from None
        yield name, texts


def _actions(pairs: Iterable[tuple[str, str]], stop: frozenset[str]) -> list[str]:
    return [f"{verb} {WITHIN} {noun}" for verb, noun in pairs if verb and noun and verb not in stop]


def recipes_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the recipes of a file: of each line, or of one list, of which no more than a block is in memory."""
    with _opened(path) as file:
        first = file.read(1)
        while first.isspace():
            first = file.read(1)
    if first == "[":
        yield from _list_items(path)
        return
    for number, line in enumerate(_lines(path), 1):
        try:
            yield parse_json(line)
        except ValueError:
            raise DataError(
                f"{path}, line {number}: this is no JSON; a line is one recipe, or the file one list"
            ) from None


def _list_items(path: Path) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    with _opened(path) as file:
        text = file.read(BLOCK).lstrip()[1:]
        while True:
            text = text.lstrip(" \t\r\n,")
            if text.startswith("]"):
                return
            try:
                item, end = decoder.raw_decode(text)
            except RecursionError:
                raise DataError(f"{path}: this JSON list is nested too deeply to be one of recipes") from None
            except ValueError:
                more = file.read(BLOCK) if len(text) < LONGEST else ""
                if not more:
                    raise DataError(
                        f"{path}: this JSON list ends in the middle of a recipe; fetch the file again"
                    ) from None
                text += more
                continue
            text = text[end:]
            yield item


def _lines(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        for line in file:
            if line.strip():
                yield line.strip()


def _opened(path: Path) -> Any:
    try:
        return open(path, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: these recipes cannot be read: {error.strerror}") from None


# ---------------------------------------------------------------- tagged sentences, as in the published code


def chunks(tokens: Sequence[str], tags: Sequence[str], original: bool = False) -> tuple[list[str], list[str]]:
    """Return the verb and object phrases of a sentence tagged for one verb.

    A phrase begins at B-V or B-ARG1, goes on at I-V and I-ARG1, and is closed by any other tag. original: a phrase that is
    open at the end is lost, and an I- without a phrase begins an object, as in the published code.
    """
    verbs: list[str] = []
    objects: list[str] = []
    phrase: list[str] = []
    kind = objects
    for token, tag in [*zip(tokens, tags, strict=True), *([] if original else [("", "O")])]:
        if tag in ("I-V", "I-ARG1") and (phrase or original):
            phrase.append(token)
            continue
        if phrase:
            kind.append(" ".join(phrase))
        begins = tag in ("B-V", "B-ARG1")
        phrase, kind = ([token] if begins else []), (verbs if tag == "B-V" else objects)
    return verbs, objects


def sequence(pairs: Iterable[tuple[Sequence[str], Sequence[str]]], stop: frozenset[str] = STOP) -> str:
    """Return the text of a recipe from the verb and object phrases of each tagged sentence: the first of each count."""
    kept = [(verbs[0], objects[0]) for verbs, objects in pairs if verbs and objects]
    return f" {BETWEEN} ".join(_actions(kept, stop))
