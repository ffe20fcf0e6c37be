"""Drawings of taxonomies: no two labels overlap, everything is reachable, and the report takes them."""

from itertools import combinations

import pytest
from tests.tasks.abstraction.clips import kitchen

from kinoflow.report import section
from kinoflow.report.svg import check_svg
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.drawing import Box, blocks, hint, layout, tree, tree_svg
from kinoflow.tasks.abstraction.taxonomy import of


@pytest.fixture(scope="module")
def taxonomy():
    return kitchen()


@pytest.fixture(scope="module", params=["moments", "kinetics"])
def large(request, shared):
    return taxonomy_files.read(shared / f"data/taxonomies/{request.param}_graph_wordnet30.json")


def uneven():
    """Leaves at every depth, a chain, a node with three parents, and one that hangs nowhere."""
    edges = [
        ("root", "a"),
        ("root", "b"),
        ("root", "leaf of the root"),
        ("a", "c"),
        ("c", "d"),
        ("d", "deep leaf"),
        ("a", "x"),
    ]
    edges += [("b", "x"), ("c", "x"), ("b", "y"), ("a", "z")]
    leaves = ("leaf of the root", "deep leaf", "x", "y", "z")
    return of(edges, {name: name for name in leaves})


def test_no_two_labels_of_the_kitchen_overlap(taxonomy):
    found = layout(taxonomy)
    assert sorted(box.label for box in found.boxes) == list(range(58))
    assert not any(first.overlaps(second) for first, second in combinations(found.boxes, 2))
    assert all(box.x >= 0 and box.x + box.width <= found.width for box in found.boxes)
    assert all(5 <= box.y <= found.height - 5 for box in found.boxes)


def test_no_two_labels_overlap_whatever_the_shape():
    found = layout(uneven())
    assert len(found.boxes) == len(uneven())
    assert not any(first.overlaps(second) for first, second in combinations(found.boxes, 2))


def test_of_large_taxonomies_the_labels_that_are_drawn_do_not_overlap(large):
    found = layout(large)
    assert 10 < len(found.boxes) < len(large)
    assert not any(first.overlaps(second) for first, second in combinations(found.boxes, 2))
    places = {(x, y) for x, y in zip(found.x, found.y, strict=True)}
    assert len(places) == len(large)


def test_boxes_know_whether_they_overlap():
    box = Box(0, "a", 10, 10, 20)
    assert box.overlaps(Box(1, "b", 29, 15, 5))
    assert not box.overlaps(Box(1, "b", 30, 10, 5)) and not box.overlaps(Box(1, "b", 10, 23, 5))


def test_the_drawing_names_every_node_and_is_allowed_in_the_report(taxonomy):
    svg = tree_svg(taxonomy, [taxonomy.label("pull pan"), taxonomy.label("move")])
    check_svg(svg)
    assert svg.count("<text") == svg.count("<title>") == 58
    assert svg.count("<path") == len(taxonomy.edges)
    assert "root › handle › move › pull pan" in svg or "root › vessel › cookware › pull pan" in svg
    assert tree_svg(taxonomy) == tree_svg(taxonomy)


def test_names_are_escaped():
    odd = of([("root", "<b>&"), ("root", "x\ud800")], {"<b>&": "<b>&", "x\ud800": "x\ud800"})
    check_svg(tree_svg(odd))
    assert "&lt;b&gt;&amp;" in tree_svg(odd)


def test_a_hint_tells_the_way_the_gloss_and_the_classes():
    small = of([("root", "a"), ("a", "x")], {"x": "x"}, about={"glosses": {"a": "what a is"}})
    assert hint(small, small.label("a")) == "root › a; what a is; 1 class"
    assert hint(small, 0) == "root › a › x"


def test_the_kitchen_is_one_figure_and_large_taxonomies_fold_besides(taxonomy, large, tmp_path):
    assert [block.kind for block in blocks(taxonomy)] == ["figure"]
    found = blocks(large)
    assert [block.kind for block in found] == ["figure", "tree"]
    assert found[0].svg.count("<title>") == len(large)
    given = section.Section("Taxonomy", 70, tuple(found))
    section.write(tmp_path / "s.json", given)
    assert section.read(tmp_path / "s.json") == given


def lines(branch):
    yield branch.text
    for each in branch.branches:
        yield from lines(each)


def test_the_tree_has_every_node_unfolded_once():
    shape = uneven()
    (root,) = tree(shape).branches
    found = list(lines(root))
    assert {name for name in found if "see below" not in name} == set(shape.nodes)
    assert found.count("x") == 3  # a class below each of its parents
