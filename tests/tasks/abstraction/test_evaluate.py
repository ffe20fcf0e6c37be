"""Testing models on sets, as a stage: measures, baselines beside, tables."""

import csv
import json
import shutil

import numpy as np
import pytest
from tests.tasks.abstraction import toys

from kinoflow.errors import ConfigError
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.abstraction import set_files
from kinoflow.tasks.abstraction.checkpoints import read_checkpoint
from kinoflow.tasks.abstraction.data import classes_of, load_clips, names_of, odd_sets, usable
from kinoflow.tasks.abstraction.evaluate import completed, named, odd_ones
from kinoflow.tasks.abstraction.options import AbstractionTestOptions
from kinoflow.tasks.abstraction.sets import Ranking

OPTIONS = AbstractionTestOptions(resamples=50)


@pytest.fixture(scope="session")
def tested(toy, sam):
    """The measures of the SAM, and its folder."""
    return toys.evaluate(toy, sam, OPTIONS), sam.parent


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def model(toy, folder, **more):
    return toys.train(toy, folder / "run" / "seed-0", toys.options(3, **more))


# ---------------------------------------------------------------- measures


def test_naming_is_told_exactly_and_for_any_of_the_tied_by_size(tested):
    naming = tested[0]["naming"]
    for name in ("exact", "tied", "top5", "majority"):
        assert {"all", "n1", "n2", "n3", "n4", "n2_4", "low", "high"} <= set(naming[name])
    assert naming["exact"]["n2_4"] == pytest.approx(np.mean([naming["exact"][f"n{n}"] for n in (2, 3, 4)]))
    weights = np.array([4, 6, 4, 1]) / 15
    sizes = np.array([naming["exact"][f"n{n}"] for n in (1, 2, 3, 4)])
    assert naming["exact"]["all"] == pytest.approx(weights @ sizes)
    assert naming["chance"] == pytest.approx(1 / 53) and naming["tied_share"] == 0  # a tree has no ties
    assert naming["exact"] == naming["tied"]
    assert naming["exact"]["all"] <= naming["top5"]["all"]
    assert naming["exact"]["low"] <= naming["exact"]["n2_4"] <= naming["exact"]["high"]


def test_the_table_of_predictions_gives_the_same_shares(tested):
    metrics, folder = tested
    found = rows(folder / "predictions.csv")
    assert len(found) == 40 * 15
    right = [row["label"] == row["predicted"] for row in found]
    assert np.mean(right) == pytest.approx(metrics["naming"]["exact"]["all"])
    assert [row["right"] == "1" for row in found] == right
    assert [row["subset"] for row in found[:5]] == ["0", "1", "2", "3", "0,1"]


def test_chance_and_raw_features_stand_beside_every_test(tested):
    metrics, _ = tested
    assert metrics["odd_one_out"]["chance"]["top1"] == pytest.approx(
        {
            "n3": 1 / 3,
            "n4": 1 / 4,
            "n5": 1 / 5,
            "mean": (1 / 3 + 1 / 4 + 1 / 5) / 3,
            "overall": (1 / 3 + 1 / 4 + 1 / 5) / 3,
        }
    )
    assert set(metrics["completion"]["chance"]["rho"].values()) == {0.0}
    for test, measure in (("completion", "rho"), ("odd_one_out", "top1")):
        assert {"embedding", "singles", "feature", "relation", "mean", "own"} <= set(metrics[test])
        assert metrics[test]["own"] == metrics[test]["embedding"] and metrics[test]["space"] == "embedding"
        assert metrics[test]["mean"][measure]["mean"] is not None
    assert metrics["completion"]["relation"] == {
        "applies": 0,
        "reason": "raw features have 48 columns, those of sets 128",
    }


def test_the_odd_one_has_the_largest_distance_where_it_is_told_right(tested):
    metrics, folder = tested
    found: dict[str, list[dict]] = {}
    for row in rows(folder / "placed.csv"):
        if row["task"] == "odd":
            found.setdefault(row["record"], []).append(row)
    right = {n: [] for n in (3, 4, 5)}
    for members in found.values():
        told = max(members, key=lambda row: float(row["distance"]))
        right[len(members)].append(told["truth"] == "1.0")
    for n, shares in right.items():
        assert np.mean(shares) == pytest.approx(metrics["odd_one_out"]["embedding"]["top1"][f"n{n}"])


def test_the_same_test_gives_the_same_bytes(toy, sam, tested, tmp_path):
    shutil.copy(sam, tmp_path / "model.safetensors")
    toys.evaluate(toy, tmp_path / "model.safetensors", OPTIONS)
    for name in ("metrics.json", "predictions.csv", "placed.csv"):
        assert (tmp_path / name).read_bytes() == (tested[1] / name).read_bytes()


def test_batches_of_another_size_tell_the_same(toy, sam, tested, tmp_path):
    shutil.copy(sam, tmp_path / "model.safetensors")
    found = toys.evaluate(toy, tmp_path / "model.safetensors", OPTIONS.model_copy(update={"batch": 7}))
    assert found["naming"]["exact"] == tested[0]["naming"]["exact"]
    assert found["odd_one_out"]["embedding"]["top1"] == tested[0]["odd_one_out"]["embedding"]["top1"]


def test_the_published_lines_are_written(toy, sam, tested, tmp_path):
    shutil.copy(sam, tmp_path / "model.safetensors")
    toys.evaluate(toy, tmp_path / "model.safetensors", OPTIONS, summary=tmp_path / "summary.txt")
    lines = (tmp_path / "summary.txt").read_text().splitlines()
    rho = tested[0]["completion"]["embedding"]["rho"]
    assert f"Avg Rank Correlation (N=2): {rho['n2']:.4f}" in lines
    assert f"Overall Avg Rank Correlation: {rho['overall']}" in lines
    assert lines[0] == f"top1@abstr: {100 * tested[0]['naming']['exact']['all']:.3f}"


# ---------------------------------------------------------------- baselines


@pytest.mark.parametrize(
    ("change", "spaces", "has_top5"),
    [
        ({"network": {"kind": "head"}}, {"embedding", "singles", "feature"}, True),
        ({"network": {"kind": "pooled"}}, {"embedding", "singles", "feature"}, True),
        ({"network": {"scales": [1]}}, {"embedding", "singles", "feature"}, True),
        ({"embedding_weight": 0.0}, {"feature"}, True),
        ({"network": {"kind": "classifier"}}, set(), False),
        ({"network": {"scales": [2, 3]}}, set(), True),
    ],
)
def test_every_baseline_is_tested_in_the_spaces_that_apply(toy, tmp_path, change, spaces, has_top5):
    found = toys.evaluate(toy, model(toy, tmp_path, **change), OPTIONS)
    odd = found["odd_one_out"]
    assert {s for s in ("embedding", "singles", "feature", "relation") if odd[s]["applies"]} == spaces
    assert odd["mean"]["applies"] and ("top5" in found["naming"]) == has_top5
    assert odd["space"] == ("embedding" if "embedding" in spaces else "feature" if spaces else "mean")
    if change.get("network", {}).get("scales") == [2, 3]:
        assert "n1" not in found["naming"]["exact"]


def test_a_classifier_that_is_always_right_names_every_subset_right(toy, tmp_path):
    trained = read_checkpoint(model(toy, tmp_path, network={"kind": "classifier"}))
    given = set_files.read_sets(toy / "test.json", trained.taxonomy)
    clips = load_clips(given.names, toy / "segments.csv", [toy.shard], None, 0, "test", classes_of(given))
    reader = trained.reader()
    reader.classes = lambda x: np.eye(36)[clips.items.first]
    found, told = named(trained, reader, clips, usable(given, clips, "test"), OPTIONS)
    assert found["exact"]["all"] == found["tied"]["all"] == 1 and all(row.right for row in told)


def test_the_path_target_adds_a_mean_average_precision(toy, tmp_path):
    found = toys.evaluate(toy, model(toy, tmp_path, target="path_multihot"), OPTIONS)
    assert 0 < found["naming"]["map"] <= 1


# ---------------------------------------------------------------- records


def ranking(references: int, distances=(0.1, 0.9, 0.5), first=0) -> Ranking:
    names = [f"c{i}" for i in range(first, first + references + len(distances))]
    return Ranking("node", tuple(names[:references]), tuple(names[references:]), distances)


def test_the_odd_one_is_the_farthest_query_at_a_drawn_place_or_the_last():
    records = [ranking(n) for n in (1, 2, 2, 3)] * 20
    place = {f"c{i}": i for i in range(9)}
    for last in (False, True):
        found = odd_sets(records, place, 0, last)
        assert list(found) == [3, 4]  # one reference makes no set
        for n, group in found.items():
            assert (group.items[np.arange(len(group.odd)), group.odd] == n - 1 + 1).all()
            assert (group.odd == n - 1).all() == last
        assert found[3].records.tolist() == [i for i, r in enumerate(records) if len(r.references) == 2]
    assert set(odd_sets(records, place, 0, False)[3].odd.tolist()) == {0, 1, 2}


def test_records_without_any_order_are_left_out_of_the_mean_and_counted(toy, sam):
    trained = read_checkpoint(sam)
    records = set_files.read_rankings(toy / "rankings.json")
    flat = Ranking(records[0].common, records[0].references, records[0].queries, (0.5,) * 5)
    clips = load_clips(names_of(records), toy / "segments.csv", [toy.shard], None, 0, "rankings")
    plain, _ = completed(trained.reader(), clips, records, OPTIONS)
    found, _ = completed(trained.reader(), clips, [*records, flat], OPTIONS)
    assert found["embedding"]["rho"]["undefined"] == 1
    assert found["embedding"]["rho"]["overall"] == pytest.approx(plain["embedding"]["rho"]["overall"])


def test_without_records_nothing_applies_and_nothing_fails(toy, sam):
    trained = read_checkpoint(sam)
    clips = load_clips(["train-class000-00#0"], toy / "segments.csv", [toy.shard], None, 0, "none")
    found, told = odd_ones(trained.reader(), clips, [], OPTIONS)
    assert told == [] and found["own"] == {"applies": 0, "reason": "there is no record"}


def test_agreement_of_people_stands_beside_where_a_file_has_their_rankings(toy, sam, tmp_path):
    records = json.loads((toy / "rankings.json").read_text())
    for record in records["2"]:
        record["annotators"] = {"a": [1, 2, 3, 4, 5], "b": [1, 2, 3, 5, 4]}
    (tmp_path / "rankings.json").write_text(json.dumps(records))
    shutil.copy(sam, tmp_path / "model.safetensors")
    found = toys.evaluate(toy, tmp_path / "model.safetensors", OPTIONS, rankings=tmp_path / "rankings.json")
    assert found["human"] == {"agreement": pytest.approx(0.9), "records": 8}


def test_features_of_another_width_are_refused(toy, sam, tmp_path):
    shard = Shard(toy.shard)
    with writing(tmp_path / "wide.h5", {"blocks": "{}"}, frames=False, width=50, dtype="float32") as writer:
        for video in shard.videos:
            writer.add(video, np.zeros((1, 50), np.float32), [0.5])
    with pytest.raises(ConfigError, match="have 50 columns, but the model reads 48"):
        toys.evaluate(toy, sam, OPTIONS, features=[tmp_path / "wide.h5"])
