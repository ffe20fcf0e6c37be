"""Changes of a taxonomy, each giving a new one: names permuted or swapped (what is learned when names mean nothing?), classes
left out, inner nodes without a choice spliced out.

Labels of what remains keep their order; the shape of the graph stays except where a change is about the shape.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

Which = Literal["concrete", "abstract", "all"]


def swapped(taxonomy: Taxonomy, first: str, second: str) -> Taxonomy:
    """Exchange the places of two nodes of one kind: each gets the other's parents and children. The root keeps its place."""
    a, b = taxonomy.label(first), taxonomy.label(second)
    order = np.arange(len(taxonomy))
    order[[a, b]] = b, a
    return _moved(taxonomy, order)


def permuted(taxonomy: Taxonomy, which: Which, rng: np.random.Generator) -> Taxonomy:
    """Exchange the places of all nodes of a kind at random. ``all``: classes among classes, abstract ones among themselves.

    Every node keeps its label and its name; the root keeps its place.
    """
    order = np.arange(len(taxonomy))
    concrete = np.arange(taxonomy.num_class)
    abstract = np.arange(taxonomy.num_class, len(taxonomy))
    for kind, labels in (("concrete", concrete), ("abstract", abstract)):
        if which in (kind, "all"):
            labels = labels[labels != taxonomy.root]
            order[labels] = rng.permutation(labels)
    return _moved(taxonomy, order)


def _moved(taxonomy: Taxonomy, order: np.ndarray) -> Taxonomy:
    """Put the node ``order[i]`` at the place of node i."""
    if order[taxonomy.root] != taxonomy.root:
        raise DataError(f"the root {taxonomy.nodes[taxonomy.root]!r} keeps its place; swap other nodes")
    if ((order < taxonomy.num_class) != (np.arange(len(order)) < taxonomy.num_class)).any():
        raise DataError("a class and an abstract node cannot change places: a class has to stay one")
    edges = order[taxonomy.edges]
    return _with_edges(taxonomy, edges)


def _with_edges(taxonomy: Taxonomy, edges: np.ndarray) -> Taxonomy:
    found = np.array(sorted(map(tuple, edges.tolist())), np.int32).reshape(-1, 2)
    return Taxonomy(taxonomy.nodes, taxonomy.num_class, found, taxonomy.categories, taxonomy.root, taxonomy.about)


def dropped(taxonomy: Taxonomy, count: int, rng: np.random.Generator, complement: bool = False) -> Taxonomy:
    """Leave out ``count`` classes drawn at random; complement: keep these, leave out the others."""
    if not 0 < count < taxonomy.num_class:
        raise DataError(
            f"{count} of {taxonomy.num_class} classes cannot be drawn; at least one must go and one must stay"
        )
    drawn = rng.permutation(taxonomy.num_class)
    return without(taxonomy, drawn[count:] if complement else drawn[:count])


def without(taxonomy: Taxonomy, labels: Iterable[int]) -> Taxonomy:
    """Leave out nodes; their children hang below their parents instead, so who is below whom among the rest stays.

    The number of nodes falls by as many as are left out. The root cannot be left out.
    """
    gone = {int(label) for label in labels}
    if taxonomy.root in gone:
        raise DataError(f"the root {taxonomy.nodes[taxonomy.root]!r} cannot be left out")
    parents = {node: set(above) for node, above in enumerate(taxonomy.parents)}
    children = {node: set(below) for node, below in enumerate(taxonomy.children)}
    for node in sorted(gone):
        for child in children[node]:
            parents[child] = parents[child] - {node} | parents[node]
        for parent in parents[node]:
            children[parent] = children[parent] - {node} | children[node]
    kept = [node for node in range(len(taxonomy)) if node not in gone]
    return _rebuilt(taxonomy, kept, [(parent, child) for child in kept for parent in parents[child]])


def spliced(taxonomy: Taxonomy) -> Taxonomy:
    """Leave out every abstract node that has one child, and every one that has none, until there are no such nodes.

    A node without a choice below it says nothing that its child does not say. The root stays.
    """
    while gone := [
        node
        for node in range(taxonomy.num_class, len(taxonomy))
        if len(taxonomy.children[node]) < 2 and node != taxonomy.root
    ]:
        taxonomy = without(taxonomy, gone)
    return taxonomy


def below(taxonomy: Taxonomy, label: int) -> Taxonomy:
    """Return the part of a taxonomy that a node is the root of."""
    kept = taxonomy.descendants(label).tolist()
    inside = set(kept)
    pairs = [(a, b) for a, b in taxonomy.edges.tolist() if a in inside and b in inside]
    return _rebuilt(taxonomy, kept, pairs, label)


def _rebuilt(taxonomy: Taxonomy, kept: list[int], pairs: list[tuple[int, int]], root: int | None = None) -> Taxonomy:
    """Make a taxonomy of some nodes, numbered anew in their old order."""
    new = {old: number for number, old in enumerate(kept)}
    edges = np.array(sorted((new[a], new[b]) for a, b in pairs), np.int32).reshape(-1, 2)
    classes = [node for node in kept if node < taxonomy.num_class]
    nodes = tuple(taxonomy.nodes[node] for node in kept)
    categories = tuple(taxonomy.categories[node] for node in classes)
    return Taxonomy(
        nodes, len(classes), edges, categories, new[taxonomy.root if root is None else root], taxonomy.about
    )
