"""What there is in the kitchen world: verbs, nouns, their valid pairs, the taxonomy above them, dishes and rooms."""

from typing import Any, NamedTuple


class Verb(NamedTuple):
    """What tells a verb apart: ``slow`` and ``fast`` are directions of motion (1, -1, or 0 for none)."""

    group: str  # slow, fast, both or still: which kind of looking it takes to tell the verb
    slow: int  # of hand and object along the cook's axis, over the whole step
    fast: int  # of a texture that drifts, between neighbouring frames
    seconds: tuple[float, float]  # shortest and longest step
    parent: str  # in the taxonomy


class Noun(NamedTuple):
    """A thing, its place in the taxonomy and its three looks (main and second colour, RRGGBB)."""

    parent: str
    looks: tuple[tuple[str, str], ...]


class Dish(NamedTuple):
    """What a recipe for it is made of."""

    foods: tuple[str, ...]
    surface: str  # what is worked on with pin or brush besides the board; "" for nothing
    mixture: str
    container: str  # the usual one


VERBS = {
    "push": Verb("slow", 1, 0, (2.2, 3.4), "move"),
    "pull": Verb("slow", -1, 0, (2.2, 3.4), "move"),
    "put": Verb("slow", 1, 0, (2.2, 3.2), "carry"),
    "take": Verb("slow", -1, 0, (2.2, 3.2), "carry"),
    "open": Verb("slow", 1, 0, (2.2, 3.2), "access"),
    "close": Verb("slow", -1, 0, (2.2, 3.2), "access"),
    "blend": Verb("fast", 0, 1, (2.8, 4.6), "mix"),
    "froth": Verb("fast", 0, -1, (2.8, 4.6), "mix"),
    "grate": Verb("fast", 0, 1, (2.4, 3.6), "cut"),
    "peel": Verb("fast", 0, -1, (2.4, 3.6), "cut"),
    "roll": Verb("both", 1, 1, (2.8, 4.2), "surface"),
    "sweep": Verb("both", 1, -1, (2.8, 4.2), "surface"),
    "drag": Verb("both", -1, 1, (2.8, 4.2), "surface"),
    "scrub": Verb("both", -1, -1, (2.8, 4.2), "surface"),
    "slice": Verb("still", 0, 0, (2.2, 4.0), "cut"),
    "season": Verb("still", 0, 0, (1.6, 2.4), "flavour"),
    "pour": Verb("still", 1, 0, (3.6, 5.6), "flavour"),
}

# Looks of one noun differ by colour, nouns differ by shape: colour alone is nothing to a model that sees grey.
NOUNS = {
    "tomato": Noun("vegetable", (("e63946", "2f7d32"), ("f4772e", "3c8d2f"), ("c1121f", "6a994e"))),
    "cucumber": Noun("vegetable", (("4c9f50", "a7d676"), ("2d6a4f", "74c69d"), ("86b049", "d6e8a0"))),
    "carrot": Noun("vegetable", (("f3722c", "52b788"), ("e85d04", "2d6a4f"), ("ffa62b", "80b918"))),
    "cheese": Noun("dairy", (("ffd166", "e0a526"), ("fff0b3", "e6c65a"), ("f6a623", "c97b12"))),
    "bread": Noun("bakery", (("d9a05b", "a86b2d"), ("b97a3f", "7d4b1f"), ("ecc58b", "bd8443"))),
    "dough": Noun("bakery", (("f3e3c3", "d8bf90"), ("ead2ac", "c4a46f"), ("fbf1dd", "dcc8a3"))),
    "batter": Noun("bakery", (("f6e27f", "d9b83b"), ("f9ecb0", "d6c07a"), ("e9c46a", "b98b2f"))),
    "sauce": Noun("dairy", (("e4572e", "9c2c12"), ("c81d4e", "7d1033"), ("f08a4b", "a8521d"))),
    "milk": Noun("dairy", (("ffffff", "c9d6df"), ("fdf6ec", "d5c7b4"), ("eef6ff", "b4cbe4"))),
    "oil": Noun("container", (("e9d758", "a89a1f"), ("d3e378", "8fa12f"), ("f2b705", "b58700"))),
    "jar": Noun("container", (("9ad1d4", "e07a5f"), ("bfd7ea", "3d5a80"), ("b5e2b0", "6a4c93"))),
    "box": Noun("container", (("b08968", "7f5539"), ("e5989b", "b5838d"), ("98a6d4", "5a6aa8"))),
    "pan": Noun("cookware", (("3d405b", "22223b"), ("6c757d", "343a40"), ("9d4b3f", "5c2018"))),
    "tray": Noun("cookware", (("adb5bd", "6c757d"), ("d0a98f", "8d6e53"), ("8fb3c9", "4f7690"))),
    "board": Noun("cookware", ()),  # belongs to the kitchen and looks as it does there
}

# Pairs of verbs, and the nouns that go with both.
PAIRS = (
    (("put", "take"), ("tomato", "cucumber", "carrot", "cheese", "bread")),
    (("open", "close"), ("jar", "box")),
    (("push", "pull"), ("pan", "tray")),
    (("blend", "froth"), ("batter", "sauce")),
    (("grate", "peel"), ("cucumber", "carrot")),
    (("roll", "sweep", "drag", "scrub"), ("dough", "board")),
    (("slice",), ("tomato", "cheese", "bread")),
    (("season",), ("pan", "sauce")),
    (("pour",), ("milk", "oil")),
)
ACTIONS = tuple(sorted(f"{verb} {noun}" for verbs, nouns in PAIRS for verb in verbs for noun in nouns))

# Abstract nodes of the taxonomy: child to parent. The actions hang below by their verb's and their noun's parent.
ABSTRACT = {
    "transform": "root",
    "handle": "root",
    "food": "root",
    "vessel": "root",
    "cut": "transform",
    "mix": "transform",
    "surface": "transform",
    "flavour": "transform",
    "move": "handle",
    "carry": "handle",
    "access": "handle",
    "vegetable": "food",
    "dairy": "food",
    "bakery": "food",
    "container": "vessel",
    "cookware": "vessel",
}

DISHES = {
    "salad": Dish(("tomato", "cucumber"), "", "sauce", "jar"),
    "sandwich": Dish(("bread", "cheese"), "", "sauce", "box"),
    "pizza": Dish(("cheese", "tomato"), "dough", "sauce", "box"),
    "carrot cake": Dish(("carrot",), "dough", "batter", "box"),
    "pancakes": Dish((), "dough", "batter", "jar"),
    "soup": Dish(("carrot", "cucumber"), "", "sauce", "jar"),
    "gratin": Dish(("cheese", "carrot"), "", "batter", "jar"),
    "toast": Dish(("bread", "tomato"), "", "batter", "box"),
}

TRAINING_KITCHENS, TEST_KITCHENS = range(0, 9), range(9, 12)


def taxonomy_graph() -> dict[str, Any]:
    """Return the taxonomy as node-link data (JSON values): edges run from parent to child, every action has two parents.

    Labels number the actions in alphabetical order, then the abstract nodes in alphabetical order, `root` among them.
    """
    abstract = sorted({"root", *ABSTRACT})
    edges = [(parent, child) for child, parent in ABSTRACT.items()]
    for action in ACTIONS:
        verb, noun = action.split()
        edges += [(VERBS[verb].parent, action), (NOUNS[noun].parent, action)]
    return {
        "directed": True,
        "multigraph": False,
        "graph": {"num_class": len(ACTIONS), "num_nodes": len(ACTIONS) + len(abstract)},
        "nodes": [{"id": name, "label": label} for label, name in enumerate([*ACTIONS, *abstract])],
        "links": [{"source": parent, "target": child} for parent, child in sorted(edges)],
    }
