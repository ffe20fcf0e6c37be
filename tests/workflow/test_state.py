"""What a run leaves behind and finds again: records of jobs, the frozen copy, its state files, each of them damaged."""

import os
import subprocess
import sys

import pytest
from tests.workflow.project import STUDY, kill, wait_for, wait_for_jobs

FRAMES = STUDY[: STUDY.index("features:")].replace("shards: 2", "shards: 1")
ALONE = (  # how a job on a cluster calls the Snakemake that it is made of
    *("--force", "--cores", "1", "--nocolor", "--no-hooks", "--nolock", "--ignore-incomplete", "--mode", "remote"),
    *("--target-files-omit-workdir-adjustment", "--max-inventory-time", "0"),
)


@pytest.fixture
def framed(fresh):
    """A project whose frames, one shard, are all there is to make."""
    (fresh.place / "study.yaml").write_text(FRAMES)
    return fresh


def goes_on_alone(project, rule: str, file: str) -> None:
    """Do a job of a killed run as SLURM does it: by a Snakemake of its own, from the frozen copy."""
    (place,) = project.place.glob(".snakemake/kinoflow/*/")
    folder, shard = file.rsplit("/", 1)
    cards = f"dataset={folder.split('/')[1]},frames={folder.split('/')[3]},shard={shard[:3]}"
    words = (*ALONE, "--allowed-rules", rule, "--target-jobs", f"{rule}:{cards}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project.place / "Snakefile"), *words]
    environment = os.environ | {"KINOFLOW_FROZEN": str(place), "PYTHONPATH": str(place / "src")}
    done = subprocess.run(command, cwd=project.place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_job_makes_after_its_main_process_was_killed_is_made_again(framed):
    process = framed.start("--until", "frames", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(framed.place.glob("logs/frames/**/*.log")))
    kill(process)
    wait_for_jobs(framed.place)
    (lock,) = framed.place.glob(".snakemake/locks/*.output.lock")
    (file,) = (line for line in lock.read_text().splitlines() if "/frames/" in line)
    goes_on_alone(framed, "frames", file)
    assert (framed.place / file).exists()
    assert framed.snakemake("--until", "frames", "--rerun-incomplete") == [
        "frames shard=000"
    ]  # and not what was recorded
    assert framed.plan("--until", "frames") == []
    framed.edit("study.yaml", "size: 32, store: raw", "size: 24, store: raw")
    assert framed.plan("--until", "frames") == ["frames shard=000"]


def said(project, *words: str) -> str:
    """Return what a refused call says after Snakemake's head lines: a sentence, not a page."""
    done = project.start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text, _ = done.communicate(timeout=project.patience)
    assert done.returncode != 0 and "Traceback" not in text and "Exception" not in text, text
    return text


def test_damaged_state_is_written_anew_or_told_in_a_sentence(framed):
    framed.snakemake("--until", "probe")
    (contents,) = framed.place.glob("data/*/contents.json")
    told = contents.read_text()
    for text in ("", "[]"):
        contents.write_text(text)
        framed.snakemake("--until", "probe", "--forcerun", "probe")
        assert contents.read_text() == told
    (listed,) = framed.place.glob("data/*/lists/*.json")
    listed.write_text("{")
    for words in (("-n",), ()):
        assert "lists/000.json: this is no list of videos; remove it" in said(framed, *words)
