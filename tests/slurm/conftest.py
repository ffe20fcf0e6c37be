"""A throw-away SLURM of two pretended nodes, and a small project with one room to run on it."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.workflow.project import Project, new_project

HERE = Path(__file__).parent
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MODEL = "results/trial/recognition/still/seed-0/model.safetensors"
TARGET = "results/trial/recognition/still/seed-0/metrics.json"
STEPS = 600  # some seconds on a fast machine: a training can be met at work
STUDY = f"""
study: trial
datasets:
  mine:
    source: {{kind: folder, path: videos}}
    shards: 1
    index: {{labels: labels.csv, splits: splits.csv}}
frames:
  small: {{dataset: mine, size: 32, store: raw}}
recognition:
  still:
    frames: small
    input: {{kind: rgb, size: 32}}
    sampling: {{segments: 2}}
    network: {{backbone: small, shift: null}}
    augment: {{crop: shift}}
    training: {{steps: {STEPS}, batch: 4, optimiser: sgd, learning_rate: 0.001, log_every: 5}}
report: {{sheet_videos: 2, sheet_frames: 2}}
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Path]:
    """A SLURM that runs while the tests do; the folder of its logs. Tests skip, saying so, where it cannot be started."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"SLURM is not installed (no {', '.join(missing)}): tests/slurm/slurm-up DIR --install, as root")
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip('Snakemake\'s plugin for SLURM is not installed: pip install -e ".[slurm]"')
    place = tmp_path_factory.mktemp("slurm")
    said = subprocess.run([HERE / "slurm-up", place], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    before = dict(os.environ)
    os.environ["SLURM_CONF"] = f"{place}/slurm.conf"
    os.environ["PATH"] = os.pathsep.join([f"{place}/bin", before["PATH"]])
    try:
        yield place / "log"
    finally:
        os.environ.clear()
        os.environ.update(before)
        subprocess.run([HERE / "slurm-down", place], check=True, capture_output=True)


class Room(Project):
    """A project that gives its jobs to SLURM."""

    # the checks of a job's state grow rarer with time, which counts where a job takes seconds
    profile = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")

    patience = 3000

    def submit(self, *words: str, refused: str = "") -> list[str]:
        """Run all jobs on SLURM; return them."""
        return self.snakemake(*self.profile, *words, refused=refused)

    def submitting(self, *words: str) -> subprocess.Popen:
        """Begin to run all jobs on SLURM; what Snakemake says goes to the file ``said``."""
        with open(self.place / "said", "w") as said:
            return self.start(*self.profile, *words, stdout=said, stderr=subprocess.STDOUT)

    def queue(self, rule: str = "", states: str = "PENDING,RUNNING,COMPLETING") -> list[str]:
        """Return the numbers of this project's jobs in SLURM's queue whose comment names a rule or group."""
        text = asked("squeue", "-h", "-o", "%A|%k|%Z", "-t", states)
        rows = [line.split("|") for line in text.splitlines()]
        return [number for number, comment, folder in rows if folder == str(self.place) and rule in comment]

    def results(self) -> dict[str, bytes]:
        """Return {file: bytes} of what must be reproducible, without TensorBoard's files, which hold times."""
        return {name: value for name, value in self.products().items() if "/events/" not in name}

    def log(self) -> str:
        """Return what the training has said; empty before it began."""
        path = self.place / "logs/recognition/trial/still/seed-0.log"
        return path.read_text() if path.exists() else ""


def asked(*command: str) -> str:
    """Return what a command prints; it must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sent(signal: str, number: str) -> bool:
    """Send a signal to a job; one that is on its way out does not take it."""
    subprocess.run(["scancel", f"--signal={signal}", number], capture_output=True)
    return True


def restarts(number: str) -> int:
    """Return how often a job went back into the queue."""
    return int(re.search(r"Restarts=(\d+)", asked("scontrol", "show", "job", number))[1])


@pytest.fixture
def room(slurm, tmp_path, make_video) -> Room:
    """A project of one room that never ran."""
    return new_room(tmp_path / "room", make_video)


@pytest.fixture(scope="session")
def reference(slurm, tmp_path_factory, make_video) -> Room:
    """The same project after a run on this machine alone. Do not change it."""
    room = new_room(tmp_path_factory.mktemp("reference") / "room", make_video)
    room.snakemake(TARGET)
    return room


def with_steps(room: Room, place: Path, steps: int) -> Room:
    """Return a copy of a finished project with so many steps of training, which are then all there is to do."""
    copy = Room(shutil.copytree(room.place, place, symlinks=True))
    copy.edit("study.yaml", f"steps: {STEPS}", f"steps: {steps}")
    return copy


def new_room(place: Path, make_video) -> Room:
    """Make a project of six videos, two of them to test on."""
    new_project(place, make_video)
    (place / "study.yaml").write_text(STUDY)
    rows = [f"v{i}.mp4,{'test' if i > 3 else 'train'}" for i in range(6)]
    (place / "splits.csv").write_text("\n".join(["video,split", *rows]))
    return Room(place)
