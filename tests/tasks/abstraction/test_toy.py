"""The claims about set abstraction on the toy dataset (section k of the spec): what to assert, and what is only shown."""

import csv

import numpy as np
import pytest
from tests.tasks.abstraction import toys

from kinoflow.tasks.abstraction import taxonomy_files
from kinoflow.tasks.abstraction.toy import abstraction_toy, clips

RUNS = {
    "sam": {},
    "head": {"network": {"kind": "head"}},
    "classifier": {"network": {"kind": "classifier"}},
    "one video scales": {"network": {"scales": [1]}},
    "no vectors": {"embedding_weight": 0.0},
}
SEEDS = (2, 3)


def test_features_are_not_negative_and_follow_seed_alone(tmp_path):
    names, features, classes = clips(0)
    assert len(names) == len(set(names)) == len(classes) == 36 * 80 and features.shape == (2880, 48)
    assert features.min() == 0 and np.array_equal(features, clips(0)[1]) and not np.array_equal(features, clips(1)[1])


def test_the_files_say_the_same_as_the_features_and_are_the_same_bytes_every_time(tmp_path):
    for folder in ("a", "b"):
        abstraction_toy(tmp_path / folder, seed=3)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 2 * 36 + 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    tree = taxonomy_files.read(tmp_path / "a" / "tree.txt")
    assert (tree.num_class, len(tree)) == (36, 53)
    with open(tmp_path / "a" / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    arrays = {row["video"]: np.load(tmp_path / "a" / "features" / row["video"]) for row in rows}
    names, features, classes = clips(3)
    assert [row["action"] for row in rows] == classes
    assert [row["split"] for row in rows] == [name.partition("-")[0] for name in names]
    np.testing.assert_array_equal([arrays[row["video"]][int(row["start"])] for row in rows], features)


# ---------------------------------------------------------------- the claims


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The measures of every run by seed: {run: {seed: metrics}}."""
    measured = {run: {} for run in RUNS}
    for seed in SEEDS:
        folder = tmp_path_factory.mktemp(f"toy{seed}")
        toy = toys.make(folder / "toy", seed)
        for run, change in RUNS.items():
            model = toys.train(toy, folder / run.replace(" ", "_") / f"seed-{seed}", toys.options(**change), seed)
            measured[run][seed] = toys.evaluate(toy, model)
    return measured


def means(found, run, *keys):
    """A measure's mean over seeds."""
    values = list(found[run].values())
    for key in keys:
        values = [value[key] for value in values]
    return float(np.mean(values))


def odd(found, run, space="own"):
    return means(found, run, "odd_one_out", space, "top1", "mean")


@pytest.mark.long
def test_odd_ones_are_found_15_points_more_often_than_by_raw_features(found):
    for metrics in found["sam"].values():
        for n in ("n3", "n4", "n5"):
            own, raw = (metrics["odd_one_out"][space]["top1"][n] for space in ("own", "mean"))
            assert own >= raw + 0.15


@pytest.mark.long
def test_candidates_are_ranked_better_than_by_raw_features_by_a_fifth(found):
    for metrics in found["sam"].values():
        for n in ("n1", "n2", "n3", "n4"):
            own, raw = (metrics["completion"][space]["rho"][n] for space in ("own", "mean"))
            assert own >= raw + 0.2


@pytest.mark.long
def test_sets_are_named_better_than_by_a_head_on_their_mean(found):
    assert means(found, "sam", "naming", "exact", "n2_4") > means(found, "head", "naming", "exact", "n2_4")


@pytest.mark.long
def test_the_lead_over_classes_and_their_ancestor_grows_with_the_set(found):
    lead = {
        n: means(found, "sam", "naming", "exact", n) - means(found, "classifier", "naming", "exact", n)
        for n in ("n2", "n4")
    }
    assert lead["n4"] > lead["n2"] and lead["n4"] > 0


@pytest.mark.long
def test_the_loss_of_vectors_helps_to_find_the_odd_one(found):
    spaces = ("feature", "mean")  # those that apply without vectors
    assert odd(found, "sam", "embedding") > max(odd(found, "no vectors", space) for space in spaces)


@pytest.mark.long
def test_what_is_not_asserted_is_shown(found, capsys):
    """SAM over classify-then-ancestor for three videos or fewer; scales 1-2-3-4 over 1 for two or more."""
    with capsys.disabled():
        for run in ("sam", "classifier", "one video scales"):
            shares = (f"{means(found, run, 'naming', 'exact', n):.3f}" for n in ("n1", "n2", "n3", "n4"))
            ranks = (f"{means(found, run, 'completion', 'own', 'rho', n):.2f}" for n in ("n1", "n2", "n3", "n4"))
            rest = "" if run == "classifier" else f"; odd ones {odd(found, run):.3f}; rho {' '.join(ranks)}"
            print(f"\n  {run:18} named right: {' '.join(shares)}{rest}", end="")
