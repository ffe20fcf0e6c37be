"""Changes of taxonomies: what is kept, what moves, and that the same seed gives the same change."""

import numpy as np
import pytest

from kinoflow.datasets.kitchen.world import taxonomy_graph
from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.edits import below, dropped, permuted, spliced, swapped, without
from kinoflow.tasks.abstraction.taxonomy import of


@pytest.fixture(scope="module")
def kitchen():
    return taxonomy_files.from_json(taxonomy_graph())


def named_links(taxonomy):
    return {(taxonomy.nodes[a], taxonomy.nodes[b]) for a, b in taxonomy.edges.tolist()}


def test_two_nodes_change_places(kitchen):
    found = swapped(kitchen, "pull pan", "season sauce")
    exchange = {"pull pan": "season sauce", "season sauce": "pull pan"}
    assert named_links(found) == {tuple(exchange.get(name, name) for name in pair) for pair in named_links(kitchen)}
    assert found.nodes == kitchen.nodes


@pytest.mark.parametrize("which", ["concrete", "abstract", "all"])
def test_permuted_nodes_keep_the_shape_and_the_root(kitchen, which):
    found = permuted(kitchen, which, np.random.default_rng(1))
    assert sorted(map(len, found.children)) == sorted(map(len, kitchen.children))
    assert sorted(found.depth) == sorted(kitchen.depth)
    assert (found.nodes, found.root, found.num_class) == (kitchen.nodes, kitchen.root, kitchen.num_class)
    moved = {name for pair in named_links(found) ^ named_links(kitchen) for name in pair}
    assert moved
    again = permuted(kitchen, which, np.random.default_rng(1))
    assert (again.edges == found.edges).all()
    if which == "concrete":
        inner = kitchen.num_class
        assert (found.distance[inner:, inner:] == kitchen.distance[inner:, inner:]).all()
    if which == "abstract":
        first = [sorted(row) for row in found.distance[: kitchen.num_class, : kitchen.num_class]]
        assert first == [sorted(row) for row in kitchen.distance[: kitchen.num_class, : kitchen.num_class]]


def test_the_root_and_the_kind_of_a_node_stay(kitchen):
    with pytest.raises(DataError, match="the root 'root' keeps its place"):
        swapped(kitchen, "root", "move")
    with pytest.raises(DataError, match="a class and an abstract node cannot change places"):
        swapped(kitchen, "pull pan", "move")


@pytest.mark.parametrize("complement", [False, True])
def test_dropped_classes_leave_the_rest_as_it_was(kitchen, complement):
    found = dropped(kitchen, 7, np.random.default_rng(0), complement)
    assert found.num_class == (7 if complement else kitchen.num_class - 7)
    assert len(found) == len(kitchen) - (kitchen.num_class - found.num_class)
    old = [kitchen.label(name) for name in found.nodes]
    assert (found.reach == kitchen.reach[np.ix_(old, old)]).all()
    with pytest.raises(DataError, match="41 of 41 classes cannot be drawn"):
        dropped(kitchen, 41, np.random.default_rng(0))


def test_children_of_a_node_that_goes_hang_below_its_parents(kitchen):
    found = without(kitchen, [kitchen.label("move"), kitchen.label("food")])
    assert ("handle", "pull pan") in named_links(found) and ("root", "dairy") in named_links(found)
    old = [kitchen.label(name) for name in found.nodes]
    assert (found.reach == kitchen.reach[np.ix_(old, old)]).all()
    with pytest.raises(DataError, match="the root 'root' cannot be left out"):
        without(kitchen, [kitchen.root])


def test_splicing_leaves_no_concept_without_a_choice():
    edges = [
        ("root", "a"),
        ("a", "b"),
        ("b", "c"),
        ("c", "x"),
        ("c", "y"),
        ("root", "z"),
        ("root", "empty"),
        ("q", "y"),
        ("root", "q"),
    ]
    found = spliced(of(edges, dict(zip("xyz", "xyz", strict=True)), extra=["alone"]))
    assert found.nodes == ("x", "y", "z", "c", "root")
    assert named_links(found) == {("root", "c"), ("c", "x"), ("c", "y"), ("root", "z"), ("root", "y")}


def test_the_part_below_a_node_has_that_node_as_root(kitchen):
    found = below(kitchen, kitchen.label("handle"))
    assert found.nodes[found.root] == "handle"
    assert {"move", "carry", "access"} <= set(found.nodes) and "food" not in found.nodes
    assert (found.depth[: found.num_class] == 2).all()
