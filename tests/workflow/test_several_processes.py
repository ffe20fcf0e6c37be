"""A training of two processes by torchrun, as a rule starts it: one of them is killed, it is continued, the bytes stay."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest
from tests.slurm.conftest import MODEL, Room, new_room
from tests.workflow.project import processes_in, wait_for, wait_for_jobs

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
TWO = (MODEL, "--set-resources", "recognition_train:processes=2")
SECONDS = 600  # for what takes some ten on a quiet machine


def ranks(room: Room) -> dict[str, int]:
    """Return {number in the team: process} of the training that runs."""
    found = {}
    for number in processes_in(room.place):
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                values = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if b"=" in word)
        except OSError:
            continue
        if b"RANK" in values:
            found[values[b"RANK"].decode()] = number
    return found


def torchrun(room: Room) -> int:
    """Return the process that has started those of the training."""
    with open(f"/proc/{ranks(room)['0']}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def saved(room: Room) -> bool:
    """Whether there is something to continue."""
    return any(room.place.glob("results/trial/recognition/still/seed-0/.work/*/state.pt"))


def killed(room: Room, chosen: Callable[[Room], int], after: str) -> str:
    """Train until the log says ``after``, kill a process; return what the terminal says of it."""
    (room.place / "logs/recognition/trial/still/seed-0.log").unlink(missing_ok=True)
    with open(room.place / "said", "w+") as said:
        process = room.start(*TWO, stdout=said, stderr=subprocess.STDOUT)
        wait_for(lambda: after in room.log() and " steps of " in room.log() and saved(room), SECONDS)
        os.kill(chosen(room), signal.SIGKILL)
        assert process.wait(SECONDS) == 1
        wait_for_jobs(room.place)
        said.seek(0)
        return said.read()


def test_a_killed_process_of_torchrun_is_told_in_sentences_and_the_same_command_continues(tmp_path, make_video):
    whole = new_room(tmp_path / "whole", make_video)
    whole.edit("study.yaml", "log_every: 5", "log_every: 5, save_minutes: 0.02")
    whole.snakemake("--until", "frames", "index")
    broken = Room(shutil.copytree(whole.place, tmp_path / "broken", symlinks=True))
    whole.snakemake(*TWO)
    for rank, after in (("1", ""), ("0", "continues after step")):
        said = killed(broken, lambda room, rank=rank: ranks(room)[rank], after)
        assert f"process {rank} of this training was ended by SIGKILL" in said
        assert "Traceback" not in said and "Error in rule recognition_train" in said
    assert "Error in rule recognition_train" in killed(broken, torchrun, "continues after step")
    broken.snakemake(*TWO)
    assert "continues after step" in broken.log()
    assert broken.results() == whole.results()
