"""Recipes to sequences of actions; and the published way with tagged sentences."""

import json
from pathlib import Path

import pytest

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.anticipation import corpus
from kinoflow.tasks.anticipation.lexicon import STOP
from kinoflow.tasks.anticipation.text_options import CorpusOptions
from kinoflow.tasks.anticipation.tokens import read_lines

GOLDEN = Path(__file__).parents[2] / "golden" / "anticipation" / "recipe_sequences.json"
RECIPES = [
    {"id": "b", "title": "Toast", "instructions": [{"text": "Slice the bread."}, {"text": "Toast it and butter it"}]},
    {"id": "a", "title": "Nothing", "instructions": [{"text": "Enjoy!"}]},
    {"id": "c", "title": "Soup", "instructions": [{"text": "You will see salt."}, {"text": "Stir the soup."}]},
]
TEXTS = {"b": "slice <v> bread <a> toast <v> bread <a> butter <v> bread", "c": "stir <v> soup"}


def made(tmp_path: Path, text: str, **options) -> dict[str, str]:
    source, target = tmp_path / "recipes.json", tmp_path / "corpus.jsonl"
    source.write_text(text, encoding="utf-8")
    corpus.text_corpus(source, target, CorpusOptions(**options))
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    return {row["id"]: row["text"] for row in rows}


def test_lines_and_one_list_give_the_same_sequences(tmp_path, monkeypatch):
    lines = "\n".join(json.dumps(recipe) for recipe in RECIPES)
    assert made(tmp_path, lines) == TEXTS
    monkeypatch.setattr(corpus, "BLOCK", 7)  # a recipe is read in many blocks
    assert made(tmp_path, json.dumps(RECIPES, indent=1)) == TEXTS
    assert read_lines(tmp_path / "corpus.jsonl")[1] == ["stir <v> soup"]


def test_a_part_of_the_recipes(tmp_path):
    lines = "\n".join(json.dumps(recipe) for recipe in RECIPES)
    assert made(tmp_path, lines, start=1, count=2) == {"c": TEXTS["c"]}


def test_steps_are_taken_as_they_are(tmp_path):
    found = made(tmp_path, "open box , pull tray\n\nput bread\n", form="steps")
    assert list(found.values()) == ["open <v> box <a> pull <v> tray", "put <v> bread"]


def test_the_real_form_of_recipe1m_is_read(shared, tmp_path):
    path = shared / "data" / "annotations" / "recipe1m" / "layer1.one_record_cut.json"
    corpus.text_corpus(path, tmp_path / "corpus.jsonl", CorpusOptions())
    (line,) = read_lines(tmp_path / "corpus.jsonl")
    assert line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": 1}', "instructions with a text"),
        ("{", "no JSON"),
        ('[{"id": 1, "instructions": []}, {"id"', "ends in the middle"),
        ('{"id": "x", "instructions": ["Enjoy!"]}', "no action was found"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        made(tmp_path, text)


def test_spacy_is_asked_for_in_a_sentence_where_it_is_not_installed(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ConfigError, match="install spacy"):
        corpus.finder(CorpusOptions(parser="spacy"))


# ---------------------------------------------------------------- golden


def test_tagged_sentences_give_the_published_sequences():
    golden = json.loads(GOLDEN.read_text())
    assert (
        frozenset(golden["removed_verbs"])
        == corpus.ORIGINAL_STOP
        == corpus.stop_words(CorpusOptions(original_stop_words=True))
    )
    for case in golden["cases"]:
        pairs = []
        for item in case["instructions"]:
            pairs.append(corpus.chunks(item["tokens"], item["tags"], original=True))
            assert pairs[-1] == (item["verb"], item["obj"])
        assert corpus.sequence(pairs, corpus.ORIGINAL_STOP) == case["sequence"]


def test_a_phrase_at_the_end_is_kept_and_one_that_never_began_is_not():
    assert corpus.chunks(["bake", "the", "cake"], ["B-V", "B-ARG1", "I-ARG1"]) == (["bake"], ["the cake"])
    assert corpus.chunks(["so", "bake", "it"], ["I-ARG1", "B-V", "B-ARG1"]) == (["bake"], ["it"])
    assert corpus.chunks(["so", "bake", "it"], ["I-ARG1", "B-V", "B-ARG1"], original=True) == (["bake"], ["so"])


def test_could_and_want_are_stop_words_unless_asked_for_the_original():
    assert {"could", "want"} <= STOP
    pairs = [(["could"], ["chop onions"]), (["cut in"], ["butter"])]
    assert corpus.sequence(pairs) == "cut in <v> butter"
    assert corpus.sequence(pairs, corpus.ORIGINAL_STOP) == "could <v> chop onions <a> cut in <v> butter"
