"""Operations on taxonomies: the published values (golden), brute force on random graphs, and what the vectors do not tell."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.subsets import keys, membership, sizes, subsets
from kinoflow.tasks.abstraction.taxonomy import FAR, Taxonomy, of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "abstraction"


@pytest.fixture(scope="module")
def tiny() -> Taxonomy:
    return taxonomy_files.read(GOLDEN / "graph_tiny.json")


@pytest.fixture(scope="module")
def published() -> dict:
    return json.loads((GOLDEN / "graph_ops.json").read_text())


def named(taxonomy: Taxonomy, labels) -> list[str]:
    return sorted(taxonomy.nodes[label] for label in labels)


# ---------------------------------------------------------------- golden values


def test_counts_and_lists_are_the_published_ones(tiny, published):
    found = tiny.statistics()
    assert {key: found[key] for key in found if key in published} == {
        key: published[key] for key in found if key in published
    }
    assert len(found.keys() & published.keys()) >= 8
    assert named(tiny, range(tiny.num_class)) == published["concrete"]
    assert named(tiny, range(tiny.num_class, len(tiny))) == published["abstract"]
    assert {str(label): name for label, name in enumerate(tiny.nodes)} == published["label_to_node"]


def test_ancestors_descendants_and_depths_are_the_published_ones(tiny, published):
    for name, expected in published["ancestors"].items():
        label = tiny.label(name)
        assert named(tiny, tiny.ancestors(label)) == expected
        assert named(tiny, tiny.ancestors(label, self_too=False)) == published["ancestors_excl_self"][name]
        assert named(tiny, tiny.descendants(label)) == published["descendants"][name]
        assert tiny.depth[label] == published["depth"][name]
        path = tiny.path(label)
        assert len(path) == published["hypernym_path_length"][name]
        assert path[0] == label and path[-1] == tiny.root


def test_undirected_distances_are_the_published_ones(tiny, published):
    for first, second, steps in published["undirected_distance"]:
        assert tiny.distance[tiny.label(first), tiny.label(second)] == steps


def test_categories_are_the_published_ones(tiny, published):
    for category, node in published["category_to_node"].items():
        if node in tiny.nodes:
            assert tiny.nodes[tiny.label(category)] == node
        else:
            with pytest.raises(DataError, match=f"'{category}' is no category"):
                tiny.label(category)


def test_what_sets_have_in_common_is_what_is_published(tiny, published):
    for case in published["sets"]:
        labels = [tiny.label(name) for name in case["nodes"]]
        assert [tiny.nodes[label] for label in tiny.lcas(labels)] == case["lca"]
        assert [tiny.nodes[label] for label in tiny.lcas(labels, exclude_self=True)] == case["lca_excl_self"]
        assert named(tiny, tiny.common(labels)) == case["common_ancestors"]
        assert named(tiny, tiny.union(labels)) == case["union_ancestors"]
        if case["outlier_index"] is not None:
            assert tiny.odd_one(labels) == case["outlier_index"]


def test_nodes_without_a_common_ancestor_have_the_root(published):
    case = published["disconnected"]
    nodes = [{"id": name, "label": label} for label, name in enumerate(case["nodes"])]
    links = [{"source": a, "target": b} for a, b in case["edges"]]
    taxonomy = taxonomy_files.from_json({"graph": {"num_class": 0}, "nodes": nodes, "edges": links})
    p, q = taxonomy.label("p"), taxonomy.label("q")
    assert [taxonomy.nodes[label] for label in taxonomy.lcas([p, q])] == case["lca_p_q"]
    assert taxonomy.subset_labels(np.array([[p, q]]))[0, 2] == taxonomy.root
    assert taxonomy.hits(np.array([[p, q]]), np.array([[p, q, taxonomy.root]])).all()
    assert taxonomy.distance[p, q] == FAR


# ---------------------------------------------------------------- what no golden vector tells apart


def test_a_repeated_node_counts_repeatedly():
    # a is one step above x and three above y; b two above x and one above y: (x, y) 4 > 3, (x, x, x, y) 6 < 7.
    edges = [
        ("root", "a"),
        ("root", "b"),
        ("a", "x"),
        ("a", "p"),
        ("p", "q"),
        ("q", "y"),
        ("b", "y"),
        ("b", "r"),
        ("r", "x"),
    ]
    taxonomy = of(edges, {"x": "x", "y": "y"})
    x, y, a, b = map(taxonomy.label, "xyab")
    assert taxonomy.lcas([x, y]) == [b]
    assert taxonomy.lcas([x, x, x, y]) == [a]
    assert taxonomy.subset_labels(np.array([[x, x, x, y]]))[0, -1] == a


def test_the_smaller_sum_wins_over_the_deeper_ancestor():
    edges = [("root", "high"), ("high", "x"), ("high", "y"), ("high", "m"), ("m", "deep")]
    edges += [("deep", "s"), ("s", "x"), ("deep", "t"), ("t", "y")]
    taxonomy = of(edges, {"x": "x", "y": "y"})
    assert [taxonomy.nodes[label] for label in taxonomy.lcas([0, 1])] == ["high"]
    assert taxonomy.depth[taxonomy.label("deep")] > taxonomy.depth[taxonomy.label("high")]


def test_maximum_depth_is_the_longest_path_not_the_largest_depth():
    taxonomy = of([("root", "x"), ("root", "a"), ("a", "b"), ("b", "x")], {"x": "x"})
    assert taxonomy.statistics()["max_depth"] == 3
    assert taxonomy.depth.max() == 2


def test_of_tied_ancestors_the_deepest_then_the_smallest_label_is_taken():
    edges = [("root", "b"), ("root", "a"), ("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    taxonomy = of(edges, {"x": "x", "y": "y"})
    assert [taxonomy.nodes[label] for label in taxonomy.lcas([0, 1])] == ["a", "b"]
    assert taxonomy.lca([0, 1]) == taxonomy.label("a")
    assert taxonomy.tied(np.array([[0, 1]])).tolist() == [[False, False, True]]
    either = taxonomy.subset_labels(np.zeros((200, 2), int) + [0, 1], np.random.default_rng(0))[:, 2]
    counts = Counter(taxonomy.nodes[label] for label in either)
    assert set(counts) == {"a", "b"} and min(counts.values()) > 60


def test_the_path_takes_the_parent_of_smallest_label():
    taxonomy = of([("root", "b"), ("root", "a"), ("b", "x"), ("a", "x")], {"x": "x"})
    assert [taxonomy.nodes[label] for label in taxonomy.path(0)] == ["x", "a", "root"]
    assert taxonomy.path_multihot[0].tolist() == [True, True, False, True]


def test_labels_are_classes_then_abstract_nodes_both_alphabetical():
    taxonomy = of([("root", "z"), ("z", "n2"), ("z", "n1"), ("root", "a")], {"n2": "apple", "n1": "pear", "a": "fig"})
    assert taxonomy.categories == ("apple", "fig", "pear")
    assert taxonomy.nodes == ("n2", "a", "n1", "root", "z")
    assert taxonomy.names == ("apple", "fig", "pear", "root", "z")


def test_several_tops_get_a_common_root():
    taxonomy = of([("move", "walk"), ("talk", "sing")], {"walk": "walk", "sing": "sing"})
    assert taxonomy.nodes[taxonomy.root] == "root"
    assert taxonomy.lcas([0, 1]) == [taxonomy.root]


# ---------------------------------------------------------------- properties


@st.composite
def graphs(draw, tree: bool = False):
    """A random taxonomy of up to 14 nodes, the root on top; a tree if asked for."""
    count = draw(st.integers(3, 14))
    edges = set()
    for child in range(1, count):
        above = draw(st.sets(st.integers(0, child - 1), min_size=1, max_size=1 if tree else 3))
        edges |= {(f"n{parent:02}" if parent else "root", f"n{child:02}") for parent in above}
    inner = {parent for parent, _ in edges}
    return of(edges, {child: child for _, child in edges if child not in inner})


def brute_lcas(taxonomy: Taxonomy, members) -> list[int]:
    """The definition, by breadth-first search upwards from every member."""
    climbs = []
    for member in members:
        steps, front = {member: 0}, [member]
        for node in front:
            for parent in taxonomy.parents[node]:
                if parent not in steps:
                    steps[parent] = steps[node] + 1
                    front.append(parent)
        climbs.append(steps)
    sums = {a: sum(climb[a] for climb in climbs) for a in climbs[0] if all(a in climb for climb in climbs)}
    least = min(sums.values())
    return sorted((a for a, total in sums.items() if total == least), key=lambda a: taxonomy.nodes[a])


@settings(max_examples=60, deadline=None)
@given(graphs(), st.lists(st.integers(0, 13), min_size=1, max_size=5), st.data())
def test_lcas_are_those_of_brute_force(taxonomy, members, data):
    members = [member % len(taxonomy) for member in members]
    expected = brute_lcas(taxonomy, members)
    assert taxonomy.lcas(members) == expected
    assert taxonomy.lcas(data.draw(st.permutations(members))) == expected
    assert all(taxonomy.reach[a, member] for a in expected for member in members)


@settings(max_examples=40, deadline=None)
@given(graphs(), st.lists(st.lists(st.integers(0, 13), min_size=4, max_size=4), min_size=1, max_size=6))
def test_labels_of_all_subsets_are_those_of_one_set_at_a_time(taxonomy, rows):
    classes = np.array(rows) % len(taxonomy)
    found, tied = taxonomy.subset_labels(classes), taxonomy.tied(classes)
    for row, labels, several in zip(classes, found, tied, strict=True):
        for position, chosen in enumerate(subsets(4)):
            members = row[list(chosen)].tolist()
            assert labels[position] == taxonomy.lca(members)
            assert several[position] == (len(taxonomy.lcas(members)) > 1)
    guesses = np.random.default_rng(0).integers(0, len(taxonomy), found.shape)
    for given_, hits in ((found, taxonomy.hits(classes, found)), (guesses, taxonomy.hits(classes, guesses))):
        for i, position in np.ndindex(found.shape):
            members = classes[i, list(subsets(4)[position])].tolist()
            assert hits[i, position] == (given_[i, position] in taxonomy.lcas(members))


@settings(max_examples=40, deadline=None)
@given(graphs(tree=True), st.lists(st.integers(0, 13), min_size=2, max_size=4), st.integers(0, 13))
def test_in_a_tree_the_common_ancestor_is_the_classical_one(taxonomy, members, other):
    members = [member % len(taxonomy) for member in members]
    (found,) = taxonomy.lcas(members)
    deepest = max(taxonomy.common(members), key=lambda label: taxonomy.depth[label])
    assert found == deepest
    assert taxonomy.depth[found] <= min(taxonomy.depth[member] for member in members)
    below = taxonomy.descendants(found)
    assert taxonomy.lcas([*members, int(below[other % len(below)])]) == [found]


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_distance_is_a_metric_and_depth_grows_by_at_most_one(taxonomy):
    d = taxonomy.distance.astype(int)
    assert (d == d.T).all() and (np.diag(d) == 0).all() and (d[~np.eye(len(d), dtype=bool)] > 0).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :]).all()
    parents, children = taxonomy.edges.T
    assert (taxonomy.depth[children] <= taxonomy.depth[parents] + 1).all()
    assert [taxonomy.label(name) for name in taxonomy.names] == list(range(len(taxonomy)))


def test_subsets_stand_by_size_then_lexicographically():
    assert [keys(4).index(key) for key in ("0", "3", "0,1", "2,3", "0,1,2", "0,1,2,3")] == [0, 3, 4, 9, 10, 14]
    assert sizes(4).tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    for row, chosen in zip(membership(5), subsets(5), strict=True):
        assert np.flatnonzero(row).tolist() == list(chosen)
    assert [len(subsets(n)) for n in range(1, 7)] == [1, 3, 7, 15, 31, 63]
    assert subsets(4)[4:10] == tuple(combinations(range(4), 2))


# ---------------------------------------------------------------- refusals


def test_a_cycle_is_named():
    with pytest.raises(DataError, match=r"a cycle: 'c' > 'b' > 'c'; remove an edge"):
        of([("root", "a"), ("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")], {"d": "d"})
