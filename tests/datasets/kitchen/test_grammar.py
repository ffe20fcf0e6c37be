from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.datasets.kitchen.grammar import plan_videos, recipe, text_corpus
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.world import ACTIONS, PAIRS, TEST_KITCHENS, TRAINING_KITCHENS
from kinoflow.errors import ConfigError

seeds = st.integers(0, 2**32 - 1)
strengths = st.floats(0.5, 1)
FOODS = ("tomato", "cucumber", "carrot", "cheese", "bread")


def drawn(seed, strength=0.9):
    return recipe(np.random.default_rng(seed), strength)[1]


@given(seeds, strengths)
def test_every_step_is_an_action_and_a_recipe_has_8_to_19(seed, strength):
    steps = drawn(seed, strength)
    assert set(steps) <= set(ACTIONS)
    assert 8 <= len(steps) <= 19


@given(seeds, strengths)
def test_what_was_opened_is_closed_and_what_was_pulled_is_pushed_back(seed, strength):
    steps = drawn(seed, strength)
    for begin, end, nouns in (("open", "close", ("jar", "box")), ("pull", "push", ("pan", "tray"))):
        begun = [step.split()[1] for step in steps if step.startswith(begin)]
        ended = [step.split()[1] for step in steps if step.startswith(end)]
        assert begun == ended
        assert len(begun) == 1 and begun[0] in nouns
        assert steps.index(f"{begin} {begun[0]}") < 2 and steps.index(f"{end} {begun[0]}") >= len(steps) - 3
    assert steps[-1].startswith("push")


@given(seeds, strengths)
def test_a_food_is_put_then_cut_once_or_twice_in_one_way_then_taken(seed, strength):
    steps = drawn(seed, strength)
    parts = [(noun, [s.split()[0] for s in part]) for noun, part in groupby(steps, key=lambda step: step.split()[1])]
    foods = [(noun, verbs) for noun, verbs in parts if noun in FOODS]
    assert len({noun for noun, _ in foods}) == len(foods)  # all steps of a food follow each other
    for _, verbs in foods:
        cuts = [verb for verb in verbs if verb in ("slice", "peel", "grate")]
        assert 1 <= len(cuts) <= 2 and len(set(cuts)) == 1
        assert verbs == ["put"] * ("put" in verbs) + cuts + ["take"] * ("take" in verbs)


@given(seeds)
def test_without_exceptions_a_food_is_either_put_or_taken(seed):
    steps = drawn(seed, strength=1.0)
    for food in FOODS:
        used = any(step.endswith(food) for step in steps)
        assert (f"put {food}" in steps) + (f"take {food}" in steps) == used


@given(seeds)
def test_without_exceptions_the_first_two_steps_decide_the_later_ones(seed):
    steps = drawn(seed, strength=1.0)
    jar, pan, first = "open jar" in steps, "pull pan" in steps, steps[0].startswith("open")
    verbs = {step.split()[0] for step in steps}
    assert ("froth" in verbs) == jar and ("blend" in verbs) != jar
    assert not verbs & ({"grate"} if pan else {"peel"})
    assert ("season" in verbs) == (jar == pan)
    assert steps[-2].startswith("close") == first
    for food in {step.split()[1] for step in steps} & set(FOODS):
        assert (f"put {food}" in steps) == (jar != first)


def test_verbs_that_differ_in_motion_only_come_equally_often_with_each_noun():
    rng = np.random.default_rng(0)
    counts = Counter(step for _ in range(4000) for step in recipe(rng)[1])
    for verbs, nouns in PAIRS:
        for noun in nouns:
            numbers = [counts[f"{verb} {noun}"] for verb in verbs]
            assert max(numbers) < 1.25 * min(numbers), (noun, numbers)


@given(seeds, st.integers(8, 12), st.integers(12, 19), st.integers(1, 20), st.integers(1, 8))
def test_the_plan_keeps_step_counts_and_splits_apart(seed, fewest, most, training, test):
    options = KitchenOptions(
        seed=seed, min_steps=fewest, max_steps=most, training_videos=training, test_videos=test, texts=20
    )
    plan = plan_videos(options)
    assert [video.split for video in plan] == ["train"] * training + ["test"] * test
    assert len({video.name for video in plan}) == len(plan)
    assert len({video.steps for video in plan}) == len(plan)  # so no recipe is on both sides
    assert {video.kitchen for video in plan if video.split == "train"} <= set(TRAINING_KITCHENS)
    assert {video.kitchen for video in plan if video.split == "test"} <= set(TEST_KITCHENS)
    unseen = {video.steps for video in plan if video.split == "test"}
    corpus = [steps for _, steps in text_corpus(options, unseen)]
    assert len(corpus) == 20 and not unseen & set(corpus)
    assert all(fewest <= len(steps) <= most for steps in [*corpus, *(video.steps for video in plan)])


def test_training_and_test_kitchens_share_none():
    assert not set(TRAINING_KITCHENS) & set(TEST_KITCHENS)


def test_the_default_plan_is_the_documented_one():
    plan = plan_videos(KitchenOptions())
    steps = {split: sum(len(v.steps) for v in plan if v.split == split) for split in ("train", "test")}
    assert steps == {"train": 1085, "test": 346}
    assert {len(video.steps) for video in plan} == set(range(8, 16))
    assert {video.kitchen for video in plan} == set(range(12))


def test_the_corpus_is_the_same_for_the_same_seed_and_a_longer_one_begins_with_a_shorter_one():
    short = list(text_corpus(KitchenOptions(texts=10), set()))
    assert list(text_corpus(KitchenOptions(texts=30), set()))[:10] == short
    assert list(text_corpus(KitchenOptions(texts=10, seed=1), set())) != short


def test_more_videos_than_there_are_recipes_are_refused_with_one_sentence():
    with pytest.raises(ConfigError, match=r"different recipes of 8 to 12 steps at grammar 1.0: ask for fewer videos"):
        plan_videos(KitchenOptions(training_videos=100_000, grammar=1.0, max_steps=12))
