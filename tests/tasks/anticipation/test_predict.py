"""`kinoflow anticipate`: from a checkpoint alone, of videos, feature files and shards."""

import csv
import json

import numpy as np
import pytest
import torch
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.datasets.actions import Action, read_rows, write_actions, write_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.features.arithmetic import Arithmetic
from kinoflow.metrics.scores import softmax
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard, writing
from kinoflow.tasks.anticipation import backbones, data
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.options import AnticipateOptions, AnticipationTestOptions
from kinoflow.tasks.anticipation.planning import origin_of
from kinoflow.tasks.anticipation.predict import anticipate
from kinoflow.tasks.anticipation.result_store import read_scores
from kinoflow.tasks.anticipation.scoring import Scorer, read_checkpoint
from kinoflow.tasks.anticipation.train import anticipation_train


def told(folder, videos, checkpoint, **more):
    """What is written, as JSON."""
    wanted = {key: more.pop(key) for key in ("at", "top", "dense") if key in more}
    anticipate(videos, checkpoint, AnticipateOptions(**wanted), json=folder / "told.json", device="cpu", **more)
    return json.loads((folder / "told.json").read_bytes())


def test_a_shard_gives_an_answer_for_every_video(world, student, tmp_path):
    found = told(tmp_path, world.features, student, at=6.0, top=3)
    assert [answer["video"] for answer in found] == [v for shard in world.features for v in Shard(shard).videos]
    assert all(len(answer["next"]) == 3 and answer["at"] == 6.0 for answer in found)
    shares = [guess["probability"] for guess in found[0]["next"]]
    assert shares == sorted(shares, reverse=True) and sum(shares) <= 1.00001


def test_what_is_told_at_a_moment_is_what_a_test_says_of_the_window_that_ends_there(world, student, tmp_path):
    outputs = {name: tmp_path / f"{name}.x" for name in ("metrics", "predictions", "scores")}
    anticipation_evaluate(
        [student],
        world.actions,
        world.classes,
        options=AnticipationTestOptions(),
        features=world.features,
        device="cpu",
        **outputs,
    )
    scores = read_scores(tmp_path / "scores.x")
    i = 3
    video = scores.uids[i].partition("#")[0]
    found = told(tmp_path, world.features, student, at=float(scores.end[i]))
    (answer,) = [each for each in found if each["video"] == video]
    assert answer["next"][0]["label"] == tiny.NAMES[int(scores.scores["action"][i].argmax())]


def test_feature_files_need_their_rate(world, student, tmp_path):
    rows = Shard(world.features[0]).rows("v00.mp4")
    np.save(tmp_path / "v00.npy", rows)
    found = told(tmp_path, [tmp_path / "v00.npy"], student, rate=tiny.RATE)
    assert found[0]["at"] == pytest.approx(len(rows) / tiny.RATE)
    own = [each for each in told(tmp_path, world.features, student) if each["video"] == "v00.mp4"]
    assert found[0]["next"] == own[0]["next"]
    with pytest.raises(ConfigError, match="does not say its times"):
        told(tmp_path, [tmp_path / "v00.npy"], student)


def test_dense_answers_come_after_every_step(world, student, tmp_path):
    found = told(tmp_path, world.features[:1], student, dense=True)
    own = [answer for answer in found if answer["video"] == "v00.mp4"]
    assert [answer["at"] for answer in own] == list(np.arange(1.0, len(own) + 1))


@pytest.fixture(scope="module")
def of_frames(train, tmp_path_factory):
    """A student that reads features of single frames."""
    sampling = {"gap": 1.0, "observed": 6.0, "read": "frames", "rate": 1.0, "steps": 6}
    return train(tmp_path_factory.mktemp("of-frames"), options(20, window="gap", sampling=sampling))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sampling": {"observed": 3.0}},  # fewer than the eight steps that there is room for
        {"sampling": {"observed": 2.6}},  # the earliest step is cut short
        {"sampling": {"observed": 3.0}, "network": {"aggregator": "transformer"}},
        {"window": "gap", "sampling": {"observed": 6.0, "read": "frames", "rate": 1.0}},
    ],
)
def test_dense_answers_are_those_of_the_same_moments(world, train, tmp_path, more):
    model = train(tmp_path, options(4, **more))
    dense = told(tmp_path, world.features[:1], model, dense=True, top=6)
    for at in (1.0, 3.0, 7.0, 12.0):
        alone = {each["video"]: each for each in told(tmp_path, world.features[:1], model, at=at, top=6)}
        for answer in (each for each in dense if each["at"] == at):
            shares = {guess["label"]: guess["probability"] for guess in answer["next"]}
            wanted = {guess["label"]: guess["probability"] for guess in alone[answer["video"]]["next"]}
            assert shares == pytest.approx(wanted, abs=1e-5)


def test_dense_answers_of_single_frames_are_what_a_test_sees(world, of_frames, tmp_path):
    trained = read_checkpoint(of_frames)
    source = data.source(trained.options, tiny.CLASSES, world.rows, world.features, None, None)
    reader = data.Reader(source, trained.options, world.rows, (), False)
    scorer = Scorer(trained.network.eval(), Arithmetic(torch.device("cpu"), threads=1))
    found = [each for each in told(tmp_path, world.features[:1], of_frames, dense=True) if each["video"] == "v00.mp4"]
    for answer in found[::4]:
        seen = reader.seen("v00.mp4", answer["at"] - 6.0, answer["at"])
        shares = softmax(scorer.said(seen.x[None], np.array([seen.length])).scores["action"][0].double().numpy())
        assert answer["next"][0] == {
            "label": tiny.NAMES[shares.argmax()],
            "probability": pytest.approx(shares.max(), abs=1e-5),
        }


def test_a_moment_without_a_near_row_costs_its_own_answer_only(world, of_frames, tmp_path):
    source = Shard(world.features[0])
    rows, times = source.rows("v00.mp4"), source.times("v00.mp4")
    with writing(tmp_path / "late.h5", {}, frames=False, width=tiny.WIDTH, dtype="float32") as writer:
        writer.add("a", rows, times + 10.0)
        writer.add("b", rows, times)
    found = told(tmp_path, [tmp_path / "late.h5"], of_frames, dense=True)
    first = found[0]
    assert first["at"] == 1.0 and "nothing from" in first["reason"] and not first["next"]
    assert all(each["next"] for each in found if each["video"] == "b")
    assert [bool(each["next"]) for each in told(tmp_path, [tmp_path / "late.h5"], of_frames, at=3.0)] == [False, True]


def test_a_file_that_cannot_be_read_costs_its_own_row_only(world, student, tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    np.save(tmp_path / "wide.npy", np.zeros((5, 3), np.float32))
    given = [tmp_path / "bad.npy", tmp_path / "wide.npy", tmp_path / "none.npy", world.features[0]]
    found = told(tmp_path, given, student, rate=4.0)
    assert [bool(answer["next"]) for answer in found][:3] == [False] * 3 and found[3]["next"]
    assert "3 columns, the student reads 8" in found[1]["reason"] and "no file" in found[2]["reason"]
    anticipate(given, student, AnticipateOptions(), table=tmp_path / "t.csv", rate=4.0, device="cpu")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found) and rows[3]["action_1"] == found[3]["next"][0]["label"]


def test_of_features_from_outside_a_video_is_refused(student, make_video, tmp_path):
    with pytest.raises(ConfigError, match="trained on feature files from outside"):
        told(tmp_path, [make_video(tmp_path / "a.mp4")], student)


def test_a_moment_after_the_end_is_told_so(world, student, tmp_path):
    assert "it ends at" in told(tmp_path, world.features[:1], student, at=500.0)[0]["reason"]


@pytest.mark.parametrize("read", ["mean", "frames"])
def test_the_steps_that_a_student_rolls_out_are_told(world, train, tmp_path, read):
    sampling = {"read": read, "steps": 6, "step_seconds": 0.5, "rate": 4.0, "observed": 3.0, "fps": 4.0}
    model = train(tmp_path / "far", options(2, sampling=sampling, network={"ahead": 3}, losses={"cls_action": 1}))
    found = told(tmp_path, world.features[:1], model, at=6.0)
    trained = read_checkpoint(model)
    source = data.source(trained.options, tiny.CLASSES, world.rows, world.features, None, None)
    reader = data.Reader(source, trained.options, world.rows, (), False)
    for answer in found:
        seen = reader.seen(answer["video"], 3.0, 6.0)
        seconds = 0.5 if read == "mean" else 0.25
        assert [step["ahead"] for step in answer["later"]] == [seconds, 2 * seconds, 3 * seconds]
        for k, step in enumerate(answer["later"], 1):
            with torch.no_grad():
                alone = trained.network.head(torch.from_numpy(seen.x[None, : seen.length]), ahead=k).future
                shares = softmax(trained.network.told(alone)["action"][0].double().numpy())
            assert [each["label"] for each in step["next"]] == [tiny.NAMES[i] for i in np.argsort(-shares)[:5]]
            assert [each["probability"] for each in step["next"]] == pytest.approx(sorted(shares)[:-6:-1], abs=1e-5)
    assert all(
        len(each["later"]) == 3 for each in told(tmp_path, world.features[:1], model, dense=True) if each["next"]
    )
    anticipate(world.features[:1], model, AnticipateOptions(at=6.0), table=tmp_path / "t.csv", device="cpu")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ahead"] for row in rows[:5]] == ["", *(f"{seconds * k}" for k in (1, 2, 3)), ""]
    assert rows[2]["action_1"] == found[0]["later"][1]["next"][0]["label"]


def test_a_student_that_does_not_roll_out_tells_of_the_next_action_alone(world, student, tmp_path):
    assert all("later" not in answer for answer in told(tmp_path, world.features[:1], student))
    anticipate(world.features[:1], student, AnticipateOptions(), table=tmp_path / "t.csv", device="cpu")
    assert "ahead" not in (tmp_path / "t.csv").read_text().splitlines()[0]


# ---------------------------------------------------------------- videos


@pytest.fixture
def trained_on(tmp_path):
    """Return a function that trains on reduced features of real videos, given what they were made with: the checkpoint."""

    def train(filmed, features=None, **files):
        numbers = [(number, k, (number + k) % 6) for number in range(len(filmed.names)) for k in range(2)]
        actions = [
            Action(uid=f"{number}{k}", video=filmed.names[number], start=1.4 * k + 0.1, end=1.4 * k + 1.3, action=action,
                   verb=action // 2, noun=action % 2, split="train")
            for number, k, action in numbers
        ]  # fmt: skip
        write_actions(tmp_path / "actions.csv", actions)
        write_classes(tmp_path / "classes.json", tiny.CLASSES)
        wanted = options(2, losses={"cls_action": 1}, sampling={"step_seconds": 0.5}, training={"batch": 2})
        outputs = {
            "model": tmp_path / "run/model.safetensors",
            "history": tmp_path / "run/h.csv",
            "place": tmp_path / "w",
        }
        given = {
            "features": [filmed.reduced] if features is None else [features] if features else None,
            "options": wanted,
            "device": "cpu",
            "code": "test",
        } | files
        anticipation_train(tmp_path / "actions.csv", tmp_path / "classes.json", **outputs, **given)
        return outputs["model"]

    return train


def test_a_checkpoint_alone_reads_videos_as_the_stages_did(filmed, trained_on, tmp_path):
    given = {"pictures": filmed.frames, "extractor": filmed.weights, "basis": filmed.basis}
    model = trained_on(filmed, **given)
    by_shard = {each["video"]: each for each in told(tmp_path, [filmed.reduced], model, at=2.0)}
    (tmp_path / "text.mp4").write_text("no video")
    videos = [filmed.root / "v2.mp4", tmp_path / "text.mp4", tmp_path / "lost.mp4", filmed.root / "v0.mp4"]
    found = told(tmp_path, videos, model, at=2.0)
    assert [each["video"] for each in found] == [str(video) for video in videos]
    assert [each["next"] for each in found[::3]] == [by_shard[name]["next"] for name in ("v2.mp4", "v0.mp4")]
    assert "cannot be read (unreadable)" in found[1]["reason"] and "there is no file" in found[2]["reason"]


def test_a_student_of_frames_reads_videos_alone(filmed, trained_on, tmp_path, monkeypatch):
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    monkeypatch.setitem(backbones.WIDTHS, "vit_b_16", 8)
    sampling = {"gap": 0.2, "observed": 1.5, "read": "frames", "steps": 3, "rate": 2.0}
    asked = options(
        1,
        window="gap",
        sampling=sampling,
        network={"backbone": "vit_b_16", "size": 16, "ahead": 2},
        pictures={"short": 18, "drawn": [16, 20]},
        losses={"cls_action": 1},
    )
    model = trained_on(filmed, features=[], frames=[filmed.frames], options=asked)
    (tmp_path / "text.mp4").write_text("no video")
    videos = [filmed.root / "v2.mp4", tmp_path / "text.mp4", filmed.root / "v0.mp4", filmed.features]
    found = told(tmp_path, videos, model, at=1.4)
    assert "cannot be read" in found[1]["reason"] and "give a video" in found[3]["reason"]
    trained = read_checkpoint(model)
    source = data.source(trained.options, tiny.CLASSES, None, None, [filmed.frames], None)
    reader = data.Reader(source, trained.options, read_rows(tmp_path / "actions.csv", tiny.CLASSES), (), False)
    scorer = Scorer(trained.network.eval(), Arithmetic(torch.device("cpu"), threads=1))
    for answer, name in ((found[0], "v2.mp4"), (found[2], "v0.mp4")):
        seen = reader.seen(name, 1.4 - 1.5, 1.4)
        shares = softmax(scorer.said(seen.x[None], np.array([seen.length])).scores["action"][0].double().numpy())
        assert [each["probability"] for each in answer["next"]] == pytest.approx(sorted(shares)[:-6:-1], abs=1e-5)
        assert answer["next"][0]["label"] == tiny.NAMES[shares.argmax()]
        assert [step["ahead"] for step in answer["later"]] == [0.5, 1.0] and answer["later"][1]["next"] == answer[
            "next"
        ]
    assert "it ends at" in told(tmp_path, videos[:1], model, at=99.0)[0]["reason"]
    with pytest.raises(ConfigError, match="dense: this student reads frames"):
        told(tmp_path, videos[:1], model, dense=True)


def test_a_checkpoint_that_lacks_what_a_video_takes_says_so(filmed, trained_on, tmp_path):
    video, given = filmed.root / "v0.mp4", {"pictures": filmed.frames, "extractor": filmed.weights}
    with pytest.raises(ConfigError, match="their components are not beside the checkpoint"):
        told(tmp_path, [video], trained_on(filmed, **given))
    if filmed.weights:
        bare = trained_on(filmed, basis=filmed.basis)
        said = f"give by --weights the file whose SHA-256 is {sha256_of(filmed.weights)}"
        with pytest.raises(ConfigError, match=said):
            told(tmp_path, [video], bare)
        with pytest.raises(DataError, match="these are other weights"):
            told(tmp_path, [video], bare, weights=filmed.basis)


def test_only_what_made_the_features_is_kept_beside_the_checkpoint(filmed, world, train, trained_on, tmp_path):
    with pytest.raises(DataError, match="were not made with these weights"):
        trained_on(filmed, extractor=filmed.basis)
    with pytest.raises(ConfigError, match="were not reduced by a PCA"):
        trained_on(filmed, features=filmed.features, basis=filmed.basis)
    with pytest.raises(ConfigError, match="come from outside"):
        train(tmp_path, options(1), pictures=filmed.frames)
    with pytest.raises(ConfigError, match="basis: this tells how features of shards are made, and there are none"):
        origin_of(None, None, None, filmed.basis)
