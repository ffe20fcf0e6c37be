"""The claims about set abstraction on the toy dataset (section k of the spec): what to assert, and what is only shown."""

import numpy as np
import pytest
from tests.tasks.abstraction import toys

from kinoflow.store.shards import Shard
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


def test_the_files_are_the_same_bytes_every_time(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        abstraction_toy(*(tmp_path / folder / name for name in ("000.h5", "videos.csv", "segments.csv", "tree.txt")))
    for name in ("000.h5", "videos.csv", "segments.csv", "tree.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    tree = taxonomy_files.read(tmp_path / "a" / "tree.txt")
    assert (tree.num_class, len(tree)) == (36, 53) and len(Shard(tmp_path / "a" / "000.h5").videos) == 2880


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
    assert odd(found, "sam") > odd(found, "no vectors")  # whose own space is that of features


@pytest.mark.long
def test_what_is_not_asserted_is_shown(found, capsys):
    """SAM over classify-then-ancestor for three videos or fewer; scales 1-2-3-4 over 1 for two or more."""
    with capsys.disabled():
        for run in ("sam", "classifier", "one video scales"):
            shares = (f"{means(found, run, 'naming', 'exact', n):.3f}" for n in ("n1", "n2", "n3", "n4"))
            print(f"\n  {run:18} named right: {' '.join(shares)}; odd ones {odd(found, run):.3f}", end="")
