"""Vectors of words: from a file of fastText's text format, from which words a text has side by side, from glosses.

A text's vector is the sum of its words' vectors, each as heavy as the word is rare.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import DataError
from kinoflow.store.files import parse_json

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
SENSE = re.compile(r"\.[vnars]\.\d+$")  # of a synset's name
SIDE = 2000  # words up to which all singular values are computed
VOCABULARY = 20_000  # commonest words of a text that get a vector


def words_of(text: str) -> list[str]:
    """Return the words of a text or of a node's name, in lower case: ``hit_the_ball.v.01`` is ``hit the ball``.

    >>> words_of("Pull the pan, towards_you!")
    ['pull', 'the', 'pan', 'towards', 'you']
    """
    return WORD.findall(SENSE.sub("", text).lower().replace("_", " "))


@dataclass(frozen=True)
class Words:
    """Vectors of words. vectors: (W, E) float64; weights: (W,) how much a word counts in a text."""

    words: tuple[str, ...]
    vectors: np.ndarray
    weights: np.ndarray

    @cached_property
    def place(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    def of_text(self, text: str) -> np.ndarray:
        """Return the vector of a text, (E,), not normalised; zeros if no word of it is known."""
        known = [self.place[word] for word in words_of(text) if word in self.place]
        return self.weights[known] @ self.vectors[known]


def from_file(path: str | Path, wanted: Iterable[str]) -> Words:
    """Read the vectors of the wanted words from a .vec file: a line "words width", then a word and its numbers a line.

    Forms that the file lacks in lower case are taken as they come. DataError names the line that is wrong.
    """
    needed, found = set(wanted), {}
    width = 0
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                word, _, rest = line.rstrip().partition(" ")
                if number == 1 and len(rest.split()) == 1:
                    width = _whole(path, number, rest)
                    continue
                key = word if word in needed else word.lower()
                if key not in needed or (key in found and key != word):
                    continue
                row = _numbers(path, number, rest)
                width = width or len(row)
                if len(row) != width:
                    raise DataError(f"{path}, line {number}: {word!r} has {len(row)} numbers, not {width}")
                found[key] = row
    except OSError as error:
        raise DataError(f"{path}: these word vectors cannot be read ({error.strerror})") from None
    if not found:
        raise DataError(f"{path}: none of the {len(needed)} words of the taxonomy has a vector there")
    words = tuple(sorted(found))
    return Words(words, np.stack([found[word] for word in words]), np.ones(len(words)))


def _whole(path: str | Path, number: int, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{path}, line {number}: the first line is the number of words and the width") from None


def _numbers(path: str | Path, number: int, text: str) -> np.ndarray:
    try:
        return np.array(text.split(), np.float64)
    except ValueError:
        raise DataError(f"{path}, line {number}: behind the word stand numbers only") from None


# ---------------------------------------------------------------- words that stand together


def sentences(path: str | Path) -> Iterator[list[str]]:
    """Give the sentences of a text file, as words. Lines of JSON give all texts inside them; other lines are sentences."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                for text in _texts(line):
                    if words := words_of(text):
                        yield words
    except OSError as error:
        raise DataError(f"{path}: this text cannot be read ({error.strerror})") from None


def _texts(line: str) -> Iterator[str]:
    if line.lstrip()[:1] in ("{", "["):
        try:
            yield from _strings(parse_json(line))
            return
        except (ValueError, RecursionError):
            pass
    yield line


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def from_corpus(texts: Iterable[Sequence[str]], width: int, window: int) -> Words:
    """Return vectors of words by the company they keep: positive pointwise mutual information, its singular vectors.

    texts: sentences as words. Two words meet where at most ``window`` places part them. PPMI(a, b) = max(0, log p(a, b) /
    (p(a) p(b))); a word's vector is its row of U sqrt(S). Rare words count more in a text: weight 1 / (1 + 1000 p(a)).
    """
    from scipy.sparse import csr_matrix

    kept = [list(text) for text in texts]
    counts = Counter(word for text in kept for word in text)
    words = sorted(sorted(counts), key=lambda word: -counts[word])[:VOCABULARY]
    if len(words) < 2:
        raise DataError("corpus: there are no two words in the text")
    place = {word: number for number, word in enumerate(words)}
    pairs: Counter[tuple[int, int]] = Counter()
    for text in kept:
        numbers = [place[word] for word in text if word in place]
        for i, first in enumerate(numbers):
            for second in numbers[i + 1 : i + 1 + window]:
                pairs[min(first, second), max(first, second)] += 1
    if not pairs:
        raise DataError("corpus: no sentence of the text has two words")
    rows, columns = np.array(list(pairs)).T
    together = csr_matrix((np.array(list(pairs.values()), np.float64), (rows, columns)), (len(words), len(words)))
    together = together + together.T
    margins = np.asarray(together.sum(1)).ravel()
    found = together.tocoo()
    information = np.log(found.data * margins.sum() / (margins[found.row] * margins[found.col]))
    matrix = csr_matrix((np.maximum(information, 0), (found.row, found.col)), together.shape)
    left, values = singular(matrix, width)
    share = np.array([counts[word] for word in words]) / sum(counts.values())
    return Words(tuple(words), left * np.sqrt(values), 1 / (1 + 1000 * share))


def from_documents(documents: Sequence[Sequence[str]], width: int) -> Words:
    """Return vectors of words by the documents that they stand in: TF-IDF, its right singular vectors.

    The vector of a text is that which the text would have as a document, up to its length.
    """
    from scipy.sparse import csr_matrix

    words = sorted({word for document in documents for word in document})
    if not words:
        raise DataError("gloss_lsa: the nodes of the taxonomy have no words")
    place = {word: number for number, word in enumerate(words)}
    counts = [Counter(document) for document in documents]
    rows = [number for number, each in enumerate(counts) for _ in each]
    columns = [place[word] for each in counts for word in each]
    table = csr_matrix(
        ([n for each in counts for n in each.values()], (rows, columns)), (len(counts), len(words)), float
    )
    seen = np.asarray((table > 0).sum(0)).ravel()
    weights = np.log((1 + len(counts)) / (1 + seen)) + 1
    table = table @ csr_matrix((weights, (range(len(words)), range(len(words)))))
    lengths = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    table = csr_matrix((1 / np.maximum(lengths, 1e-12), (range(len(counts)), range(len(counts))))) @ table
    right, _ = singular(table.T.tocsr(), width)
    return Words(tuple(words), right, weights)


def singular(matrix: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors of a sparse matrix with the largest values, (R, k), and these, (k,); k <= width.

    The sign of a vector makes its largest entry positive.
    """
    from scipy.sparse.linalg import svds

    least = min(matrix.shape)
    if least <= SIDE or width >= least:
        left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
        left, values = left[:, :width], values[:width]
    else:
        left, values, _ = svds(matrix, k=width, v0=np.ones(least))
        left, values = left[:, ::-1], values[::-1]
    left = left[:, values > 1e-9 * values[0]]
    signs = np.sign(left[np.abs(left).argmax(0), np.arange(left.shape[1])])
    return left * signs, values[: left.shape[1]]
