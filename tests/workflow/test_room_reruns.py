"""What reruns in a study of all rooms: one option, one constant, one seed, one video. Makes the table of docs/reruns.md.

The study is workflow/studies/kitchen-small.yaml, its videos in a folder of one's own, where one more can be added. Where it
has been run already, KINOFLOW_FINISHED names the folder; else it runs here. KINOFLOW_WRITE=1 writes the page in place of
comparing it.
"""

import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.workflow.project import PARTS, ROOT, Project

from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.render import render

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

STUDY = "workflow/studies/kitchen-small.yaml"
RENDERED = "source: {kind: kitchen, training_videos: 6, test_videos: 2, texts: 100, size: 64}"
FILMED = "source: {kind: folder, path: films/videos}\n    index: {labels: films/segments.csv, splits: films/splits.csv}"
RECIPES = "recipes: {dataset: kitchen, form: steps}"
COLLECTED = "recipes: {path: films/recipes.txt, form: steps}"
FINISHED = ("films", "data", "results", "logs", ".snakemake")
PAGE = ROOT / "docs/reruns.md"
BEGIN, END = "<!-- made by tests/workflow/test_room_reruns.py -->\n", "<!-- end -->\n"
SRC = "src/kinoflow/tasks"


@dataclass(frozen=True)
class Change:
    """A change of one file, and the jobs that it makes necessary: {rule: how many}."""

    room: str
    said: str
    file: str
    old: str
    new: str
    jobs: dict[str, int]
    also: tuple[tuple[str, str], ...] = ()  # other texts of the same file to replace


@dataclass(frozen=True)
class Filmed:
    """One more labelled video, and the jobs up to a section of the report: {rule: how many}."""

    room: str
    section: str
    jobs: dict[str, int]
    said: str = "one more labelled video in the folder, up to the room's section"


SHOWN = {"claims": 1, "report": 1}


def shown_again(room: str, tests: int = 1, **more: int) -> dict[str, int]:
    """Return the jobs behind a test that changes; rooms that measure their cost do so again if networks changed."""
    return {f"{room}_evaluate": tests, f"{room}_section": 1, **SHOWN, **more}


LSNET = {"features_trained": 4, "pca_partial": 4, "pca_fit": 2, "pca_apply": 4, "pca_section": 1}
READERS = {
    **{"segmentation_train": 1, "segmentation_evaluate": 2, "segmentation_section": 1, "segmentation_speed": 1},
    **{"anticipation_train": 2, "anticipation_evaluate": 2, "anticipation_section": 1},
    **{"abstraction_train": 1, "abstraction_evaluate": 1, "abstraction_section": 1},
}
LSNET_ALONE = {
    **{"recognition_train": 1, "features_trained": 2, "pca_partial": 2, "pca_fit": 1, "pca_apply": 2},  # of one seed
}
TSN = "network: {backbone: small, shift: null}\n"
STUDENTS = "training: {epochs: 1}\nanticipation:\n  alone: &student\n"
NETWORK = "input: {kind: gray, frames: 3, size: 40}\n    network: {backbone: small}"

CHANGES = (
    Change(
        *(
            "recognition",
            "an option of the test",
            "study.yaml",
            "policy: even",
            "policy: even\n    test: {softmax: true}",
        ),
        shown_again("recognition", 3),
    ),
    Change(
        *(
            "recognition",
            "an option of LSNet's training",
            "study.yaml",
            NETWORK,
            NETWORK.replace("small", "small, dropout: 0.3"),
        ),
        shown_again("recognition", 2, recognition_train=2, recognition_speed=1, **LSNET, **READERS),
    ),
    Change(
        *("recognition", "a constant of the test", f"{SRC}/recognition/measures.py", "FEW = 5", "FEW = 6"),
        shown_again("recognition", 3),
    ),
    Change(
        *("recognition", "one more seed of LSNet", "study.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]"),
        shown_again("recognition", recognition_train=1, features_trained=2, pca_partial=2, pca_fit=1, pca_apply=2),
    ),
    Change(
        *("segmentation", "an option of the model", "study.yaml", "states: 6,", "states: 7,"),
        shown_again("segmentation", 2, segmentation_train=1, segmentation_speed=1),
    ),
    Change(
        *(
            "segmentation",
            "an option of one of two tests",
            "study.yaml",
            "decode: posterior",
            "decode: posterior, by_task: false",
        ),
        {"segmentation_evaluate": 1, **SHOWN},
    ),
    Change(
        *(
            "segmentation",
            "a constant of the training",
            f"{SRC}/segmentation/train.py",
            "VALIDATED = 16",
            "VALIDATED = 8",
        ),
        shown_again("segmentation", 2, segmentation_train=1, segmentation_speed=1),
    ),
    Change(
        *(
            "segmentation",
            "one more seed",
            "study.yaml",
            "    rows: {subsample: 2}",
            "    rows: {subsample: 2}\n    seeds: [0, 1]",
        ),
        shown_again("segmentation", 2, segmentation_train=1),
    ),
    Change(
        *(
            "alignment",
            "an option of the loss",
            "study.yaml",
            "    clips: verb",
            "    clips: verb\n    scl: {variance: 5}",
        ),
        shown_again("alignment", alignment_train=1),
    ),
    Change(
        *("alignment", "a constant of the tests", f"{SRC}/alignment/evaluate.py", "DIGITS = 6", "DIGITS = 7"),
        shown_again("alignment"),
    ),
    Change(
        *(
            "alignment",
            "one more seed, of the recognition run that it begins with too",
            "study.yaml",
            "    clips: verb\n",
            "    clips: verb\n    seeds: [0, 1]\n",
        ),
        shown_again("alignment", alignment_train=1, recognition_train=1, recognition_evaluate=1, recognition_section=1),
        also=((TSN, f"{TSN}    seeds: [0, 1]\n"),),
    ),
    Change(
        *("anticipation", "an option of the student's losses", "study.yaml", "distill: 1.5", "distill: 2"),
        shown_again("anticipation", anticipation_train=1),
    ),
    Change(
        *("anticipation", "an option of the teacher", "study.yaml", "layers: 1, heads: 2", "layers: 2, heads: 2"),
        shown_again("anticipation", teacher_train=1, teacher_records=1, teachers_section=1, anticipation_train=1),
    ),
    Change(
        *("anticipation", "a constant of the tests", f"{SRC}/anticipation/evaluate.py", "DIGITS = 6", "DIGITS = 7"),
        shown_again("anticipation", 2),
    ),
    Change(
        *(
            "anticipation",
            "one more seed of the teacher and both students",
            "study.yaml",
            STUDENTS,
            STUDENTS.replace("\n", "\n    seeds: [0, 1]\n", 1) + "    seeds: [0, 1]\n",
        ),
        shown_again("anticipation", 2, teacher_train=1, teacher_records=1, teachers_section=1, anticipation_train=2),
    ),
    Change(
        *("abstraction", "an option of the network", "study.yaml", "bottleneck: 8", "bottleneck: 9"),
        shown_again("abstraction", abstraction_train=1),
    ),
    Change(
        *("abstraction", "an option of the sets", "study.yaml", "train: 60", "train: 61"),
        shown_again("abstraction", abstraction_sets=1, abstraction_train=1),
    ),
    Change(
        *("abstraction", "a constant of the tests", f"{SRC}/abstraction/evaluate.py", "DIGITS = 6", "DIGITS = 7"),
        shown_again("abstraction"),
    ),
    Change(
        *(
            "abstraction",
            "one more seed",
            "study.yaml",
            "    max_missing: 1\n    network",
            "    max_missing: 1\n    seeds: [0, 1]\n    network",
        ),
        shown_again("abstraction", abstraction_train=1),
    ),
)

ONE_MORE = {"probe": 1, "inventory": 1, "index": 1, "frames": 1}
VIDEOS = (
    Filmed(
        *("recognition", "30-recognition-kitchen"),
        {**ONE_MORE, "recognition_train": 3, "recognition_evaluate": 3, "recognition_section": 1},
    ),
    Filmed(
        *("segmentation", "40-segmentation-kitchen"),
        {
            **ONE_MORE,
            **LSNET_ALONE,
            **{"segmentation_train": 1, "segmentation_evaluate": 1, "segmentation_section": 1},
        },
    ),
    Filmed(
        *("alignment", "50-alignment-kitchen"),
        {**ONE_MORE, "recognition_train": 1, "alignment_train": 1, "alignment_evaluate": 1, "alignment_section": 1},
    ),
    Filmed(
        *("anticipation", "60-anticipation-kitchen"),
        {
            **ONE_MORE,
            **LSNET_ALONE,
            **{"action_sequences": 1, "teacher_train": 1, "teacher_records": 1},
            **{"anticipation_train": 2, "anticipation_evaluate": 2, "anticipation_section": 1},
        },
    ),
    Filmed(
        *("abstraction", "70-abstraction-kitchen"),
        {
            **ONE_MORE,
            **LSNET_ALONE,
            **{"taxonomy": 1, "abstraction_sets": 1},
            **{"abstraction_train": 1, "abstraction_evaluate": 1, "abstraction_section": 1},
        },
    ),
)
ROWS = sorted((*CHANGES, *VIDEOS), key=lambda row: [video.room for video in VIDEOS].index(row.room))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    """The small study of all rooms on a folder of videos, finished, with sources of its own."""
    place = tmp_path_factory.mktemp("rooms") / "project"
    place.mkdir()
    for part in PARTS:
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", place / "Snakefile")
    shutil.copy(ROOT / STUDY, place / "study.yaml")
    project = Project(place)
    project.patience = 1500  # all rooms, maybe on a busy machine
    project.edit("study.yaml", RENDERED, FILMED)
    project.edit("study.yaml", RECIPES, COLLECTED)
    if "KINOFLOW_FINISHED" in os.environ:
        for part in FINISHED:
            shutil.copytree(Path(os.environ["KINOFLOW_FINISHED"], part), place / part, symlinks=True)
    else:
        film(place / "films")
    project.snakemake()
    assert project.plan() == []
    return project


def film(folder: Path) -> None:
    """Make a folder of videos with tables of labels and splits, and recipes."""
    options = KitchenOptions(training_videos=6, test_videos=2, texts=100, size=64)
    names = ("segments.csv", "splits.csv", "recipes.txt", "sentences.jsonl", "taxonomy.json")
    render(folder, *(folder / name for name in names), options, code="test", workers=2)


def film_one_more(folder: Path) -> None:
    """Add a video to the folder, with rows of its own in both tables."""
    shutil.copy(folder / "videos/train005.mp4", folder / "videos/train006.mp4")
    for table in (folder / "segments.csv", folder / "splits.csv"):
        text = table.read_text()
        rows = [line for line in text.splitlines(keepends=True) if line.startswith("train005.mp4,")]
        assert rows
        table.write_text(text + "".join(rows).replace("train005.mp4,", "train006.mp4,"))


@pytest.fixture(scope="module")
def planned(finished, tmp_path_factory) -> dict[str, dict[str, int]]:
    """The jobs that each change makes necessary, {rule: how many}; two plans at a time, each in a folder of its own."""
    copies = [
        Project(shutil.copytree(finished.place, tmp_path_factory.mktemp("copy") / str(i), symlinks=True))
        for i in range(2)
    ]

    def plans(number: int) -> dict[str, dict[str, int]]:
        project, found = copies[number], {}
        for change in CHANGES[number::2]:
            before = (project.place / change.file).read_text()
            for old, new in ((change.old, change.new), *change.also):
                project.edit(change.file, old, new)
            found[name_of(change)] = jobs_of(project)
            (project.place / change.file).write_text(before)
        film_one_more(project.place / "films")
        for video in VIDEOS[number::2]:
            found[name_of(video)] = jobs_of(project, f"results/kitchen-small/sections/{video.section}.json")
        return found

    with ThreadPoolExecutor(2) as pool:
        even, odd = pool.map(plans, range(2))
    return even | odd


def name_of(row: Change | Filmed) -> str:
    return f"{row.room}: {row.said}"


def jobs_of(project: Project, *targets: str) -> dict[str, int]:
    """Return the jobs that a project is to do, {rule: how many}."""
    return dict(Counter(job.split()[0] for job in project.plan(*targets)))


def test_a_change_reruns_what_depends_on_it_and_nothing_else(planned):
    assert planned == {name_of(row): row.jobs for row in ROWS}


def test_one_room_alone_makes_no_run_again(finished):
    for room in dict.fromkeys(video.room for video in VIDEOS):
        assert jobs_of(finished, "--config", f"rooms=[{room}]") == SHOWN


def test_the_page_shows_what_was_planned(planned):
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page = f"{head}{BEGIN}{table(planned)}{END}{tail}"
    if "KINOFLOW_WRITE" in os.environ:
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/reruns.md is not what was planned: KINOFLOW_WRITE=1 writes it"


def table(planned: dict[str, dict[str, int]]) -> str:
    """Return the table of the page: a row for each change."""
    rows = ["| room | what changes | jobs |", "|---|---|---|"]
    for row in ROWS:
        jobs = sorted(planned[name_of(row)].items())
        told = ", ".join(f"{rule}{f' x {count}' if count > 1 else ''}" for rule, count in jobs)
        rows.append(f"| {row.room} | {row.said} | {told} |")
    return "\n".join(rows) + "\n"
