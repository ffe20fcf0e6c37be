import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.datasets.labels import Line, Names, read_user_table
from kinoflow.errors import DataError

PARTS = st.binary(min_size=1, max_size=12).map(lambda b: os.fsdecode(b.replace(b"\0", b"0").replace(b"/", b"|")))


def user_table(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_user_table(path, ("video", "action"), ("text", "task"))


def cells(table):
    return [tuple(line.cells[name] for name in ("video", "action", "text", "task")) for line in table.lines]


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize(
    "content",
    [
        "video,action,text\na.mp4,cut,fine\n",
        "video;action;text\r\na.mp4;cut;fine\r\n",
        "video\taction\ttext\ra.mp4\tcut\tfine\r",
        "\ufeffvideo;action;text\r\n\r\na.mp4; cut ;fine\r\n;;\r\n ; ;\r\n",
        '"Video ",ACTION, Text ,,\n"a.mp4","cut",fine,,\n,,,,\n',
        "text,video,action\nfine,a.mp4,cut",
    ],
)
def test_what_spreadsheets_write_is_understood(tmp_path, content):
    assert cells(user_table(tmp_path, content)) == [("a.mp4", "cut", "fine", "")]


def test_lines_are_counted_as_an_editor_does(tmp_path):
    table = user_table(tmp_path, 'video,action\n"a\nb",cut\n\nc,cut\n')
    assert [line.where.rpartition("labels.csv, ")[2] for line in table.lines] == ["line 3", "line 5"]
    assert [line.cells["video"] for line in table.lines] == ["a\nb", "c"]


def test_a_table_knows_its_columns_also_without_rows(tmp_path):
    table = user_table(tmp_path, "video,action,task,colour,\n")
    assert (table.columns, table.unknown, table.lines) == (("video", "action", "task"), ("colour",), [])


def test_names_of_videos_keep_their_blanks_and_bytes(tmp_path):
    table = user_table(tmp_path, b"video,action\n \xff.mp4 ,cut\n")
    assert table.lines[0].cells["video"] == os.fsdecode(b" \xff.mp4 ")


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("", r"labels.csv: the column 'video' is missing \(columns found: none\); add it to the first line"),
        ("a.mp4,cut\n", r"the column 'video' is missing \(columns found: a.mp4, cut\)"),
        ("video;what\n", r"the column 'action' is missing \(columns found: video, what\)"),
        ("video,action,Action\n", r"the column 'action' stands there twice; remove or rename one"),
        (
            "video,action\na,cut, then stir\n",
            r"line 2: this row has more cells than the header; put text that holds ','",
        ),
        ('video,action\n\na,"cut\n', r"line 3: this is no readable CSV table"),
        ("video,action\n".encode("utf-16"), r"labels.csv: this is UTF-16 text; save the table as CSV UTF-8"),
        (b"video,action\na,K\xe4se\n", r"line 2: action 'K\\udce4se' is not UTF-8; save the table as CSV UTF-8"),
    ],
)
def test_a_table_that_cannot_be_understood_is_refused_in_a_sentence(tmp_path, content, sentence):
    with pytest.raises(DataError, match=sentence):
        user_table(tmp_path, content)


def test_a_table_that_is_not_there_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"none.csv: this table cannot be read \(No such file or directory\)"):
        read_user_table(tmp_path / "none.csv", ("video",), ())


def test_a_row_that_is_too_short_has_empty_cells(tmp_path):
    assert cells(user_table(tmp_path, "video,action,text\na\n")) == [("a", "", "", "")]


# ---------------------------------------------------------------- times


@pytest.mark.parametrize("text, seconds", [("", None), ("0", 0), ("1.5", 1.5), (".5", 0.5), ("2.", 2), ("1e1", 10)])
def test_times_are_seconds(text, seconds):
    assert Line("labels.csv, line 2", {"start": text}).seconds("start") == seconds


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("1,5", r"labels.csv, line 2: start '1,5' is no time; write a point as decimal mark: 1.5"),
        ("00:01:05", r"line 2: start '00:01:05' is no time; write seconds, as in 65.3 for 1 min 5.3 s"),
        ("nan", r"line 2: start 'nan' is no time; write seconds as a number"),
        ("1e999", r"line 2: start '1e999' is no time"),
        ("1_0", r"line 2: start '1_0' is no time"),
        ("٣", r"line 2: start '٣' is no time"),
        ("soon", r"line 2: start 'soon' is no time"),
        ("-0.5", r"line 2: start '-0.5' is before the video begins; times count from its start"),
    ],
)
def test_what_is_no_time_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(DataError, match=sentence):
        Line("labels.csv, line 2", {"start": text}).seconds("start")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "text, video",
    [
        ("sub/a.mp4", "sub/a.mp4"),
        ("sub\\a.mp4", "sub/a.mp4"),
        ("./sub/a.mp4", "sub/a.mp4"),
        (".\\sub\\a", "sub/a.mp4"),
        (" sub/a ", "sub/a.mp4"),
        ("P01.cam1", "P01.cam1.avi"),
        ("k\u00e4se.mp4", "ka\u0308se.mp4"),
        ("k\u00e4se", "ka\u0308se.mp4"),
        ("same", "same"),
        ("same.mp4", "same.mp4"),
        (" blank.mp4", " blank.mp4"),
        ("blank.mp4", "blank.mp4"),
        ("a.mp4", None),
        ("SUB/a.mp4", None),
        ("sub/a.avi", None),
        ("sub", None),
        ("", None),
    ],
)
def test_a_name_may_lack_its_suffix_or_come_from_windows(text, video):
    videos = ["sub/a.mp4", "P01.cam1.avi", "ka\u0308se.mp4", "same", "same.mp4", "blank.mp4", " blank.mp4"]
    assert Names(videos).find(text, "labels.csv, line 2") == video


@pytest.mark.parametrize("videos", [["a.mp4", "a.avi"], ["a .mp4", "a .avi"], ["./a", " a"], ["x\\a", "x/a "]])
def test_a_name_that_may_mean_two_videos_is_an_error_that_names_both(videos):
    text = {"a.mp4": "a", "a .mp4": "a ", "./a": "a", "x\\a": "./x/a"}[videos[0]]
    with pytest.raises(DataError) as error:
        Names(videos).find(text, "labels.csv, line 7")
    one, other = sorted(videos, key=os.fsencode)
    said = f"labels.csv, line 7: {text!r} may be {one!r} or {other!r}; write the whole name, or leave one of them out"
    assert str(error.value).startswith(said)


@settings(deadline=None)
@given(st.sets(st.lists(PARTS, min_size=1, max_size=2).map("/".join), min_size=1, max_size=6))
def test_a_whole_name_always_means_its_video(videos):
    names = Names(videos)
    assert names.videos == sorted(videos, key=os.fsencode)
    assert all(names.find(video, "here") == video for video in videos)
