"""Files of runs, by run and seed."""

import json

import pytest

from kinoflow.errors import DataError
from kinoflow.report.results import (
    at,
    by_seed,
    history,
    labels_seen,
    mean_of,
    networks,
    numbers,
    placed,
    together,
    told,
    typical,
)


def file(folder, run, seed, name, text="{}"):
    path = folder / run / f"seed-{seed}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_files_of_every_seed_come_together_in_the_order_asked_for(tmp_path):
    metrics = [file(tmp_path, run, seed, "m.json") for run in ("b", "a") for seed in (10, 2)]
    tables = [file(tmp_path, run, seed, "t.csv") for run in ("a", "b") for seed in (2, 10)]
    found = together({"metrics": metrics, "tables": tables})
    assert list(found) == [("a", 2), ("a", 10), ("b", 2), ("b", 10)]
    assert found["b", 10] == [tmp_path / "b/seed-10/m.json", tmp_path / "b/seed-10/t.csv"]


def test_a_seed_without_one_of_its_files_is_named(tmp_path):
    both = [file(tmp_path, "a", seed, "m.json") for seed in (0, 1)]
    with pytest.raises(DataError, match="tables: there is no file of the run 'a', seed 1; give it too"):
        together({"metrics": both, "tables": [file(tmp_path, "a", 0, "t.csv")]})
    with pytest.raises(DataError, match="metrics: there is no run to report on"):
        together({"metrics": [], "tables": []})
    with pytest.raises(DataError, match=r"results lie at <run>/seed-<number>/<file>"):
        placed([tmp_path / "elsewhere.json"])


def test_one_checkpoint_stands_for_the_run_that_of_the_lowest_seed(tmp_path):
    models = [file(tmp_path, "a", seed, "model.safetensors") for seed in (10, 9)]
    assert networks(models, ["a"]) == {"a": tmp_path / "a/seed-9/model.safetensors"}
    with pytest.raises(DataError, match="models: there is no checkpoint of the run 'b'; give it too"):
        networks(models, ["a", "b"])


def test_measures_and_histories_are_read_as_numbers(tmp_path):
    measures = numbers(file(tmp_path, "a", 0, "m.json", json.dumps({"verb": {"top1": 0.5}})))
    assert at(measures, ("verb", "top1")) == 0.5
    assert at(measures, ("verb", "top1", "more")) is None and at(measures, ("noun",)) is None
    assert history(file(tmp_path, "a", 0, "h.csv", "step,loss,late\n1,2.5,\n2,nan,3\n")) == [
        {"step": 1, "loss": 2.5},
        {"step": 2, "late": 3},
    ]
    with pytest.raises(DataError, match="no JSON file"):
        numbers(file(tmp_path, "a", 0, "m.json", "{"))
    with pytest.raises(DataError, match="line 2: could not convert"):
        history(file(tmp_path, "a", 0, "h.csv", "step\nx\n"))


def test_labels_that_features_had_seen_are_told_once_for_all_runs_or_run_by_run():
    assert labels_seen({}) == []
    (one,) = labels_seen({"a": "verb", "b": "verb"})
    assert one.text.endswith("had seen whose features are read: verb.")
    (two,) = labels_seen({"a": "verb", "b": "none", "c": "verb"})
    assert two.text.endswith(": verb: `a`, `c`; none: `b`.")


def test_a_measure_by_seed_is_of_the_seeds_that_have_a_number_of_it():
    metrics = {0: {"verb": {"top1": 0.5}}, 1: {"verb": {"top1": None}}, 2: {}, 10: {"verb": {"top1": 1}}}
    assert by_seed(metrics, ("verb", "top1")) == {0: 0.5, 10: 1.0}
    assert by_seed(metrics, ("verb",)) == {}


def test_shares_of_seeds_are_told_with_their_range_where_they_differ():
    assert [told(shares) for shares in ((0.9, 0.94), (0.25, 0.25), (0.5001, 0.5002), (0.5,), ())] == [
        *("92.0% (90.0–94.0)", "25.0%", "50.0%", "50.0%", ""),
    ]


def test_the_mean_of_no_seed_is_none():
    assert mean_of({0: 0.5, 4: 0.25}) == 0.375 and mean_of({}) is None


@pytest.mark.parametrize(
    ("found", "seed"), [({3: 0.9, 5: 0.5, 7: 0.1}, 5), ({8: 0.2, 6: 0.4}, 6), ({4: 1.0, 2: 1.0, 9: 0.0}, 2)]
)
def test_the_typical_seed_is_nearest_to_the_median_the_lowest_of_equals(found, seed):
    assert typical(found) == seed
