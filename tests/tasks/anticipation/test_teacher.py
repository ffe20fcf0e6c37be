"""The teacher: its losses, its training and what it leaves behind, its records."""

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tests.tasks import together
from tests.tasks.anticipation import toy
from tests.tasks.anticipation.published_folder import publish as published

from kinoflow.datasets.actions import Action, read_classes, write_actions, write_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.store.tables import read
from kinoflow.tasks.anticipation import records as recording
from kinoflow.tasks.anticipation import teacher as teaching
from kinoflow.tasks.anticipation import teacher_train as stage
from kinoflow.tasks.anticipation.combine import teacher_combine
from kinoflow.tasks.anticipation.pretrain import teacher_pretrain
from kinoflow.tasks.anticipation.teacher import balanced_weights, loss
from kinoflow.tasks.anticipation.teacher_records import teacher_records
from kinoflow.tasks.anticipation.teacher_train import teacher_train
from kinoflow.tasks.anticipation.text_options import CombineOptions, PretrainOptions, RecordsOptions, TeacherOptions
from kinoflow.training import checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "anticipation"
SMALL = {"width": 16, "heads": 2, "inner": 32, "layers": 1, "length": 32}
SHORT = {"epochs": 12, "batch": 16, "learning_rate": 0.01}


# ---------------------------------------------------------------- losses


def test_losses_are_those_of_the_published_code():
    golden = dict(np.load(GOLDEN / "teacher_loss.npz"))
    heads, plain, weighted = ("action", "verb", "noun"), [], []
    for head in heads:
        scores, labels = (torch.from_numpy(golden[f"{name}_{head}"]) for name in ("logit", "y"))
        weights = balanced_weights(golden[f"train_{head}"], scores.shape[1])
        np.testing.assert_allclose(weights, golden[f"w_{head}"], rtol=0, atol=1e-12)
        plain.append(float(loss(scores, labels)))
        weighted.append(float(loss(scores, labels, torch.from_numpy(weights))))
    np.testing.assert_allclose(plain, golden["ce"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(weighted, golden["ce_weighted"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.dot(plain, (0.7, 0.15, 0.15)), golden["epic_multitask"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        np.dot(weighted, (0.8, 0.1, 0.1)), golden["egtea_multitask_weighted"], rtol=0, atol=1e-10
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_balanced_weights_add_up_to_the_number_of_samples_and_absent_classes_have_none(labels):
    weights, counts = balanced_weights(np.array(labels), 6), np.bincount(labels, minlength=6)
    assert np.dot(weights, counts) == pytest.approx(len(labels))
    assert not weights[counts == 0].any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), st.floats(0.1, 9))
def test_equal_weights_are_no_weights_and_what_has_no_label_does_not_count(seed, weight):
    generator = torch.Generator().manual_seed(seed)
    scores, labels = torch.randn(7, 4, generator=generator), torch.randint(-1, 4, (7,), generator=generator)
    known = labels >= 0
    wanted = loss(scores[known], labels[known])
    torch.testing.assert_close(loss(scores, labels), wanted)
    torch.testing.assert_close(loss(scores, labels, torch.full((4,), weight)), wanted)


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy.write(folder)
    toy.write_corpus(folder / "corpus.jsonl")
    return folder


def options(**more) -> TeacherOptions:
    values = {"history": {"last": 4}, "encoder": SMALL, "training": SHORT}
    return TeacherOptions.model_validate(
        {
            name: {**values.get(name, {}), **more.pop(name)} if isinstance(more.get(name), dict) else value
            for name, value in values.items()
        }
        | more
    )


def train(world: Path, out: Path, options: TeacherOptions, seed: int = 0, **more) -> Path:
    teacher_train(
        world / "actions.csv",
        world / "classes.json",
        out / "model.safetensors",
        out / "history.csv",
        out / "place",
        options,
        seed,
        device="cpu",
        **more,
    )
    return out / "model.safetensors"


def tell(world: Path, out: Path, model: Path, **more) -> dict:
    paths = out / "records.h5", out / "metrics.json"
    teacher_records(
        model, world / "actions.csv", world / "classes.json", *paths, RecordsOptions(name="toy"), device="cpu", **more
    )
    return json.loads(paths[1].read_text())


def test_a_teacher_learns_the_rule_and_leaves_records_of_every_segment(world, tmp_path):
    model = train(world, tmp_path, options(validate_on=["test"]))
    found = tell(world, tmp_path, model)
    assert found["teacher"]["with_history"]["action"]["top1"] > 0.7
    assert found["teacher"]["action"]["top1"] > 2 * found["majority"]["action"]["top1"]
    assert set(found["teacher"]["verb"]) == {"own", "marginal", "decomposed"}
    assert found["no_history"] == 10
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert history[1].startswith("0,0,")  # before any step
    assert {"validation/action_top5", "train/action_top5", "validation/action_class_mean"} <= set(history[0].split(","))
    made = recording.read_records(tmp_path / "records.h5")
    assert (len(made.uids), made.classes, made.features.shape[1]) == (320, toy.NAMES, 16)
    assert made.history.shape == (320, 4)
    first = made.find(["v00#0", "v00#1"])
    assert made.history[first, -1].tolist() == [-1, made.targets[first[0]]]
    trained = teaching.read_teacher(model)
    scores, features = trained.scores(trained.lines(made.history[:5]))
    np.testing.assert_allclose(scores["action"], made.logits[:5], atol=1e-5)
    np.testing.assert_allclose(features, made.features[:5], atol=1e-5)


def test_unshuffled_examples_come_by_video_and_start_in_every_epoch(world, tmp_path, monkeypatch):
    seen = []
    load = stage.TeacherTraining.load
    monkeypatch.setattr(
        stage.TeacherTraining,
        "load",
        lambda self, draws: seen.extend(draw.sample for draw in draws) or load(self, draws),
    )
    train(world, tmp_path, options(shuffle=False, training={"epochs": 2, "steps": None}))
    once = sorted(set(seen))
    assert seen == 2 * once and len(once) > 100


def test_watching_the_test_changes_no_weight(world, tmp_path):
    short = {"epochs": 2}
    plain = train(world, tmp_path / "a", options(training=short))
    watched = train(world, tmp_path / "b", options(training=short, validate_on=["test"]))
    one, two = checkpoint.read(plain)[0], checkpoint.read(watched)[0]
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    head, *rows = (tmp_path / "b" / "history.csv").read_text().splitlines()
    assert "validation/action_class_mean" in head and "train/action_class_mean" in head
    assert [row.split(",")[1] for row in rows] == ["0", "1", "2"]


def test_ties_of_training_scores_go_to_the_lower_number_and_a_class_counts_once(world, tmp_path, monkeypatch):
    """The first row of an epoch, with scores that are all the same: the first class is told."""
    kept = []
    monkeypatch.setattr(stage, "TeacherTraining", kept_by(kept))
    train(world, tmp_path, options(training={"epochs": 1}))
    told = kept[0]
    actions = np.array([line.targets[0] for line in told.examples.lines])
    told.said = {"action": torch.zeros(len(actions), 6)}
    found = told.scores({"targets": {"action": torch.from_numpy(actions)}})
    for k in (1, 5):
        assert float(found[f"action_top{k}"]) == pytest.approx((actions < k).mean())
    assert float(found["action_class_mean"]) == pytest.approx(1 / 6)
    told.said = {"action": torch.nn.functional.one_hot(torch.from_numpy(np.where(actions == 3, 0, actions)), 6)}
    parts = [np.arange(len(actions)) % 3 == i for i in range(3)]
    whole, scores = 0.0, told.said["action"]
    for part in parts:  # as the meter adds up steps
        told.said = {"action": scores[part]}
        whole += part.sum() * float(
            told.scores({"targets": {"action": torch.from_numpy(actions[part])}})["action_class_mean"]
        )
    assert whole / len(actions) == pytest.approx(5 / 6)


def kept_by(kept: list):
    class Kept(stage.TeacherTraining):
        def __init__(self, *given):
            super().__init__(*given)
            kept.append(self)

    return Kept


def test_a_causal_teacher_learns_from_every_prefix_and_from_a_corpus(world, tmp_path):
    causal = options(encoder={"causal": True, "tokens": "actions"}, prefixes=True, corpus=True, history={"last": None})
    model = train(world, tmp_path, causal, corpus=world / "corpus.jsonl")
    found = tell(world, tmp_path, model, corpus=world / "corpus.jsonl")
    assert found["ngram_text"]["action"]["top1"] >= found["ngram"]["action"]["top1"] - 0.05
    assert found["teacher"]["with_history"]["action"]["top1"] > 0.75


@pytest.mark.parametrize("objective", ["masked", "next"])
def test_a_pretrained_language_model_gives_its_encoder_and_words(world, tmp_path, objective):
    short = {"epochs": 2, "batch": 16}
    chosen = PretrainOptions.model_validate({"objective": objective, "encoder": SMALL, "training": short})
    language = tmp_path / "language.safetensors"
    paths = (world / "corpus.jsonl", language, tmp_path / "history.csv", tmp_path / "place")
    teacher_pretrain(*paths, chosen, classes=world / "classes.json", device="cpu")
    model = train(world, tmp_path, options(training={"epochs": 1, "learning_rate": 1e-9}), pretrained=language)
    before, after = checkpoint.read(language)[0], checkpoint.read(model)[0]
    for name, value in before.items():
        torch.testing.assert_close(after[f"encoder.{name}"], value, rtol=0, atol=1e-4)
    assert checkpoint.read(model)[1]["tokens"] == checkpoint.read(language)[1]["tokens"]


def test_tiny_bert_is_pretrained_and_finetuned(world, tmp_path):
    encoder = SMALL | {"model": "bert"}
    chosen = PretrainOptions.model_validate({"encoder": encoder, "training": {"steps": 3, "batch": 8}})
    language = tmp_path / "language.safetensors"
    teacher_pretrain(world / "corpus.jsonl", language, tmp_path / "h.csv", tmp_path / "p", chosen, device="cpu")
    model = train(world, tmp_path, options(training={"steps": 3, "epochs": None}), pretrained=language)
    assert 0 <= tell(world, tmp_path, model)["teacher"]["action"]["top5"] <= 1


def test_published_weights_in_a_folder_are_not_part_of_what_is_written(world, tmp_path):
    folder = tmp_path / "weights"
    published(folder)
    told = options(encoder={"model": "bert", "weights": str(folder)}, training={"epochs": 1})
    bare = options(encoder={"model": "bert"}, training={"epochs": 1})
    by_name = train(world, tmp_path / "a", told)
    folder.rename(tmp_path / "moved")
    by_flag = train(world, tmp_path / "b", bare, weights=tmp_path / "moved")
    (one, _), (two, about) = (checkpoint.read(path) for path in (by_name, by_flag))
    assert all(torch.equal(one[name], two[name]) for name in one) and about["tokens"]["kind"] == "subwords"
    assert str(tmp_path) not in json.dumps(about)
    drawn, _ = checkpoint.read(train(world, tmp_path / "c", bare))
    assert drawn.keys() != two.keys() or not torch.equal(drawn["heads.action.weight"], two["heads.action.weight"])


def test_a_teacher_may_have_published_sizes_with_weights_drawn_anew_and_a_pooler(world, tmp_path):
    published(tmp_path / "weights")
    encoder = {"model": "bert", "weights": str(tmp_path / "weights"), "redraw": True, "read": "pooler"}
    told = options(encoder=encoder, training={"epochs": 1, "learning_rate": 1e-9})
    (one, about), (two, _), (other, _) = (
        checkpoint.read(train(world, tmp_path / name, told, seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    kept = load_file(tmp_path / "weights" / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    name = "encoder.model.bert.embeddings.word_embeddings.weight"
    assert one[name].shape == kept.shape and not torch.allclose(one[name], kept, atol=1e-3)
    assert all(torch.equal(one[key], two[key]) for key in one) and not torch.equal(one[name], other[name])
    assert about["tokens"]["kind"] == "subwords" and "encoder.pooler.0.weight" in one
    assert 0 <= tell(world, tmp_path, tmp_path / "a" / "model.safetensors")["teacher"]["action"]["top5"] <= 1
    with pytest.raises(ConfigError, match=r"encoder\.redraw: it needs published weights"):
        train(world, tmp_path / "d", options(encoder={"model": "bert", "redraw": True}))


def test_what_a_teacher_cannot_know_is_counted(world, tmp_path, caplog):
    """A class that only the test has, and histories of eight actions for a model of five tokens."""
    table = read_classes(world / "classes.json")
    rows = [
        replace(row, action=2, verb=1, noun=0) if row.split == "train" and row.action == 5 else row
        for row in read(world / "actions.csv", Action)
    ]
    write_actions(tmp_path / "actions.csv", rows)
    write_classes(tmp_path / "classes.json", table)
    short = options(history={"last": None}, encoder={"tokens": "actions", "length": 5}, training={"epochs": 1})
    with caplog.at_level(logging.INFO, "kinoflow"):
        found = tell(tmp_path, tmp_path, train(tmp_path, tmp_path, short))
    new = sum(row.split == "test" and row.action == 5 for row in rows)
    assert (found["no_history"], found["new_actions"], found["cut_histories"]) == (10, new, 30) and new
    assert (
        f"80 actions: 10 without history, {new} new since the training, 30 histories cut to fit the model"
        in caplog.text
    )


def test_two_teachers_are_combined_into_one_that_is_measured_alike(world, tmp_path):
    files = []
    for seed in (0, 1):
        model = train(world, tmp_path / str(seed), options(training={"epochs": 1}), seed)
        tell(world, tmp_path / str(seed), model)
        files.append(tmp_path / str(seed) / "records.h5")
    tables = world / "actions.csv", world / "classes.json"
    for how, joined in (("mean", np.mean), ("max", np.max)):
        paths = tmp_path / f"{how}.h5", tmp_path / f"{how}.json"
        teacher_combine(files, *tables, *paths, CombineOptions(how=how), ["test"])
        made, single = recording.read_records(paths[0]), [recording.read_records(path) for path in files]
        np.testing.assert_allclose(made.logits, joined([each.logits for each in single], axis=0), atol=1e-6)
        found = json.loads(paths[1].read_text())
        assert (found["policy"], found["teachers"], found["teacher"]["rows"]) == ("order", 2, 80)
    with pytest.raises(ConfigError, match="give the records of two or more"):
        teacher_combine(files[:1], *tables, *paths, CombineOptions())
    with pytest.raises(ConfigError, match="no segment is in the split 'late'"):
        teacher_combine(files, *tables, *paths, CombineOptions(), ["late"])


def test_options_that_do_not_fit_the_data_are_refused(world, tmp_path):
    for said, wrong, more in (
        ("train_on: no segment", options(train_on=["nothing"]), {}),
        ("hold_out: no segment", options(hold_out=["k9"]), {}),
        ("corpus: there is no corpus", options(corpus=True), {}),
        ("keep: best needs a validation", options(training={"keep": "best"}), {}),
    ):
        with pytest.raises(ConfigError, match=said):
            train(world, tmp_path, wrong, **more)
    with pytest.raises(DataError, match="no language model"):
        train(
            world,
            tmp_path,
            options(),
            pretrained=train(world, tmp_path, options(training={"steps": 1, "epochs": None})),
        )


@pytest.mark.parametrize(
    "said, wrong",
    [
        ("with policy ended a history is no prefix", {"encoder": {"causal": True}, "history": {"policy": "ended"}}),
        ("needs encoder.causal", {"encoder": {"causal": False}}),
    ],
)
def test_prefixes_that_are_no_histories_are_refused_with_the_options(said, wrong):
    with pytest.raises(ValueError, match=said):
        TeacherOptions.model_validate({"prefixes": True, **wrong})


def test_held_out_recordings_are_tested_on_and_not_learnt_from(world, tmp_path):
    train(world, tmp_path, options(hold_out=["k1"], training={"epochs": 1}))
    text = (tmp_path / "history.csv").read_text()
    assert "validation/action_top1" in text


# ---------------------------------------------------------------- several processes


def test_two_processes_train_the_teacher_of_the_embedded_study_as_one_does(world, tmp_path, port):
    wanted = together.brief(TeacherOptions, together.study().teachers["next"], 7)
    corpus = world / "corpus.jsonl"
    together.trains_alike(tmp_path, port, stage, lambda folder: train(world, folder, wanted, corpus=corpus))


# ---------------------------------------------------------------- killed and run again


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import tests.tasks.anticipation.test_teacher as own
own.train(Path({world!r}), Path({out!r}), own.long_options())
"""


def long_options() -> TeacherOptions:
    return options(training={"epochs": 16, "save_minutes": 0.0005}, encoder={"dropout": 0.3})


def test_a_killed_training_ends_with_the_same_bytes(world, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train(world, whole, long_options())
    root = Path(__file__).parents[3]
    text = KILLED.format(paths=[str(root), str(root / "src")], world=str(world), out=str(parted))
    child = subprocess.Popen([sys.executable, "-c", text], env=os.environ | {"OMP_NUM_THREADS": "1"})
    for _ in range(6000):
        if list(parted.glob("place/*/state.pt")):
            break
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert list(parted.glob("place/*/state.pt"))
    train(world, parted, long_options())
    for name in ("model.safetensors", "history.csv"):
        assert (whole / name).read_bytes() == (parted / name).read_bytes(), name
    assert not (parted / "place").exists()
