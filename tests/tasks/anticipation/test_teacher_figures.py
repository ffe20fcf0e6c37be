"""The report's section on teachers: every number with the policy of its histories, beside guesses without a network."""

import json

import pytest

from kinoflow.errors import DataError
from kinoflow.report import section as sections
from kinoflow.report.section import Figure, Table
from kinoflow.tasks.anticipation.summary import anticipation_summary
from kinoflow.tasks.anticipation.teacher_figures import teachers_section


def measures(top1: float, policy: str = "order", last: int | None = 5, **more) -> dict:
    """What `teacher-records` writes: a teacher, an n-gram half as good, the majority."""

    def of(share: float) -> dict:
        action = {"top1": share, "top5": 2 * share, "class_mean": share / 2, "recall5": share}
        part = {"top1": share, "top5": share}
        return {"action": action, "verb": {"own": part, "marginal": part}, "subsets": more.get("subsets", {})}

    return {
        "policy": policy,
        "gap": 1.0,
        "last": last,
        "teacher": of(top1),
        "ngram": of(top1 / 2),
        "majority": of(0.01),
    }


def write(folder, run: str, seed: int, values: dict):
    path = folder / run / f"seed-{seed}" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values))
    return path


def shown(tmp_path, paths, summaries=None):
    teachers_section(paths, tmp_path / "s.json", summaries)
    found = sections.read(tmp_path / "s.json")
    return found, {block.caption: block for block in found.blocks if isinstance(block, Table)}


def test_every_row_says_its_policy_and_n_grams_stand_beside(tmp_path):
    paths = [write(tmp_path, "order", seed, measures(0.2 + seed / 100)) for seed in (0, 1)]
    paths.append(write(tmp_path, "ended", 0, measures(0.1, "ended", None)))
    found, tables = shown(tmp_path, paths)
    rows = tables["Next actions foreseen from words"].rows
    assert [row[:4] for row in rows] == [
        *(("order", "order, last 5", what, 2) for what in ("teacher", "n-gram", "majority")),
        *(("ended", "ended 1 s before, all", what, 1) for what in ("teacher", "n-gram", "majority")),
    ]
    assert rows[0][4:6] == ("20.5% (20.0–21.0)", "41.0% (40.0–42.0)") and rows[3][4] == "10.0%"
    recalls = tables["Mean top-5 recall from words"]
    assert [column.name for column in recalls.columns[4:]] == ["all classes"] and recalls.rows[1][
        4
    ] == "10.2% (10.0–10.5)"
    parts = tables["Verbs and nouns"].rows
    assert parts[0][2:] == ("verb, own", "teacher", *("20.5% (20.0–21.0)",) * 2)
    assert [row[2:4] for row in parts[:3]] == [
        ("verb, own", "teacher"),
        ("verb, own", "n-gram"),
        ("verb, marginal", "teacher"),
    ]
    assert set(tables) == {"Next actions foreseen from words", "Mean top-5 recall from words", "Verbs and nouns"}
    assert found.summary.startswith("order (order, last 5) foresees 20.5% (20.0–21.0) / 41.0%")


def test_the_rival_that_counts_the_corpus_too_is_the_one_that_counts(tmp_path):
    told = measures(0.4)
    found, tables = shown(tmp_path, [write(tmp_path, "next", 0, told | {"ngram_text": told["teacher"]})])
    assert (
        found.summary
        == "next (order, last 5) foresees 40.0% / 80.0% (top-1 / top-5), the n-gram + corpus 40.0% / 80.0%."
    )
    assert [row[2] for row in tables["Next actions foreseen from words"].rows][:2] == ["teacher", "n-gram + corpus"]


def test_parts_of_the_validation_and_means_over_splits_have_their_tables(tmp_path):
    subsets = {"unseen": {"action": {"top1": 0.3, "top5": 0.6}}, "tail": {"verb": {"marginal": {"top1": 0.1}}}}
    paths = [write(tmp_path, f"split{i}", 0, measures(i / 10, subsets=subsets)) for i in (1, 2)]
    mean = tmp_path / "summaries/mean/seed-0/metrics.json"
    mean.parent.mkdir(parents=True)
    anticipation_summary(paths, mean)
    _, tables = shown(tmp_path, paths, [mean])
    parts = tables["Parts of the validation"].rows
    assert ("split1", "order, last 5", "unseen people", "teacher", "30.0%", "60.0%", "") in parts
    assert {row[2] for row in parts} == {"unseen people", "tail verbs"}
    assert tables["Means over splits"].rows[0] == ("mean", 2, "teacher", 1, "15.0%", "30.0%", "7.5%")


def test_three_lengths_of_histories_make_a_curve(tmp_path):
    paths = [write(tmp_path, f"last{n}", 0, measures(n / 100, last=n)) for n in (1, 5, 2)]
    found, _ = shown(tmp_path, paths)
    (figure,) = (block for block in found.blocks if isinstance(block, Figure))
    assert "teacher, order: 1 actions 2.0%, 2 actions 4.0%, 5 actions 10.0%" in figure.alt
    found, _ = shown(tmp_path, paths[:2])
    assert not any(isinstance(block, Figure) for block in found.blocks)


def test_measures_that_lie_elsewhere_are_refused(tmp_path):
    with pytest.raises(DataError, match="results lie at"):
        teachers_section(
            [write(tmp_path, "a", 0, measures(0.1)).rename(tmp_path / "metrics.json")], tmp_path / "s.json"
        )
