import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow import cli
from kinoflow.datasets.index import index
from kinoflow.datasets.options import DrawOptions, IndexOptions
from kinoflow.datasets.roles import LABEL_EXTRAS, read_labels, roles_of
from kinoflow.errors import ConfigError, DataError
from kinoflow.store import tables
from kinoflow.store.tables import Probed, Segment, Video

SRC = Path(__file__).resolve().parents[2] / "src"
NAMES = st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.replace(b"\0", b"0")))


def row(video, kept=True, **values):
    status = tables.READABLE if kept else tables.UNREADABLE
    return Probed(**{"video": video, "kept": kept, "status": status, "duration": 10.0, "sha256": "5" * 64} | values)


class Place:
    """A folder with an inventory and the user's tables; `run` gives rows of videos.csv and segments.csv."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def table(self, name, *lines):
        path = self.folder / f"{name}.csv"
        path.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape")
        return path

    def run(self, *rows, labels=None, splits=None, **options):
        files = [self.folder / f"{name}.csv" for name in ("inventory", "videos", "segments")]
        tables.write(files[0], [item if isinstance(item, Probed) else row(item) for item in rows], Probed)
        index(*files, IndexOptions(**options), labels, splits)
        return tables.read(files[1], Video), tables.read(files[2], Segment)

    def refused(self, *rows, **given):
        with pytest.raises(DataError) as error:
            self.run(*rows, **given)
        assert "\n" not in str(error.value)
        return str(error.value).replace(f"{self.folder}/", "")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def said(caplog):
    """Return a function that gives what was logged."""
    caplog.set_level(logging.INFO, "kinoflow")
    logging.getLogger("kinoflow").propagate = True
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def brief(segments):
    return [(s.video, s.start, s.end, s.action) for s in segments]


# ---------------------------------------------------------------- the two tables


def test_a_dataset_without_labels_has_videos_and_an_empty_table_of_segments(place):
    bad = row("b.txt", kept=False, reason="no video", duration=None, sha256="")
    good = row("a.mp4", fps=25.0, frames=250, width=64, height=48, rotation=90, pixel_aspect="4:3", bad_packets=2)
    videos, segments = place.run(bad, good, max_unreadable=0.5)
    assert segments == [] and [video.video for video in videos] == ["a.mp4", "b.txt"]
    for video, probed in zip(videos, (good, bad), strict=True):
        shared = [name for name in tables.columns(Video) if name in tables.columns(Probed)]
        assert len(shared) == 15 and all(getattr(video, name) == getattr(probed, name) for name in shared)
        role = roles_of(["a.mp4", "b.txt"], IndexOptions())[video.video]
        assert (video.path, video.split, video.recording, video.task) == (video.video, role.split, video.video, "")


def test_labels_become_segments_sorted_by_video_and_time(place):
    labels = place.table(
        "labels",
        "video,start,end,action,verb,noun,phase,variant,text,split,task",
        "b.mp4,4,6,stir soup,stir,soup,,1,He stirs,,",
        "b.mp4,4,5,stir soup,stir,soup,reach,,,,",
        "b.mp4,0.5,2.25,cut,,,,,,val,soup",
        "a.mp4,,,wait,,,,,,test,",
    )
    videos, segments = place.run("b.mp4", "a.mp4", labels=labels)
    assert [(v.video, v.split, v.task) for v in videos] == [("a.mp4", "test", ""), ("b.mp4", "validation", "soup")]
    shared = {"video": "b.mp4", "split": "validation"}
    stir = shared | {"start": 4.0, "action": "stir soup", "verb": "stir", "noun": "soup"}
    assert segments == [
        Segment(segment="a.mp4#0000", video="a.mp4", start=0.0, end=10.0, action="wait", split="test"),
        Segment(segment="b.mp4#0000", start=0.5, end=2.25, action="cut", **shared),
        Segment(segment="b.mp4#0001", end=5.0, phase="reach", **stir),
        Segment(segment="b.mp4#0002", end=6.0, variant="1", text="He stirs", **stir),
    ]


def test_verb_and_noun_are_never_guessed(place):
    labels = place.table("labels", "video,start,end,action", "a,0,1,cut apple")
    [segment] = place.run("a", labels=labels)[1]
    assert (segment.action, segment.verb, segment.noun) == ("cut apple", "", "")


def test_names_of_segments_are_their_own_and_do_not_depend_on_other_videos(place):
    lines = ["a,0,1,x", "a,1,2,y", "a#0001,0,1,x", "b,0,1,x"]
    labels = place.table("labels", "video,start,end,action", *lines)
    few = place.run("a", "b", labels=labels, max_unreadable=1)[1]
    many = place.run("a", "a#0001", "b", labels=labels)[1]
    assert [s.segment for s in many] == ["a#0000", "a#0001", "a#0001#0000", "b#0000"]
    assert set(few) < set(many)


def test_the_bytes_do_not_depend_on_the_order_of_rows(place):
    lines = ["b,0,1,x", "a,1,2,y", "a,1,2,x", "a,0,3,z"]
    made = []
    for order in (1, -1):
        place.run(*["a", "b", "c"][::order], labels=place.table("labels", "video,start,end,action", *lines[::order]))
        made.append([(place.folder / name).read_bytes() for name in ("videos.csv", "segments.csv")])
    assert made[0] == made[1]


def test_spreadsheet_habits_are_understood(place):
    labels = place.folder / "labels.csv"
    labels.write_bytes("\ufeffVideo;Start;End;Action\r\nsub\\a;0;1.5;cut\r\n;;;\r\n".encode())
    assert brief(place.run("sub/a.mp4", labels=labels)[1]) == [("sub/a.mp4", 0.0, 1.5, "cut")]


def test_unknown_columns_are_ignored_and_said_once(place, said):
    labels = place.table("labels", "video,start,end,action,colour,mood", "a,0,1,x,red,good", "a,1,2,x,red,good")
    place.run("a", labels=labels)
    assert said().count("columns that are not known here are ignored: colour, mood") == 1


def test_the_same_segment_twice_counts_once(place, said):
    labels = place.table("labels", "video,start,end,action", "a,0,1,x", "a,0,1,x", "a,0,1,y")
    assert brief(place.run("a", labels=labels)[1]) == [("a", 0.0, 1.0, "x"), ("a", 0.0, 1.0, "y")]
    assert "segments that stand there twice count once: 1 (" in said() and "labels.csv, line 3)" in said()


def test_splits_that_are_not_given_are_drawn_and_counted(place, said):
    splits = place.table("splits", "video,split", "a,train")
    videos, _ = place.run("a", "b", "c", splits=splits, draw=DrawOptions(test=0.99))
    assert [video.split for video in videos] == ["train", "test", "test"]
    assert "2 files have no given split: theirs are drawn" in said()


@settings(max_examples=40, deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=5))
def test_any_name_survives_in_both_tables(names):
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        lines = ['"' + name.replace('"', '""') + '",1,2,cut' for name in names]
        labels = place.folder / "labels.csv"
        labels.write_bytes(b"video,start,end,action\r\n" + b"\r\n".join(map(os.fsencode, lines)) + b"\r\n")
        videos, segments = place.run(*names, labels=labels)
        assert [video.video for video in videos] == sorted(names, key=os.fsencode)
        assert brief(segments) == [(name, 1.0, 2.0, "cut") for name in sorted(names, key=os.fsencode)]
        assert [s.segment for s in segments] == [f"{s.video}#0000" for s in segments]


# ---------------------------------------------------------------- a class for each folder


def test_the_first_folder_is_the_action_of_the_whole_video(place):
    rows = [row("cut it/x/a.mp4", duration=2.5), row("stir/b.mp4"), row("readme.txt", kept=False)]
    videos, segments = place.run(*rows, class_per_folder=True, max_unreadable=0.5)
    assert brief(segments) == [("cut it/x/a.mp4", 0.0, 2.5, "cut it"), ("stir/b.mp4", 0.0, 10.0, "stir")]
    assert len(videos) == 3 and {s.verb + s.noun for s in segments} == {""}
    assert {s.video: s.split for s in segments}.items() <= {v.video: v.split for v in videos}.items()


def test_a_video_at_the_top_has_no_class(place):
    assert place.refused("cut/a.mp4", "b.mp4", class_per_folder=True) == (
        "'b.mp4' lies in no sub-folder, so class_per_folder finds no action for it;"
        " move it into its action's folder, or leave it out with exclude"
    )


def test_folders_of_splits_are_no_classes(place):
    said = place.refused("train/cut/a.mp4", "Test/cut/b.mp4", class_per_folder=True)
    assert said.startswith("class_per_folder: the first folders are Test, train: these are splits, not actions;")
    place.run("train/a.mp4", "car/b.mp4", class_per_folder=True)


def test_a_video_of_unknown_length_has_no_class(place):
    said = place.refused(row("cut/a.npy", duration=None), class_per_folder=True)
    assert said == "the length of 'cut/a.npy' is not known, so class_per_folder cannot label it; use labels instead"


def test_labels_and_class_per_folder_exclude_each_other(place):
    labels = place.table("labels", "video,start,end,action")
    with pytest.raises(ConfigError, match="labels and class_per_folder exclude each other; leave one of them out"):
        place.run("a", labels=labels, class_per_folder=True)


# ---------------------------------------------------------------- what cannot be read


def test_a_few_unreadable_videos_are_ordinary(place):
    rows = [row(f"{i}", kept=i > 2) for i in range(10)]
    videos, _ = place.run(*rows, max_unreadable=0.3)
    assert [video.kept for video in videos] == [False] * 3 + [True] * 7


def test_too_many_unreadable_videos_stop_the_run(place):
    rows = [row(f"{i}", kept=i > 3, reason=f"reason {i}" if i else "") for i in range(10)]
    assert place.refused(*rows, max_unreadable=0.3) == (
        "4 of 10 files cannot be used (max_unreadable allows 30 %): '0' (unreadable), '1' (reason 1), '2' (reason 2), ...;"
        " unreadable.csv lists them all: repair them, leave files that are no videos out with exclude,"
        " or raise index.max_unreadable"
    )


def test_a_dataset_without_any_usable_video_stops_the_run(place):
    said = place.refused(row("a.mp4", kept=False, reason="broken"), max_unreadable=1)
    assert said.startswith("1 of 1 files cannot be used (so nothing is left): 'a.mp4' (broken); unreadable.csv lists")


def test_an_empty_folder_stops_the_run(place):
    assert place.refused().startswith(
        "no file in the dataset's folder matches include and is not excluded: check the path"
    )


# ---------------------------------------------------------------- labels for other videos


def test_labels_of_unreadable_videos_are_left_out(place, said):
    labels = place.table("labels", "video,start,end,action", "a,0,1,x", "b,0,1,x")
    segments = place.run(row("a", kept=False, duration=None), "b", labels=labels, max_unreadable=0.5)[1]
    assert brief(segments) == [("b", 0.0, 1.0, "x")]
    assert "segments of unreadable videos are left out: 1 (" in said()


def test_a_few_lost_videos_are_ordinary_and_named(place, said):
    lines = [f"v{i},0,1,x" for i in range(20)] + ["v19,2,3,x"]
    labels = place.table("labels", "video,start,end,action", *lines)
    segments = place.run(*[f"v{i}" for i in range(12)], labels=labels, max_unreadable=0.4)[1]
    assert len(segments) == 12
    assert (
        "8 of the 20 videos named there were not found in the folder: 'v12', 'v13', 'v14', 'v15', 'v16', ..." in said()
    )


@pytest.mark.parametrize("kind, header", [("labels", "video,start,end,action"), ("splits", "video,split")])
def test_too_many_lost_videos_are_an_error_that_shows_a_name_that_is_there(place, kind, header):
    rest = ",0,1,x" if kind == "labels" else ",train"
    table = place.table(kind, header, f"a{rest}", f"b.mp4{rest}", f"c{rest}")
    assert place.refused("a", "x/y.mp4", "sub/b.mp4", **{kind: table}, max_unreadable=0.6) == (
        f"{kind}.csv: 2 of the 3 videos named there were not found in the folder: 'b.mp4', 'c'; write names as they are"
        " below the folder, as in 'sub/b.mp4', or raise index.max_unreadable to go on without them"
    )


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("a;1,5;2;x", "labels.csv, line 2: start '1,5' is no time; write a point as decimal mark: 1.5"),
        ("a;2;nan;x", "labels.csv, line 2: end 'nan' is no time; write seconds as a number, as in 65.3, or leave"),
        ("a;-1;2;x", "labels.csv, line 2: start '-1' is before the video begins; times count from its start"),
        ("a;2;2;x", "labels.csv, line 2: end 2.0 is not after start 2.0; write times in seconds, start before end"),
        ("a;3;2.5;x", "labels.csv, line 2: end 2.5 is not after start 3.0; write times in seconds"),
        ("a;;0;x", "labels.csv, line 2: end 0.0 is not after start 0.0; write times in seconds"),
        ("a;1;2; ", "labels.csv, line 2: the action is empty; write what is done there, or remove the row"),
        ("lost;2;1;x", "labels.csv, line 2: end 1.0 is not after start 2.0"),
        ("b;1;;x", "labels.csv, line 2: the end is empty, but the length of 'b' is not known; write the end"),
    ],
)
def test_a_wrong_row_is_refused_in_a_sentence(place, line, sentence):
    labels = place.table("labels", "video;start;end;action", line)
    assert place.refused("a", row("b", duration=None), labels=labels, max_unreadable=1).startswith(sentence)


def test_a_phase_needs_no_action(place):
    labels = place.table("labels", "video,start,end,action,phase", "a,1,2,,reach")
    assert place.run("a", labels=labels)[1][0].phase == "reach"


def test_a_segment_that_ends_more_than_a_second_after_its_video_is_cut(place, said):
    labels = place.table("labels", "video,start,end,action", "a,8,10.9,x", "a,9,11.5,y")
    assert brief(place.run("a", labels=labels)[1]) == [("a", 8.0, 10.9, "x"), ("a", 9.0, 10.0, "y")]
    assert "segments that end after their video are cut to it: 1 (" in said()
    assert "labels.csv, line 3: 11.500 s of 10.000 s)" in said() and "line 2" not in said()


def test_a_video_of_unknown_length_cuts_nothing(place):
    labels = place.table("labels", "video,start,end,action", "a,8,1000,x")
    assert brief(place.run(row("a", duration=None), labels=labels)[1]) == [("a", 8.0, 1000.0, "x")]


def test_a_few_segments_after_the_end_are_left_out(place, said):
    labels = place.table("labels", "video,start,end,action", "a,8,9,x", "a,10,11,y")
    assert brief(place.run("a", labels=labels, max_unreadable=0.5)[1]) == [("a", 8.0, 9.0, "x")]
    assert "segments that begin after the end of their video are left out: 1 (" in said()


def test_many_segments_after_the_end_are_an_error_because_they_may_be_frames(place):
    labels = place.table("labels", "video,start,end,action", "a,0,50,x", "a,50,100,x")
    assert place.refused("a", labels=labels) == (
        "1 of 2 segments begin after the end of their video: labels.csv, line 3: 50.000 s of 10.000 s;"
        " write times in seconds, not in frames or milliseconds, or raise index.max_unreadable"
    )


# ---------------------------------------------------------------- the page for users


def test_the_page_on_data_explains_every_column_and_its_examples_work(place):
    page = (SRC.parent / "docs/data.md").read_text()
    explained = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in page.splitlines() if line[:2] == "| "))
    )
    for table in (Video, Segment, tables.Unreadable):
        assert {*tables.columns(table)} <= explained
    labels, splits = re.findall(r"```csv\n(.*?)```", page, re.S)
    files = {"labels": place.table("labels", labels), "splits": place.table("splits", splits)}
    soup = row("kitchen 1/soup.mp4", duration=32.0)
    videos, segments = place.run(soup, row("kitchen 1/tea.mp4"), row("P01_soup.mp4"), **files, recording="(P[0-9]+)_")
    assert [(v.split, v.recording, v.task) for v in videos][1:] == [("train", "anna", "soup"), ("test", "ben", "")]
    assert videos[0].recording == "P01" and len(segments) == 3
    assert {*read_labels(files["labels"]).columns} | {*LABEL_EXTRAS} <= explained


# ---------------------------------------------------------------- by hand


def test_the_index_is_made_by_hand_too_and_needs_no_torch(place):
    tables.write(place.folder / "inventory.csv", [row("a.mp4")], Probed)
    place.table("mine", "video,start,end,action", "a,0,,cut")
    files = {"inventory": "inventory.csv", "videos": "v.csv", "segments": "s.csv", "labels": "mine.csv"}
    words = ["index", *(word for name, file in files.items() for word in (f"--{name}", file)), "--options"]
    options = json.dumps({"labels": "/not/looked/at.csv", "draw": {"test": 0.5}})
    code = "import sys, kinoflow.cli as c; s = c.main(sys.argv[1:]); assert not {'torch', 'av'} & {*sys.modules}; sys.exit(s)"
    run = [sys.executable, "-c", code, *words, options]
    done = subprocess.run(
        run, cwd=place.folder, env=os.environ | {"PYTHONPATH": str(SRC)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.splitlines()[-1][:9]) == (0, "1 videos "), done.stderr
    assert brief(tables.read(place.folder / "s.csv", Segment)) == [("a.mp4", 0.0, 10.0, "cut")]


def test_a_stage_that_stops_says_one_sentence_and_leaves_the_old_tables(place, capsys):
    place.run("a")
    before = (place.folder / "videos.csv").read_bytes()
    tables.write(place.folder / "inventory.csv", [], Probed)
    names = ("inventory", "videos", "segments")
    words = [word for name in names for word in (f"--{name}", str(place.folder / f"{name}.csv"))]
    assert cli.main(["index", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("kinoflow index: no file in the dataset's folder matches") and said.count("\n") == 1
    assert (place.folder / "videos.csv").read_bytes() == before


def test_a_video_whose_first_frame_comes_late_ends_late(place):
    labels = place.table("labels", "video,start,end,action", "a.mp4,10,12,wait", "a.mp4,11,,look")
    _, segments = place.run(row("a.mp4", start=10.0, duration=2.0), labels=labels)
    assert [(segment.start, segment.end) for segment in segments] == [(10.0, 12.0), (11.0, 12.0)]
