"""What takes minutes: a million files planned, a main process killed at many random moments. Run by .ci/long."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.workflow.project import ROOT, STUDY, Project, kill, new_project, wait_for_jobs

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
MILLION = 1_000_000


def peak(process: subprocess.Popen) -> int:
    """Wait for a process to end; its highest resident memory in kB (what wait4 tells also counts this one, forked)."""
    highest = 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        highest = int(found[1]) if found else highest  # a zombie has none
        time.sleep(0.05)
    return highest


def test_a_million_files_are_planned_in_half_a_minute_and_a_gigabyte(fresh, record_property):
    videos = fresh.place / "many"
    for i in range(500):
        folder = videos / f"part{i:03d}"
        folder.mkdir(parents=True)
        for j in range(MILLION // 500):
            (folder / f"{j}.mp4").write_bytes(b"tiny")
    study = STUDY.replace("path: videos", "path: many").replace("shards: 2", "shards: 256")
    (fresh.place / "study.yaml").write_text(study.replace("    index: {labels: labels.csv}\n", ""))
    for _ in range(2):  # the first call warms the disk's cache
        start = time.monotonic()
        with open(fresh.place / "said", "w+") as said:
            process = fresh.start("-n", "--quiet", stdout=subprocess.DEVNULL, stderr=said)
            gigabytes = peak(process) / 1e6
            seconds = time.monotonic() - start
            assert process.returncode == 0, said.seek(0) or said.read()
    print(f"\n{MILLION} files in 256 shards: planned in {seconds:.1f} s, {gigabytes:.2f} GB", file=sys.stderr)
    record_property("seconds", seconds)
    record_property("gigabytes", gigabytes)
    assert seconds < 30
    assert gigabytes < 1


def killed(project: Project, times: int, longest: float) -> None:
    """Give the same command so many times, and kill the main process each time, at a random moment of its work."""
    draw = random.Random(0)
    for number in range(times):
        process = project.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.5, longest))
        assert process.poll() is None, f"it was done before kill {number + 1}"
        kill(process)
        wait_for_jobs(project.place)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_twenty_kills_of_the_main_job_of_all_rooms_change_no_byte(fresh, tmp_path, make_video):
    whole = new_project(tmp_path / "whole", make_video)
    for project in (whole, fresh):
        (project.place / "study.yaml").write_text((ROOT / "workflow/studies/kitchen-small.yaml").read_text())
    planning = seconds(fresh.plan)
    killed(fresh, 20, planning + seconds(whole.snakemake) / 12)
    assert fresh.plan()
    fresh.snakemake()
    assert fresh.plan() == []
    assert without_events(fresh) == without_events(whole)
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]


def without_events(project: Project) -> dict[str, bytes]:
    """Return {file: bytes} of what must be reproducible, without TensorBoard's files, which hold times."""
    return {name: value for name, value in project.products().items() if "/events/" not in name}
