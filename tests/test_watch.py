"""A stage that the workflow started ends with the workflow's main process."""

import fcntl
import os
import subprocess
import sys
import time

import pytest
from tests.conftest import ROOT
from tests.waiting import CONTAINER, needs_containers, waiting_stage

from kinoflow.watch import MAIN

GONE = "kinoflow: the main process of the workflow is gone, so this job ends too\n"


@pytest.fixture
def main_process():
    """A process in the part of the workflow's main process."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def variable(pid: int, owner: object) -> dict[str, str]:
    """What the main process ``pid`` puts into the environment of its jobs."""
    return {MAIN: f"{pid} {os.readlink('/proc/self/ns/pid')} {owner}"}


def test_a_stage_ends_with_the_main_process(main_process, tmp_path):
    with waiting_stage(tmp_path, **variable(main_process.pid, tmp_path / "owner")) as process:
        assert process.poll() is None
        main_process.kill()  # and nobody waits for it: a zombie counts as gone
        assert process.wait(5) == 1 and process.stderr.read() == GONE


def test_a_stage_does_not_start_after_the_main_process_is_gone(main_process, tmp_path):
    main_process.kill()
    main_process.wait()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variable(main_process.pid, tmp_path / "owner")}
    command = [sys.executable, "-m", "kinoflow", "lists", "--root", tmp_path, "--data", tmp_path / "data"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, GONE) and not (tmp_path / "data").exists()


def test_a_stage_that_no_workflow_started_watches_nobody(tmp_path):
    with waiting_stage(tmp_path) as process:
        assert process.poll() is None


@needs_containers
def test_in_another_container_the_lock_tells_that_the_main_process_is_gone(tmp_path):
    owner = tmp_path / "owner of the run"
    with open(owner, "w") as file:
        print("process 1 on here", end="", file=file, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
        with waiting_stage(tmp_path, *CONTAINER, **variable(os.getpid(), owner)) as process:
            time.sleep(1.5)
            assert process.poll() is None
            file.close()
            assert process.wait(5) == 1 and process.stderr.read() == GONE


@needs_containers
@pytest.mark.parametrize("event", ["another run", "file removed"])
def test_in_another_container_a_new_owner_or_none_ends_the_job(tmp_path, event):
    owner = tmp_path / "owner"
    with open(owner, "w") as file:
        print("process 1 on here", end="", file=file, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
        with waiting_stage(tmp_path, *CONTAINER, **variable(os.getpid(), owner)) as process:
            if event == "another run":
                file.truncate(0)
                print("process 2 on here", end="", file=file, flush=True)
            else:
                owner.unlink()
            assert process.wait(5) == 1
