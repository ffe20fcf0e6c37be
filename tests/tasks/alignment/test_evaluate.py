"""Testing a network: measures beside baselines, embeddings as shards, clips that are not embedded twice."""

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.tasks.alignment.discs import PHASES, options

from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.alignment import kendalls_tau
from kinoflow.options import resolved
from kinoflow.store import shards, tables
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Segment, Video, read_csv
from kinoflow.tasks.alignment.embed import Trained, alignment_embed, read_checkpoint, untrained
from kinoflow.tasks.alignment.evaluate import alignment_evaluate
from kinoflow.tasks.alignment.measures import Side, headlines, mean, measures, over, tau_by_clip
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.tasks.alignment.model import build
from kinoflow.training import checkpoint


def evaluate(model, discs, folder, **more):
    given = {
        "videos": discs.videos,
        "segments": discs.segments,
        "frames": discs.shards,
        "code": "test",
        "device": "cpu",
    }
    outputs = {"metrics": "metrics.json", "predictions": "p.csv", "embeddings": "e.h5", "first": "f.h5"}
    given |= {name: folder / file for name, file in outputs.items()} | {"options": AlignmentTestOptions()} | more
    alignment_evaluate(model, **given)
    return json.loads((folder / "metrics.json").read_text())


def numbers(values):
    for value in values.values():
        yield from numbers(value) if isinstance(value, dict) else (value,)


@pytest.fixture(scope="module")
def tested(scl, discs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tested")
    return folder, evaluate(scl, discs, folder)


def test_every_measure_stands_beside_those_of_a_clock_raw_pixels_and_the_untrained_network(tested):
    _, found = tested
    for numbers_of in (found, found["clock"], found["pixels"], found["untrained"]):
        assert set(numbers_of["tau"]) == {"train", "test"} and set(numbers_of["retrieval"]) == {"5", "10", "15"}
        for name in ("classification", "progression"):
            assert set(numbers_of[name]) == {"10", "50", "100"} and set(numbers_of[name]["100"]) == {"train", "test"}
    assert found["clock"]["tau"]["test"] > 0.95
    assert found["over"]["untrained"]["tau"] == pytest.approx(found["tau"]["test"] - found["untrained"]["tau"]["test"])
    assert set(found["over"]["clock"]) == {"tau", "retrieval_5", "classification", "progression"}
    assert (found["clips"], found["train_clips"]) == (4, 8) and found["parameters"] > 0
    assert all(math.isfinite(value) for value in numbers(found))


def test_the_table_has_a_row_for_every_test_clip(tested, discs):
    rows = [row for _, row in read_csv(tested[0] / "p.csv", ("clip", "tau"))]
    assert [row["clip"] for row in rows] == ["v08.mp4", "v09.mp4", "v10.mp4", "v11.mp4"]
    assert [int(row["frames"]) for row in rows] == [len(discs.labels[row["clip"]]) for row in rows]
    assert all(row["tau"] == "" or -1 <= float(row["tau"]) <= 1 for row in rows)


def test_embeddings_are_a_feature_shard_of_all_clips(tested, discs):
    trained, first = Shard(tested[0] / "e.h5"), Shard(tested[0] / "f.h5")
    assert set(trained.videos) == set(discs.labels) and trained.x.shape[1] == 16
    for video, labels in discs.labels.items():
        assert trained.rows(video).shape == (len(labels), 16)
        assert np.allclose(np.linalg.norm(trained.rows(video), axis=1), 1, atol=1e-5)
        assert np.allclose(trained.times(video), np.arange(len(labels)) / 10)
    assert not np.allclose(trained.rows("v00.mp4"), first.rows("v00.mp4"), atol=1e-3)


def test_the_embedding_stage_writes_the_same_vectors(tested, scl, discs, tmp_path):
    for splits in (None, ["test"]):
        alignment_embed(
            scl, discs.videos, discs.segments, tmp_path / "e.h5", AlignmentTestOptions(), discs.shards, splits=splits,
            device="cpu", code="test",
        )  # fmt: skip
        found = Shard(tmp_path / "e.h5")
        assert len(found.videos) == (4 if splits else 12)
        assert np.array_equal(found.rows("v09.mp4"), Shard(tested[0] / "e.h5").rows("v09.mp4"))


def test_vectors_of_a_clip_do_not_depend_on_other_clips(tested, scl, discs, tmp_path):
    kept = [row for row in tables.read(discs.videos, Video) if row.video in ("v00.mp4", "v09.mp4", "v10.mp4")]
    tables.write(tmp_path / "v.csv", kept, Video)
    names = {row.video for row in kept}
    tables.write(
        tmp_path / "s.csv", [row for row in tables.read(discs.segments, Segment) if row.video in names], Segment
    )
    evaluate(scl, discs, tmp_path, videos=tmp_path / "v.csv", segments=tmp_path / "s.csv")
    for name in names:
        assert np.array_equal(Shard(tmp_path / "e.h5").rows(name), Shard(tested[0] / "e.h5").rows(name))


def test_other_measures_embed_no_clip_again(tested, scl, discs, tmp_path, caplog):
    caplog.set_level(logging.INFO, "kinoflow")
    evaluate(scl, discs, tmp_path)
    assert caplog.text.count("extracted") == 24
    caplog.clear()
    found = evaluate(scl, discs, tmp_path, options=AlignmentTestOptions(stride=2, neighbours=(3,)))
    assert "extracted" not in caplog.text and set(found["retrieval"]) == {"3"}
    (tmp_path / "metrics.json").unlink()
    evaluate(scl, discs, tmp_path, options=AlignmentTestOptions(every=2))
    assert caplog.text.count("extracted") == 24 and Shard(tmp_path / "e.h5").rows("v09.mp4").shape[0] == -(
        -len(discs.labels["v09.mp4"]) // 2
    )


def test_an_interrupted_evaluation_goes_on_with_the_next_clip(tested, scl, discs, tmp_path):
    words = ["alignment-evaluate", "--model", scl, "--videos", discs.videos, "--segments", discs.segments]
    words += ["--frames", *discs.shards, "--metrics", tmp_path / "metrics.json", "--predictions", tmp_path / "p.csv"]
    words += ["--embeddings", tmp_path / "e.h5", "--first", tmp_path / "f.h5", "--code", "test", "--device", "cpu"]
    words += ["--options", resolved(AlignmentTestOptions())]
    command = [sys.executable, "-m", "kinoflow", *map(str, words)]
    surroundings = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    child = subprocess.Popen(command, env=surroundings, stderr=subprocess.PIPE)
    while len(list((tmp_path / ".work").rglob("*.npy"))) < 3:
        assert child.poll() is None, child.stderr.read().decode()
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    done = len(list((tmp_path / ".work" / "e.h5").rglob("*.npy")))
    if not (tmp_path / "metrics.json").exists():
        again = subprocess.run(command, env=surroundings, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert again.stderr.count("extracted") <= 24 - min(done, 3)
    for name in ("metrics.json", "p.csv", "e.h5", "f.h5"):
        assert (tmp_path / name).read_bytes() == (tested[0] / name).read_bytes()


# ---------------------------------------------------------------- little data


def test_one_phase_only_leaves_out_what_has_no_value(scl, discs, tmp_path, caplog):
    kept = [row for row in tables.read(discs.segments, Segment) if not row.phase or row.phase == "back"]
    tables.write(tmp_path / "s.csv", kept, Segment)
    found = evaluate(scl, discs, tmp_path, segments=tmp_path / "s.csv")
    assert set(found["retrieval"].values()) == {1.0} and "classification" not in found
    assert "the training clips have 1 phases" in caplog.text and all(math.isfinite(value) for value in numbers(found))


def test_clips_that_lack_a_phase_are_told(scl, discs, tmp_path, caplog):
    rows = tables.read(discs.segments, Segment)
    kept = [row for row in rows if not (row.video == "v09.mp4" and row.phase == "grow")]
    tables.write(tmp_path / "s.csv", kept, Segment)
    evaluate(scl, discs, tmp_path, segments=tmp_path / "s.csv")
    assert "1 clips lack a phase and do not count in progress, 'v09.mp4' for example" in caplog.text


def test_as_many_clips_are_tested_as_asked_for(tested, scl, discs, tmp_path):
    found = evaluate(scl, discs, tmp_path, options=AlignmentTestOptions(most=3))
    assert (found["clips"], found["train_clips"]) == (3, 3) and len(Shard(tmp_path / "e.h5").videos) == 6


def test_without_labels_only_the_order_is_measured(scl, discs, tmp_path):
    tables.write(tmp_path / "s.csv", [], Segment)
    found = evaluate(scl, discs, tmp_path, segments=tmp_path / "s.csv")
    assert set(found["over"]["clock"]) == {"tau"} and "retrieval" not in found


def test_a_test_video_of_one_frame_breaks_nothing(scl, discs, tmp_path):
    with shards.writing(tmp_path / "one.h5", Shard(discs.shards[0]).attrs, frames=True) as writer:
        writer.add("one.mp4", np.zeros((1, 20, 20, 3), np.uint8), np.zeros(1))
    rows = [*tables.read(discs.videos, Video), Video(video="one.mp4", path="one.mp4", split="test", status="readable")]
    tables.write(tmp_path / "v.csv", rows, Video)
    label = Segment(segment="one", video="one.mp4", start=0, end=0.1, action="disc", phase="grow", split="test")
    tables.write(tmp_path / "s.csv", [*tables.read(discs.segments, Segment), label], Segment)
    given = {"videos": tmp_path / "v.csv", "segments": tmp_path / "s.csv"}
    found = evaluate(scl, discs, tmp_path, frames=[*discs.shards, tmp_path / "one.h5"], **given)
    assert found["clips"] == 5 and all(math.isfinite(value) for value in numbers(found))
    (row,) = [row for _, row in read_csv(tmp_path / "p.csv", ()) if row["clip"] == "one.mp4"]
    assert (row["frames"], row["tau"]) == ("1", "")  # every pair with it has no order


def test_sets_are_tested_apart_and_averaged(train, discs, tmp_path):
    rows = tables.read(discs.videos, Video)
    tasked = [Video(**{**vars(row), "task": "even" if i % 2 == 0 else "odd"}) for i, row in enumerate(rows)]
    tables.write(tmp_path / "v.csv", tasked, Video)
    model = train(tmp_path / "run", options(1, sets="task"))
    found = evaluate(model, discs, tmp_path, videos=tmp_path / "v.csv")
    assert set(found["sets"]) == {"even", "odd"}
    for keys in (("tau", "test"), ("retrieval", "5")):
        parts = [found["sets"][name][keys[0]][keys[1]] for name in ("even", "odd")]
        assert found[keys[0]][keys[1]] == pytest.approx(np.mean(parts))


def test_a_test_may_say_which_clips_are_apart(scl, discs, tmp_path):
    rows = tables.read(discs.videos, Video)
    tasked = [Video(**{**vars(row), "task": "even" if i % 2 == 0 else "odd"}) for i, row in enumerate(rows)]
    tables.write(tmp_path / "v.csv", tasked, Video)
    found = evaluate(scl, discs, tmp_path, videos=tmp_path / "v.csv", sets="task")
    assert set(found["sets"]) == {"even", "odd"} and read_checkpoint(scl).options.sets == "none"
    with pytest.raises(ConfigError, match="--sets: 'noun' is not allowed: give task or none"):
        evaluate(scl, discs, tmp_path, sets="noun")


def test_the_linear_probe_is_measured_on_demand(scl, discs, tmp_path):
    wanted = AlignmentTestOptions(tasks=("probe",), fractions=(1.0,), probe={"epochs": 5, "batch": 4})
    found = evaluate(scl, discs, tmp_path, options=wanted)
    assert 0 <= found["probe"]["100"]["test"] <= 1 and "tau" not in found and "probe" in found["over"]["untrained"]


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_another_room_or_of_other_shapes_is_one_sentence(scl, tmp_path):
    trained = read_checkpoint(scl)
    checkpoint.save(tmp_path / "a", trained.network, trained.about() | {"room": "recognition"})
    with pytest.raises(DataError, match="no checkpoint of an alignment run"):
        read_checkpoint(tmp_path / "a")
    other = build(options(network={"hidden": 48}))
    checkpoint.save(tmp_path / "b", other, trained.about())
    with pytest.raises(DataError, match=r"of another model: \S+ is .*48.* there, and .*32.* in the network"):
        read_checkpoint(tmp_path / "b")


def test_the_untrained_network_has_the_backbone_that_the_training_began_with(train, scl, tmp_path):
    path = train(tmp_path, options(2, network={"frozen": 2}), weights=scl)
    trained, began = read_checkpoint(path), read_checkpoint(scl)
    first = untrained(trained, scl)
    assert isinstance(first, Trained) and first.network is not trained.network
    for name, value in first.network.backbone.named_parameters():
        value = value.detach()
        assert np.array_equal(value, began.network.backbone.state_dict()[name]), name
    drawn = build(trained.options, 0, 3, 0)
    assert np.array_equal(first.network.embedder.fc0.weight.detach(), drawn.embedder.fc0.weight.detach())


# ---------------------------------------------------------------- measures


def test_unlabelled_frames_count_nowhere_unless_there_are_no_labels():
    rng = np.random.default_rng(0)
    vectors, labels = [rng.normal(size=(6, 2)) for _ in range(3)], [np.array([-1, 0, 0, 1, 1, -1])] * 3
    side = Side(vectors, labels).labelled()
    assert [len(v) for v in side.vectors] == [4] * 3
    some = Side(vectors, [labels[0], np.full(6, -1), labels[0]])
    assert [len(v) for v in some.known().vectors] == [4, 0, 4] and len(some.labelled().vectors) == 2
    bare = Side(vectors, [np.full(6, -1)] * 3)
    assert bare.labelled() is bare
    assert measures(bare, bare, 0, AlignmentTestOptions()).keys() == {"tau"}


def test_a_clip_s_tau_is_its_mean_with_all_others():
    line = np.arange(5.0)[:, None]
    assert tau_by_clip([line, line + 0.1, line[::-1]], AlignmentTestOptions()) == pytest.approx([0, 0, -1])
    assert tau_by_clip([line, np.zeros((1, 1))], AlignmentTestOptions()) == [None, None]


def test_a_clip_s_tau_is_of_labelled_frames_as_the_set_s_is(scl, discs, tmp_path):
    """One test clip has no label; of the others the first phase has none."""
    bare, *others = [row.video for row in tables.read(discs.videos, Video) if row.split == "test"]
    gone = {(bare, phase) for phase in PHASES} | {(video, "right") for video in others}
    rows = [row for row in tables.read(discs.segments, Segment) if (row.video, row.phase) not in gone]
    tables.write(tmp_path / "s.csv", rows, Segment)
    found = evaluate(scl, discs, tmp_path, segments=tmp_path / "s.csv")
    kept = [Shard(tmp_path / "e.h5").rows(video)[discs.labels[video] != 0] for video in others]
    taus = {row["clip"]: row["tau"] for _, row in read_csv(tmp_path / "p.csv", ())}
    assert taus.pop(bare) == "" and list(taus) == others
    assert list(map(float, taus.values())) == pytest.approx(tau_by_clip(kept, AlignmentTestOptions()), abs=1e-5)
    assert kendalls_tau(kept) == pytest.approx(found["tau"]["test"], abs=1e-9)


def test_means_and_differences_keep_the_shape():
    a, b = (
        {"tau": {"test": 0.5}, "retrieval": {"5": 0.2}},
        {"tau": {"test": 0.1}, "probe": {"12_5": {"test": 0.3}, "50": {"test": 0.9}}},
    )
    assert mean([a, b]) == {
        "tau": {"test": 0.3},
        "retrieval": {"5": 0.2},
        "probe": {"12_5": {"test": 0.3}, "50": {"test": 0.9}},
    }
    assert headlines(b) == {"tau": 0.1, "probe": 0.9}
    assert over(a, {"x": b})["x"] == {"tau": pytest.approx(0.4)}
