"""Sets of real clips below a taxonomy that a person has typed: from the folder of videos to the report, and to `name`."""

import io
import json
import re
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from tests.workflow.project import Project, new_project

from kinoflow.report import section
from kinoflow.report.section import Figure

# Leaves are classes: words that several clips show, and names of files where a clip is a class of its own.
TREE = """\
shown
  signed word
    word of the table
      asl_eat
      asl_hungry
      asl_milk
    word of company
      asl_bird
      asl_brother
      asl_help
    word of school
      asl_book
      asl_learn
    word of time
      asl_again
      asl_night
  sport
    baseball pitch
    clean and jerk
    skateboarding
    arm wrestling
  work
    kneading dough
    flipping a pancake
    cleaning a pool
    typing
  nobody acts
    test pattern
    seen from space
    talking head
"""
CLASSES = {
    "train": {
        **{f"asl_{word}": f"asl_{word}.mkv" for word in ("eat", "milk", "bird", "again", "book", "learn")},
        "baseball pitch": "ucf_demo2.gif",
        "clean and jerk": "v_GGSY1Qvo990.mp4",
        "kneading dough": "mixkit_kneading_dough.gif",
        "cleaning a pool": "mmaction2_part_0.mp4",
        "typing": "decord_video_0.mov decord_video_180.mov",
        "test pattern": "testsrc2_vp9.webm testsrc2_mpeg4.avi",
        "seen from space": "nasa_13013_rotated.mp4",
        "talking head": "carphone_pristine.mp4",
    },
    "test": {
        **{f"asl_{word}": f"asl_{word}.mkv" for word in ("hungry", "brother", "help", "night")},
        "skateboarding": "skateboarding_dog.mp4",
        "arm wrestling": "mmaction2_demo.mp4",
        "flipping a pancake": "flipping_a_pancake.mkv",
        "typing": "decord_video_90.mov",
        "test pattern": "h265_video.mp4 bt2020_10bit.mp4",
        "seen from space": "nasa_13013.mp4",
        "talking head": "carphone_distorted.mp4",
    },
}
STUDY = {
    "study": "sets",
    "frames": {"eight": {"dataset": "clips", "size": 48, "shape": "squash", "count": 8}},
    "features": {"net": {"from": "frames", "frames": "eight", "backbone": "small"}},
    "taxonomies": {"typed": {"dataset": "clips", "source": "file", "file": "tree.txt", "semantics": {"width": 32}}},
    "sets": {"four": {"taxonomy": "typed", "train": 300, "test": 40, "rankings": 5, "odd": 10}},
    "abstraction": {
        "sam": {
            "features": "net",
            "sets": "four",
            "network": {"bottleneck": 32, "width": 32},
            "training": {"epochs": None, "steps": 40, "batch": 32, "learning_rate": 0.003},
            "test": {"resamples": 20},
        }
    },
    "report": {"sheet_videos": 2, "sheet_frames": 2},
}


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def sets(tmp_path_factory, make_video, shared) -> Project:
    """The study, finished. Its table of labels gives no times: every clip is one segment, from its beginning to its end."""
    project = new_project(tmp_path_factory.mktemp("sets") / "project", make_video, count=0)
    rows = [
        (file, name, split) for split, names in CLASSES.items() for name, text in names.items() for file in text.split()
    ]
    (project.place / "labels.csv").write_text(
        "\n".join(["video,start,end,action,split", *(f"{file},,,{name},{split}" for file, name, split in rows)])
    )
    (project.place / "tree.txt").write_text(TREE)
    dataset = {
        "source": {"kind": "folder", "path": str(shared / "data/videos")},
        "include": [file for file, _, _ in rows],
        "shards": 1,
        "index": {"labels": "labels.csv"},
    }
    (project.place / "study.yaml").write_text(yaml.safe_dump(STUDY | {"datasets": {"clips": dataset}}))
    project.snakemake()
    return project


def ways() -> dict[str, list[str]]:
    """Return the way from the root to each node of the tree."""
    found, above = {}, []
    for line in TREE.splitlines():
        name = line.strip()
        above = [*above[: (len(line) - len(name)) // 2], name]
        found[name] = above
    return found


def figures(project: Project) -> dict[str, Figure]:
    """The figures of the section, by the first two words of their captions."""
    (path,) = project.place.glob("results/sets/sections/70-abstraction-clips.json")
    return {
        " ".join(block.caption.split()[:2]): block for block in section.read(path).blocks if isinstance(block, Figure)
    }


def test_the_section_draws_every_node(sets):
    drawn, nodes = figures(sets)["The taxonomy:"], ways()
    assert drawn.caption == "The taxonomy: 21 classes below 9 concepts." and len(nodes) == 30
    labels = set(re.findall(r">([^<>]+)</text>", drawn.svg))
    assert nodes.keys() <= labels


def test_the_section_shows_sets_rankings_and_odd_ones_with_pictures_of_the_clips(sets):
    shown = {name: figure.image for name, figure in figures(sets).items() if figure.image}
    assert shown.keys() == {"Sets of", "Candidates in", "Sets with"}
    for image in shown.values():
        picture = Image.open(io.BytesIO(image)).convert("RGB")
        assert len(picture.getcolors(picture.width * picture.height)) > 2000  # frames of videos: text alone has few


def test_the_report_holds_the_section(sets):
    page = (sets.place / "results/sets/report.html").read_text()
    assert "Abstraction: clips" in page and "The taxonomy: 21 classes below 9 concepts." in page


def test_clips_are_named_by_the_checkpoint_alone(sets, shared, tmp_path):
    names = ("asl_eat.mkv", "asl_milk.mkv", "carphone_pristine.mp4", "mixkit_kneading_dough.gif")
    clips = [str(shared / "data/videos" / name) for name in names]
    model = sets.place / "results/sets/abstraction/sam/seed-0/model.safetensors"
    words = ["--clips", *clips, "--checkpoint", str(model), "--json", str(tmp_path / "told.json"), "--device", "cpu"]
    environment = {"PYTHONPATH": str(sets.place / "src"), "PATH": ""}
    subprocess.run([sys.executable, "-m", "kinoflow", "name", *words], env=environment, check=True)
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["path"] == ways()[told["node"]]
    assert {each["node"] for each in told["best"]} <= ways().keys() and told["best"][0]["node"] == told["node"]
    assert told["odd"] == clips[told["distances"].index(max(told["distances"]))]
