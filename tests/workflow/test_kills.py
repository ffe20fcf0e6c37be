"""A main process killed at random moments: the same command continues, and the bytes are those of a run that was not."""

import random
import subprocess
import time
from collections.abc import Callable

import pytest
from tests.workflow.project import ROOT, Project, kill, new_project, wait_for_jobs


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


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_kills_of_the_main_job_of_all_rooms_at_random_moments_change_no_byte(fresh, tmp_path, make_video, times):
    whole = new_project(tmp_path / "whole", make_video)
    for project in (whole, fresh):
        (project.place / "study.yaml").write_text((ROOT / "workflow/studies/kitchen-small.yaml").read_text())
    planning = seconds(fresh.plan)
    longest = planning + seconds(whole.snakemake) / (0.5 * times + 2)  # it must not be done before the last kill
    killed(fresh, times, longest)
    assert fresh.plan()
    fresh.snakemake()
    assert fresh.plan() == []
    assert without_events(fresh) == without_events(whole)
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]


def without_events(project: Project) -> dict[str, bytes]:
    """Return {file: bytes} of what must be reproducible, without TensorBoard's files, which hold times."""
    return {name: value for name, value in project.products().items() if "/events/" not in name}
