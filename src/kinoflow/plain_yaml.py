"""YAML from people: the plain kind, without tags that make objects, and not larger than it looks."""

from typing import Any

import yaml

from kinoflow.wording import shown

ALIASED = 100_000  # values that aliases may repeat: 400 bytes of aliases of aliases are gigabytes when they are read
WORDS = {"timestamp": "a date", "int": "a whole number", "float": "a number", "bool": "true or false"}  # of YAML's tags


class PlainLoader(yaml.SafeLoader):
    """The safe loader of PyYAML; raises YAMLError alone (and RecursionError for what is nested too deeply)."""

    def get_single_node(self) -> yaml.Node | None:
        """Return the tree of a text; refuse one that aliases blow up."""
        node = super().get_single_node()
        sizes: dict[int, int] = {}
        if node is not None and _size(node, sizes) - len(sizes) > ALIASED:
            raise yaml.composer.ComposerError(
                None, None, "its aliases (*name) repeat too much, or themselves", node.start_mark
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, OverflowError):
            kind = WORDS.get(node.tag.rpartition(":")[2], "a value")
            problem = f"{shown(node.value)} is written as {kind} and is none; put a text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many values a tree holds when its aliases are followed. sizes: those known."""
    if id(node) not in sizes:
        sizes[id(node)] = 2 * ALIASED  # met again before it is counted, it stands inside itself
        inside = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for each in inside for part in (each if isinstance(each, tuple) else (each,)))
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    return sizes[id(node)]
