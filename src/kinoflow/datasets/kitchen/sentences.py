"""Recipes as people write them: English sentences, drawn from templates, from which every action can be read back.

The verbs of the world stand in their base form, each before its noun, and occur in no other sense; besides them only
auxiliary verbs occur. So "verb, then the first noun after it" finds the actions of a text, in order, and nothing else.
"""

from collections.abc import Sequence

import numpy as np

_PHRASES = {
    "push": ("push {}", "push {} away from you", "push {} back to the wall", "slowly push {} to the far side"),
    "pull": ("pull {}", "pull {} towards you", "pull {} nearer", "slowly pull {} to the front"),
    "put": ("put {} down", "put {} in front of you", "put {} in the middle", "carefully put {} within reach"),
    "take": ("take {} away", "take {} off again", "carefully take {} back", "take {} out of the way"),
    "open": ("open {}", "carefully open {}", "open {} all the way", "open {} towards you"),
    "close": ("close {}", "close {} again", "close {} tightly", "carefully close {}"),
    "blend": ("blend {}", "blend {} until smooth", "blend {} from the middle outwards", "thoroughly blend {}"),
    "froth": ("froth {}", "froth {} until it is light", "froth {} from the rim inwards", "briskly froth {}"),
    "grate": ("grate {}", "coarsely grate {}", "grate {} with quick strokes towards you", "finely grate {}"),
    "peel": ("peel {}", "thinly peel {}", "peel {} with quick strokes away from you", "carefully peel {}"),
    "roll": ("roll {}", "evenly roll {}", "roll {} from front to back", "roll {} with gentle pressure"),
    "sweep": ("sweep {}", "lightly sweep {}", "sweep {} from front to back", "sweep {} with long strokes"),
    "drag": ("drag {}", "evenly drag {}", "drag {} from back to front", "drag {} with gentle pressure"),
    "scrub": ("scrub {}", "firmly scrub {}", "scrub {} from back to front", "scrub {} with short strokes"),
    "slice": ("slice {}", "thinly slice {}", "slice {} into even pieces", "slice {} with a sharp knife"),
    "season": ("season {}", "lightly season {}", "season {} with a pinch of salt", "season {} with pepper"),
    "pour": ("pour {} into the bowl", "slowly pour {}", "pour {} in a thin stream", "pour in {}"),
}
_QUALITIES = {
    "tomato": ("ripe", "large", "fresh"),
    "cucumber": ("long", "cool", "fresh"),
    "carrot": ("young", "crisp", "sweet"),
    "cheese": ("mild", "old", "firm"),
    "bread": ("crusty", "white", "fresh"),
    "dough": ("soft", "smooth", "cool"),
    "batter": ("thick", "thin", "light"),
    "sauce": ("spicy", "rich", "warm"),
    "milk": ("cold", "fresh", "warm"),
    "oil": ("golden", "light", "good"),
    "jar": ("tall", "round", "big"),
    "box": ("square", "sturdy", "big"),
    "pan": ("heavy", "hot", "iron"),
    "tray": ("flat", "wide", "metal"),
    "board": ("wooden", "bare", "broad"),
}
_BEGINNINGS = ("now", "next,", "after that,", "when all is ready,")
_REMARKS = (
    "This is the easy part.",
    "You will see the difference.",
    "It may be a little messy.",
    "There is no hurry.",
    "By now it will have a lovely smell.",
)
_TITLES = ("{}", "Quick {}", "Grandmother's {}", "{} for two", "Simple {}", "Sunday {}", "The best {}")

QUALITY, BEGINNING, JOINED, REMARK = 0.35, 0.3, 0.25, 0.1  # chances


def sentence(action: str, rng: np.random.Generator) -> str:
    """Return one sentence that tells an action, ``verb noun``."""
    return _written(_phrase(action, rng))


def written_recipe(dish: str, steps: Sequence[str], rng: np.random.Generator) -> tuple[str, list[str]]:
    """Return the title and the sentences of a recipe; a sentence tells one action, two, or none."""
    title = _choice(_TITLES, rng).format(dish)
    sentences, i = [], 0
    while i < len(steps):
        text = _phrase(steps[i], rng)
        if i and rng.random() < BEGINNING:
            text = f"{_choice(_BEGINNINGS, rng)} {text}"
        if i + 1 < len(steps) and rng.random() < JOINED:
            i += 1
            text += _choice((" and {}", ", then {}"), rng).format(_phrase(steps[i], rng))
        sentences.append(_written(text))
        if rng.random() < REMARK:
            sentences.append(_choice(_REMARKS, rng))
        i += 1
    return title[0].upper() + title[1:], sentences


def _phrase(action: str, rng: np.random.Generator) -> str:
    verb, noun = action.split()
    quality = f"{_choice(_QUALITIES[noun], rng)} " if rng.random() < QUALITY else ""
    return _choice(_PHRASES[verb], rng).format(f"the {quality}{noun}")


def _written(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _choice(texts: Sequence[str], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]
