"""`kinoflow anticipate`: from a checkpoint alone, of videos, feature files and shards."""

import csv
import json

import numpy as np
import pytest
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.datasets.actions import Action, write_actions, write_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions, PcaOptions
from kinoflow.features.pca import pca_apply, pca_fit, pca_partial
from kinoflow.media.frames import frames
from kinoflow.media.options import FramesOptions
from kinoflow.store import tables
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard
from kinoflow.store.tables import READABLE, Probed
from kinoflow.tasks.anticipation.carry import carried
from kinoflow.tasks.anticipation.evaluate import anticipation_evaluate
from kinoflow.tasks.anticipation.options import AnticipateOptions, AnticipationTestOptions
from kinoflow.tasks.anticipation.predict import anticipate
from kinoflow.tasks.anticipation.result_store import read_scores
from kinoflow.tasks.anticipation.scoring import read_checkpoint
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


def test_without_how_features_are_made_a_video_is_refused(student, make_video, tmp_path):
    with pytest.raises(ConfigError, match="does not carry how its features are made"):
        told(tmp_path, [make_video(tmp_path / "a.mp4")], student)


def test_a_moment_after_the_end_is_told_so(world, student, tmp_path):
    assert "it ends at" in told(tmp_path, world.features[:1], student, at=500.0)[0]["reason"]


# ---------------------------------------------------------------- videos


@pytest.fixture(scope="module")
def filmed(tmp_path_factory, make_video):
    """Four real videos, their frames, features and a PCA of these, and two actions in each."""
    folder, rows = tmp_path_factory.mktemp("filmed"), []
    for number in range(4):
        make_video(folder / f"v{number}.mp4", frames=36, seed=number)
        known = {"frames": 36, "fps": 12.0, "duration": 3.0, "status": READABLE, "kept": True}
        rows.append(Probed(video=f"v{number}.mp4", sha256=sha256_of(folder / f"v{number}.mp4"), **known))
    tables.write(folder / "probe.csv", rows, Probed)
    frames(folder, folder / "probe.csv", folder / "frames.h5", FramesOptions(size=40, store="raw"), code="test")
    features(folder / "f.h5", FeaturesOptions(stride=3), frames=folder / "frames.h5", device="cpu", code="test")
    reduction = PcaOptions(components=6, fit_on="all", whiten=True)
    pca_partial(folder / "f.h5", folder / "partial.h5", reduction)
    pca_fit([folder / "partial.h5"], folder / "basis", reduction)
    pca_apply(folder / "f.h5", folder / "basis", folder / "pca.h5", reduction)
    actions = [
        Action(uid=f"{number}{k}", video=f"v{number}.mp4", start=1.4 * k + 0.1, end=1.4 * k + 1.3, action=(number + k) % 6,
               verb=(number + k) % 6 // 2, noun=(number + k) % 2, split="train")
        for number in range(4) for k in range(2)
    ]  # fmt: skip
    write_actions(folder / "actions.csv", actions)
    return folder


def test_a_checkpoint_alone_reads_videos_as_the_stages_did(filmed, train, tmp_path):
    given = {
        "features": [filmed / "pca.h5"],
        "teacher": None,
        "pictures": filmed / "frames.h5",
        "basis": filmed / "basis",
    }
    wanted = options(2, losses={"cls_action": 1}, sampling={"step_seconds": 0.5}, training={"batch": 2})
    outputs = {"model": tmp_path / "model.safetensors", "history": tmp_path / "h.csv", "place": tmp_path / ".work"}
    write_classes(tmp_path / "classes.json", tiny.CLASSES)
    anticipation_train(
        filmed / "actions.csv", tmp_path / "classes.json", options=wanted, device="cpu", code="test", **outputs, **given
    )
    model = tmp_path / "model.safetensors"
    by_video = told(tmp_path, [filmed / "v2.mp4"], model, at=2.0)
    by_shard = [each for each in told(tmp_path, [filmed / "pca.h5"], model, at=2.0) if each["video"] == "v2.mp4"]
    assert by_video[0]["next"][0]["label"] == by_shard[0]["next"][0]["label"]
    ours, theirs = ([guess["probability"] for guess in found[0]["next"]] for found in (by_video, by_shard))
    assert np.allclose(ours, theirs, atol=1e-4)
    rows = read_checkpoint(model)
    assert rows.carried["frames"]["size"] == 40 and "pca.matrix" in rows.extra


def test_only_what_made_the_features_can_be_carried(filmed, world, train, tmp_path):
    with pytest.raises(ConfigError, match="was reduced by a PCA: give its basis"):
        carried(filmed / "pca.h5", None, None, filmed / "frames.h5")
    with pytest.raises(DataError, match="did not make the features"):
        carried(filmed / "pca.h5", filmed / "basis", filmed / "basis", filmed / "frames.h5")
    with pytest.raises(ConfigError, match="come from outside"):
        train(tmp_path, options(1), pictures=filmed / "frames.h5")
    with pytest.raises(ConfigError, match="name one of the frame shards"):
        train(tmp_path, options(1), basis=filmed / "basis")
