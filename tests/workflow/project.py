"""A small project of one's own: the workflow's files in a folder, and beside them videos, labels and a study."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("src", "workflow", "envs", "profiles")
UNDECLARED = {".work", "lists", "roles", ".keys", "contents.json"}

STUDY = """
study: trial
datasets:
  mine:
    source: {kind: folder, path: videos}
    shards: 2
    index: {labels: labels.csv}
frames:
  small: {dataset: mine, size: 32, store: raw}
features:
  net: {from: frames, frames: small, backbone: small, stride: 2}
pca:
  two: {features: net, components: 2}
report: {sheet_videos: 2, sheet_frames: 2}
"""


class Project:
    """A folder with a copy of the workflow; runs Snakemake in it and says what ran."""

    patience = 500  # seconds that a run may take

    def __init__(self, place: Path):
        self.place = place

    def snakemake(self, *words: str, refused: str = "", cwd: Path | None = None) -> list[str]:
        """Run Snakemake; return the jobs by rule and wildcards. ``refused``: it must fail with that sentence."""
        done = self.start(*words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        text, _ = done.communicate(timeout=self.patience)
        assert (done.returncode == 0) != bool(refused), text
        assert refused in text, text
        return jobs_in(text)

    def start(self, *words: str, cwd: Path | None = None, **how) -> subprocess.Popen:
        """Start Snakemake and do not wait for it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("KINOFLOW_", "PYTHONPATH"))}
        command = [sys.executable, "-m", "snakemake", "--nocolor", "--snakefile", str(self.place / "Snakefile")]
        config = () if "--configfile" in words else ("--configfile", str(self.place / "study.yaml"))
        cores = () if "--cores" in words else ("--cores", "2")
        words = (*words, *cores, *config)
        return subprocess.Popen([*command, *words], cwd=cwd or self.place, env=environment, **how)

    def jobs(self, *words: str) -> list[str]:
        """Plan, run, plan again: the plan must promise what runs, and nothing may be left to do."""
        planned, ran, left = self.snakemake("-n", *words), self.snakemake(*words), self.snakemake("-n", *words)
        assert planned == ran
        assert left == []
        return ran

    def plan(self, *words: str) -> list[str]:
        """Return the jobs that the next run would do."""
        return self.snakemake("-n", *words)

    def products(self, *parts: str) -> dict[str, bytes]:
        """Return {file: bytes} of what must be reproducible: all but state and the report's section on time and memory."""
        found = {}
        for part in parts or ("data", "results"):
            for path in sorted((self.place / part).rglob("*")):
                name = path.relative_to(self.place)
                if path.is_file() and not UNDECLARED & {*name.parts}:
                    found[str(name)] = (
                        without_costs(path.read_bytes()) if path.name == "report.html" else path.read_bytes()
                    )
        return found

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in a file."""
        path = self.place / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new))


def jobs_in(text: str) -> list[str]:
    """Return the jobs that a Snakemake output names: rule, then the wildcards that are no hashes."""
    found = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.M)
    names = []
    for rule, body in found:
        cards = re.search(r"wildcards: (.*)", body)
        told = [c for c in cards[1].split(", ") if c.split("=")[0] in ("shard", "name", "run", "seed")] if cards else []
        names.append(" ".join([rule, *told]))
    return sorted(name for name in names if name != "all")


def without_costs(page: bytes) -> bytes:
    """Cut the section on time and memory out of a report: the only part that may differ."""
    return re.sub(rb'<section[^>]*id="time-and-memory".*?</section>', b"", page, flags=re.S)


def new_project(place: Path, make_video: Callable[..., Path], count: int = 6) -> Project:
    """Make a project of ``count`` short videos with labels."""
    for part in PARTS:
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / file, place / file)
    (place / "study.yaml").write_text(STUDY)
    (place / "videos").mkdir()
    rows = ["video,start,end,action"]
    for i in range(count):
        make_video(place / f"videos/v{i}.mp4", frames=12, seed=i)
        with open(
            place / f"videos/v{i}.mp4", "ab"
        ) as file:  # a `free` box: room for a change that no sample of the file sees
            file.write((400_008).to_bytes(4, "big") + b"free" + bytes(400_000))
        rows += [f"v{i}.mp4,0,0.5,wave", f"v{i}.mp4,0.5,1,rest"]
    (place / "labels.csv").write_text("\n".join(rows) + "\n")
    return Project(place)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is true, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def processes_in(place: Path) -> list[int]:
    """Return the processes whose working folder is ``place``."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(path / "cwd")) == place and int(path.name) != os.getpid():
                found.append(int(path.name))
        except (OSError, ValueError):
            continue
    return found


def wait_for_jobs(place: Path) -> None:
    """Wait until nothing runs in ``place`` any more; fail naming what does."""
    end = time.monotonic() + 60
    while left := processes_in(place):
        assert time.monotonic() < end, [Path(f"/proc/{number}/cmdline").read_bytes() for number in left]
        time.sleep(0.05)


def kill(process: subprocess.Popen) -> None:
    """Kill a main process without warning and wait until the kernel has taken it away."""
    process.send_signal(signal.SIGKILL)
    process.wait()
