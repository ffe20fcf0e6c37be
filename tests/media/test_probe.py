import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinoflow.errors import DataError
from kinoflow.media import probe as module
from kinoflow.media.options import ProbeOptions
from kinoflow.media.probe import probe
from kinoflow.store.files import quick_hash, sha256_of
from kinoflow.store.tables import NO_VIDEO, PARTLY, READABLE, UNREADABLE, Probed, read


@pytest.fixture
def place(tmp_path, make_video):
    """A folder of three videos, with its list and its table."""
    return Place(tmp_path, make_video)


class Place:
    def __init__(self, folder, make_video):
        self.root, self.list, self.table = folder / "raw", folder / "000.json", folder / "probe" / "000.csv"
        self.root.mkdir()
        self.make = make_video
        for seed in range(3):
            make_video(self.root / f"{seed}.mp4", seed=seed)
        self.take_stock()

    def take_stock(self):
        states = {}
        for name in os.listdir(self.root):
            seen = Path(self.root, name).stat()
            states[name] = [seen.st_size, seen.st_mtime_ns, f"{seen.st_size}-{seen.st_mtime_ns}"]
        self.list.write_text(json.dumps(states))

    def run(self, code="1", **options):
        probe(self.root, self.list, self.table, ProbeOptions(**options), code=code)
        return {row.video: row for row in read(self.table, Probed)}


@pytest.fixture
def worked_on(caplog):
    """Return a function that gives the videos really opened since it was last asked."""
    caplog.set_level(logging.INFO, "kinoflow")

    def since():
        videos = [record.args[0] for record in caplog.records if record.msg.startswith("probed")]
        caplog.clear()
        return videos

    return since


def test_every_video_gets_a_row(place):
    rows = place.run()
    assert list(rows) == ["0.mp4", "1.mp4", "2.mp4"]
    row, path = rows["1.mp4"], place.root / "1.mp4"
    assert row == Probed(
        video="1.mp4",
        fps=12.0,
        frames=12,
        duration=1.0,
        width=64,
        height=48,
        kept=True,
        status=READABLE,
        sha256=sha256_of(path),
        quick=quick_hash(path),
    )


@pytest.mark.parametrize("check", ["demux", "decode"])
def test_one_more_video_is_the_only_one_opened(place, worked_on, check):
    place.run(check=check)
    assert worked_on() == ["0.mp4", "1.mp4", "2.mp4"]
    place.make(place.root / "1b.mp4", seed=9)
    place.take_stock()
    place.run(check=check)
    assert worked_on() == ["1b.mp4"]
    updated = place.table.read_bytes()
    shutil.rmtree(place.table.parent)
    place.run(check=check)
    assert place.table.read_bytes() == updated


def test_a_removed_video_leaves_no_trace(place, worked_on):
    place.run()
    (place.root / "1.mp4").unlink()
    place.take_stock()
    worked_on()
    assert list(place.run()) == ["0.mp4", "2.mp4"]
    assert worked_on() == []


def test_a_replaced_video_is_opened_again(place, worked_on):
    place.run()
    worked_on()
    place.make(place.root / "1.mp4", seed=7, frames=13)
    place.take_stock()
    assert place.run()["1.mp4"].frames == 13
    assert worked_on() == ["1.mp4"]


@pytest.mark.parametrize(("first", "second"), [({}, {"check": "decode"}), ({}, {"timeout": 299}), ({}, {"code": "2"})])
def test_other_options_or_code_open_all_again(place, worked_on, first, second):
    place.run(**first)
    worked_on()
    place.run(**second)
    assert len(worked_on()) == 3


def test_a_table_that_was_tampered_with_is_made_anew(place, worked_on):
    place.run()
    good = place.table.read_text()
    place.table.write_text(good.replace("12.0", "13.0"))
    worked_on()
    place.run()
    assert len(worked_on()) == 3
    assert place.table.read_text() == good


# ---------------------------------------------------------------- damage


def test_the_torture_set_is_judged_as_expected(shared, tmp_path):
    with open(shared / "data/torture/expected.csv", newline="", encoding="utf-8") as file:
        expected = {row["copy_as"]: row for row in csv.DictReader(file)}
    root, listed, table = tmp_path / "raw", tmp_path / "list.json", tmp_path / "table.csv"
    root.mkdir()
    for name, row in expected.items():
        shutil.copy(shared / "data/torture" / row["file"], root / name)
    listed.write_text(json.dumps({name: [0, 0, ""] for name in expected}))
    probe(root, listed, table, ProbeOptions(check="decode"), code="1")
    rows = {row.video: row for row in read(table, Probed)}
    assert {name: row.status for name, row in rows.items()} == {name: row["expected"] for name, row in expected.items()}
    assert {row.video for row in rows.values() if row.status in (READABLE, PARTLY) and not row.kept} == {
        "bitflips_media.mp4",
        "zeroed_hole.mp4",
    }
    assert all(row.sha256 == expected[name]["sha256"] for name, row in rows.items())
    assert not any(row.kept for row in rows.values() if row.status in (NO_VIDEO, UNREADABLE))


def test_the_limit_of_damage_is_judged_anew_without_opening_the_video(shared, place, worked_on):
    shutil.copy(shared / "data/torture/zeroed_hole.mp4", place.root)
    place.take_stock()
    strict = place.run(check="decode")["zeroed_hole.mp4"]
    assert not strict.kept
    assert strict.reason.endswith("; left out: 29.5% of its frames are bad, more than max_corrupt = 5.0%")
    worked_on()
    for video in place.root.iterdir():
        video.unlink()
    mild = place.run(check="decode", max_corrupt=0.3)["zeroed_hole.mp4"]
    assert mild.kept
    assert mild.reason == strict.reason.partition("; left out")[0] != ""
    assert place.run(check="decode")["zeroed_hole.mp4"] == strict
    assert worked_on() == []


def look_out(path, *given):
    """In place of examine: videos whose names tell what they do to the process that opens them."""
    name = Path(path).stem
    if name == "crash":
        os.abort()
    if name == "hang":
        time.sleep(100)
    if name == "hog":
        return len(bytearray(600_000_000))
    if name == "bug":
        raise RuntimeError("what is this?")
    return {"status": READABLE, "frames": 3}


def test_a_dangerous_video_costs_its_own_row_only(place, monkeypatch):
    monkeypatch.setattr(module, "examine", look_out)
    for name in ("crash", "hang", "hog", "bug"):
        shutil.copy(place.root / "0.mp4", place.root / f"{name}.mp4")
    place.take_stock()
    rows = place.run(timeout=1, memory=500)
    reasons = {row.video: row.reason for row in rows.values() if row.status == UNREADABLE}
    assert reasons == {
        "crash.mp4": "the process that worked on it crashed (SIGABRT)",
        "hang.mp4": "it takes longer than 1 s",
        "hog.mp4": "it takes more than 500 MB of memory",
        "bug.mp4": "RuntimeError: what is this?",
    }
    assert [row.video for row in rows.values() if row.kept] == ["0.mp4", "1.mp4", "2.mp4"]
    assert rows["crash.mp4"].sha256 == rows["0.mp4"].sha256


def test_a_video_that_is_gone_is_a_row_and_looked_for_again(place, worked_on):
    kept = (place.root / "1.mp4").read_bytes()
    (place.root / "1.mp4").unlink()
    row = place.run()["1.mp4"]
    assert (row.status, row.reason) == (UNREADABLE, "the file cannot be read: No such file or directory")
    (place.root / "1.mp4").write_bytes(kept)
    worked_on()
    assert place.run()["1.mp4"].status == READABLE
    assert worked_on() == ["1.mp4"]


def test_names_may_hold_any_byte(place):
    for name in (
        b"\xff\xfe.mp4",
        b"two\nlines.mp4",
        b'"quoted", with comma.mp4',
        "vid\u00e9o \u65e5\u672c".encode(),
        b"tab\t#%",
    ):
        shutil.copy(place.root / "0.mp4", os.path.join(place.root, os.fsdecode(name)))
    place.take_stock()
    rows = place.run()
    assert list(rows) == sorted(os.listdir(place.root), key=os.fsencode)
    assert all(row.kept for row in rows.values())


@pytest.mark.parametrize("text", ["", "[]", "[1]", '{"a": 1}', '{"a": []}', "{"])
def test_a_file_that_is_no_list_is_refused(place, text):
    place.list.write_text(text)
    with pytest.raises(DataError, match=r"000\.json: this is no list of videos"):
        place.run()


def test_an_empty_shard_gives_an_empty_table(place):
    place.list.write_text("{}")
    assert place.run() == {}
    assert place.table.exists()


# ---------------------------------------------------------------- as a command


def command(place, *more):
    source = Path(module.__file__).parents[2]
    words = ["probe", "--root", place.root, "--list", place.list, "--table", place.table, *more]
    environment = os.environ | {"PYTHONPATH": str(source)}
    return subprocess.Popen(
        [sys.executable, "-m", "kinoflow", *map(str, words)], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_the_command_writes_the_same_table(place):
    place.run(check="decode")
    expected = place.table.read_bytes()
    shutil.rmtree(place.table.parent)
    process = command(place, "--check", "decode")
    said = process.communicate()[1]
    assert process.returncode == 0, said
    assert "probe 000: 3 videos in" in said
    assert place.table.read_bytes() == expected


def test_a_killed_probe_leaves_the_old_table_and_the_next_one_no_leftover(place):
    place.run()
    before = place.table.read_bytes()
    for seed in range(60):
        place.make(place.root / f"more{seed}.mp4", frames=6, seed=seed)
    place.take_stock()
    process = command(place)
    process.stderr.readline()  # it has begun
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert place.table.read_bytes() == before
    assert len(place.run()) == 63
    assert sorted(path.name for path in place.table.parent.iterdir()) == [".keys", "000.csv"]
