"""The grammar of recipes: which steps follow which, for the videos and for the text corpus.

Three facts are drawn first and show in the first two steps only: the container (jar or box), the ware (pan or tray), and
which of the two comes first. They decide much later steps, so that long memory pays. Verbs that differ in motion only come
equally often with each noun, or a single frame's noun would tell the verb.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.world import DISHES, TEST_KITCHENS, TRAINING_KITCHENS
from kinoflow.errors import ConfigError

SURFACE_TOOLS = ("roll", "sweep", "drag", "scrub")
PATIENCE = 5_000  # recipes drawn in vain before a wish counts as one that the grammar cannot fulfil

Recipe = tuple[str, tuple[str, ...]]  # dish, steps


@dataclass(frozen=True)
class PlannedVideo:
    """One video before it is rendered."""

    name: str
    split: str
    kitchen: int
    dish: str
    steps: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of the file, which is the video's name in all tables."""
        return f"{self.name}.mp4"


class _Coin:
    """Chances of one recipe."""

    def __init__(self, rng: np.random.Generator, strength: float):
        self.rng, self.strength = rng, strength

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def likely(self, fact: bool) -> bool:
        """Follow the fact with the strength of the grammar, else go against it."""
        return self.chance(self.strength if fact else 1 - self.strength)


def recipe(rng: np.random.Generator, strength: float = 0.9) -> Recipe:
    """Draw one recipe: optional, swapped and repeated steps under rules that hold with chance ``strength``."""
    coin, names = _Coin(rng, strength), sorted(DISHES)
    name = names[int(rng.integers(len(names)))]
    dish = DISHES[name]
    usual = not coin.chance(0.35)
    jar = (dish.container == "jar") == usual
    pan, first = coin.chance(0.5), coin.chance(0.5)
    container, ware = "jar" if jar else "box", "pan" if pan else "tray"

    start = [f"open {container}", f"pull {ware}"]
    steps = start if first else start[::-1]
    for food in dish.foods if coin.likely(pan != first) else dish.foods[::-1]:
        steps += _prepare(coin, food, jar, pan, first)
    mix = f"{'froth' if jar else 'blend'} {dish.mixture}"
    steps += [f"pour {'milk' if dish.mixture == 'batter' else 'oil'}", mix]
    if coin.likely(first) and coin.chance(0.5):
        steps.append(mix)
    main = SURFACE_TOOLS[2 * jar + pan]
    other = SURFACE_TOOLS[(2 * jar + pan + 1 + first) % 4]
    if dish.surface:
        steps.append(f"{main} {dish.surface}")
        if coin.likely(first):
            steps.append(f"{other} {dish.surface}")
    if coin.likely(jar == pan):
        steps.append("season pan" if pan else "season sauce")
    end = [f"{main if coin.chance(0.85) else other} board", f"close {container}"]
    steps += end if coin.likely(first) else end[::-1]
    return name, (*steps, f"push {ware}")


def _prepare(coin: _Coin, food: str, jar: bool, pan: bool, first: bool) -> list[str]:
    """Put a food there, cut it once or twice, take it away; what was not put there is most likely taken away."""
    fresh = coin.likely(jar != first)
    if food in ("cucumber", "carrot"):
        verb = "peel" if coin.likely(pan) else "grate"
    else:
        verb = "slice"
    cuts = 2 if coin.likely(jar != pan) and coin.chance(0.5) else 1
    taken = coin.likely(not fresh)
    return [f"put {food}"] * fresh + [f"{verb} {food}"] * cuts + [f"take {food}"] * taken


def plan_videos(options: KitchenOptions) -> list[PlannedVideo]:
    """Draw names, kitchens and recipes of all videos: no recipe twice, no test kitchen in training."""
    rng = np.random.default_rng([options.seed, 1])
    splits = (("train", options.training_videos, TRAINING_KITCHENS), ("test", options.test_videos, TEST_KITCHENS))
    seen: set[tuple[str, ...]] = set()
    videos = []
    for split, count, kitchens in splits:
        for i in range(count):
            dish, steps = _another(rng, options, seen)
            seen.add(steps)
            videos.append(PlannedVideo(f"{split}{i:03d}", split, kitchens[i % len(kitchens)], dish, steps))
    return videos


def text_corpus(options: KitchenOptions, avoid: Collection[tuple[str, ...]]) -> Iterator[Recipe]:
    """Draw the recipes of the text corpus one by one, repeats included; none has the steps of one in ``avoid``."""
    rng = np.random.default_rng([options.seed, 2])
    for _ in range(options.texts):
        yield _another(rng, options, avoid)


def _another(rng: np.random.Generator, options: KitchenOptions, avoid: Collection[tuple[str, ...]]) -> Recipe:
    for _ in range(PATIENCE):
        dish, steps = recipe(rng, options.grammar)
        if options.min_steps <= len(steps) <= options.max_steps and steps not in avoid:
            return dish, steps
    raise ConfigError(
        f"kitchen: the grammar has hardly more than {len(avoid)} different recipes of {options.min_steps} to"
        f" {options.max_steps} steps at grammar {options.grammar}: ask for fewer videos, or lower grammar"
    )
