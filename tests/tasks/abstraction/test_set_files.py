"""Files of sets, rankings and lists: the published ones, what is written is read again, and what is wrong is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.abstraction.clips import kitchen, of_each_class

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import set_files, taxonomy_files
from kinoflow.tasks.abstraction.items import listed
from kinoflow.tasks.abstraction.options import SamplingOptions
from kinoflow.tasks.abstraction.set_files import Listed
from kinoflow.tasks.abstraction.sets import Ranking, draw_odd, draw_rankings, draw_sets
from kinoflow.tasks.abstraction.subsets import keys, subsets

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "abstraction"


@pytest.fixture(scope="module")
def taxonomy():
    return kitchen()


@pytest.fixture(scope="module")
def sets(taxonomy):
    return draw_sets(taxonomy, of_each_class(taxonomy), 60, SamplingOptions(), np.random.default_rng(0))


def test_published_sets_are_read():
    tiny = taxonomy_files.read(GOLDEN / "graph_tiny.json")
    records = json.loads((GOLDEN / "abstraction_sets_tiny.json").read_text())
    sets = set_files.read_sets(GOLDEN / "abstraction_sets_tiny.json", tiny)
    assert [[sets.names[i] for i in row] for row in sets.items] == [record["videos"] for record in records]
    for row, record in zip(sets.labels, records, strict=True):
        assert {key: [tiny.category(label)] for key, label in zip(keys(4), row, strict=True)} == record["labels"]


def test_written_sets_are_read_again_and_look_like_the_published_ones(taxonomy, sets, tmp_path):
    set_files.write_sets(tmp_path / "sets.json", sets, taxonomy)
    again = set_files.read_sets(tmp_path / "sets.json", taxonomy)
    assert (again.labels == sets.labels).all()
    assert [[again.names[i] for i in row] for row in again.items] == [
        [sets.names[i] for i in row] for row in sets.items
    ]
    records = json.loads((tmp_path / "sets.json").read_text())
    assert all(list(record) == ["videos", "labels"] and list(record["labels"]) == list(keys(4)) for record in records)
    (tmp_path / "plain.json").write_text(json.dumps(records, indent=1))
    plain = set_files.read_sets(tmp_path / "plain.json", taxonomy)
    assert (plain.labels == again.labels).all() and plain.names == again.names


def test_names_of_any_bytes_survive(taxonomy, tmp_path):
    names = ["caf\udce9.mp4", 'new\nline".mp4', "ü.mp4", "plain.mp4"]
    odd = draw_sets(taxonomy, listed(names, [[0], [0], [1], [1]]), 5, SamplingOptions(), np.random.default_rng(0))
    set_files.write_sets(tmp_path / "sets.json", odd, taxonomy)
    assert set(set_files.read_sets(tmp_path / "sets.json", taxonomy).names) == set(names)


def test_tied_concepts_are_written_where_that_is_asked_for(taxonomy, sets, tmp_path):
    set_files.write_sets(tmp_path / "sets.json", sets, taxonomy, ties=True)
    records = json.loads((tmp_path / "sets.json").read_text())
    assert any("ties" in record for record in records)
    for record, classes in zip(records, sets.classes.tolist(), strict=True):
        for key, members in zip(keys(4), subsets(4), strict=True):
            tied = [taxonomy.category(label) for label in taxonomy.lcas([classes[i] for i in members])]
            assert record.get("ties", {}).get(key, record["labels"][key]) == tied
    assert (set_files.read_sets(tmp_path / "sets.json", taxonomy).labels == sets.labels).all()


def changed(record: dict, **labels) -> dict:
    found = record["labels"] | labels
    return record | {"labels": {key: value for key, value in found.items() if value is not None}}


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"0,1": ["flying"]}, "record 1: 'flying' is no category and no node of the taxonomy"),
        ({"0,1": None}, "record 1: '0,1' is missing"),
        ({"0,1": ["cut", "mix"]}, r"record 1: this is no abstraction set \(a label is a list of one text"),
        ({"0,4": ["cut"]}, "record 1: it has 4 videos and 16 labels, not 4 and 15"),
    ],
)
def test_a_set_that_is_wrong_is_named(taxonomy, sets, tmp_path, labels, sentence):
    set_files.write_sets(tmp_path / "sets.json", sets.take(slice(0, 3)), taxonomy)
    records = json.loads((tmp_path / "sets.json").read_text())
    records[1] = changed(records[1], **labels)
    (tmp_path / "sets.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match=sentence):
        set_files.read_sets(tmp_path / "sets.json", taxonomy)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[\n{"])
def test_what_is_no_file_of_sets_is_told(taxonomy, tmp_path, text):
    (tmp_path / "sets.json").write_text(text)
    with pytest.raises(DataError, match=r"sets\.json"):
        set_files.read_sets(tmp_path / "sets.json", taxonomy)


# ---------------------------------------------------------------- rankings


def test_published_rankings_are_read():
    expected = json.loads((GOLDEN / "ranking_expected.json").read_text())
    found = set_files.read_rankings(GOLDEN / "ranking_sets_tiny.json")
    assert len(found) == expected["n_records"]
    for ranking, record in zip(found, expected["records"], strict=True):
        assert len(ranking.references) == record["reference_size"]
        assert list(ranking.distances) == record["distances"]
        assert ranking.order == record["ranking"]
        assert ranking.outlier == record["outlier_index"]
        assert ranking.queries[ranking.outlier] == record["outlier_path"]
    per_size = {str(size): sum(len(r.references) == size for r in found) for size in (1, 2, 3, 4)}
    assert per_size == expected["per_size"]
    with_two = [ranking for ranking in found if len(ranking.references) >= 2]
    assert expected["outlier_task_records"] in (len(with_two), [found.index(ranking) for ranking in with_two])


def test_written_rankings_are_read_again(taxonomy, tmp_path):
    items, rng = of_each_class(taxonomy), np.random.default_rng(0)
    vectors = taxonomy.reach.T.astype(float)
    drawn = [r for size in (1, 2) for r in draw_rankings(taxonomy, items, vectors, size, 5, SamplingOptions(), rng)]
    drawn += draw_odd(taxonomy, items, 4, 5, SamplingOptions(), rng)
    set_files.write_rankings(tmp_path / "rankings.json", drawn)
    assert set_files.read_rankings(tmp_path / "rankings.json") == drawn


def test_rankings_by_people_are_kept_apart(tmp_path):
    drawn = [Ranking("cut", ("r",), ("a", "b"), (0.0, 1.0)), Ranking("mix", ("r",), ("a", "b"), (1.0, 0.5))]
    people = [{"ann": [0, 1], "bob": [1, 0]}, {}]
    set_files.write_rankings(tmp_path / "r.json", drawn, people)
    first, second = set_files.read_annotators(tmp_path / "r.json")
    assert first.tolist() == [[0, 1], [1, 0]] and second.shape == (0, 2)


def test_published_paths_are_those_of_the_features(tmp_path):
    record = {"common": "c", "query": [["multi_test/x.mp4", "l", 0.5]], "reference": [["multi_test/y.mp4", "l", 0]]}
    (tmp_path / "r.json").write_text(json.dumps({"1": [record]}))
    (found,) = set_files.read_rankings(tmp_path / "r.json")
    assert (found.queries, found.references) == (("test_multi/x.mp4",), ("test_multi/y.mp4",))


def test_a_tie_makes_the_first_of_the_farthest_the_outlier():
    assert Ranking("c", ("r",), ("a", "b", "d"), (0.1, 0.9, 0.9)).outlier == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"2": [{"common": "c", "query": [["a", "l", 1]], "reference": [["b", "l", 0]]}]},
            "size 2, record 0: .*1 references, not 2",
        ),
        ({"1": [{"common": "c", "query": [], "reference": [["b", "l", 0]]}]}, "it has no query"),
        ({"1": [{"query": [["a", "l", 1]], "reference": [["b", "l", 0]]}]}, "record 0: 'common' is missing"),
        ([1], "this is no file of rankings"),
    ],
)
def test_a_ranking_that_is_wrong_is_named(tmp_path, content, sentence):
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=sentence):
        set_files.read_rankings(tmp_path / "r.json")


# ---------------------------------------------------------------- lists


def test_a_published_list_is_read():
    expected = json.loads((GOLDEN / "listfile_expected.json").read_text())
    found = set_files.read_listfile(GOLDEN / "listfile_tiny.txt", expected["name_suffix"])
    assert {row.name: number for number, row in enumerate(found)} == expected["row_of_name"]
    assert [[row.name, [row.frames, *row.labels]] for row in found] == expected["integers_after_name"]


def test_a_written_list_is_read_again(tmp_path):
    rows = [Listed("a/b.mp4", 10, (3,)), Listed("c.mp4", 20, (1, 2))]
    set_files.write_listfile(tmp_path / "list.txt", rows, ".mp4")
    assert (tmp_path / "list.txt").read_text() == "a/b 10 3\nc 20 1 2\n"
    (tmp_path / "list.txt").write_text("\n  a/b 10 3  \n\nc\t20 1 2\n")
    assert set_files.read_listfile(tmp_path / "list.txt", ".mp4") == rows
    with pytest.raises(DataError, match="'x y.mp4' cannot stand in a list"):
        set_files.write_listfile(tmp_path / "list.txt", [Listed("x y.mp4", 1, ())])
    (tmp_path / "list.txt").write_text("a 1 2\nb x\n")
    with pytest.raises(DataError, match="line 2: a line is a name"):
        set_files.read_listfile(tmp_path / "list.txt")
