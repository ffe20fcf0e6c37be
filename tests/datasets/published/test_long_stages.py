"""The stages for CrossTask and Breakfast: tables of labels, splits, steps and windows, and what is not there."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.conftest import ROOT

from kinoflow.datasets.options import IndexOptions
from kinoflow.datasets.published import breakfast
from kinoflow.datasets.published.long_videos import LinkRow, Lost, Side, Stretch, task_links, video_annotations
from kinoflow.datasets.published.options import VideoAnnotationsOptions, WhichFilesOptions
from kinoflow.datasets.roles import read_labels, read_splits, roles_of
from kinoflow.errors import DataError
from kinoflow.store import tables
from kinoflow.store.tables import Probed, read

GOLDEN = json.loads((ROOT / "tests/golden/lhsmm/crosstask_mini.json").read_text())


@pytest.fixture
def release(tmp_path):
    for name, text in GOLDEN["files"].items():
        path = tmp_path / "release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "release"


def written(annotations, folder, names=None, **options):
    """Run the stage; return its tables by name."""
    out = {name: folder / f"{name}.csv" for name in ("labels", "splits", "steps", "narration", "missing")}
    inventory = None
    if names is not None:
        inventory = folder / "inventory.csv"
        tables.write(inventory, [Probed(video=name, status="readable", kept=True) for name in names], Probed)
    video_annotations(annotations, options=VideoAnnotationsOptions(**options), inventory=inventory, **out)
    assert read_labels(out["labels"]).lines or not read(out["labels"], Stretch)
    assert read_splits(out["splits"]).lines
    kinds = {"labels": Stretch, "splits": Side, "narration": Stretch, "missing": Lost}
    return {name: read(out[name], kind) for name, kind in kinds.items()} | {"steps": out["steps"].read_text()}


def test_crosstask_becomes_tables_that_the_index_reads(release, tmp_path):
    found = written(release, tmp_path, kind="crosstask")
    sides = {row.video: row for row in found["splits"]}
    assert len(sides) == 40 and sides["16815_v15_01.npy"].split == "validation"
    assert sides["16815_v15_20_x.npy"] == Side(
        video="16815_v15_20_x.npy", split="test", recording="16815_v15_20_x", task="16815"
    )
    own = [row for row in found["labels"] if row.video == "16815_v15_20_x.npy"]
    assert [(row.start, row.end, row.action) for row in own] == [
        (1.0, 8.0, "egg pour"),
        (6.16, 8.31, "add cut"),
        (9.45, 11.94, "stir add"),
    ]
    assert found["steps"].splitlines()[:3] == ["task,number,action", "16815,1,egg pour", "16815,2,add cut"]
    assert [row.action for row in found["narration"] if row.video == "16815_v15_09.npy"] == ["egg pour", "stir add"]
    unlabelled = 40 - len({row.video for row in found["labels"]})
    assert [row.reason for row in found["missing"]] == ["unannotated"] * unlabelled


def test_the_real_release_lists_what_nobody_has_labelled(shared, tmp_path):
    found = written(shared / "data/annotations/crosstask", tmp_path, kind="crosstask")
    assert len(found["splits"]) == 4700 and len(found["labels"]) == 9366
    assert len(found["missing"]) == 1490 and {row.reason for row in found["missing"]} == {"unannotated"}
    assert all(row.split != "related" for row in found["missing"])


def test_the_index_takes_the_real_release_over_split_by_split(shared, tmp_path):
    """93 names stand under two tasks or three, often on two sides of the splits: they are recordings of their own."""
    found = written(shared / "data/annotations/crosstask", tmp_path, kind="crosstask")
    names = [row.video for row in found["splits"]]
    roles = roles_of(names, IndexOptions(), tmp_path / "labels.csv", tmp_path / "splits.csv")
    sizes = {"train": 2159, "validation": 231, "test": 360, "related": 1938, "unused": 12}
    assert Counter(role.split for role in roles.values()) == sizes
    tested = {name.partition("_")[2] for name, role in roles.items() if role.split == "test"}
    trained = {name.partition("_")[2] for name, role in roles.items() if role.split in ("train", "related")}
    assert len(tested) == 360 and not tested & trained


def test_videos_without_a_file_are_left_out_and_listed(release, tmp_path):
    names = ["16815_v15_09.npy", "v15_20_x.npy", "other.npy"]
    found = written(release, tmp_path, names, kind="crosstask")
    assert [row.video for row in found["splits"]] == names[:2]
    assert sum(row.reason == "no file" for row in found["missing"]) == 38
    with pytest.raises(DataError, match="none of the videos of crosstask is there"):
        written(release, tmp_path, ["other.npy"], kind="crosstask")


def test_a_video_of_two_tasks_becomes_two_videos_by_links(release, tmp_path):
    path = release / "crosstask_release/videos.csv"
    path.write_text(path.read_text() + "40567,v15_01,https://x\n")
    root = tmp_path / "features"
    root.mkdir()
    (root / "v15_01.npy").write_bytes(b"rows")
    (root / "v15_01.txt").write_bytes(b"no features")
    links = (release, root, tmp_path / "links", WhichFilesOptions(include=("*.npy",)), tmp_path / "links.csv")
    task_links(*links)
    names = sorted(path.name for path in (tmp_path / "links").iterdir())
    assert names == ["16815_v15_01.npy", "40567_v15_01.npy"]
    assert (tmp_path / "links" / names[1]).read_bytes() == b"rows"
    made = (tmp_path / "links.csv").read_bytes()
    assert [(row.link, row.file) for row in read(tmp_path / "links.csv", LinkRow)] == [(n, "v15_01.npy") for n in names]
    found = written(release, tmp_path, names, kind="crosstask")
    assert [(row.video, row.task) for row in sorted(found["splits"], key=lambda row: row.video)] == [
        (names[0], "16815"),
        (names[1], "40567"),
    ]
    alone = written(release, tmp_path, ["v15_01.npy"], kind="crosstask")
    assert len(alone["splits"]) == 1  # one file, one video

    assert (tmp_path / "links" / names[0]).readlink() == Path("../features/v15_01.npy")  # beside it: both may move
    moved = root.rename(tmp_path / "moved")
    task_links(release, moved, *links[2:])
    with pytest.raises(DataError, match=r"'v15_01\.npy' and 'v15_01\.txt' may both be the video 'v15_01'"):
        task_links(release, moved, tmp_path / "data/links", WhichFilesOptions())
    task_links(release, moved, tmp_path / "data/links", WhichFilesOptions(exclude=("*.txt",)))
    assert (tmp_path / "data/links" / names[0]).readlink() == moved / "v15_01.npy"
    assert (tmp_path / "links" / names[0]).read_bytes() == b"rows" and (tmp_path / "links.csv").read_bytes() == made
    (moved / "below").mkdir()
    (moved / "v15_01.npy").rename(moved / "below/16815_v15_01.npy")  # one of the task's own, in a folder
    task_links(release, moved, *links[2:])
    assert [path.name for path in (tmp_path / "links").iterdir()] == names[:1]
    with pytest.raises(DataError, match=r"none of the \d+ videos of CrossTask is there"):
        task_links(release, moved, tmp_path / "links", WhichFilesOptions(include=("*.mp4",), exclude=("*.txt",)))


def test_nothing_but_links_of_tasks_is_removed_or_replaced(release, tmp_path):
    root, links, outside = tmp_path / "features", tmp_path / "links", tmp_path / "outside"
    for folder in (root, links, outside):
        folder.mkdir()
    (root / "v15_01.npy").write_bytes(b"rows")
    (outside / "mine").write_bytes(b"mine")
    (links / "own").symlink_to("../outside")
    (links / "16815_gone.npy").symlink_to("../features/gone.npy")
    cards = release / "crosstask_release/tasks_related.txt"
    whole = cards.read_text()
    cards.write_text(f"{whole.rstrip()}\n\n{outside}/mine\ntitle\nurl\n1\none\n")
    with pytest.raises(DataError, match=r"number \(digits\)"):
        task_links(release, root, links, WhichFilesOptions())
    cards.write_text(whole)
    task_links(release, root, links, WhichFilesOptions())
    assert sorted(path.name for path in links.iterdir()) == ["16815_v15_01.npy", "own"]
    (links / "16815_v15_01.npy").unlink()
    (links / "16815_v15_01.npy").write_bytes(b"a file")
    with pytest.raises(DataError, match="16815_v15_01.npy: this is no link, and one of this name should stand here"):
        task_links(release, root, links, WhichFilesOptions())
    assert (links / "16815_v15_01.npy").read_bytes() == b"a file" and (outside / "mine").read_bytes() == b"mine"


def test_breakfast_becomes_tables(tmp_path):
    folder = tmp_path / "groundTruth"
    folder.mkdir()
    (folder / "P16_stereo01_P16_tea.txt").write_text("SIL\n" * 30 + "take_cup\n" * 15)
    (folder / "P03_cam01_P03_tea.txt").write_text("SIL\n" * 15)
    names = ["P16_stereo_P16_tea_ch1.npy", "P03_cam01_P03_tea.npy", "P04_cam01_P04_tea.npy"]
    bad = "P51_webcam01_P51_coffee.npy"
    found = written(tmp_path, tmp_path, [*names, bad], kind="breakfast", split=2)
    assert {(row.video, row.split, row.recording, row.task) for row in found["splits"]} == {
        (names[0], "test", "P16", "tea"),
        (names[1], "train", "P03", "tea"),
        (names[2], "train", "P04", "tea"),
        (bad, "unused", "P51_webcam01_P51_coffee", "coffee"),
    }
    assert [(row.start, row.end, row.action) for row in found["labels"] if row.video == names[0]] == [
        (0.0, 2.0, "SIL"),
        (2.0, 3.0, "take_cup"),
    ]
    assert [(row.video, row.reason) for row in found["missing"]] == [(names[2], "unannotated")]
    assert found["steps"].splitlines() == ["task,number,action", "tea,1,take_cup"]


def test_the_real_breakfast_labels_become_tables(shared, tmp_path):
    found = written(shared / "data/annotations/breakfast", tmp_path, kind="breakfast")
    assert len(found["splits"]) == 45 and {row.split for row in found["splits"]} == {"train"}
    assert {row.action for row in found["labels"]} <= set(
        breakfast.mapping(shared / "data/annotations/breakfast/mapping.txt")
    )
