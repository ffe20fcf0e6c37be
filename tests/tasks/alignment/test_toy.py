"""The specification's demonstration: what the method is worth where a clock, pixels and an untrained network fail."""

import importlib.util
import json

import pytest
from tests.conftest import ROOT

from kinoflow.store.tables import read_csv

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]
SEEDS = [0, 1, 2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return {run: [metrics of each seed]} and the rows of the table of claims."""
    spec = importlib.util.spec_from_file_location("alignment_toy", ROOT / "benchmarks" / "alignment_toy.py")
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    out = tmp_path_factory.mktemp("toy")
    table = toy.study(out, SEEDS, list(toy.RUNS))
    metrics = {
        run: [json.loads((out / "alignment" / run / f"seed-{seed}" / "metrics.json").read_text()) for seed in SEEDS]
        for run in toy.RUNS
    }
    return metrics, [row for _, row in read_csv(table, ())]


def mean_tau(rows):
    return sum(row["tau"]["test"] for row in rows) / len(rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_training_aligns_what_the_untrained_network_does_not(found, seed):
    own = found[0]["scl"][seed]
    assert own["over"]["untrained"]["tau"] >= 0.4 and own["over"]["untrained"]["retrieval_5"] >= 0.3


@pytest.mark.parametrize("other", ["tcc", "tcn", "no_context", "no_augmentation"])
def test_scl_is_better_than_its_rivals_and_than_itself_without_a_part(found, other):
    assert mean_tau(found[0]["scl"]) > mean_tau(found[0][other])


def test_every_claim_has_a_row_with_an_interval(found):
    rows = {row["claim"]: row for row in found[1]}
    assert len(rows) == 7 and all(row["holds"] in ("yes", "no") for row in rows.values())
