"""What reruns, and what does not: each test changes one thing and counts the jobs of the next call."""

import os
import re
import shutil
import time

import pytest
from tests.workflow.project import Project

AFTER_PCA = ["pca_section name=two", "report"]
# A shard that changes moves the components: the fit, every projection and what is shown of it.
REDUCED = ["pca_apply shard=000", "pca_apply shard=001", "pca_fit", *AFTER_PCA]
TABLES = ["data_section name=mine", "index", "inventory"]


def shard_jobs(shard: str) -> list[str]:
    return [f"{rule} shard={shard}" for rule in ("probe", "frames", "features", "pca_partial")]


def test_the_first_run_makes_everything_once(finished):
    page = (finished.place / "results/trial/report.html").read_text()
    assert "</html>" in page
    assert len([*finished.place.glob("data/mine-*/features/*/pca/*/00?.h5")]) == 2


def test_a_moved_folder_a_comment_and_reordered_keys_rerun_nothing(project):
    project.edit("src/kinoflow/features/pca.py", "def pca_fit(", "# a comment\ndef pca_fit(")
    project.edit("src/kinoflow/media/frames.py", "def frames(", "# another\n\n\ndef frames(")
    lines = (project.place / "study.yaml").read_text()
    head, tail = lines.split("frames:\n", 1)
    (project.place / "study.yaml").write_text("frames:\n" + tail + head)
    assert project.plan() == []


def test_touched_videos_rerun_nothing(project):
    for path in (project.place / "videos").iterdir():
        path.touch()
    assert project.snakemake() == []
    (project.place / "videos").rename(project.place / "elsewhere")
    project.edit("study.yaml", "path: videos", "path: elsewhere")
    assert project.plan() == []


def test_a_reworded_description_reruns_nothing(project):
    project.edit("src/kinoflow/media/options.py", "JPEG quality", "How good the JPEG pictures are")
    project.edit("src/kinoflow/progress.py", "about %s left", "some %s left")
    assert project.plan() == []


def test_a_changed_default_reruns_the_stages_whose_value_changes(project):
    project.edit("src/kinoflow/features/options.py", "whiten: bool = option(False", "whiten: bool = option(True")
    assert project.plan() == sorted([*(f"pca_partial shard=00{i}" for i in range(2)), *REDUCED])


def test_an_extractor_option_reruns_features_and_what_follows(project):
    project.edit("study.yaml", "stride: 2", "stride: 3")
    planned = project.plan()
    assert planned == sorted(
        [f"{rule} shard=00{i}" for rule in ("features", "pca_partial") for i in range(2)] + REDUCED
    )
    project.edit("study.yaml", "stride: 3", "stride: 2, batch: 3")  # changes no value
    assert project.plan() == []


def change(videos, how):
    if how == "add":
        shutil.copy(videos / "v1.mp4", videos / "new.mp4")
        with open(videos / "new.mp4", "ab") as file:
            file.write(bytes(8))
    elif how == "remove":
        (videos / "v3.mp4").unlink()
    else:  # the same size, the same head, middle and tail
        with open(videos / "v3.mp4", "r+b") as file:
            file.seek(80_000)
            assert file.read(1) == b"\0"
            file.seek(80_000)
            file.write(b"\1")


@pytest.mark.parametrize(
    ("how", "touched", "carried_out"), [("add", False, False), ("remove", True, False), ("replace", True, True)]
)
def test_one_video_is_one_probe_one_frames_one_features_job(project, how, touched, carried_out):
    if touched:
        for path in (project.place / "videos").iterdir():
            path.touch()
        project.snakemake()
    change(project.place / "videos", how)
    planned = project.plan()
    (shard,) = {job.split("shard=")[1] for job in planned if job.startswith("probe ")}
    assert planned == sorted(shard_jobs(shard) + REDUCED + TABLES)
    if not carried_out:
        return
    assert project.snakemake() == planned
    assert project.plan() == []
    (log,) = project.place.glob(f"logs/frames/*/*/{shard}.log")
    decoded = re.findall(r"^decoded '(.*)'", log.read_text(), re.M)
    assert decoded == ["v3.mp4"]


def test_a_label_edited_reruns_the_tables_and_no_shard(project):
    project.edit("labels.csv", "v1.mp4,0,0.5,wave", "v1.mp4,0,0.5,greet")
    assert project.plan() == ["data_section name=mine", "index", "report"]


@pytest.mark.parametrize("rule", [pytest.param("probe", marks=pytest.mark.long), "frames"])
def test_a_neutral_edit_stops_at_its_stage(project, rule):
    before = project.products("data")
    code = (project.place / f"src/kinoflow/media/{rule}.py").read_text()
    code, count = re.subn(rf'^( +)(with Progress\(f"{rule} )', r"\1assert options is not None\n\1\2", code, flags=re.M)
    assert count == 1
    (project.place / f"src/kinoflow/media/{rule}.py").write_text(code)
    ran = project.snakemake("--until", rule)
    assert ran == [f"{rule} shard=00{i}" for i in range(2)]
    assert project.snakemake() == []
    assert project.products("data") == before


def test_a_changed_constant_in_pca_reruns_pca_and_what_follows_and_reverted_the_same_bytes_are_back(project):
    before = project.products()
    after = sorted([*(f"pca_partial shard=00{i}" for i in range(2)), *REDUCED])
    project.edit("src/kinoflow/features/covariance.py", "BLOCK_ROWS = 2048", "BLOCK_ROWS = 5")
    assert project.snakemake() == after
    project.edit("src/kinoflow/features/covariance.py", "BLOCK_ROWS = 5", "BLOCK_ROWS = 2048")
    assert project.snakemake() == after
    assert project.products() == before


def test_two_studies_in_one_folder_leave_each_other_s_work_alone(project):
    other = (project.place / "study.yaml").read_text().replace("study: trial", "study: other")
    other = other.replace("size: 32", "size: 24").replace("components: 2", "components: 3")
    (project.place / "other.yaml").write_text(other)
    ran = project.snakemake("--configfile", str(project.place / "other.yaml"))
    assert not [job for job in ran if job.startswith(("probe", "inventory", "index"))]  # shared: they are equal
    assert [job for job in ran if job.startswith("frames")] == [f"frames shard=00{i}" for i in range(2)]
    assert project.plan() == []
    assert project.plan("--configfile", str(project.place / "other.yaml")) == []
    project.edit("study.yaml", "components: 2", "components: 3")
    project.snakemake()
    project.edit("study.yaml", "components: 3", "components: 2")
    assert project.snakemake() == AFTER_PCA  # the shards of the old value are still there


@pytest.mark.long
def test_a_clock_set_back_reruns_nothing_is_told_and_costs_nothing(project):
    """Everything that is there was made a day ahead of now."""
    dated(project, time.time() + 86_400)
    assert project.snakemake() == []
    project.edit("study.yaml", "components: 2", "components: 1")
    before = {name: content for name, content in project.products("data").items() if "/pca/" not in name}
    project.snakemake(refused="has older modification time")
    assert before.items() <= project.products("data").items()
    dated(project, time.time())  # the clock is right again
    assert {"pca_fit", *AFTER_PCA} <= set(project.jobs())


def dated(project: Project, moment: float) -> None:
    """Give all videos and results another time of change."""
    for part in ("videos", "data", "results"):
        for file in (project.place / part).rglob("*"):
            os.utime(file, (moment, moment), follow_symlinks=False)
