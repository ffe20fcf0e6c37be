"""Every kind of dataset goes through the whole workflow: real clips, the torture set, downloads, feature files."""

import csv
import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
import yaml

REST = """
frames:
  eight: {dataset: mine, size: 64, shape: crop, count: 8}
features:
  net: {from: frames, frames: eight, backbone: small}
pca:
  four: {features: net, components: 4}
report: {sheet_videos: 4, sheet_frames: 4}
"""


def videos_table(project) -> dict[str, dict[str, str]]:
    (path,) = project.place.glob("data/mine-*/index/*/videos.csv")
    with open(path, newline="", errors="surrogateescape") as file:
        return {row["video"]: row for row in csv.DictReader(file)}


@pytest.mark.long
def test_real_clips_run_to_the_report(fresh, shared):
    source = {"kind": "folder", "path": str(shared / "data/videos")}
    dataset = {"source": source, "exclude": ["*.csv", "*.md"], "shards": 2}
    (fresh.place / "study.yaml").write_text(yaml.safe_dump({"study": "real", "datasets": {"mine": dataset}}) + REST)
    fresh.snakemake()
    found = videos_table(fresh)
    with open(shared / "data/videos/manifest.csv", newline="") as file:
        want = {row["file"]: row["n_frames"] for row in csv.DictReader(file)}
    assert {name: row["frames"] for name, row in found.items()} == want
    assert (fresh.place / "results/real/report.html").stat().st_size > 10_000


@pytest.mark.long
def test_the_torture_set_runs_to_the_report_with_every_loss_named(fresh, shared):
    (fresh.place / "torture").mkdir()
    with open(shared / "data/torture/expected.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        shutil.copy(shared / "data/torture" / row["file"], fresh.place / "torture" / row["copy_as"])
    dataset = {
        "source": {"kind": "folder", "path": "torture"},
        "shards": 2,
        "probe": {"check": "decode"},
        "index": {"max_unreadable": 0.5},
    }
    (fresh.place / "study.yaml").write_text(yaml.safe_dump({"study": "torture", "datasets": {"mine": dataset}}) + REST)
    fresh.snakemake()
    found = videos_table(fresh)
    assert {row["copy_as"]: row["expected"] for row in rows} == {name: row["status"] for name, row in found.items()}
    page = (fresh.place / "results/torture/report.html").read_text()
    assert all(name in page for name in ("zero_byte.mp4", "moov_missing.mp4", "audio_only.mp4"))


def test_an_archive_is_fetched_unpacked_and_read(fresh):
    with zipfile.ZipFile(fresh.place / "clips.zip", "w") as archive:
        for video in sorted((fresh.place / "videos").iterdir()):
            archive.write(video, f"clips/{video.name}")
    digest = hashlib.sha256((fresh.place / "clips.zip").read_bytes()).hexdigest()
    file = {"url": f"file://{fresh.place}/clips.zip", "sha256": digest, "name": "clips.zip", "unpack": True}
    source = {"kind": "download", "files": [file], "videos": "clips/clips"}
    study = {"study": "fetched", "datasets": {"mine": {"source": source, "shards": 2}}}
    (fresh.place / "study.yaml").write_text(yaml.safe_dump(study))
    assert "download" in fresh.snakemake("--until", "index")
    assert fresh.plan("--until", "index") == []
    assert sorted(videos_table(fresh)) == [f"v{i}.mp4" for i in range(6)]


def test_a_dataset_behind_a_form_stops_with_the_steps_and_takes_the_files_when_they_are_there(fresh):
    files = [{"name": "part.mp4"}]
    source = {"kind": "download", "form": "Sign the form of the owner.", "files": files}
    study = {"study": "signed", "datasets": {"mine": {"source": source, "shards": 2}}}
    (fresh.place / "study.yaml").write_text(yaml.safe_dump(study))
    fresh.snakemake(refused="Sign the form of the owner.")
    (raw,) = fresh.place.glob("data/mine-*/raw")
    shutil.copy(fresh.place / "videos/v0.mp4", raw / "part.mp4")
    fresh.snakemake("--until", "index")
    assert list(videos_table(fresh)) == ["part.mp4"]


@pytest.mark.parametrize("orientation", ["T x D", pytest.param("D x T", marks=pytest.mark.long)])
def test_feature_files_alone_are_reduced_block_by_block(fresh, orientation):
    rng = np.random.default_rng(0)
    (fresh.place / "arrays").mkdir()
    for i in range(8):
        x = rng.standard_normal((20, 12)).astype(np.float32)
        np.save(fresh.place / f"arrays/f{i}.npy", x if orientation == "T x D" else x.T)
    files = {"rate": 2.0, "orientation": orientation, "blocks": {"picture": [0, 8], "sound": [8, 12]}}
    dataset = {
        "source": {"kind": "folder", "path": "arrays"},
        "content": "features",
        "shards": 2,
        "files": files,
    }
    study = {
        "study": "arrays",
        "datasets": {"mine": dataset},
        "features": {"given": {"from": "files", "dataset": "mine"}},
        "pca": {"small": {"features": "given", "components": 3, "by_block": True}},
    }
    (fresh.place / "study.yaml").write_text(yaml.safe_dump(study))
    fresh.snakemake()
    assert {(row["frames"], row["width"], row["duration"]) for row in videos_table(fresh).values()} == {
        ("20", "12", "10.0")
    }
    from kinoflow.store.shards import Shard

    shards = [Shard(path) for path in fresh.place.glob("data/mine-*/features/*/pca/*/00?.h5")]
    assert sum(len(shard.videos) for shard in shards) == 8
    assert {shard.x.shape[1] for shard in shards} == {6}
    assert json.loads(shards[0].attrs["blocks"]) == {"picture": [0, 3], "sound": [3, 6]}
