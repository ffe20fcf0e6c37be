"""Releases that the workflow turns into clips: from TFRecord files, pictures and long videos to labelled frames."""

import csv
import shutil

import pytest
import yaml
from tests.datasets.published import releases

from kinoflow.datasets.published.tfrecord import crc32c
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions


def study(project, **dataset) -> None:
    values = {"datasets": {"mine": {"shards": 1, **dataset}}, "frames": {"small": {"dataset": "mine", "size": 32}}}
    (project.place / "study.yaml").write_text(yaml.safe_dump({"study": "x", **values}))


def table(project, name: str) -> list[dict[str, str]]:
    (path,) = project.place.glob(f"data/mine-*/{name}")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def rules(found: list[str]) -> set[str]:
    return {job.split()[0] for job in found}


def test_pouring_is_fetched_converted_and_converted_anew_where_other_records_lie(fresh):
    server, mine = fresh.place / "server", fresh.place / "mine"
    server.mkdir()
    releases.pouring(server, train=3, val=1, frames=12, side=32, crc=crc32c)
    shutil.copytree(server, mine)
    files = [{"name": path.name, "url": path.as_uri()} for path in sorted(server.iterdir())]
    study(fresh, descriptor="pouring", source={"kind": "download", "files": files})
    assert {"download", "convert_pouring", "probe", "index", "frames"} <= rules(fresh.snakemake())
    assert fresh.plan() == []
    splits = {row["video"]: row["split"] for row in table(fresh, "index/*/videos.csv")}
    assert sorted(splits.values()) == ["train"] * 3 + ["validation"]
    phases = {row["phase"] for row in table(fresh, "index/*/segments.csv")}
    assert phases == {"", *(f"phase {number}" for number in range(5))}

    study(fresh, descriptor="pouring", source={"kind": "folder", "path": "mine"})
    assert not {"download"} & rules(fresh.snakemake("--until", "index"))
    assert fresh.snakemake("-n", "--until", "index") == []
    lost = mine / "pouring_val-0-of-1.tfrecord"
    lost.write_bytes((mine / "pouring_train-0-of-2.tfrecord").read_bytes()[:-1])
    fresh.snakemake("--until", "index", refused="pouring_val-0-of-1.tfrecord")
    lost.unlink()
    assert "convert_pouring" in rules(fresh.snakemake("--until", "index"))
    (fetched,) = fresh.place.glob("data/mine-*/fetched.json")
    shutil.rmtree(fetched.parent)
    own = {row["video"]: row["split"] for row in table(fresh, "index/*/videos.csv")}
    assert sorted(own.values()) == ["train"] * 3 + ["unused"]  # the clip that no record holds any more


@pytest.mark.long
def test_penn_action_becomes_clips_whose_missing_ones_are_named(fresh):
    clips = {f"{n:04d}": ("train" if n < 3 else "val", "bowl", 10, 10 + n % 3) for n in range(1, 5)}
    releases.penn_action(fresh.place / "media", clips)
    shutil.rmtree(fresh.place / "media/Penn_Action/frames/0004")
    study(fresh, descriptor="penn_action", source={"kind": "folder", "path": "media"}, convert={"size": 32})
    assert "convert_penn_action" in rules(fresh.snakemake())
    assert [row["reason"] for row in table(fresh, "converted/missing.csv")] == ["no folder of frames"]
    assert {row["split"] for row in table(fresh, "index/*/videos.csv")} == {"train", "validation"}
    (fresh.place / "media").rename(fresh.place / "moved")
    fresh.edit("study.yaml", "path: media", "path: moved")
    assert fresh.snakemake("-n") == []


@pytest.mark.long
def test_finegym_is_cut_by_several_threads(fresh, shared):
    raw = fresh.place / "media/raw"
    raw.mkdir(parents=True)
    shutil.copy(shared / "data/videos/mmaction2_demo.mp4", raw / "v-1_a.mp4")
    segments = {"A_0000_0001": {"stages": 1, "timestamps": [[0.0, 0.4]]}}
    events = {
        f"E_00000{i}_00000{i + 2}": {"event": 1, "timestamps": [[0.5 * i, 0.5 * i + 1]], "segments": segments}
        for i in range(4)
    }
    names = [f"v-1_a_{event}_A_0000_0001" for event in events]
    releases.finegym(
        fresh.place / "media/annotations", {"v-1_a": events}, dict.fromkeys(names[:3], 7), dict.fromkeys(names[3:], 42)
    )
    study(fresh, descriptor="finegym", source={"kind": "folder", "path": "media"}, shards=1)
    assert "cut_finegym" in rules(fresh.snakemake())
    assert fresh.snakemake("-n") == []
    (folder,) = fresh.place.glob("data/mine-*/clips")
    assert sorted(path.name for path in folder.glob("*.mp4")) == sorted(f"v-1_a_{event}.mp4" for event in events)
    clip = sorted(folder.glob("*.mp4"))[1]
    assert sum(len(frames) for frames, _ in decode_video(clip, FramesOptions(size=360))) == 25
    assert {row["phase"] for row in table(fresh, "index/*/segments.csv")} == {"", "element 7", "element 42"}
    assert "media" not in (folder.parent / "contents.json").read_text()
