"""A run whose jobs are killed, and one over names and labels that somebody chose to do harm."""

import os
import random
import signal
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.workflow.project import processes_in, wait_for_jobs

EVIL = [
    "'q\"uo`te.mp4",
    "new\nline.mp4",
    "$(touch executed).mp4",
    "; touch executed;.mp4",
    "-rf.mp4",
    "{shard}.mp4",
    "<script>alert(1)<script>.mp4",
    os.fsdecode(b"caf\xe9 \xff.mp4"),
]
LABELS = ["=1+1", "<script>alert(1)</script>", "</svg><img src=x onerror=alert(1)>", "$(touch executed)", "{{7*7}}"]


def jobs_in(place: Path) -> list[int]:
    """The stages that run in a folder."""
    found = []
    for number in processes_in(place):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[1:3] == [b"-m", b"kinoflow"]:
            found.append(number)
    return found


def killed_at_random(project, draw: random.Random, count: int) -> str:
    """Run, and kill ``count`` jobs at random moments of theirs; return what was said."""
    with open(project.place / "said", "w+") as said:
        process = project.start("--keep-going", stdout=said, stderr=subprocess.STDOUT)
        while count and process.poll() is None:
            running = jobs_in(project.place)
            if running:
                time.sleep(draw.uniform(0, 1.5))
                try:
                    os.kill(draw.choice(running), signal.SIGKILL)
                    count -= 1
                except ProcessLookupError:
                    continue
            time.sleep(0.02)
        process.wait(timeout=300)
        said.seek(0)
        return said.read()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chains", [1, 10])
def test_jobs_killed_at_random_moments_cost_nothing_that_was_computed(finished, fresh, chains):
    draw = random.Random(0)
    for _ in range(chains):
        killed_at_random(fresh, draw, 2)
    wait_for_jobs(fresh.place)
    before = {name: (fresh.place / name).stat().st_ino for name in fresh.products()}
    fresh.snakemake()
    assert fresh.snakemake("-n") == []
    assert fresh.products() == finished.products()
    assert not [path for path in fresh.place.rglob("*.new") if ".snakemake" not in path.parts]
    lost = [
        name for name, inode in before.items() if name.endswith(".h5") and (fresh.place / name).stat().st_ino != inode
    ]
    assert lost == []  # what a finished job had written was not made again


class Elements(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.mark.long
def test_names_and_labels_that_mean_harm_are_names_and_labels(fresh, make_video):
    for video in (fresh.place / "videos").iterdir():
        video.unlink()
    lines = ["video,start,end,action"]
    for i, name in enumerate(EVIL):
        make_video(fresh.place / "videos" / name, seed=i)
        quoted = name.replace('"', '""')
        lines.append(f'"{quoted}",0,0.5,"{LABELS[i % len(LABELS)]}"')
    (fresh.place / "labels.csv").write_text("\n".join(lines) + "\n", errors="surrogateescape")
    fresh.snakemake()
    assert fresh.snakemake("-n") == []
    assert not list(fresh.place.rglob("executed"))
    (videos,) = fresh.place.glob("data/*/index/*/videos.csv")
    assert videos.read_text(errors="surrogateescape").count("readable") == len(EVIL)
    (segments,) = fresh.place.glob("data/*/index/*/segments.csv")
    assert all(label in segments.read_text(errors="surrogateescape") for label in LABELS)
    page = (fresh.place / "results/trial/report.html").read_text()
    assert "{{7*7}}" in page
    for tag, attributes in Elements(page).found:
        assert tag not in ("script", "iframe", "object") and attributes.get("src") != "x"
        assert not [name for name in attributes if name.startswith("on")]
