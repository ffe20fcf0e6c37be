"""From media and annotation files in the layouts of published datasets to what a recognition run reads."""

import csv
import io

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.conftest import moving_square

from kinoflow.store.shards import Shard

CLASSES = ("Archery", "HandstandPushups", "YoYo")
RUN = {
    "frames": "small",
    "heads": {"action": {"classes": "file"}},
    "input": {"size": 32},
    "sampling": {"segments": 2},
    "network": {"backbone": "small"},
    "training": {"steps": 1, "batch": 2},
}


def table(project, name: str) -> list[dict[str, str]]:
    (path,) = project.place.glob(f"data/mine-*/{name}")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def study(project, dataset: dict, **more) -> None:
    values = {"study": "x", "datasets": {"mine": dataset}, "frames": {"small": {"dataset": "mine", "size": 32}}}
    (project.place / "study.yaml").write_text(yaml.safe_dump({**values, **more}))


def jobs(found: list[str]) -> dict[str, int]:
    rules = [job.split()[0] for job in found]
    return {rule: rules.count(rule) for rule in sorted(set(rules))}


@pytest.fixture
def ucf101(fresh, make_video):
    """A made-up UCF101: two clips for training and one for testing of three classes, flat as they come out of the archive."""
    lists = {"trainlist01": [], "testlist01": []}
    for number, action in enumerate(CLASSES, 1):
        for group in (8, 9, 1):
            stem = f"v_{action.replace('stand', 'Stand')}_g{group:02d}_c01"
            make_video(fresh.place / "clip.mp4", seed=10 * number + group).rename(fresh.place / f"videos/{stem}.avi")
            line = f"{action}/{stem}.avi"
            lists["testlist01" if group == 1 else "trainlist01"].append(line if group == 1 else f"{line} {number}")
    folder = fresh.place / "lists"
    folder.mkdir()
    (folder / "classInd.txt").write_bytes("".join(f"{i} {name}\r\n" for i, name in enumerate(CLASSES, 1)).encode())
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return fresh


@pytest.mark.long
def test_a_ucf101_goes_from_its_annotation_files_to_the_plan_of_a_training(ucf101):
    dataset = {
        "descriptor": "ucf101",
        "source": {"kind": "folder", "path": "videos"},
        "annotations": {"path": "lists", "class_count": 3},
        "shards": 2,
    }
    net = {"features": {"net": {"from": "frames", "frames": "small", "backbone": "small", "stride": 4}}}
    study(ucf101, dataset, **net, pca={"two": {"features": "net", "components": 2, "fit_on": "train"}})
    assert jobs(ucf101.snakemake())["annotations"] == 1
    assert ucf101.plan() == []

    labels = {row["video"]: (row["action"], row["split"]) for row in table(ucf101, "index/*/segments.csv")}
    assert len(labels) == 9 and labels["v_HandStandPushups_g08_c01.avi"] == ("HandstandPushups", "train")
    assert {video for video, (_, split) in labels.items() if split == "test"} == {v for v in labels if "_g01_" in v}
    recordings = {row["video"]: row["recording"] for row in table(ucf101, "index/*/videos.csv")}
    assert recordings["v_YoYo_g09_c01.avi"] == "v_YoYo_g09"
    (classes,) = ucf101.place.glob("data/mine-*/annotations/*/classes.txt")
    assert classes.read_text().split() == list(CLASSES)

    (ucf101.place / "lists").rename(ucf101.place / "elsewhere")
    ucf101.edit("study.yaml", "path: lists", "path: elsewhere")
    listed = ucf101.place / "elsewhere/trainlist01.txt"
    content = listed.read_bytes()
    listed.write_bytes(content.replace(b"v_YoYo_g09_c01.avi 3", b"v_YoYo_g19_c01.avi 3"))
    assert {"annotations", "index", "pca_partial"} <= jobs(ucf101.snakemake("-n")).keys()
    listed.write_bytes(content)
    assert ucf101.snakemake("-n") == []  # content counts, neither place nor time

    ucf101.edit("study.yaml", "class_count: 3", "class_count: 3\n      split: 2")
    with open(ucf101.place / "study.yaml", "a") as file:
        file.write(yaml.safe_dump({"recognition": {"tsm": RUN}}))
    other = jobs(ucf101.snakemake("-n"))
    assert other["annotations"] == other["index"] == other["recognition_train"] == 1
    assert not {"probe", "inventory", "frames"} & other.keys()


def test_a_clip_that_is_lost_is_named_and_too_many_stop_the_run(ucf101):
    (ucf101.place / "videos/v_YoYo_g09_c01.avi").unlink()
    annotations = {"kind": "ucf101", "path": "lists", "class_count": 3}
    dataset = {"source": {"kind": "folder", "path": "videos"}, "include": ["*.avi"], "annotations": annotations}
    study(ucf101, {**dataset, "shards": 1})
    ucf101.snakemake("--until", "index")
    (lost,) = table(ucf101, "annotations/*/missing.csv")
    assert (lost["split"], lost["clip"], lost["action"]) == ("train", "YoYo/v_YoYo_g09_c01.avi", "YoYo")
    for name in ("v_YoYo_g08_c01.avi", "v_YoYo_g01_c01.avi"):
        (ucf101.place / "videos" / name).unlink()
    ucf101.snakemake("--until", "index", refused="videos named there were not found in the folder")


def test_folders_of_pictures_become_frames_as_they_are(fresh):
    """A made-up Jester: JPEG folders, some of them only tested, and tables of labels."""
    rows = {"train": ("4", "30", "7", "12"), "validation": ("5",), "test": ("6",)}
    for clip in (clip for clips in rows.values() for clip in clips):
        (fresh.place / "pictures" / clip).mkdir(parents=True)
        for i, frame in enumerate(moving_square(6, 32, 44, seed=int(clip)), 1):
            out = io.BytesIO()
            Image.fromarray(frame).save(out, "JPEG", quality=90)
            (fresh.place / "pictures" / clip / f"{i:05d}.jpg").write_bytes(out.getvalue())
    (fresh.place / "lists").mkdir()
    (fresh.place / "lists/jester-v1-labels.csv").write_text("Swiping Left\nNo gesture\n")
    for split, clips in rows.items():
        ends = ["" if split == "test" else (";Swiping Left", ";No gesture")[i % 2] for i in range(len(clips))]
        text = "".join(f"{clip}{end}\n" for clip, end in zip(clips, ends, strict=True))
        (fresh.place / f"lists/jester-v1-{split}.csv").write_text(text)
    dataset = {
        "descriptor": "jester",
        "source": {"kind": "folder", "path": "pictures"},
        "annotations": {"path": "lists", "class_count": 2},
        "shards": 2,
    }
    study(fresh, dataset)
    ran = jobs(fresh.snakemake())
    assert (ran["probe_pictures"], ran["picture_frames"], ran["annotations"]) == (2, 2, 1)
    found = {row["video"]: (row["split"], row["frames"], row["fps"]) for row in table(fresh, "index/*/videos.csv")}
    assert found == {clip: (split, "6", "12.0") for split, clips in rows.items() for clip in clips}
    labels = {row["video"]: (row["action"], row["end"]) for row in table(fresh, "index/*/segments.csv")}
    assert labels["30"] == ("No gesture", "0.5") and "6" not in labels
    shards = [Shard(path) for path in sorted(fresh.place.glob("data/mine-*/frames/*/00?.h5"))]
    stored = {video: shard.picture(video, 2) for shard in shards for video in shard.videos}
    assert stored == {v: (fresh.place / "pictures" / v / "00003.jpg").read_bytes() for v in found}

    picture = fresh.place / "pictures/7/00006.jpg"
    picture.write_bytes(picture.read_bytes() + b"more")
    (fresh.place / "pictures/7/00007.jpg").write_bytes(picture.read_bytes())
    again = jobs(fresh.snakemake("-n"))
    assert (again["probe_pictures"], again["picture_frames"]) == (1, 1)
    assert np.all([len(shard.videos) > 0 for shard in shards])
