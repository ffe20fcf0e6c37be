"""Testing students, as a stage, and what is made of what they say."""

import csv
import dataclasses
import json

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics.scores import softmax
from kinoflow.store import shards
from kinoflow.tasks.anticipation import backbones
from kinoflow.tasks.anticipation import evaluate as testing
from kinoflow.tasks.anticipation.challenge import SCHEMA, read_challenge, write_challenge
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.fuse import anticipation_fuse, fused
from kinoflow.tasks.anticipation.mistakes import correlated, error_table
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationTestOptions, FusionOptions
from kinoflow.tasks.anticipation.records import write_records
from kinoflow.tasks.anticipation.result_store import read_scores, write_scores
from kinoflow.tasks.anticipation.scoring import Trained
from kinoflow.tasks.anticipation.summary import summed_up

FILES = ("metrics.json", "predictions.csv", "scores.h5")


@pytest.fixture(scope="module")
def evaluate(world):
    """Return a function that tests checkpoints: evaluate(folder, *models, test=None, **changed) -> the folder."""

    def into(folder, *models, test=None, **more):
        given = {"actions": world.actions, "classes": world.classes, "features": world.features, "device": "cpu"} | more
        outputs = {path.partition(".")[0]: folder / path for path in FILES}
        anticipation_evaluate(list(models), options=test or AnticipationTestOptions(), **outputs, **given)
        return folder

    return into


@pytest.fixture(scope="module")
def baseline(train, tmp_path_factory):
    """A student that has learnt without a teacher."""
    return train(
        tmp_path_factory.mktemp("base"), options(losses={"cls_action": 1, "past_cls_action": 0.5}), teacher=None
    )


@pytest.fixture(scope="module")
def tested(evaluate, world, student, baseline, tmp_path_factory):
    base = evaluate(tmp_path_factory.mktemp("tested-base"), baseline)
    folder = tmp_path_factory.mktemp("tested")
    return evaluate(folder, student, teacher=[world.teacher], base=base / "scores.h5", challenge=folder / "c.json")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def metrics(folder):
    return json.loads((folder / "metrics.json").read_bytes())


# ---------------------------------------------------------------- what comes out


def test_measures_stand_beside_trivial_baselines_and_the_teacher(tested):
    found = metrics(tested)
    assert (found["samples"], found["dropped"], found["models"]) == (36, 6, 1)
    assert found["baselines"]["chance"] == {"top1": pytest.approx(1 / 6), "top5": pytest.approx(5 / 6)}
    assert 0 < found["baselines"]["majority"]["top1"] < found["teacher"]["action"]["top1"] <= 1
    action = found["action"]
    assert action["top1"] <= action["top2"] <= action["top5"] <= 1
    assert {"recall5", "class_mean", "class_mean_all", "recall5_ms_or", "recall5_ms_official"} <= set(action)
    assert {"marginal", "decomposed"} <= set(found["verb"]) and np.isfinite(found["loss"])
    assert sum(found["errors"].values()) == 36 and len(found["errors"]) == 8


def test_every_action_has_a_row_by_the_student_and_one_by_the_teacher(tested, world):
    found = rows(tested / "predictions.csv")
    assert len(found) == 2 * 36 and {row["by"] for row in found} == {"student", "teacher"}
    told = [row for row in found if row["by"] == "student"]
    assert np.mean([row["label"] == row["predicted"] for row in told]) == pytest.approx(
        metrics(tested)["action"]["top1"]
    )
    assert all(len({row[k] for k in ("predicted", "second", "third", "fourth", "fifth")}) == 5 for row in found)


def test_the_store_holds_scores_targets_losses_and_what_was_seen(tested, world):
    found = read_scores(tested / "scores.h5")
    assert found.classes == tiny.NAMES and len(found.uids) == 36 and found.dataset == "tiny"
    shares = softmax(found.scores["action"].astype(np.float64))
    assert np.allclose(found.losses, -np.log(shares[np.arange(36), found.targets]), atol=1e-6)
    assert (found.end > found.start).all()
    assert np.isnan(found.of(["nobody"])).all()


def test_a_test_again_gives_the_same_bytes(tested, evaluate, world, student, baseline, tmp_path):
    again = evaluate(tmp_path, student)
    assert (again / "scores.h5").read_bytes() == (tested / "scores.h5").read_bytes()


def test_measures_with_all_records_missing_are_those_of_no_teacher(world, train, evaluate, tmp_path):
    write_records(tmp_path / "none.h5", tiny.records({}))
    plain = {"cls_action": 1, "past_cls_action": 0.5}
    a = train(tmp_path / "a", options(6, losses=plain | {"distill": 0}))
    b = train(tmp_path / "b", options(6, max_missing_records=1), teacher=[tmp_path / "none.h5"])
    ours, theirs = evaluate(tmp_path / "a", a), evaluate(tmp_path / "b", b)
    assert all((ours / name).read_bytes() == (theirs / name).read_bytes() for name in FILES)


def test_fused_scores_are_weighted_sums(evaluate, student, baseline, tested, tmp_path):
    folder = evaluate(tmp_path, student, baseline, test=AnticipationTestOptions(coefficients=(1, 0.5)))
    ours, base = read_scores(tested / "scores.h5"), evaluate(tmp_path / "base", baseline)
    expected = ours.scores["action"] + 0.5 * read_scores(base / "scores.h5").scores["action"]
    assert np.allclose(read_scores(folder / "scores.h5").scores["action"], expected, atol=1e-5)
    assert metrics(folder)["models"] == 2


def test_scores_of_several_squares_of_frames_are_averaged(world, student, evaluate, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frames = {f"v{i}.mp4": rng.integers(0, 256, (80, 20, 30, 3), np.uint8) for i in range(14, 20)}
    for name, turn in (("plain", 1), ("mirrored", -1)):
        with shards.writing(tmp_path / f"{name}.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
            for video, x in frames.items():
                writer.add(video, x[:, :, ::turn].copy(), np.arange(80) / 4)
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    asked = options(
        window="gap",
        sampling={"gap": 1.0, "read": "frames", "steps": 4, "rate": 1.0, "fps": 4.0},
        network={"backbone": "vit_b_16", "size": 16},
        pictures={"short": 20},
    )
    trained = Trained(Student(asked.network, 8, {"action": 6}, 4).eval(), asked, tiny.CLASSES, (1,) * 6, "tiny")
    test = world.rows.split == "test"

    def scores(name: str = "plain", **how) -> np.ndarray:
        given = (None, [tmp_path / f"{name}.h5"], None)
        tested = testing.Tested(trained, world.rows, test, given, tiny.CLASSES, AnticipationTestOptions(**how))
        assert len(tested.views) == how.get("crops", 1) * (1 + how.get("mirrored", False))
        return tested.scores(Arithmetic(torch.device("cpu"), threads=1), "test")["action"]

    one, other = scores(), scores("mirrored")
    assert np.abs(one - other).max() > 1e-4
    assert np.allclose(scores(mirrored=True), (one + other) / 2, atol=1e-6)
    assert np.allclose(scores(crops=3, mirrored=True), scores("mirrored", crops=3, mirrored=True), atol=1e-6)
    with pytest.raises(ConfigError, match="this student reads features, no frames"):
        evaluate(tmp_path, student, test=AnticipationTestOptions(crops=3))


def test_tests_are_added_to_what_several_models_together_say(world, evaluate, student, baseline, tested, tmp_path):
    weighted = {"coefficients": (1, 0.5), "norm": 2.0}
    together = evaluate(tmp_path / "together", student, baseline, test=AnticipationTestOptions(**weighted))
    base = evaluate(tmp_path / "base", baseline)
    outputs = {path.partition(".")[0]: tmp_path / path for path in FILES}
    tests = [tested / "scores.h5", base / "scores.h5"]
    given = {"actions": world.actions, "classes": world.classes, **outputs}
    anticipation_fuse(tests, options=FusionOptions(**weighted), challenge=tmp_path / "c.json", **given)
    ours, theirs = read_scores(tmp_path / "scores.h5"), read_scores(together / "scores.h5")
    assert ours.uids == theirs.uids and np.allclose(ours.scores["action"], theirs.scores["action"], atol=1e-6)
    found, wanted = metrics(tmp_path), metrics(together)
    assert found["action"] == pytest.approx(wanted["action"])
    assert found["verb"]["marginal"] == pytest.approx(wanted["verb"]["marginal"])
    assert (found["samples"], found["dropped"], found["tests"], found["everywhere"]) == (36, 6, 2, 36)
    assert len(read_challenge(tmp_path / "c.json").uids) == 42
    for wrong, sentence in (((1, 2, 3), "there are 3, but 2 tests"), ((1,), "there are 1, but 2 tests")):
        with pytest.raises(ConfigError, match=sentence):
            anticipation_fuse(tests, options=FusionOptions(coefficients=wrong), **given)


def test_fusions_count_an_action_that_any_test_has_and_refuse_what_does_not_fit(tested, world):
    whole = read_scores(tested / "scores.h5")

    def part(chosen, **changed):
        at = np.arange(len(whole.uids))[chosen]
        own = {"uids": [whole.uids[i] for i in at], "scores": {"action": whole.scores["action"][at]}}
        more = {name: getattr(whole, name)[at] for name in ("targets", "start", "end")}
        return dataclasses.replace(whole, **(own | more | changed))

    every = [part(slice(0, 20)), part(slice(10, 36))]
    found = fused(["a.h5", "b.h5"], every, world.rows, tiny.CLASSES, FusionOptions(coefficients=(2, 0.5)))
    shares = np.array([2.0 * (i < 20) + 0.5 * (i >= 10) for i in range(36)])
    assert np.allclose(found.of(whole.uids), whole.scores["action"] * shares[:, None], atol=1e-5)
    assert found.uids == whole.uids and np.array_equal(found.targets, whole.targets)
    for other, sentence in (
        (part(slice(10, 36), targets=(whole.targets[10:] + 1) % 6), "b.h5: the table has no action .* with that label"),
        (part(slice(10, 36), classes=("x",)), "b.h5: scores of other classes"),
    ):
        with pytest.raises(DataError, match=sentence):
            fused(["a.h5", "b.h5"], [every[0], other], world.rows, tiny.CLASSES, FusionOptions())


@pytest.mark.parametrize("norm", [None, 2.0])
def test_verbs_and_nouns_are_fused_as_probabilities_each_by_itself(world, tested, norm, tmp_path):
    whole, rng = read_scores(tested / "scores.h5"), np.random.default_rng(0)
    weights, heads = (2.5, 0.5), {"verb": 3, "noun": 2}
    parts = [
        {name: rng.normal(size=(36, width)).astype(np.float32) * 3 for name, width in (heads | {"action": 6}).items()}
        for _ in weights
    ]
    every = [dataclasses.replace(whole, scores=part) for part in parts]

    def summed(each) -> np.ndarray:
        rows = [values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-6 if norm else 1) for values in each]
        return sum(weight * values for weight, values in zip(weights, rows, strict=True))

    wanted = FusionOptions(coefficients=weights, norm=norm)
    found = fused(["a.h5", "b.h5"], every, world.rows, tiny.CLASSES, wanted)
    assert np.allclose(found.scores["action"], summed([part["action"] for part in parts]), atol=1e-5)
    of = world.rows.take(testing.places(world.rows, found.uids))
    told = testing.measured(found, of, tiny.CLASSES)
    write_challenge(
        tmp_path / "c.json",
        "ek100",
        found.uids,
        found.scores["action"],
        tiny.CLASSES,
        parts=found.marginals(tiny.CLASSES),
    )
    sent = read_challenge(tmp_path / "c.json")
    for head, width in heads.items():
        mapping = np.eye(width)[list(getattr(tiny.CLASSES, head))]
        marginal = summed([softmax(part["action"].astype(np.float64)) @ mapping for part in parts])
        own = summed([softmax(part[head].astype(np.float64)) for part in parts])
        labels = of.labels(head)
        assert told[head]["marginal"]["top1"] == pytest.approx(np.mean(marginal.argmax(1) == labels))
        assert told[head]["own"]["top1"] == pytest.approx(np.mean(own.argmax(1) == labels))
        assert np.allclose(getattr(sent, head), marginal, atol=1e-6)
    write_scores(tmp_path / "ab.h5", found)
    again = fused(["ab.h5"], [read_scores(tmp_path / "ab.h5")], world.rows, tiny.CLASSES, FusionOptions())
    for name, values in found.scores.items():  # of sums alone, the sums
        assert np.allclose(again.scores[name], values, atol=1e-6)
    some = fused(
        ["a.h5", "b.h5"],
        [every[0], dataclasses.replace(every[1], scores={"action": parts[1]["action"]})],
        world.rows,
        tiny.CLASSES,
        wanted,
    )
    assert "own" not in testing.measured(some, of, tiny.CLASSES)["verb"]  # one of them has no such head


def test_students_are_tested_at_several_gaps(evaluate, student, tmp_path):
    found = metrics(evaluate(tmp_path, student, test=AnticipationTestOptions(gaps=(0.25, 2.0, 1.0))))
    assert list(found["gaps"]) == ["0.25", "1", "2"] and 0 <= found["time_to_action"] <= 2


def test_oracles_that_see_true_labels_are_better_than_features_alone(train, evaluate, tested, tmp_path):
    path = train(tmp_path, options(60, source="labels"), features=None)
    found = metrics(evaluate(tmp_path, path, features=None))
    assert found["action"]["top1"] > metrics(tested)["baselines"]["majority"]["top1"]


def test_what_does_not_fit_is_refused(evaluate, world, student, tmp_path):
    with pytest.raises(ConfigError, match="there are 2, but 1 models"):
        evaluate(tmp_path, student, test=AnticipationTestOptions(coefficients=(1, 2)))
    with pytest.raises(ConfigError, match="splits: no action is in the split 'dev'"):
        evaluate(tmp_path, student, splits=["dev"])
    with pytest.raises(DataError, match="no checkpoint of a student|no safetensors file"):
        evaluate(tmp_path, world.teacher)
    with pytest.raises(ConfigError, match="no action has a window at all of them"):
        evaluate(tmp_path, student, test=AnticipationTestOptions(gaps=(90.0, 100.0)))
    assert not (tmp_path / "metrics.json").exists()


# ---------------------------------------------------------------- challenge files


@pytest.mark.parametrize("name", ["c.json", "c.zip"])
def test_a_challenge_file_follows_its_schema_and_gives_the_same_scores_back(name, tmp_path):
    scores = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    uids = ["a", "b", "c", "d"]
    write_challenge(tmp_path / name, "ek100", uids, scores, tiny.CLASSES, dropped=["e"])
    found = read_challenge(tmp_path / name)
    assert found.uids == [*uids, "e"] and found.version == "0.2"
    shares = softmax(scores.astype(np.float64))
    assert np.array_equal(found.verb[:4, 0], (shares @ np.eye(3)[[0, 0, 1, 1, 2, 2]])[:, 0])
    assert not found.verb[4].any() and set(found.action[4].values()) == {0.0}
    for i in range(4):
        pairs = {(tiny.CLASSES.verb[k], tiny.CLASSES.noun[k]): float(scores[i, k]) for k in range(6)}
        assert found.action[i] == pairs
    write_challenge(tmp_path / f"again-{name}", "ek100", uids, scores, tiny.CLASSES, dropped=["e"])
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
    if name.endswith("json"):
        jsonschema.validate(json.loads((tmp_path / name).read_bytes()), SCHEMA)


def test_a_stage_writes_the_challenge_file_with_zeros_for_actions_without_a_window(tested):
    content = json.loads((tested / "c.json").read_bytes())
    jsonschema.validate(content, SCHEMA)
    assert len(content["results"]) == 42
    assert sum(not any(row["verb"].values()) for row in content["results"].values()) == 6


def test_files_that_are_no_challenge_are_refused(tmp_path):
    for text in ("{}", "[1", '{"challenge": "x", "results": {}, "version": "1"}'):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(DataError, match="no challenge file"):
            read_challenge(tmp_path / "c.json")
    write_challenge(tmp_path / "c.zip", "ek100", ["a"], np.zeros((1, 6), np.float32), tiny.CLASSES)
    content = bytearray((tmp_path / "c.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 148  # made by a version of ZIP that is yet to come
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(DataError, match="no challenge file.*version 14.8"):
        read_challenge(tmp_path / "c.zip")


# ---------------------------------------------------------------- tables of errors, summaries


def test_errors_are_counted_by_who_is_right():
    labels = np.array([0, 1, 1, 0])
    teacher, base = np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[0, 0, 0, 1]]
    student = np.array([[1.0, 0], [0, 1], [0, 1], [np.nan, 0]])
    found = error_table(labels, teacher=teacher, base=base, student=student)
    assert found["teacher right, base right, student right"] == 1
    assert found["teacher right, base wrong, student right"] == 1
    assert found["teacher wrong, base wrong, student right"] == 1
    assert sum(found.values()) == 3  # of the last one the student says nothing


def test_pairs_of_classes_that_rise_together_are_told_first():
    x = np.random.default_rng(0).standard_normal(50)
    scores = np.stack([x, x + 0.01, -x, np.zeros(50)], 1)
    first = correlated(scores, ["a", "b", "c", "d"], 2)[0]
    assert (first["first"], first["second"]) == ("a", "b") and first["correlation"] == pytest.approx(1, abs=1e-6)
    assert correlated(scores[:1], ["a", "b", "c", "d"], 2) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_a_summary_holds_mean_and_spread_of_what_all_files_have(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("m")
    for i, value in enumerate(values):
        (folder / f"{i}.json").write_text(
            json.dumps({"action": {"top1": value}, "name": "x", **({"only": 1} if not i else {})})
        )
    found = summed_up([folder / f"{i}.json" for i in range(len(values))])
    assert found["files"] == len(values) and ("only" in found) == (len(values) == 1)
    top1 = found["action"]["top1"]
    assert top1["mean"] == pytest.approx(np.mean(values)) and (top1["low"], top1["high"]) == (min(values), max(values))
    assert top1["sd"] == pytest.approx(np.std(values, ddof=1) if len(values) > 1 else 0)
