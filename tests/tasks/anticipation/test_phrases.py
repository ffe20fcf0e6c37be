"""Pairs found by the rules, against what a reader finds; and recipes of the kitchen, told in sentences."""

from collections import Counter

import numpy as np
import pytest
from tests.tasks.anticipation.instructions import FRESH, HARDER, LAST, OTHERS, SENTENCES

from kinoflow.datasets.kitchen.grammar import plan_videos, text_corpus
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.sentences import written_recipe
from kinoflow.tasks.anticipation.lexicon import forms, singular
from kinoflow.tasks.anticipation.phrases import pairs


def found(sentence: str) -> list[str]:
    return [f"{pair.verb} {pair.head}" for pair in pairs(sentence)]


def shares(cases: list[tuple[list[str], list[str]]]) -> tuple[float, float]:
    """Precision and recall of pairs."""
    hits = sum((Counter(told) & Counter(true)).total() for told, true in cases)
    return hits / sum(len(told) for told, _ in cases), hits / sum(len(true) for _, true in cases)


@pytest.mark.parametrize(
    ("name", "cases", "least"),
    [
        ("that the rules were made with", SENTENCES, 0.95),
        ("that they were not", FRESH, 0.95),
        ("that the rules were mended with", OTHERS + HARDER, 0.95),
        ("written after the mending", LAST, 0.94),
    ],
)
def test_most_pairs_of_invented_sentences_are_found_and_few_others(name, cases, least, capsys):
    assert len(SENTENCES) >= 100
    precision, recall = shares([(found(sentence), true) for sentence, true in cases])
    with capsys.disabled():
        print(f"\nrule parser, {len(cases)} sentences {name}: precision {precision:.3f}, recall {recall:.3f}")
    assert precision >= least
    assert recall >= least


@pytest.mark.parametrize(
    ("sentence", "true"),
    [
        ("The soup with salt and pepper is served.", ["serve soup"]),
        ("In a bowl the eggs are whisked and chopped chives are added.", ["whisk egg", "add chive"]),
        ("Chop the onions and the garlic is crushed.", ["chop onion", "crush garlic"]),
        ("Mix the oats, flour and icing sugar.", ["mix oat", "mix flour", "mix sugar"]),
        ("Add the stuffing and seasoning.", ["add stuffing", "add seasoning"]),
        ("Marinate the overnight oats.", ["marinate oat"]),
        ("The bread is toasted, then cut the tomatoes.", ["toast bread", "cut tomato"]),
        ("Cut the bread and stone the cherries.", ["cut bread", "stone cherry"]),
        ("Add the olive oil and the stock cube.", ["add oil", "add cube"]),
        ("Drain the chips on paper towels; cool on wire racks.", ["drain chip"]),
        ("Put on the lid and cook the penne 2 minutes less.", ["put lid", "cook penne"]),
        ("Stir often so the sauce does not burn, then beat the other 2 eggs.", ["beat egg"]),
        ("Eggs are unwrapped and transferred.", ["unwrap egg", "transfer egg"]),
    ],
)
def test_what_may_be_a_subject_a_participle_or_a_verb(sentence, true):
    assert found(sentence) == true


def test_recipes_of_the_kitchen_come_back_from_their_sentences(capsys):
    options, rng = KitchenOptions(texts=300), np.random.default_rng(0)
    cases = []
    for dish, steps in text_corpus(options, {video.steps for video in plan_videos(options)}):
        _, sentences = written_recipe(dish, steps, rng)
        cases.append(([pair for sentence in sentences for pair in found(sentence)], list(steps)))
    precision, recall = shares(cases)
    with capsys.disabled():
        print(f"\nrule parser, {len(cases)} recipes of the kitchen: precision {precision:.4f}, recall {recall:.4f}")
    assert precision >= 0.98
    assert recall >= 0.98


@pytest.mark.parametrize(
    "text",
    ["", "   ", "...", "(", "42", "½", "and and and", "the", "\u2019", "to", "is", "let", "let it", "wash, peel and"],
)
def test_odd_texts_have_no_pairs(text):
    assert pairs(text) == []


def test_the_object_is_given_without_determiners_and_quantities():
    (pair,) = pairs("Add two cups of fresh chicken stock.")
    assert (pair.verb, pair.object, pair.head) == ("add", "fresh chicken stock", "stock")


def test_forms_of_verbs():
    known = forms()
    for form, verb in {
        "chopped": "chop",
        "frying": "fry",
        "fries": "fry",
        "baked": "bake",
        "cut": "cut",
        "mixing": "mix",
        "beaten": "beat",
    }.items():
        assert known[form][0] == verb
    assert known["stir"] == ("stir", "base")
    assert singular("potatoes") == "potato"
