import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.datasets.kitchen.grammar import recipe
from kinoflow.datasets.kitchen.sentences import sentence, written_recipe
from kinoflow.datasets.kitchen.world import ACTIONS, DISHES, NOUNS, VERBS

seeds = st.integers(0, 2**32 - 1)


def actions_in(text):
    """Read actions back: a verb of the world, then the first noun of the world after it."""
    found, verb = [], None
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in VERBS:
            assert verb is None, text
            verb = word
        elif word in NOUNS and verb:
            found.append(f"{verb} {word}")
            verb = None
    assert verb is None, text
    return found


@given(seeds, st.sampled_from(ACTIONS))
def test_every_sentence_names_its_verb_and_its_noun(seed, action):
    text = sentence(action, np.random.default_rng(seed))
    assert actions_in(text) == [action]
    assert text[0].isupper() and text.endswith(".")


@given(seeds)
def test_every_action_of_a_recipe_can_be_read_back_in_order(seed):
    rng = np.random.default_rng(seed)
    dish, steps = recipe(rng, 0.5)
    title, told = written_recipe(dish, steps, rng)
    assert actions_in(" ".join(told)) == list(steps)
    assert [action for text in told for action in actions_in(text)] == list(steps)
    assert dish in title.lower()


def test_the_same_seed_tells_the_same_and_another_seed_does_not():
    steps = recipe(np.random.default_rng(5))[1]
    told = [written_recipe("soup", steps, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]


def test_every_action_is_told_in_many_ways():
    rng = np.random.default_rng(0)
    for action in ACTIONS:
        assert len({sentence(action, rng) for _ in range(200)}) >= 12


def test_titles_do_not_tell_steps():
    rng = np.random.default_rng(0)
    for dish in DISHES:
        for _ in range(20):
            title, _ = written_recipe(dish, (), rng)
            assert not set(title.lower().split()) & set(VERBS)
