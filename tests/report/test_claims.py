"""Claims: decided by their interval, kept in claims.csv, drawn whether they hold or not."""

import csv
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kinoflow.errors import DataError
from kinoflow.report.claims import Claim, claim, claims_table, forest, read_claims, write_claims
from kinoflow.report.section import Section, read, write

TSN = {0: 0.50, 1: 0.52, 2: 0.51}
TSM = {0: 0.70, 1: 0.74, 2: 0.73}


def slow(treatment=TSM, baseline=TSN, **more) -> Claim:
    return claim("recognition", "Shift tells slow verbs apart", ("tsm", treatment), ("tsn", baseline), "recall", **more)


@pytest.fixture
def rows() -> list[Claim]:
    worse = claim("recognition", "TSN tells them, too", ("tsn", TSN), ("tsm", TSM), "recall")
    costs = claim(
        "segmentation", "More states fit better", ("L64", {0: 20.0}), ("L8", {0: 29.0}), "NLL", 1, "lower", "nats"
    )
    return [slow(), costs, worse]


def test_a_claim_holds_if_its_whole_interval_is_above_the_bar():
    assert slow().effect == pytest.approx(0.2133, abs=1e-4)
    assert slow().low < 0.2133 < slow().high
    assert slow(bar=slow().low - 1e-9).holds == "yes"
    assert slow(bar=slow().low).holds == "no"


def test_a_good_mean_with_a_wide_interval_does_not_make_a_claim_hold():
    row = slow({0: 0.5, 1: 0.9, 2: 0.55})
    assert row.effect > 0.1
    assert row.holds == "no"
    assert row.outcome == "undecided"
    assert slow(bar=slow().effect).outcome == "does not hold"


def test_one_seed_decides_nothing():
    row = slow({0: 0.9}, {0: 0.1})
    assert (row.seeds, row.low, row.high, row.holds) == (1, None, None, "")


def test_where_lower_is_better_a_fall_is_an_improvement():
    up, down = slow(), slow(TSN, TSM, better="lower")
    assert (down.effect, down.low, down.high) == pytest.approx((up.effect, up.low, up.high))
    assert down.holds == "yes"


def test_not_worse_than_is_a_bar_below_zero():
    same = {seed: value - 0.001 for seed, value in TSM.items()}
    assert slow(same, TSM).holds == "no"
    assert slow(same, TSM, bar=-0.01).holds == "yes"
    equal = slow(TSM, TSM, better="lower")
    assert str([equal.effect, equal.low, equal.high]) == "[0.0, 0.0, 0.0]"  # no minus zero


def test_being_at_chance_is_a_claim_of_chance_against_the_runs():
    row = claim(
        "recognition", "TSN is near chance", ("chance", dict.fromkeys(TSN, 0.5)), ("tsn", TSN), "recall", bar=-0.1
    )
    assert row.holds == "yes"
    assert slow(TSM, 0.5).effect == pytest.approx(0.2233, abs=1e-4)  # or a number as the baseline


@pytest.mark.parametrize("baseline", [{7: 0.5}, {0: float("nan")}], ids=["no common seed", "no number"])
def test_what_cannot_be_compared_is_named(baseline):
    with pytest.raises(DataError, match=r"claim 'Shift tells slow verbs apart': tsm against tsn: "):
        slow(baseline=baseline)


def test_claims_come_back_from_the_table_as_they_were(tmp_path, rows):
    write_claims(tmp_path / "claims.csv", rows)
    assert read_claims(tmp_path / "claims.csv") == rows


def test_the_table_begins_with_the_columns_that_are_promised(tmp_path, rows):
    write_claims(tmp_path / "claims.csv", rows)
    with open(tmp_path / "claims.csv", newline="") as file:
        header, first, second, _ = csv.reader(file)
    promised = ["system", "claim", "treatment", "baseline", "metric", "seeds", "effect", "low", "high", "holds"]
    assert header == [*promised, "bar", "unit"]
    assert first[9] == "yes"
    assert second[7:10] == ["", "", ""]  # one seed: no interval, nothing decided


def test_a_table_with_another_outcome_is_refused(tmp_path, rows):
    write_claims(tmp_path / "claims.csv", [replace(rows[0], holds="maybe")])
    with pytest.raises(DataError, match=r"'maybe' is no value for the column 'holds'"):
        read_claims(tmp_path / "claims.csv")


def texts(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_the_plot_says_of_each_claim_whether_it_holds(rows):
    figure = forest(rows)
    shown = texts(figure.svg)
    for said in (
        "holds",
        "does not hold",
        "one seed",
        "tsm over tsn, recall",
        "+0.213",
        "−0.213",
        "improvement (nats)",
    ):
        assert said in shown
    assert "Forest plot of 3 claims (1 holds, 1 does not hold, 1 one seed)" in figure.alt
    assert "TSN tells them, too: −0.213" in figure.alt


def test_each_unit_has_an_axis_of_its_own_and_keeps_the_order_of_its_claims(rows):
    shown = texts(forest(rows).svg)
    assert len(re.findall(r"improvement \(", shown)) == 2
    places = [shown.index(part) for part in ("Shift tells", "TSN tells", "More states")]
    assert places == sorted(places)


def test_a_long_claim_with_a_strange_name_is_wrapped_and_made_visible(rows):
    long = replace(rows[0], claim="A sentence of many words that goes on and on " * 4, treatment="run\udcff\x07")
    shown = forest([long]).svg
    assert r"run\xff\x07" in texts(shown)
    assert all(len(line) < 60 for line in ElementTree.fromstring(shown).itertext())


def test_the_section_of_claims_is_the_same_every_time(tmp_path, rows):
    for name in ("a", "b"):
        write(tmp_path / name, Section("Claims", 80, (forest(rows), claims_table(rows))))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    _, _, outcome, effect, interval, *_ = read(tmp_path / "a").blocks[1].rows[2]
    assert outcome == "does not hold" and effect < 0
    assert interval.count("\N{MINUS SIGN}") == 2 and " to " in interval


def test_no_claims_are_no_plot():
    with pytest.raises(ValueError, match="no claim"):
        forest([])
