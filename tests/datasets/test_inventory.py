import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow import cli
from kinoflow.datasets.inventory import inventory
from kinoflow.errors import DataError
from kinoflow.store import tables
from kinoflow.store.tables import Probed, Unreadable

NAMES = st.binary(min_size=1, max_size=30).map(lambda name: os.fsdecode(name.replace(b"\0", b"0")))


def row(video, kept=True, **values):
    status = tables.READABLE if kept else tables.UNREADABLE
    return Probed(**{"video": video, "kept": kept, "status": status, "duration": 2.5, "fps": 30000 / 1001} | values)


def join(folder, *shards):
    files = [Path(folder, f"probe/{i:03d}.csv") for i in range(len(shards))]
    for file, rows in zip(files, shards, strict=True):
        tables.write(file, rows, Probed)
    inventory(files, Path(folder, "inventory.csv"), Path(folder, "unreadable.csv"))
    return tables.read(Path(folder, "inventory.csv"), Probed), tables.read(Path(folder, "unreadable.csv"), Unreadable)


def test_all_tables_are_joined_and_sorted_by_name(tmp_path):
    rows = [row("b"), row("é"), row("a"), row("B"), row(os.fsdecode(b"\xff"))]
    found, lost = join(tmp_path, rows[:2], [], rows[2:])
    assert [item.video for item in found] == ["B", "a", "b", "é", os.fsdecode(b"\xff")] and lost == []
    assert set(found) == set(rows)


def test_what_is_not_used_is_listed_with_its_reason_and_fails_nothing(tmp_path):
    bad = [
        row("x.txt", kept=False, status=tables.NO_VIDEO, reason="only text"),
        row("y.mp4", kept=False, reason='moov atom "not" found,\nreally'),
        row("z.mp4", kept=False, status=tables.PARTLY, reason="31 of 100 packets are bad"),
    ]
    found, lost = join(tmp_path, bad)
    assert found == bad
    assert [(item.video, item.status, item.reason) for item in lost] == [(b.video, b.status, b.reason) for b in bad]


def test_no_files_at_all_fail_nothing_here(tmp_path):
    assert join(tmp_path, [], []) == ([], [])


def test_a_video_in_two_tables_is_an_error_that_names_both(tmp_path):
    with pytest.raises(
        DataError, match=r"001.csv: the video 'a' stands in another probe table too; give the tables of one"
    ):
        join(tmp_path, [row("a")], [row("a")])


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, unique=True, max_size=6), st.randoms())
def test_any_name_survives_and_the_bytes_do_not_depend_on_shards_or_order(names, random):
    rows = [row(name, kept=i % 2 == 0, reason=name) for i, name in enumerate(names)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found, lost = join(one, rows)
        assert [item.video for item in found] == sorted(names, key=os.fsencode)
        assert set(found) == set(rows) and {item.video for item in lost} == set(names[1::2])
        random.shuffle(rows)
        join(other, rows[:2], rows[2:], [])
        for name in ("inventory.csv", "unreadable.csv"):
            assert Path(one, name).read_bytes() == Path(other, name).read_bytes()


def test_the_tables_are_joined_by_hand_too(tmp_path, capsys):
    tables.write(tmp_path / "000.csv", [row("a"), row("b", kept=False)], Probed)
    words = ["--tables", tmp_path / "000.csv", "--inventory", tmp_path / "i.csv", "--unreadable", tmp_path / "u.csv"]
    assert cli.main(["inventory", *map(str, words)]) == 0
    assert "2 files found, 1 of them not used (see " in capsys.readouterr().err
    assert (tmp_path / "u.csv").read_text() == "video,status,reason\nb,unreadable,\n"
