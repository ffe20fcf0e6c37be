"""Action texts as numbers for a language model: a vocabulary of our own, or the tokenizer of published weights.

A sequence of actions is one text: "open <v> fridge <a> take <v> milk". T tokens, the first stands for the whole sequence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes
from kinoflow.errors import DataError, KinoflowError
from kinoflow.store.files import parse_json

BETWEEN, WITHIN = "<a>", "<v>"  # between actions; between verb and noun
PAD, CLS, MASK, UNKNOWN = range(4)  # the first tokens of our own vocabularies
SPECIAL = ("[PAD]", "[CLS]", "[MASK]", "[UNK]")
OFFLINE = {"local_files_only": True, "trust_remote_code": False}  # nothing is fetched, nothing is run


def sentence(classes: Classes, numbers: Iterable[int]) -> str:
    """Return a sequence of actions as one text."""
    return f" {BETWEEN} ".join(classes.texts[number] for number in numbers)


def actions_in(line: str) -> list[str]:
    """Return the texts of the actions of a line of a corpus."""
    return [text.strip() for text in line.split(BETWEEN) if text.strip()]


@dataclass
class Words:
    """A vocabulary of our own.

    words: all tokens but the special ones. whole: a token is a whole action's text, else a word of it. separators: <v> and
    <a> are tokens too, where tokens are words.

    >>> Words.of(["take <v> pan", "take <v> tap"]).line(["take <v> tap", "take <v> pan"])
    [1, 5, 6, 5, 4]
    """

    words: tuple[str, ...]
    whole: bool = False
    separators: bool = False
    number: dict[str, int] = field(init=False, repr=False)

    pad, cls, mask, end = PAD, CLS, MASK, None

    def __post_init__(self) -> None:
        self.number = {word: i for i, word in enumerate((*SPECIAL, *self.words))}
        self._known: dict[str, list[int]] = {}

    @classmethod
    def of(cls, texts: Iterable[str], whole: bool = False, separators: bool = False) -> "Words":
        """Return the vocabulary of action texts, sorted."""
        made = cls((), whole, separators)
        words = {word for text in texts for word in made.split(text)}
        return cls(tuple(sorted(words | ({BETWEEN} if separators else set()))), whole, separators)

    @property
    def size(self) -> int:
        """Return the number of tokens, special ones included."""
        return len(self.number)

    def split(self, text: str) -> list[str]:
        """Return the tokens of an action's text, as texts."""
        return [text] if self.whole else [word for word in text.split() if self.separators or word != WITHIN]

    def pieces(self, text: str) -> list[int]:
        """Return the tokens of an action's text; words that are not in the vocabulary are [UNK]."""
        if text not in self._known:
            self._known[text] = [self.number.get(word, UNKNOWN) for word in self.split(text)]
        return self._known[text]

    def line(self, texts: Sequence[str], most: int = 10**9) -> list[int]:
        """Return the tokens of a sequence of action texts, at most so many: earlier ones are cut off."""
        return [CLS, *_tail([token for part in self.parts(texts) for token in part], most - 1)]

    def parts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each action, a separator in front of all but the first where there are separators."""
        between = [self.number[BETWEEN]] if self.separators else []
        return [[*(between if i else ()), *self.pieces(text)] for i, text in enumerate(texts)]

    def about(self) -> dict[str, Any]:
        """Return what makes it again, as JSON values."""
        return {"kind": "words", "words": list(self.words), "whole": self.whole, "separators": self.separators}


@dataclass
class Subwords:
    """The tokenizer of published weights. saved: the text of its tokenizer.json; the numbers are its special tokens."""

    saved: str
    size: int
    pad: int
    cls: int
    mask: int
    end: int

    def __post_init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(self.saved)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._known: dict[str, list[int]] = {}

    def pieces(self, text: str) -> list[int]:
        """Return the tokens of a text, without special ones."""
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._known[text]

    def parts(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each action; a blank and the separator stand in front of all but the first.

        Words are cut at blanks by all of these tokenizers, so actions may be cut one by one.
        """
        return [self.pieces(f" {BETWEEN} {text}" if i else text) for i, text in enumerate(texts)]

    def line(self, texts: Sequence[str], most: int = 10**9) -> list[int]:
        """Return the tokens of a sequence of action texts between the special ones: earlier actions are cut off."""
        return [self.cls, *_tail([token for part in self.parts(texts) for token in part], most - 2), self.end]

    def about(self) -> dict[str, Any]:
        """Return what makes it again, as JSON values."""
        names = ("saved", "size", "pad", "cls", "mask", "end")
        return {"kind": "subwords"} | {name: getattr(self, name) for name in names}


Tokens = Words | Subwords


def _tail(tokens: list[int], most: int) -> list[int]:
    return tokens[len(tokens) - most :] if len(tokens) > most else tokens


def rebuild(about: dict[str, Any]) -> Tokens:
    """Return the vocabulary or tokenizer that ``about`` says."""
    values = {name: value for name, value in about.items() if name != "kind"}
    return Words(tuple(values.pop("words")), **values) if about["kind"] == "words" else Subwords(**values)


def published(source: str) -> Subwords:
    """Return the tokenizer of published weights in a folder, or in the usual cache.

    Raises DataError if it is not there, cannot be read, or wants to run code of its own.
    """
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(source, use_fast=True, **OFFLINE)
        saved = found.backend_tokenizer.to_str()
        special = {
            "pad": found.pad_token_id,
            "cls": found.cls_token_id,
            "mask": found.mask_token_id,
            "end": found.sep_token_id,
        }
        lost = [name for name, number in special.items() if number is None]
        if lost:
            raise DataError(f"{source}: this tokenizer has no {lost[0]} token; give one of a masked language model")
        return Subwords(saved, len(found), **special)
    except (KinoflowError, MemoryError):
        raise
    except Exception as error:  # damaged files fail in any way
        raise refusal(source, "is no tokenizer", "the published weights with their tokenizer files", error) from None


def refusal(source: str, lost: str, wanted: str, error: Exception) -> DataError:
    """Return the sentence about a folder that transformers cannot read: there ``lost``, and ``wanted`` should be given."""
    if "trust_remote_code" in str(error):
        return DataError(
            f"{source}: these weights bring Python code of their own, which is never run; give the folder of weights that"
            " transformers knows by itself"
        )
    if Path(source, "config.json").is_file():
        return DataError(f"{source}: there {lost} that can be read ({_line(error)}); give the folder of {wanted}")
    return DataError(
        f"{source}: there {lost} in this folder, nor in the cache under this name ({_line(error)});"
        f" give the folder of {wanted}"
    )


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def padded(lines: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens (B, T) int64, filled up on the right, and which of them are real, (B, T) bool."""
    lengths = np.array([len(line) for line in lines])
    real = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(real.shape, pad, np.int64)
    tokens[real] = [token for line in lines for token in line]
    return tokens, real


def read_lines(path: Path) -> list[list[str]]:
    """Return the sequences of action texts of a corpus that `kinoflow text-corpus` wrote, one a line."""
    try:
        with open(path, encoding="utf-8") as file:
            return [actions_in(parse_json(line)["text"]) for line in file]
    except OSError as error:
        raise DataError(f"{path}: this corpus cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: this is no corpus that `kinoflow text-corpus` wrote: JSON lines with a text"
        ) from None
