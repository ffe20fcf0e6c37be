"""Files of taxonomies: three formats, what is written is read again, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from kinoflow.datasets.kitchen.world import taxonomy_graph
from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.taxonomy import of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "abstraction"
EDGES = {
    ("root", "move"),
    ("root", "talk"),
    ("move", "walk"),
    ("move", "run"),
    ("talk", "sing"),
    ("talk", "rap"),
    ("move", "rap"),
}

INDENTED = """\
root            # everything
  move
    walk
    run
    rap

  talk
    sing
    rap
"""


def links(taxonomy) -> set[tuple[str, str]]:
    return {(taxonomy.nodes[a], taxonomy.nodes[b]) for a, b in taxonomy.edges.tolist()}


@pytest.mark.parametrize(
    "text",
    [
        INDENTED,
        INDENTED.replace("  ", "\t"),
        "".join(f"{a},{b}\n" for a, b in sorted(EDGES)),
        "parent\tchild\n" + "".join(f"{a}\t{b}\n" for a, b in sorted(EDGES)),
        "# a comment\n" + "".join(f"{a} -> {b}\n" for a, b in sorted(EDGES)),
    ],
)
def test_indented_text_and_lists_of_edges_give_the_same_taxonomy(tmp_path, text):
    (tmp_path / "taxonomy.txt").write_text(text)
    found = taxonomy_files.read(tmp_path / "taxonomy.txt")
    assert links(found) == EDGES
    assert found.nodes == ("rap", "run", "sing", "walk", "move", "root", "talk")
    assert found.num_class == 4


def test_names_of_more_than_one_word_may_be_indented(tmp_path):
    (tmp_path / "t.txt").write_text("hand signs\n  asl book\n  asl drink\nsport\n  play golf\n")
    found = taxonomy_files.read(tmp_path / "t.txt")
    assert found.categories == ("asl book", "asl drink", "play golf")
    assert links(found) >= {("root", "hand signs"), ("root", "sport"), ("sport", "play golf")}


@pytest.mark.parametrize("edge_key", ["links", "edges"])
def test_node_link_data_keeps_its_labels(edge_key):
    data = taxonomy_graph()
    data[edge_key] = data.pop("links")
    found = taxonomy_files.from_json(data)
    assert [found.label(node["id"]) for node in data["nodes"]] == [node["label"] for node in data["nodes"]]
    assert (len(found), found.num_class) == (58, 41)


def test_what_is_written_is_read_again(tmp_path):
    for taxonomy in (
        taxonomy_files.read(GOLDEN / "graph_tiny.json"),
        of([("top", "a"), ("top", "b")], {"a": "A a", "b": "b"}, about={"unplaced": ["c"]}),
    ):
        taxonomy_files.write(tmp_path / "t.json", taxonomy)
        again = taxonomy_files.read(tmp_path / "t.json")
        assert (again.nodes, again.categories, again.num_class, again.root) == (
            taxonomy.nodes,
            taxonomy.categories,
            taxonomy.num_class,
            taxonomy.root,
        )
        assert (again.edges == taxonomy.edges).all()
        assert dict(again.about) == {k: v for k, v in taxonomy.about.items() if k not in ("num_class", "num_nodes")}


def node_link(**changes) -> dict:
    data = {
        "graph": {"num_class": 1},
        "nodes": [{"id": "x", "label": 0}, {"id": "root", "label": 1}],
        "links": [{"source": "root", "target": "x"}],
    }
    return data | changes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (node_link(nodes=[{"id": "x", "label": 1}, {"id": "root", "label": 1}]), "'x' and 'root' have one label, 1"),
        (node_link(nodes=[{"id": "x", "label": 0}, {"id": "root", "label": 3}]), "no node has the label 1"),
        (node_link(links=[{"source": "root", "target": "y"}]), "an edge names 'y'"),
        (node_link(graph={}), "no node-link data: KeyError 'num_class'"),
        (node_link(graph={"num_class": 5}), "graph.num_class is 5, but there are 2 nodes"),
        (node_link(links=[{"source": "x", "target": "root"}, {"source": "root", "target": "x"}]), "a cycle"),
        ("{", "no JSON"),
        ("", "no node in it"),
        ("a\nb\n", "no line is further in"),
        ("a\n    b\n  c\n", "line 3: 'c' is as far in as none"),
        ("a,b\n,c\n", "line 2: there is no name on one side"),
        ("a\n \tb\n", "line 2: tabs and spaces are mixed"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "t"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=sentence) as error:
        taxonomy_files.read(path)
    assert str(path) in str(error.value)


def test_two_nodes_of_one_category_are_refused():
    data = node_link(
        graph={"num_class": 2},
        nodes=[
            {"id": "x", "label": 0, "category": "c"},
            {"id": "y", "label": 1, "category": "c"},
            {"id": "root", "label": 2},
        ],
    )
    with pytest.raises(DataError, match="'x' and 'y' have one category, 'c'"):
        taxonomy_files.from_json(data)
