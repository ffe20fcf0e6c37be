"""Recognition in the workflow: one job for each run and seed; what changes reruns what depends on it, and no more."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.workflow.project import Project, new_project

from kinoflow.media.write import write_video
from kinoflow.store.shards import Shard
from kinoflow.tasks.recognition.score_store import read_scores

pytestmark = pytest.mark.long  # .ci/run trains and tests this room in the main job

STUDY = """
study: trial
datasets:
  mine:
    source: {kind: folder, path: videos}
    shards: 2
    index: {labels: labels.csv, splits: splits.csv}
  flows:
    source: {kind: folder, path: flows}
    content: pictures
    pictures: {pattern: "x_{frame:05d}.png", pattern_y: "y_{frame:05d}.png", rate: 10}
    shards: 2
    index: {labels: flow_labels.csv, splits: flow_splits.csv}
frames:
  small: {dataset: mine, size: 32, store: raw}
flow:
  moves: {frames: small, method: dis_fast, store: raw}
  given: {dataset: flows, store: raw}
recognition:
  still: &still
    frames: small
    seeds: [0, 1]
    input: {kind: rgb, size: 32}
    sampling: {segments: 4}
    network: {backbone: small, shift: null}
    augment: {crop: shift}
    training: {steps: 3, batch: 2, optimiser: adamw, learning_rate: 0.001}
    tests: {server: {test_on: [validation], published: label}}
  moving:
    <<: *still
    frames: moves
    seeds: [0]
    input: {kind: flow, frames: 2, size: 32}
  given:
    <<: *still
    frames: given
    seeds: [0]
    input: {kind: flow, frames: 2, size: 32}
    tests: {}
  direct:
    <<: *still
    frames: null
    dataset: mine
    seeds: [0]
clip_fusions:
  both: {runs: [still, moving], coefficients: [1, 2], seeds: [0]}
features:
  rows: {from: frames, frames: small, backbone: trained, weights: {run: still, seed: each}, stride: 4}
pca:
  two: {features: rows, components: 2}
claims:
  motion: {claim: motion helps, room: recognition, treatment: moving, baseline: still, metric: action.top1}
report: {sheet_videos: 2, sheet_frames: 2}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_video) -> Project:
    """A finished study of two actions: a bar that moves to the left or to the right. Tests edit it, and undo what they did."""
    project = new_project(tmp_path_factory.mktemp("recognition") / "project", make_video)
    (project.place / "study.yaml").write_text(STUDY)
    labels, splits = ["video,start,end,action"], ["video,split"]
    for i in range(6):
        write_video(project.place / f"videos/v{i}.mp4", bar(i % 2, i), 10, gop=6)
        labels.append(f"v{i}.mp4,0,1.2,{('right', 'left')[i % 2]}")
        splits.append(f"v{i}.mp4,{'test' if i > 3 else 'train'}")
        write_flow(project.place / f"flows/v{i}", i % 2)
    for name, lines in (("labels", labels), ("splits", splits)):
        (project.place / f"flow_{name}.csv").write_text("\n".join(lines).replace(".mp4", ""))
    write_video(project.place / "videos/v6.mp4", bar(0, 6), 10, gop=6)  # without a label
    splits.append("v6.mp4,validation")
    (project.place / "labels.csv").write_text("\n".join(labels))
    (project.place / "splits.csv").write_text("\n".join(splits))
    project.snakemake()
    assert project.plan() == []
    return project


def write_flow(folder: Path, left: int) -> None:
    """Pictures of x and y, 12 of each: all of it moves."""
    folder.mkdir(parents=True)
    for number in range(1, 13):
        for axis, value in (("x", 90 if left else 166), ("y", 128)):
            Image.new("L", (40, 32), value).save(folder / f"{axis}_{number:05d}.png")


def bar(left: int, seed: int) -> np.ndarray:
    """(12, 32, 32, 3) uint8"""
    frames = np.full((12, 32, 32, 3), 40, np.uint8)
    for i, frame in enumerate(frames):
        place = 20 - i if left else 4 + seed + i
        frame[:, place : place + 6] = 220
    return frames


@contextmanager
def edited(project: Project, file: str, old: str, new: str) -> Iterator[list[str]]:
    """Change a file for a while; gives the jobs that the change makes necessary."""
    project.edit(file, old, new)
    yield project.snakemake("-n")
    project.edit(file, new, old)


def rules(jobs: list[str]) -> set[str]:
    return {job.split(" ")[0] for job in jobs}


def test_every_run_and_seed_has_its_results(project):
    folders = sorted(path.parent for path in project.place.glob("results/trial/recognition/*/*/metrics.json"))
    assert [f"{folder.parent.name}/{folder.name}" for folder in folders] == [
        "direct/seed-0",
        "given/seed-0",
        "moving/seed-0",
        "still/seed-0",
        "still/seed-1",
    ]
    for folder in folders:
        assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "history.csv", "predictions.csv"}
        assert 0 <= json.loads((folder / "metrics.json").read_text())["action"]["top1"] <= 1
    assert "motion helps" in (project.place / "results/trial/claims.csv").read_text()


def test_a_split_without_labels_is_a_file_for_a_server_and_changes_no_measure(project):
    for folder in sorted(
        path.parent for path in project.place.glob("results/trial/recognition/*/*/metrics-server.json")
    ):
        (line,) = (folder / "published-server.csv").read_text().splitlines()
        assert line in ("v6;left", "v6;right") and not (folder / "published.csv").exists()
        told = json.loads((folder / "metrics.json").read_text())["action"]
        assert (told["clips"], told["unlabelled"]) == (2, 0)


def test_published_flow_is_read_as_it_was_published(project):
    (path,) = project.place.glob("data/flows-*/flow/*/000.h5")
    for shard in (Shard(path), Shard(path.with_name("001.h5"))):
        for video in shard.videos:
            assert np.unique(shard.frames(video)[..., 0]).tolist() == [90 if int(video[1:]) % 2 else 166]


def test_an_ensemble_is_measured_as_its_runs_are_and_told_beside_them(project):
    own = [
        read_scores(project.place / f"results/trial/recognition/{run}/seed-0/scores.h5") for run in ("still", "moving")
    ]
    place = project.place / "results/trial/clip_fusions/both/seed-0"
    told = json.loads((place / "metrics.json").read_text())
    sums = own[0].heads["action"].scores + 2 * own[1].heads["action"].scores
    names = [own[0].heads["action"].classes[k] for k in sums.argmax(1)]
    assert told["action"]["top1"] == np.mean(
        [a == b for a, b in zip(names, own[0].heads["action"].labels, strict=True)]
    )
    assert "clip_fusions" in (project.place / "results/trial/metrics.csv").read_text()
    assert "still + 2 moving" in (project.place / "results/trial/sections/30-recognition-mine.json").read_text()


def test_one_more_seed_is_one_more_training(project):
    with edited(project, "study.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]") as jobs:
        assert [job for job in jobs if "recognition_train" in job] == ["recognition_train run=still seed=2"]
        assert len([job for job in jobs if job.startswith("features_trained")]) == 2  # its own, and nobody else's


def test_each_seed_of_a_run_has_features_and_components_of_its_own(project):
    shards = [Shard(path) for path in project.place.glob("data/*/features/*/*.h5")]
    assert len(shards) == 4 and len({shard.attrs["weights"] for shard in shards}) == 2
    assert all(len(shard.rows(video)) == 3 for shard in shards for video in shard.videos)
    assert len(list(project.place.glob("data/*/features/*/pca/*/basis.safetensors"))) == 2


def test_a_run_that_reads_videos_waits_for_no_frames(project):
    with edited(project, "study.yaml", "size: 32, store: raw", "size: 34, store: raw") as jobs:
        assert "recognition_train run=direct seed=0" not in jobs and "recognition_train run=still seed=0" in jobs


def test_an_option_of_testing_trains_nothing(project):
    with edited(project, "study.yaml", "training: {", "test: {softmax: true}\n    training: {") as jobs:
        assert rules(jobs) == {"recognition_evaluate", "recognition_section", "claims", "report"}


def test_an_option_of_a_run_trains_that_run_alone(project):
    with edited(project, "study.yaml", "kind: flow, frames: 2", "kind: flow, frames: 3") as jobs:
        assert [job for job in jobs if "train" in job] == ["recognition_train run=moving seed=0"]


def test_a_corrected_metric_trains_nothing(project):
    with edited(project, "src/kinoflow/tasks/recognition/measures.py", "FEW = 5", "FEW = 6") as jobs:
        assert "recognition_evaluate" in rules(jobs) and "recognition_train" not in rules(jobs)


def test_a_change_of_the_flow_s_options_reaches_the_runs_that_read_it(project):
    with edited(project, "study.yaml", "method: dis_fast", "method: dis_medium") as jobs:
        assert {"optical_flow shard=000", "optical_flow shard=001", "recognition_train run=moving seed=0"} <= set(jobs)
        assert "recognition_train run=still seed=0" not in jobs


def test_a_deleted_checkpoint_is_trained_to_the_same_bytes(project):
    path = project.place / "results/trial/recognition/moving/seed-0/model.safetensors"
    before = path.read_bytes()
    path.unlink()
    project.snakemake(str(path.relative_to(project.place)))
    assert path.read_bytes() == before
