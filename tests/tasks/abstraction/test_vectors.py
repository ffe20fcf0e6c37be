"""Semantic vectors: every kind falls with the distance of nodes, files come back, captions and words that are not known."""

import json

import numpy as np
import pytest
from tests.tasks.abstraction.clips import kitchen, of_each_class

from kinoflow.datasets.kitchen.sentences import sentence
from kinoflow.datasets.kitchen.world import ACTIONS
from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.abstraction import vectors, words
from kinoflow.tasks.abstraction.drawing import vectors_table
from kinoflow.tasks.abstraction.items import Items
from kinoflow.tasks.abstraction.make_taxonomy import taxonomy as stage
from kinoflow.tasks.abstraction.options import TaxonomyOptions, VectorsOptions
from kinoflow.tasks.abstraction.taxonomy import of
from kinoflow.tasks.abstraction.vectors import Vectors, make, similarity_table


@pytest.fixture(scope="module")
def taxonomy():
    return kitchen()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sentences of kitchen recipes, an action after the other as the grammar has them: verbs with their nouns."""
    rng = np.random.default_rng(0)
    lines = [
        json.dumps({"title": "Soup", "instructions": [{"text": sentence(a, rng)}]}) for a in ACTIONS for _ in range(40)
    ]
    path = tmp_path_factory.mktemp("corpus") / "sentences.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def word_vectors(tmp_path_factory):
    """A .vec file in which words of one group of the kitchen are alike; `transform` and others are not there."""
    rng = np.random.default_rng(0)
    taxonomy = kitchen()
    codes = vectors.codes(taxonomy, VectorsOptions(width=16))
    rows = {}
    for action in ACTIONS:
        for word in action.split():
            rows[word] = rows.get(word, 0) + codes[taxonomy.label(action)]
    lines = [f"{word} {' '.join(f'{v:.4f}' for v in row)}" for word, row in rows.items()]
    lines += [f"word{n} {' '.join(map(str, rng.standard_normal(16).round(3)))}" for n in range(20)]
    path = tmp_path_factory.mktemp("vec") / "words.vec"
    path.write_text(f"{len(lines)} 16\n" + "\n".join(lines) + "\n")
    return path


KINDS = [
    {"kind": "graph"},
    {"kind": "graph", "graph": "laplacian"},
    {"kind": "gloss_lsa"},
    {"kind": "corpus_ppmi"},
    {"kind": "fasttext"},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_the_farther_two_nodes_the_less_alike_their_vectors(taxonomy, corpus, word_vectors, kind):
    found = make(taxonomy, VectorsOptions(**kind), corpus=corpus, word_vectors=word_vectors)
    np.testing.assert_allclose(np.linalg.norm(found.nodes, axis=1), 1, atol=1e-6)
    table = similarity_table(taxonomy, found.nodes)
    assert table["falls"] and table["correlation"] < -0.4
    assert sum(table["pairs"]) == 58 * 57 / 2
    again = make(taxonomy, VectorsOptions(**kind), corpus=corpus, word_vectors=word_vectors)
    assert (again.nodes == found.nodes).all()


def test_the_stage_compares_all_kinds_in_one_table_where_a_text_and_word_vectors_are_given(
    tmp_path, corpus, word_vectors
):
    made = [tmp_path / name for name in ("taxonomy.json", "vectors.safetensors", "comparison.json")]
    options = TaxonomyOptions(semantics=VectorsOptions(kind="fasttext"))
    stage(*made, options, corpus=corpus, word_vectors=word_vectors)
    table = json.loads(made[2].read_text())
    assert table["used"] == "fasttext" == vectors.read(made[1]).kind
    assert table["kinds"].keys() == {"graph codes", "graph laplacian", "gloss_lsa", "corpus_ppmi", "fasttext"}
    assert all(kind["falls"] for kind in table["kinds"].values())
    shown = vectors_table(table)
    assert shown.rows[shown.highlight[0]][0] == "fasttext"


def test_vectors_that_know_nothing_of_the_graph_do_not_fall(taxonomy):
    table = similarity_table(taxonomy, np.random.default_rng(0).standard_normal((58, 16)))
    assert not table["falls"] and abs(table["correlation"]) < 0.2


def test_codes_follow_their_seed(taxonomy):
    first, other = (vectors.codes(taxonomy, VectorsOptions(seed=seed)) for seed in (0, 1))
    assert (first != other).any()


def test_glosses_count_among_the_words():
    edges = [("root", "a.v.01"), ("root", "b.v.01"), ("a.v.01", "x"), ("a.v.01", "y"), ("b.v.01", "z"), ("b.v.01", "w")]
    names = {name: name for name in "xyzw"}
    glosses = {"x": "wet water", "z": "wet water", "y": "stone", "w": "fire"}
    plain, glossed = (of(edges, names, about=about) for about in ({}, {"glosses": glosses}))
    alike = []
    for taxonomy in (plain, glossed):
        nodes = make(taxonomy, VectorsOptions(kind="gloss_lsa")).nodes
        alike.append(nodes[taxonomy.label("x")] @ nodes[taxonomy.label("z")])
    assert alike[1] > alike[0] + 0.2


def test_a_node_without_known_words_has_the_mean_of_those_below(taxonomy, word_vectors):
    found = make(taxonomy, VectorsOptions(kind="fasttext"), word_vectors=word_vectors).nodes
    label = taxonomy.label("cookware")
    below = [child for child in taxonomy.descendants(label) if child < taxonomy.num_class]
    mean = found[below].sum(0)
    np.testing.assert_allclose(found[label], mean / np.linalg.norm(mean), atol=1e-5)


def test_written_vectors_are_read_again_and_belong_to_one_taxonomy(taxonomy, tmp_path):
    given = make(taxonomy, VectorsOptions(width=8))
    with_items = Vectors("graph", given.names, given.nodes, {"b": 0, "a": 1}, np.ones((2, 8), np.float32))
    for number, vectors_ in enumerate((given, with_items)):
        vectors.write(tmp_path / f"{number}", vectors_)
        again = vectors.read(tmp_path / f"{number}")
        assert (again.nodes == vectors_.nodes).all() and again.items == vectors_.items
        assert (again.item_vectors is None) == (vectors_.item_vectors is None)
        again.check(taxonomy, "x")
    with pytest.raises(DataError, match="these vectors are of another taxonomy"):
        again.check(of([("root", "x")], {"x": "x"}), "x")
    (tmp_path / "0").write_bytes(b"no")
    with pytest.raises(DataError, match="no vectors of a taxonomy"):
        vectors.read(tmp_path / "0")


def captioned(taxonomy, texts: list[str]) -> Items:
    bare = of_each_class(taxonomy, 1).take(range(len(texts)))
    return Items(bare.names, bare.labels, bare.videos, bare.start, bare.end, tuple(texts), bare.names)


def test_captions_give_clips_of_one_class_vectors_of_their_own(taxonomy, corpus):
    items = captioned(taxonomy, ["Pull the pan nearer.", "Carefully slice the bread!", "", "qwertz"])
    options = VectorsOptions(kind="corpus_ppmi", videos="captions")
    found = make(taxonomy, options, items, corpus)
    own = found.of_items(items)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-5)
    assert own[0] @ found.nodes[taxonomy.label("pull pan")] > own[0] @ found.nodes[taxonomy.label("slice bread")]
    assert own[1] @ found.nodes[taxonomy.label("slice bread")] > own[1] @ found.nodes[taxonomy.label("pull pan")]
    assert (own[2:] == found.nodes[items.first[2:]]).all()  # nothing known: the class's
    by_class = make(taxonomy, VectorsOptions(kind="corpus_ppmi"), items, corpus)
    assert (by_class.of_items(items) == by_class.nodes[items.first]).all()


def test_what_a_kind_needs_is_asked_for(taxonomy):
    with pytest.raises(ConfigError, match="corpus_ppmi needs a text"):
        make(taxonomy, VectorsOptions(kind="corpus_ppmi"))
    with pytest.raises(ConfigError, match="fasttext needs word vectors"):
        make(taxonomy, VectorsOptions(kind="fasttext"))
    with pytest.raises(ConfigError, match="the column `text` of segments.csv is empty"):
        make(taxonomy, VectorsOptions(kind="gloss_lsa", videos="captions"), captioned(taxonomy, ["", ""]))


# ---------------------------------------------------------------- words


def test_words_of_names_and_texts():
    assert words.words_of("hit_the_ball.v.01") == ["hit", "the", "ball"]
    assert words.words_of("adult+male+speaking") == ["adult", "male", "speaking"]
    assert words.words_of("Don't stop, 3 times!") == ["don't", "stop", "times"]


def test_ppmi_is_that_of_the_formula():
    texts = [["a", "b"], ["a", "b"], ["a", "c"], ["d", "c"]]
    found = words.from_corpus(texts, 4, 5)
    rows = found.vectors[[found.place[word] for word in "abcd"]]
    together = np.array([[0, 2, 1, 0], [2, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]], float)
    margin = together.sum(1)
    with np.errstate(divide="ignore"):
        information = np.maximum(np.log(together * margin.sum() / np.outer(margin, margin)), 0)
    # U S U' of the symmetric matrix is its absolute value, whose square is the matrix's.
    np.testing.assert_allclose((rows @ rows.T) @ (rows @ rows.T), information @ information, atol=1e-10)


def test_the_window_bounds_who_stands_together():
    text = [["a", "x", "x", "b"]]
    near, far = (words.from_corpus(text, 4, window) for window in (1, 3))
    a, b = near.place["a"], near.place["b"]
    assert near.vectors.shape[0] == far.vectors.shape[0] == 3
    assert not np.allclose(near.vectors[a] @ near.vectors[b], far.vectors[far.place["a"]] @ far.vectors[far.place["b"]])


def test_a_text_is_read_as_a_document():
    documents = [["a", "b"], ["b", "c"], ["c", "d", "d"]]
    found = words.from_documents(documents, 3)
    weights = np.log(4 / (1 + np.array([1, 2, 2, 1]))) + 1
    table = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 2]]) * weights
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    exact = table @ table.T  # of the documents; three singular vectors lose nothing
    rows = np.stack([found.of_text(" ".join(document)) for document in documents])
    rows /= np.linalg.norm(table @ np.eye(4), axis=1, keepdims=True)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, exact, atol=1e-10)


def test_large_matrices_have_the_same_singular_vectors(monkeypatch):
    from scipy.sparse import random

    matrix = random(80, 50, 0.3, random_state=np.random.default_rng(0), format="csr")
    left, values = words.singular(matrix, 5)
    monkeypatch.setattr(words, "SIDE", 10)
    other, same = words.singular(matrix, 5)
    np.testing.assert_allclose(same, values, rtol=1e-8)
    np.testing.assert_allclose(other, left, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2 2\na 1 2\nb 1\n", r"line 3: 'b' has 1 numbers, not 2"),
        ("2 2\na 1 x\n", r"line 2: behind the word stand numbers only"),
        ("2 2\nzzz 1 2\n", r"none of the 2 words of the taxonomy"),
        ("2 x\na 1 2\n", r"line 1: the first line is"),
    ],
)
def test_a_broken_file_of_word_vectors_is_named(tmp_path, text, sentence):
    (tmp_path / "x.vec").write_text(text)
    with pytest.raises(DataError, match=sentence):
        words.from_file(tmp_path / "x.vec", ["a", "b"])


def test_a_file_of_word_vectors_needs_no_first_line(tmp_path):
    (tmp_path / "x.vec").write_text("Cut 1 2\ncut 3 4\nB 5 6\n")
    found = words.from_file(tmp_path / "x.vec", ["cut", "b"])
    assert found.of_text("cut").tolist() == [3, 4] and found.of_text("b").tolist() == [5, 6]
