"""Action texts as tokens, with a vocabulary of our own and with the tokenizer of published weights."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation import toy

from kinoflow.errors import DataError
from kinoflow.tasks.anticipation import tokens
from kinoflow.tasks.anticipation.tokens import PAD, UNKNOWN, Subwords, Words


def subwords() -> Subwords:
    """The smallest tokenizer of the library: words, with special tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    vocabulary = {
        word: i
        for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<", "a", "v", ">", "open", "jar"])
    }
    made = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return Subwords(made.to_str(), len(vocabulary), pad=0, cls=1, mask=3, end=2)


def test_examples_in_docstrings():
    result = doctest.testmod(tokens)
    assert result.attempted > 0
    assert result.failed == 0


def test_words_actions_and_separators():
    texts = ["open <v> jar", "take <v> pan"]
    words = Words.of(toy.CLASSES.texts)
    assert [words.words[i - 4] for i in words.line(texts)[1:]] == ["open", "jar", "take", "pan"]
    assert len(Words.of(toy.CLASSES.texts, whole=True).line(texts)) == 3
    separated = Words.of(toy.CLASSES.texts, separators=True)
    shown = [separated.words[i - 4] for i in separated.line(texts)[1:]]
    assert shown == ["open", "<v>", "jar", "<a>", "take", "<v>", "pan"]
    assert words.line(["juggle <v> jar"])[1] == UNKNOWN


def test_what_is_too_long_is_cut_on_the_left_and_the_first_token_stays():
    words = Words.of(toy.CLASSES.texts)
    whole = words.line(list(toy.CLASSES.texts))
    assert words.line(list(toy.CLASSES.texts), 5) == [whole[0], *whole[-4:]]
    some = subwords()
    line = some.line(["open <v> jar"] * 3, 6)
    assert (line[0], line[-1], len(line)) == (some.cls, some.end, 6)


def test_pieces_of_actions_are_those_of_the_whole_text():
    some = subwords()
    texts = ["open <v> jar", "open <v> pan"]
    assert some.line(texts)[1:-1] == some.pieces(" <a> ".join(texts))


@pytest.mark.parametrize("made", [Words.of(toy.CLASSES.texts, separators=True), subwords()], ids=["words", "subwords"])
def test_a_vocabulary_is_made_again_from_what_is_saved(made):
    again = tokens.rebuild(made.about())
    assert again.line(["open <v> jar", "put <v> pan"]) == made.line(["open <v> jar", "put <v> pan"])
    assert again.size == made.size


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=5))
def test_padding_stands_on_the_right(lines):
    found, real = tokens.padded(lines, PAD)
    assert [row[mask].tolist() for row, mask in zip(found, real, strict=True)] == lines
    assert not found[~real].any()
    assert all((np.diff(mask.astype(int)) <= 0).all() for mask in real)


def test_a_tokenizer_that_is_not_there_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no tokenizer in this folder"):
        tokens.published(str(tmp_path))


def test_a_corpus_that_is_none_is_refused(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="no corpus"):
        tokens.read_lines(tmp_path / "corpus.jsonl")
