"""The metrics of all runs in one table, and the study's claims decided by them."""

import json

import pytest

from kinoflow.errors import ConfigError, DataError
from kinoflow.report import section as sections
from kinoflow.report.claims import read_claims
from kinoflow.report.options import ClaimsOptions
from kinoflow.report.outcome import Metric, claims
from kinoflow.store import tables

TSN = {0: 0.52, 1: 0.50, 2: 0.48}
TSM = {0: 0.90, 1: 0.88, 2: 0.93}
SHORT = {0: 0.55, 1: 0.95, 2: 0.50}


@pytest.fixture
def results(tmp_path):
    """The metrics of three runs with three seeds each."""
    paths = []
    for run, values in {"tsn": TSN, "tsm": TSM, "short": SHORT}.items():
        for seed, value in values.items():
            path = tmp_path / "results/kitchen/recognition" / run / f"seed-{seed}" / "metrics.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"clips": 7, "verb": {"groups": {"slow": value}, "note": "macro", "x": None}}))
            paths.append(path)
    return paths


def decide(tmp_path, results, **claim):
    given = {"claim": "shift helps", "room": "recognition", "treatment": "tsm", "metric": "verb.groups.slow"} | claim
    files = {name: tmp_path / name for name in ("metrics.csv", "claims.csv", "section.json")}
    claims(results, *files.values(), ClaimsOptions(claims={"c": given}))
    return read_claims(files["claims.csv"])[0], files


def test_every_number_of_every_run_is_a_row(tmp_path, results):
    _, files = decide(tmp_path, results, baseline="tsn")
    rows = tables.read(files["metrics.csv"], Metric)
    assert {(r.run, r.seed): r.value for r in rows if r.metric == "verb.groups.slow"} == {
        (run, seed): value for run, of in (("tsn", TSN), ("tsm", TSM), ("short", SHORT)) for seed, value in of.items()
    }
    assert {row.metric for row in rows} == {"clips", "verb.groups.slow"}


def test_a_claim_is_decided_by_the_paired_interval(tmp_path, results):
    row, files = decide(tmp_path, results, baseline="tsn", bar=0.1)
    assert row.effect == pytest.approx(sum(TSM[s] - TSN[s] for s in TSN) / 3)
    assert row.low > 0.1 and row.holds == "yes"
    assert sections.read(files["section.json"]).summary == "1 of 1 claims hold."


def test_the_best_of_several_baselines_is_taken_in_each_seed(tmp_path, results):
    row, _ = decide(tmp_path, results, baseline=["tsn", "short"])
    assert row.effect == pytest.approx(sum(TSM[s] - max(TSN[s], SHORT[s]) for s in TSN) / 3)
    assert row.baseline == "tsn or short" and row.holds == "no"


def test_a_claim_whose_mean_misses_its_bar_is_named_at_the_top(tmp_path, results):
    row, files = decide(tmp_path, results, baseline=["tsn", "short"], bar=0.5)
    assert row.outcome == "does not hold"
    assert any("Does not hold" in getattr(block, "text", "") for block in sections.read(files["section.json"]).blocks)


def test_a_number_may_be_the_baseline_and_less_may_be_better(tmp_path, results):
    row, _ = decide(tmp_path, results, treatment="tsn", baseline=0.5, better="lower", bar=-0.1)
    assert row.effect == pytest.approx(0) and row.holds == "yes"  # at most 10 points above chance


def test_one_seed_decides_nothing(tmp_path, results):
    row, _ = decide(tmp_path, [path for path in results if path.parent.name == "seed-0"], baseline="tsn")
    assert row.holds == "" and row.low is None


def test_a_study_without_claims_says_so(tmp_path, results):
    claims(results, tmp_path / "m.csv", tmp_path / "c.csv", tmp_path / "s.json", ClaimsOptions())
    assert read_claims(tmp_path / "c.csv") == []
    assert "no claims" in sections.read(tmp_path / "s.json").blocks[0].text


def test_a_metric_that_is_not_there_is_refused_with_those_that_are(tmp_path, results):
    with pytest.raises(ConfigError, match=r"claims\.c.*'tsm'.*'verb\.slow'.*verb\.groups\.slow"):
        decide(tmp_path, results, baseline="tsn", metric="verb.slow")


def test_metrics_that_are_no_metrics_are_refused(tmp_path, results):
    results[0].write_text("{")
    with pytest.raises(DataError, match="no JSON file"):
        decide(tmp_path, results, baseline="tsn")
    results[0].write_text("[1]")
    with pytest.raises(DataError, match="mapping of numbers"):
        decide(tmp_path, results, baseline="tsn")


def test_a_further_test_of_a_run_is_claimed_by_its_name(tmp_path, results):
    more = [path.with_name("metrics-wide.json") for path in results]
    for path, old in zip(more, results, strict=True):
        value = json.loads(old.read_text())["verb"]["groups"]["slow"] + (0.05 if "tsm" in str(path) else 0.0)
        path.write_text(json.dumps({"verb": {"groups": {"slow": value}}}))
    row, files = decide(tmp_path, [*results, *more], baseline="tsn", test="wide")
    assert row.effect == pytest.approx(sum(TSM[s] + 0.05 - TSN[s] for s in TSN) / 3)
    rows = tables.read(files["metrics.csv"], Metric)
    assert {(row.test, row.metric) for row in rows} == {
        ("", "clips"),
        ("", "verb.groups.slow"),
        ("wide", "verb.groups.slow"),
    }


def test_a_run_is_compared_with_another_number_of_its_own(tmp_path, results):
    for path in results:
        values = json.loads(path.read_text())
        path.write_text(json.dumps(values | {"chance": 0.25}))
    row, _ = decide(tmp_path, results, baseline="tsm", against="chance")
    assert row.effect == pytest.approx(sum(TSM.values()) / 3 - 0.25) and row.baseline == "tsm (chance)"
    with pytest.raises(ConfigError, match="has no metric 'luck'; it has: "):
        decide(tmp_path, results, baseline="tsm", against="luck")


def test_published_figures_stand_beside_what_was_measured(tmp_path, results):
    figure = {"room": "recognition", "metric": "verb.groups.slow", "source": "the paper"}
    figures = [figure | {"run": "tsm", "value": 91.0}, figure | {"run": "tsn", "value": 52.5, "recalled": True}]
    files = [tmp_path / name for name in ("metrics.csv", "claims.csv", "section.json")]
    claims(results, *files, ClaimsOptions(published=figures))
    table = sections.read(files[2]).blocks[-1]
    assert [column.name for column in table.columns][-5:] == [
        "unit",
        "measured",
        "published",
        "difference",
        "source",
    ]
    tsm, tsn = table.rows
    assert tsm[:4] == ("tsm", "", "verb.groups.slow", 3)
    assert tsm[4] == "%"
    assert tsm[5:8] == pytest.approx((100 * sum(TSM.values()) / 3, 91.0, 100 * sum(TSM.values()) / 3 - 91.0))
    assert tsm[8] == "the paper" and tsn[8] == "the paper (recalled)"
    assert [note.split(":")[0] for note in table.notes] == ["recalled"]


def test_a_figure_that_could_not_be_looked_up_is_an_empty_cell_that_says_so(tmp_path, results):
    figure = {"room": "recognition", "run": "tsm", "metric": "verb.groups.slow", "source": "the paper"}
    figures = [figure | {"unit": "nats", "value": None}, figure | {"unit": "nats", "value": 142000}]
    files = [tmp_path / name for name in ("metrics.csv", "claims.csv", "section.json")]
    claims(results, *files, ClaimsOptions(published=figures))
    table = sections.read(files[2]).blocks[-1]
    unknown, known = table.rows
    assert unknown[4:] == ("nats", pytest.approx(sum(TSM.values()) / 3), None, None, "the paper (not verified)")
    assert known[6:] == (142000, pytest.approx(sum(TSM.values()) / 3 - 142000), "the paper")
    assert [note.split(":")[0] for note in table.notes] == ["not verified"]


@pytest.mark.parametrize("more", [{"value": 101}, {"value": None, "recalled": True}, {}])
def test_a_published_figure_that_cannot_be_is_refused(more):
    figure = {"room": "recognition", "run": "tsm", "source": "the paper"}
    with pytest.raises(ValueError, match=r"101 % is more than all|no value that could be|Field required"):
        ClaimsOptions(published=[figure | more])


def test_a_published_figure_of_a_test_that_was_not_made_is_an_error(tmp_path, results):
    figure = {"room": "recognition", "run": "tsm", "test": "ten", "value": 70, "source": "the paper"}
    with pytest.raises(ConfigError, match=r"published\[0\]: recognition 'tsm' has no metric 'action.top1'"):
        claims(results, *(tmp_path / name for name in "abc"), ClaimsOptions(published=[figure]))
