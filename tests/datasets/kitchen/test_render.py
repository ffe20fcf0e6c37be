import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinoflow.datasets.kitchen.grammar import plan_videos
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.render import render
from kinoflow.datasets.kitchen.studio import Job, _share_out
from kinoflow.errors import ConfigError, DataError, KinoflowError

SOURCES = Path(__file__).resolve().parents[3] / "src"
OPTIONS = KitchenOptions(training_videos=2, test_videos=1, size=32, fps=6, texts=30, max_steps=12)
TABLES = {
    "segments": "segments.csv",
    "splits": "splits.csv",
    "recipes": "recipes.txt",
    "sentences": "sentences.jsonl",
    "taxonomy": "taxonomy.json",
}


def rendered(raw, options=OPTIONS, **more):
    render(raw, *(raw / name for name in TABLES.values()), options=options, **more)
    return raw


def contents(raw):
    """All that is declared, and the videos."""
    return {
        str(path.relative_to(raw)): path.read_bytes()
        for path in sorted(raw.rglob("*"))
        if path.is_file() and ".keys" not in path.parts
    }


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def times(raw):
    return {path.name: path.stat().st_mtime_ns for path in (raw / "videos").iterdir()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return rendered(tmp_path_factory.mktemp("kitchen") / "raw")


@pytest.fixture
def copy(raw, tmp_path):
    """A rendered folder of the test's own."""
    subprocess.run(["cp", "-a", str(raw), str(tmp_path / "raw")], check=True)
    return tmp_path / "raw"


def test_the_folder_of_videos_holds_the_videos_and_nothing_else(raw):
    assert sorted(os.listdir(raw / "videos")) == ["test000.mp4", "train000.mp4", "train001.mp4"]
    assert sorted(os.listdir(raw)) == sorted([".keys", "videos", *TABLES.values()])


def test_labels_are_steps_in_seconds_with_phases_inside(raw):
    plan = {video.file: video for video in plan_videos(OPTIONS)}
    table = rows(raw / "segments.csv")
    header = "video start end action verb noun phase variant text split recording task"
    assert list(table[0]) == header.split()
    for name, video in plan.items():
        own = [row for row in table if row["video"] == name]
        steps = [row for row in own if not row["phase"]]
        assert [row["action"] for row in steps] == list(video.steps)
        for step in steps:
            start, end = float(step["start"]), float(step["end"])
            inside = [row for row in own if row["phase"] and start <= float(row["start"]) < end]
            bounds = [(float(row["start"]), float(row["end"])) for row in inside]
            assert [bounds[0][0], *(b for _, b in bounds)] == [*(a for a, _ in bounds), end]
            assert {row["action"] for row in inside} == {step["action"]}
        for row in own:
            assert row["action"] == f"{row['verb']} {row['noun']}" and row["variant"] in "012345"
            assert (row["split"], row["task"]) == (video.split, video.dish)
            assert row["recording"] == f"kitchen{video.kitchen:02d}"
            assert float(row["start"]) * OPTIONS.fps == pytest.approx(round(float(row["start"]) * OPTIONS.fps))


def test_every_step_has_a_caption_that_names_verb_and_noun(raw):
    for row in rows(raw / "segments.csv"):
        words = row["text"].lower().rstrip(".").split()
        assert ({row["verb"], row["noun"]} <= set(words)) == (row["phase"] == "")


def test_splits_tell_side_kitchen_and_dish_of_every_video(raw):
    plan = plan_videos(OPTIONS)
    assert rows(raw / "splits.csv") == [
        {
            "video": video.file,
            "split": video.split,
            "recording": f"kitchen{video.kitchen:02d}",
            "task": video.dish,
            "kitchen": str(video.kitchen),
        }
        for video in plan
    ]


def test_the_corpus_is_told_twice_line_by_line_and_holds_no_test_recipe(raw):
    recipes = [line.split(" , ") for line in (raw / "recipes.txt").read_text().splitlines()]
    told = [json.loads(line) for line in (raw / "sentences.jsonl").read_text().splitlines()]
    assert len(recipes) == len(told) == OPTIONS.texts
    unseen = {video.steps for video in plan_videos(OPTIONS) if video.split == "test"}
    assert not unseen & {tuple(recipe) for recipe in recipes}
    for i, (recipe, story) in enumerate(zip(recipes, told, strict=True)):
        assert set(story) == {"id", "title", "instructions"} and story["id"] == f"{i:07d}"
        text = " ".join(part["text"] for part in story["instructions"]).lower()
        assert all(action.split()[0] in text and action.split()[1] in text for action in recipe)


def test_no_text_corpus_is_an_empty_one(copy):
    rendered(copy, OPTIONS.model_copy(update={"texts": 0}))
    assert (copy / "recipes.txt").read_bytes() == (copy / "sentences.jsonl").read_bytes() == b""


def test_two_workers_write_the_bytes_of_one(raw, tmp_path):
    assert contents(rendered(tmp_path / "raw", workers=2)) == contents(raw)


def test_a_second_render_keeps_every_video(raw, copy):
    before = times(copy)
    rendered(copy)
    assert times(copy) == before and contents(copy) == contents(raw)


def test_only_missing_and_damaged_videos_are_rendered_again(raw, copy):
    before = times(copy)
    (copy / "videos/train000.mp4").unlink()
    with open(copy / "videos/train001.mp4", "r+b") as file:
        file.truncate(1000)
    rendered(copy)
    assert contents(copy) == contents(raw)
    assert {name for name, moment in times(copy).items() if before[name] != moment} == {"train000.mp4", "train001.mp4"}


def test_other_options_or_other_code_render_all_anew_and_more_texts_none(copy):
    before = times(copy)
    rendered(copy, OPTIONS.model_copy(update={"texts": 40}))
    assert times(copy) == before
    rendered(copy, OPTIONS.model_copy(update={"crf": 30}))
    changed = times(copy)
    assert not set(changed.items()) & set(before.items())
    rendered(copy, OPTIONS.model_copy(update={"crf": 30}), code="changed")
    assert not set(times(copy).items()) & set(changed.items())


def test_what_is_not_planned_is_removed(raw, copy):
    (copy / "videos/train001.mp4.host-1.new").write_bytes(b"left by a killed process")
    (copy / "videos/old").mkdir()
    (copy / "videos/old/train007.mp4").write_bytes(b"of another plan")
    rendered(copy)
    assert contents(copy) == contents(raw)


def test_a_folder_of_the_users_own_videos_is_refused_and_left_alone(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/holiday.mp4").write_bytes(b"precious")
    with pytest.raises(DataError, match="not rendered by kinoflow; give an empty folder as --raw"):
        rendered(tmp_path)
    assert os.listdir(tmp_path / "videos") == ["holiday.mp4"]


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="0 processes render nothing"):
        rendered(tmp_path / "raw", workers=0)


def jobs(raw, count):
    options = OPTIONS.model_copy(update={"training_videos": count})
    return [Job(raw, video, options, "key") for video in plan_videos(options)]


def test_a_killed_rendering_process_is_told_in_one_sentence(tmp_path):
    (tmp_path / "videos").mkdir()
    work = _share_out(jobs(tmp_path, 8), 2)
    next(work)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(KinoflowError, match="a rendering process ended with status -9"):
        list(work)
    assert not multiprocessing.active_children()


def test_what_a_rendering_process_meets_reaches_the_main_process(tmp_path):
    (tmp_path / ".work").write_text("a file where the folder should be")
    with pytest.raises(OSError) as caught:
        list(_share_out(jobs(tmp_path, 2), 2))
    assert any("make_video" in note for note in caught.value.__notes__)
    assert not multiprocessing.active_children()


def command(raw, *words):
    files = [word for name, file in TABLES.items() for word in (f"--{name}", str(raw / file))]
    options = json.dumps(OPTIONS.model_dump(mode="json"))
    start = [sys.executable, "-m", "kinoflow", "render", "--raw", str(raw), *files, "--options", options]
    return [*start, "--code", "same", *words]


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_while_rendering_processes_start_is_one_sentence(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    words = command(tmp_path / "raw", "--workers", "2")
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 2:  # of them one is Python's own resource tracker
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert (
        process.communicate(timeout=60)[1].splitlines()[-1]
        == "kinoflow render: interrupted; the same command continues"
    )
    assert process.returncode == 130


def test_a_killed_run_ends_its_processes_and_the_same_command_continues(raw, tmp_path):
    folder, environment = tmp_path / "raw", os.environ | {"PYTHONPATH": str(SOURCES)}
    process = subprocess.Popen(command(folder, "--workers", "2"), env=environment, stderr=subprocess.DEVNULL)
    while not list((folder / "videos").glob("*.mp4")):
        assert process.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    limit = time.monotonic() + 20
    while any(alive(pid) for pid in children):
        assert time.monotonic() < limit, "a rendering process outlives the killed main process"
        time.sleep(0.05)
    assert len(children) >= 2
    assert not (folder / "segments.csv").exists()
    assert all(path.suffix == ".mp4" for path in (folder / "videos").iterdir())
    before = times(folder)
    subprocess.run(command(folder), env=environment, check=True, capture_output=True)
    assert before.items() <= times(folder).items()
    assert contents(folder) == contents(raw)
