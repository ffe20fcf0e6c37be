"""Tables come back as they were written, whatever the names in them; errors name file, line and column."""

import os
from dataclasses import fields, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.store.tables import (
    STATUSES,
    Probed,
    Segment,
    Unreadable,
    Video,
    columns,
    read,
    read_columns,
    read_csv,
    write,
)

# What os.scandir gives: any bytes but NUL and "/"; those that are no UTF-8 are surrogate escapes.
NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name).map(os.fsdecode)
TEXTS = NAMES | st.sampled_from(
    ["", " ", '"', "a,b", "\r", "\n", "\r\n", "'", "\ufeff", "\u2028", "\x85", "x\r\r\n\n\ty"]
)
KINDS = {
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(),
    int | None: st.none() | st.integers(),
    float: st.floats(allow_nan=False),
    float | None: st.none() | st.floats(allow_nan=False),
}


def rows(row):
    values = {
        field.name: st.sampled_from(STATUSES) if field.name == "status" else KINDS[field.type] for field in fields(row)
    }
    return st.builds(row, **values)


@pytest.mark.parametrize("row", [Probed, Video, Segment, Unreadable])
def test_a_table_comes_back_as_it_was(tmp_path, row):
    @settings(max_examples=30, deadline=None)
    @given(st.lists(rows(row), max_size=5))
    def check(items):
        write(tmp_path / "table.csv", items, row)
        first = (tmp_path / "table.csv").read_bytes()
        assert read(tmp_path / "table.csv", row) == items
        write(tmp_path / "table.csv", iter(items), row)
        assert (tmp_path / "table.csv").read_bytes() == first

    check()


SEGMENT = Segment(segment="s", video="v", start=0.5, end=2.0)


@settings(deadline=None)
@given(start=st.floats(allow_nan=False))
@example(start=0.1 + 0.2)
@example(start=5e-324)
@example(start=1e22)
def test_floats_come_back_to_the_last_bit(tmp_path_factory, start):
    path = tmp_path_factory.getbasetemp() / "floats.csv"
    write(path, [replace(SEGMENT, start=start)], Segment)
    assert read(path, Segment)[0].start.hex() == start.hex()


def test_a_table_is_lines_of_plain_csv(tmp_path):
    write(tmp_path / "a.csv", [SEGMENT, replace(SEGMENT, video='a,"b"\n', action="café")], Segment)
    assert (tmp_path / "a.csv").read_text() == (
        "segment,video,start,end,action,verb,noun,phase,variant,text,split\n"
        "s,v,0.5,2.0,,,,,,,\n"
        's,"a,""b""\n",0.5,2.0,café,,,,,,\n'
    )


def test_numpy_values_are_written_as_plain_ones(tmp_path):
    import numpy as np

    item = Probed(video="v", fps=np.float64(0.1), frames=np.int64(3), kept=np.True_, status="readable")
    write(tmp_path / "a.csv", [item], Probed)
    assert read(tmp_path / "a.csv", Probed) == [Probed(video="v", fps=0.1, frames=3, kept=True, status="readable")]


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path):
    (tmp_path / "a.csv").write_text("reason,more,status,video\nwhy,1,unreadable,v\n\n")
    assert read(tmp_path / "a.csv", Unreadable) == [Unreadable(video="v", status="unreadable", reason="why")]


def test_a_table_with_a_byte_order_mark_or_windows_lines_is_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfvideo,status,reason\r\nv,unreadable,why\r\n")
    assert read(tmp_path / "a.csv", Unreadable) == [Unreadable(video="v", status="unreadable", reason="why")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the column 'video' is missing (columns found: none)"),
        ("video,reason\n", "the column 'status' is missing (columns found: video, reason)"),
        ("video,status,reason,status\n", "the column 'status' stands twice"),
        ("video,status,reason\nv,unreadable,\nw,lost,\n", "line 3: the status 'lost' is none of readable"),
        ('video,status,reason\n"a\nb",unreadable,\nw,lost,\n', "line 4: the status 'lost'"),
        ("video,status,reason\nv,unreadable\n", "line 2: there are fewer cells than columns"),
        ("video,status,reason\nv,unreadable,a,b\n", "line 2: there are more cells than columns"),
        ('video,status,reason\nv,unreadable,"a"b\n', "line 2: this is no readable CSV table"),
        ('video,status,reason\nv,unreadable,"a\n', "this is no readable CSV table"),
    ],
)
def test_a_broken_table_is_told_with_its_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError) as error:
        read(tmp_path / "a.csv", Unreadable)
    assert str(error.value).startswith(f"{tmp_path / 'a.csv'}") and message in str(error.value)


@pytest.mark.parametrize("column, cell", [("start", "x"), ("start", ""), ("end", "1,5"), ("end", "1 s")])
def test_a_cell_of_the_wrong_kind_is_told_with_line_and_column(tmp_path, column, cell):
    write(tmp_path / "a.csv", [SEGMENT, replace(SEGMENT, **{column: cell})], Segment)
    with pytest.raises(DataError, match=rf"a\.csv, line 3: '{cell}' is no value for the column '{column}'$"):
        read(tmp_path / "a.csv", Segment)


def test_a_truth_value_is_0_or_1(tmp_path):
    write(tmp_path / "a.csv", [Probed(video="v", status="readable", kept=True)], Probed)
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace(",1,readable", ",True,readable"))
    with pytest.raises(DataError, match="'True' is no value for the column 'kept'"):
        read(tmp_path / "a.csv", Probed)


def test_a_table_that_is_not_there_or_is_a_folder_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no such table"):
        read(tmp_path / "a.csv", Segment)
    with pytest.raises(DataError, match="this table cannot be read: Is a directory"):
        read_csv(tmp_path, ())


def test_any_csv_is_read_row_by_row_with_its_lines(tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1;2\n\n3\n4;5;6\n")
    found = read_csv(tmp_path / "a.csv", ["b"], delimiter=";")
    assert found == [(2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": None}), (5, {"a": "4", "b": "5", None: ["6"]})]


def test_two_columns_are_read_without_the_rest(tmp_path):
    write(tmp_path / "a.csv", [replace(SEGMENT, video=v, action=v * 2) for v in ("x", "y\n")], Segment)
    assert read_columns(tmp_path / "a.csv", "video", "action") == {"x": "xx", "y\n": "y\ny\n"}


def test_the_columns_of_a_table_are_the_fields_of_its_rows():
    assert columns(Unreadable) == ["video", "status", "reason"]


def test_a_table_whose_last_line_has_no_end_was_cut_off(tmp_path):
    path = tmp_path / "unreadable.csv"
    write(path, [Unreadable(video="a.mp4", status="unreadable", reason="it is empty")], Unreadable)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="ends in the middle of a line"):
        read(path, Unreadable)
