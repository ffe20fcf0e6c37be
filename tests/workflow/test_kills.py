"""A main process killed at random moments: the same command continues, and the bytes are those of a run that was not."""

import random
import subprocess
import time

import pytest
from tests.workflow.project import ROOT, Project, kill, new_project, wait_for, wait_for_jobs

ROOMS = ("--config", "rooms=[recognition]")


def begun(project: Project) -> int:
    """Return how many jobs have begun, those of killed runs too."""
    return sum(path.is_file() for path in project.place.glob("logs/**/*.log"))


def killed(project: Project, words: tuple[str, ...], moments: list[int], draw: random.Random) -> None:
    """Give the same command again and again, and kill its main process when so many jobs have begun, or a little later."""
    for moment in moments:
        process = project.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda moment=moment: begun(project) >= moment, 1000)
        time.sleep(draw.uniform(0, 0.5))
        assert process.poll() is None, f"it was done before {moment} jobs had begun"
        kill(process)
        wait_for_jobs(project.place)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("times, words", [(3, ROOMS), pytest.param(20, (), marks=pytest.mark.long)])
def test_kills_of_the_main_job_at_random_moments_change_no_byte(fresh, tmp_path, make_video, times, words):
    whole, draw = new_project(tmp_path / "whole", make_video), random.Random(0)
    for project in (whole, fresh):
        (project.place / "study.yaml").write_text((ROOT / "workflow/studies/kitchen-small.yaml").read_text())
    whole.snakemake(*words)
    killed(fresh, words, sorted(draw.sample(range(1, begun(whole) - 2), times)), draw)
    assert fresh.snakemake("-n", *words)
    fresh.snakemake(*words)
    assert fresh.snakemake("-n", *words) == []
    assert without_events(fresh) == without_events(whole)
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]


def without_events(project: Project) -> dict[str, bytes]:
    """Return {file: bytes} of what must be reproducible, without TensorBoard's files, which hold times."""
    return {name: value for name, value in project.products().items() if "/events/" not in name}
