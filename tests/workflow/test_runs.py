"""How a run behaves: the same bytes however it goes, one run at a time, kills, edits in flight, other folders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.workflow.project import ROOT, STUDY, kill, wait_for, wait_for_jobs

KITCHEN = """
study: tiny
datasets:
  kitchen:
    source: {kind: kitchen, training_videos: 3, test_videos: 1, texts: 10, size: 32}
    shards: 2
frames:
  small: {dataset: kitchen, size: 16, store: raw, rate: 4}
features:
  net: {from: frames, frames: small}
pca:
  two: {features: net, components: 2}
"""


@pytest.mark.long  # .ci/run does so with all rooms
def test_the_embedded_dataset_is_rendered_and_read_in_one_call(fresh):
    (fresh.place / "study.yaml").write_text(KITCHEN)
    ran = fresh.snakemake()
    assert [job for job in ran if job.startswith("render")] == ["render"]
    assert fresh.plan() == []
    rows = next(fresh.place.glob("data/kitchen-*/index/*/videos.csv")).read_text().splitlines()
    assert len(rows) == 1 + 4
    fresh.edit("study.yaml", "training_videos: 3", "training_videos: 4")
    assert "render" in fresh.plan()


def test_stages_by_hand_without_snakemake_give_the_same_bytes(finished, tmp_path):
    """Plain commands in a process that cannot import Snakemake."""
    videos, data = finished.place / "videos", next((finished.place / "data").iterdir()).name
    (tmp_path / "blocked/snakemake").mkdir(parents=True)
    (tmp_path / "blocked/snakemake/__init__.py").write_text("raise ImportError('Snakemake is not installed here')")
    place = tmp_path / "data" / data
    frames, features = (next((finished.place / "data" / data / kind).iterdir()).name for kind in ("frames", "features"))
    pca = next((finished.place / "data" / data / "features" / features / "pca").iterdir()).name
    index = next((finished.place / "data" / data / "index").iterdir()).name
    contents = json.loads((finished.place / "data" / data / "contents.json").read_text())

    def kinoflow(*words: object) -> None:
        path = os.pathsep.join([str(tmp_path / "blocked"), str(finished.place / "src")])
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KINOFLOW_")} | {"PYTHONPATH": path}
        command = [sys.executable, "-m", "kinoflow", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    options = {key: json.dumps(value) for key, value in contents.items()}
    labels = finished.place / "labels.csv"
    dataset = contents["dataset"]
    scan = json.dumps({key: dataset[key] for key in ("include", "exclude", "watch", "shards")})
    kinoflow("lists", "--root", videos, "--data", place, "--options", scan)
    of_index = ("--options", options[f"index/{index}"], "--labels", labels)
    kinoflow("roles", "--data", place, "--out", place / "index" / index / "roles", *of_index)
    shards = [f"00{i}" for i in range(2)]
    reduced = place / "features" / features / "pca" / pca
    for shard in shards:
        table = place / "probe" / f"{shard}.csv"
        decoded = place / "frames" / frames / f"{shard}.h5"
        extracted = place / "features" / features / f"{shard}.h5"
        kinoflow("probe", "--root", videos, "--list", place / f"lists/{shard}.json", "--table", table)
        kinoflow(
            "frames", "--root", videos, "--table", table, "--shard", decoded, "--options", options[f"frames/{frames}"]
        )
        kinoflow("features", "--frames", decoded, "--shard", extracted, "--options", options[f"features/{features}"])
        role = place / "index" / index / "roles" / f"{shard}.json"
        of_pca = ("--options", options[f"features/{features}/pca/{pca}"])
        kinoflow(
            "pca-partial",
            "--features",
            extracted,
            "--roles",
            role,
            "--partial",
            reduced / f"partial/{shard}.h5",
            *of_pca,
        )
    partials = [reduced / f"partial/{shard}.h5" for shard in shards]
    kinoflow("pca-fit", "--partials", *partials, "--basis", reduced / "basis.safetensors", *of_pca)
    for shard in shards:
        features_file, basis = place / "features" / features / f"{shard}.h5", reduced / "basis.safetensors"
        kinoflow(
            "pca-apply", "--features", features_file, "--basis", basis, "--shard", reduced / f"{shard}.h5", *of_pca
        )
    tables = [place / "probe" / f"{shard}.csv" for shard in shards]
    both = ("--inventory", place / "inventory.csv")
    kinoflow("inventory", "--tables", *tables, *both, "--unreadable", place / "unreadable.csv")
    named = [word for name in ("videos", "segments") for word in (f"--{name}", place / "index" / index / f"{name}.csv")]
    kinoflow("index", *both, *named, *of_index)
    mine = {str(p.relative_to(tmp_path)): p.read_bytes() for p in sorted((tmp_path / "data").rglob("*")) if p.is_file()}
    want = finished.products("data")
    assert {name: mine.get(name) == content for name, content in want.items()} == dict.fromkeys(want, True)


def test_a_run_killed_again_and_again_continues_by_the_same_command(finished, fresh):
    for after in ("probe/**/*.csv", "frames/**/*.h5", "features/**/*.h5"):
        process = fresh.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda after=after: any(fresh.place.glob(f"data/*/{after}")))
        kill(process)
        wait_for_jobs(fresh.place)  # its local jobs end with it
        fresh.snakemake("-n")
    fresh.snakemake()
    assert fresh.snakemake("-n") == []
    assert fresh.products() == finished.products()
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]


def test_ctrl_c_leaves_nothing_half_written(fresh, make_video):
    make_video(
        fresh.place / "videos/long.mp4", frames=8000
    )  # its frames take seconds, in which no other process starts
    with open(fresh.place / "labels.csv", "a") as labels:
        labels.write("long.mp4,0,1,wave\n")
    (fresh.place / "study.yaml").write_text(STUDY.replace("shards: 2", "shards: 1"))
    words = ("--cores", "1", "--until", "frames")
    process = fresh.start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    wait_for(lambda: any(fresh.place.glob("logs/frames/**/*.log")))
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "kinoflow frames: interrupted; the same command continues" in text and "Traceback" not in text
    wait_for_jobs(fresh.place)
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]
    fresh.snakemake(*words)
    assert fresh.snakemake("-n", *words) == []


def test_a_second_run_is_refused_with_one_sentence_and_a_dry_run_is_not(fresh):
    process = fresh.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(
        lambda: (fresh.place / ".snakemake/kinoflow/owner").exists() and any(fresh.place.glob("data/*/lists/*.json"))
    )
    fresh.snakemake(refused=f"Another run is at work in this folder (process {process.pid} on {os.uname().nodename})")
    fresh.snakemake("-n")
    assert process.poll() in (None, 0)  # the first one goes on, undisturbed, to its end
    kill(process)


def test_one_core_gives_the_bytes_of_two_and_an_edit_during_a_run_does_not_reach_it(finished, fresh):
    process = fresh.start("--cores", "1", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "Select jobs" not in process.stdout.readline():
        assert process.poll() is None
    fresh.edit("src/kinoflow/features/covariance.py", "BLOCK_ROWS = 2048", "BLOCK_ROWS = 0")
    fresh.edit("study.yaml", "components: 2", "components: 3")
    fresh.edit("workflow/rules/pca.smk", "rule pca_fit:", "rule pca_fit: a syntax error")
    text = process.communicate()[0]
    assert process.returncode == 0, text
    want = finished.products()
    assert fresh.products() == want
    assert len(want) > 15


def test_a_dry_run_writes_nothing_but_snakemake_s_own(fresh):
    before = sorted(fresh.place.rglob("[!.]*"))
    fresh.snakemake("-n")
    after = [p for p in fresh.place.rglob("[!.]*") if ".snakemake" not in p.parts and "__pycache__" not in p.parts]
    assert sorted(after) == before
    assert not (fresh.place / ".snakemake/kinoflow").exists()


def test_from_another_folder_results_go_there_and_paths_count_from_the_config(fresh, tmp_path, make_video):
    (tmp_path / "work").mkdir()
    (tmp_path / "mine/videos").mkdir(parents=True)
    for i in range(4):
        make_video(tmp_path / f"mine/videos/{i}.mp4", seed=i)
    study = tmp_path / "mine/my.yaml"
    data = STUDY[: STUDY.index("frames:")]
    study.write_text(data.replace("    index: {labels: labels.csv}\n", "    index: {draw: {test: 0.3}}\n"))
    fresh.snakemake("--configfile", str(study), cwd=tmp_path / "work")
    assert (tmp_path / "work/results/trial/report.html").exists()
    assert not (fresh.place / "results").exists()
    assert not (tmp_path / "mine/data").exists()


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("size: 32", "siez: 32", "study.yaml: frames.small.siez: there is no such key; did you mean 'size'?"),
        ("path: videos", "path: nowhere", "datasets.mine.source.path: there is no folder"),
    ],
)
def test_a_wrong_config_is_refused_before_anything_runs(fresh, old, new, sentence):
    fresh.edit("study.yaml", old, new)
    fresh.snakemake(refused=sentence)
    assert not (fresh.place / "data").exists()


def test_a_plan_refuses_lost_labels_and_warns_of_lost_videos(fresh):
    (fresh.place / "labels.csv").rename(fresh.place / "other.csv")
    fresh.snakemake(
        "-n", refused=f"datasets.mine.index.labels: there is no file {fresh.place}/labels.csv; correct the path"
    )
    (fresh.place / "other.csv").rename(fresh.place / "labels.csv")
    (fresh.place / "videos").rename(fresh.place / "other")
    done = fresh.start("-n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text, _ = done.communicate(timeout=fresh.patience)
    assert (
        done.returncode == 0 and text.count(f"datasets.mine.source.path: there is no folder {fresh.place}/videos;") == 1
    )


def test_unreadable_videos_are_listed_and_too_many_stop_the_run(fresh):
    (fresh.place / "videos/broken.mp4").write_bytes(b"no video" * 100)
    fresh.snakemake("--until", "index")
    (unreadable,) = fresh.place.glob("data/*/unreadable.csv")
    assert "broken.mp4" in unreadable.read_text()
    for i in range(3):
        (fresh.place / f"videos/broken{i}.mp4").write_bytes(b"no video" * (i + 1))
    fresh.snakemake("--until", "index", refused="max_unreadable")
    assert unreadable.read_text().count("broken") == 4
    fresh.edit("study.yaml", "{labels: labels.csv}", "{labels: labels.csv, max_unreadable: 0.6}")
    fresh.snakemake("--until", "index")


def test_a_failed_stage_says_its_sentence_in_the_terminal(fresh):
    fresh.edit("labels.csv", "v1.mp4,0,0.5,wave", "v1.mp4,0.7,0.5,wave")
    fresh.snakemake(refused="labels.csv, line 4")


def test_snakemake_s_own_report_works(finished, tmp_path):
    place = shutil.copytree(finished.place, tmp_path / "copy", symlinks=True)
    target = tmp_path / "snakemake-report.html"
    type(finished)(place).snakemake("--report", str(target))
    assert "report.html" in target.read_text() and "trial" in target.read_text()


def test_an_orphaned_job_ends_with_its_main_process(tmp_path):
    """A process that stands for a job, started by one that stands for the main process."""
    job = "import time; from kinoflow.command import end_with_main; end_with_main(); print('ready', flush=True); time.sleep(60)"
    main = (
        "import os, subprocess, sys, time\n"
        f"os.environ['KINOFLOW_MAIN'] = f\"{{os.getpid()}} {{os.readlink('/proc/self/ns/pid')}} owner\"\n"
        f"p = subprocess.Popen([sys.executable, '-c', {job!r}])\nprint(p.pid, flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", main], stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    pid = int(process.stdout.readline())
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    kill(process)
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), 5)
    assert time.monotonic() - start < 5
