"""CrossTask and Breakfast in the workflow: from feature files and annotation files as they are published to the report."""

import csv
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.conftest import ROOT
from tests.workflow.project import Project

STUDY = ROOT / "workflow/studies/crosstask-lhsmm.yaml"
STEPS = {"105222": ("pour water", "add salt", "stir"), "40567": ("cut bread", "add salt", "toast", "serve")}
VIDEOS, TESTED = 12, 2  # of each task, one of them of both tasks


class Study(Project):
    """A study whose features have 3,200 columns."""

    patience = 2000


def release(folder: Path, rows: tuple[int, int], columns: int) -> None:
    """Write a release of two tasks, and features in which a step shows as a level of its own (seed 0).

    The last tested video of the first task, and a training video, have no annotation file; one video is of both tasks.
    """
    rng, base = np.random.default_rng(0), folder / "crosstask_release"
    for place in (
        base / "annotations",
        folder / "crosstask_constraints",
        folder / "crosstask_features",
        folder / "theirs",
    ):
        place.mkdir(parents=True)
    levels = {step: rng.normal(0, 1, columns) for steps in STEPS.values() for step in steps}
    cards, listed, tested = [], [], []
    for task, steps in STEPS.items():
        cards.append(f"{task}\n{task} title\nhttps://x\n{len(steps)}\n{','.join(steps)}\n\n")
        names = [f"_v-{task}_{number}" for number in range(VIDEOS - 1)] + ["of_both"]
        listed += [f"{task},{name},https://x" for name in names]
        tested += [f"{task},{name},https://x" for name in names[:TESTED]]
        for number, name in enumerate(names):
            count = int(rng.integers(*rows))
            path = folder / f"crosstask_features/{name}.npy"
            if path.exists():
                count = len(np.load(path))
            cuts = np.linspace(4, count - 2, len(steps) + 1).astype(int)
            x = rng.normal(0, 1, (count, columns)).astype(np.float32)
            told = [(step, cuts[step], cuts[step + 1] - 3) for step in range(len(steps))]
            for step, first, end in told:
                x[first:end] += levels[steps[step]].astype(np.float32)
            if not path.exists():
                np.save(path, x)
            lines = [f"{step + 1},{first}.25,{end - 1}.5\n" for step, first, end in told]
            if (task, number) not in (("105222", TESTED - 1), ("40567", 5)):
                (base / f"annotations/{task}_{name}.csv").write_text("".join(lines))
            (folder / f"crosstask_constraints/{task}_{name}.csv").write_text("".join(lines[:-1]))
            if number < TESTED:
                np.save(folder / f"theirs/{task}_{name}.npy", guessed(count, told))
    (base / "tasks_primary.txt").write_text("".join(cards))
    (base / "tasks_related.txt").write_text("7\nrelated\nhttps://x\n1\nwait\n")
    (base / "videos.csv").write_text("\n".join([*listed, "7,lost,https://x"]) + "\n")
    (base / "videos_val.csv").write_text("\n".join(tested) + "\n")


def guessed(count: int, told: list[tuple[int, int, int]]) -> np.ndarray:
    """Return what others say of a video: the numbers of its steps, -1 for background, one row too late."""
    found = np.full(count, -1)
    for step, first, end in told:
        found[first + 1 : end + 1] = step
    return found


def table(place: Path, name: str) -> list[dict[str, str]]:
    (path,) = place.glob(f"data/{name}")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def processor_seconds() -> float:
    """Return what processes that have ended took of the processor."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measures(place: Path, run: str, test: str = "") -> dict:
    return json.loads((place / f"results/crosstask-lhsmm/segmentation/{run}/seed-0/metrics{test}.json").read_bytes())


@pytest.mark.long
@pytest.mark.timeout(2400)  # processor time is what counts: a busy machine may take long
def test_the_study_of_crosstask_runs_from_features_to_the_report_in_three_minutes(tmp_path):
    release(tmp_path / "media", (60, 121), 3200)
    over = {
        "datasets": {
            "crosstask": {
                "source": {"path": "media/crosstask_features"},
                "annotations": {"path": "media"},
            }
        },
        "segmentation": {
            "lhsmm": {"model": {"states": 64}, "training": {"epochs": 2}},
            "hsmm_supervised": {"outside": "media/theirs", "texts": True},
            "hsmm_narration_ordering": {"training": {"epochs": 3}},
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(over))
    words = ("--configfile", str(STUDY), str(tmp_path / "small.yaml"))
    began = processor_seconds()
    ran = Study(ROOT).snakemake(*words, cwd=tmp_path)
    spent = processor_seconds() - began
    print(f"{spent:.0f} processor seconds")
    assert spent < 2 * 180  # three minutes of two cores, whatever else they do
    assert {"task_links", "video_annotations", "pca_fit", "segmentation_speed", "report"} <= {
        job.split()[0] for job in ran
    }
    assert Study(ROOT).snakemake("-n", *words, cwd=tmp_path) == []

    links = table(tmp_path, "crosstask-*/links.csv")
    assert len(links) == 2 * VIDEOS and len({row["file"] for row in links}) == 2 * VIDEOS - 1
    lost = {(row["video"], row["reason"]) for row in table(tmp_path, "crosstask-*/annotations/*/missing.csv")}
    unlabelled = {f"105222__v-105222_{TESTED - 1}.npy", "40567__v-40567_5.npy"}
    assert lost == {("7_lost", "no file"), *((video, "unannotated") for video in unlabelled)}

    lhsmm, counted = measures(tmp_path, "lhsmm"), measures(tmp_path, "hsmm_supervised")
    for found in (lhsmm, counted, measures(tmp_path, "hsmm_narration_ordering")):
        assert (found["videos"], found["scored"], found["unannotated"]) == (2 * TESTED, 2 * TESTED - 1, 1)
        assert found["impossible"] == 0
    with open(tmp_path / "results/crosstask-lhsmm/segmentation/lhsmm/seed-0/history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    first, last = (float(row["validation/nll_per_row"]) for row in rows)
    assert all(float(row["followed/nll_per_video"]) > 0 for row in rows)  # the test, as published logs tell of it
    assert last < first and lhsmm["nll"]["validation"]["per_video"] > 0
    ordering, narration = (measures(tmp_path, "hsmm_supervised", f"-{test}") for test in ("ordering", "narration"))
    assert counted["averaged"]["mof"] > 0.9 and ordering["averaged"]["mof"] > 0.9
    # Nobody speaks of the last step, so it is found nowhere.
    heard = narration["baselines"]["narration"]["averaged"]["mof"]
    assert narration["averaged"]["mof"] == pytest.approx(heard, abs=0.02) and heard < 0.9
    assert 0.8 < counted["outside"]["averaged"]["mof"] < 1 and "outside" not in lhsmm
    texts = tmp_path / "results/crosstask-lhsmm/segmentation/hsmm_supervised/seed-0"
    for folder in ("texts", "texts-ordering", "texts-narration"):
        assert len(list((texts / folder).glob("*.npy.txt"))) == 2 * TESTED
    page = (tmp_path / "results/crosstask-lhsmm/report.html").read_text()
    assert "arXiv 2201.02715, table of videos (not verified)" in page and str(tmp_path) not in page


def test_fetched_crosstask_and_breakfast_become_datasets_with_steps(tmp_path):
    """The archives of CrossTask by file://, and Breakfast in a folder; a study that names no table."""
    release(tmp_path / "media", (40, 50), 3)
    for name in ("crosstask_release", "crosstask_features", "crosstask_constraints"):
        shutil.make_archive(str(tmp_path / name), "zip", tmp_path / "media", name)
    recordings = {"P03_cam01_P03_tea": "test", "P16_stereo01_P16_tea": "train", "P51_webcam01_P51_coffee": "unused"}
    for name in recordings:
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").write_text("SIL\n" * 30 + "take_cup\n" * 30)
        (tmp_path / "fisher").mkdir(exist_ok=True)
        np.save(tmp_path / "fisher" / f"{name}.npy", np.ones((58, 4), np.float32))
    study = {
        "study": "x",
        "datasets": {
            "crosstask": {
                "descriptor": "crosstask",
                "source": {
                    "files": [
                        {"url": (tmp_path / f"{name}.zip").as_uri(), "name": f"{name}.zip", "unpack": True}
                        for name in ("crosstask_release", "crosstask_features", "crosstask_constraints")
                    ]
                },
                "files": {"blocks": {"i3d": [0, 1], "resnet": [1, 2], "audio": [2, 3]}},
                "shards": 1,
            },
            "breakfast": {
                "descriptor": "breakfast",
                "source": {"kind": "folder", "path": "fisher"},
                "annotations": {"path": "labels"},
                "shards": 1,
            },
        },
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    ran = Project(ROOT).snakemake("--configfile", str(tmp_path / "study.yaml"), "--until", "index", cwd=tmp_path)
    assert sorted(ran) == sorted(
        [
            *("download", "task_links"),
            *2 * ("index", "inventory", "probe_files shard=000", "video_annotations"),
        ]
    )
    videos = {row["video"]: row for row in table(tmp_path, "crosstask-*/index/*/videos.csv")}
    assert len(videos) == 2 * VIDEOS and {"105222_of_both.npy", "40567_of_both.npy"} < videos.keys()
    assert sorted(row["split"] for row in videos.values()) == ["test"] * 4 + ["train"] * 18 + ["validation"] * 2
    assert videos["40567_of_both.npy"]["task"] == "40567"
    steps = [(row["task"], row["action"]) for row in table(tmp_path, "crosstask-*/annotations/*/steps.csv")]
    assert steps == [(task, step) for task, own in STEPS.items() for step in own]
    windows = table(tmp_path, "crosstask-*/annotations/*/narration.csv")
    assert {row["video"] for row in windows} == videos.keys()
    found = {row["video"]: row["split"] for row in table(tmp_path, "breakfast-*/index/*/videos.csv")}
    assert found == {f"{name}.npy": split for name, split in recordings.items()}
    actions = [(row["video"][:3], row["action"]) for row in table(tmp_path, "breakfast-*/index/*/segments.csv")]
    assert actions == [(person, action) for person in ("P03", "P16") for action in ("SIL", "take_cup")]
