"""The section interface: what may be shown, that it survives its file, and what a broken file says."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from kinoflow.errors import DataError
from kinoflow.report import section
from kinoflow.report.section import (
    Branch,
    Callout,
    Column,
    Figure,
    Heading,
    Section,
    Table,
    Text,
    Tree,
    Video,
    printable,
)

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="4"/></svg>'


def picture(kind: str = "PNG", width: int = 7, height: int = 5) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, kind)
    return out.getvalue()


def every_block(mp4: bytes) -> Section:
    rows = (("a", 0.5, 3), ("b<i>", None, -4))
    columns = (Column("name", "name"), Column("accuracy", "number", ".1%"), Column("n", "number", "d"))
    return Section(
        "All",
        30,
        (
            Heading("Head"),
            Text("A paragraph."),
            Callout("Two are missing.", "warning"),
            Table("Numbers", columns, rows, notes=("A note.",), highlight=(1,)),
            Figure("a square", "A square.", svg=SQUARE),
            Figure("a picture", image=picture("JPEG")),
            Video(mp4, "a moving square", "It moves.", poster=picture()),
            Tree("Folds.", (Branch("top", "a hint", (Branch("leaf"),)),)),
        ),
        summary="Everything.",
    )


def test_a_section_survives_its_file_and_gives_the_same_bytes(tmp_path, make_video):
    mp4 = make_video(tmp_path / "v.mp4").read_bytes()
    section.write(tmp_path / "a.json", every_block(mp4))
    section.write(tmp_path / "b.json", section.read(tmp_path / "a.json"))
    assert section.read(tmp_path / "a.json") == every_block(mp4)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.mp4", "plain.mp4"),
        ("<script>alert(1)</script>.mp4", "<script>alert(1)</script>.mp4"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\\xe9.mp4"),
        ("two\nlines\tand\x1b[31m", "two\\nlines\\tand\\x1b[31m"),
        ("safe\u202e4pm.exe", "safe\\u202e4pm.exe"),
        ("naïve 日本 👩‍🍳", "naïve 日本 👩‍🍳"),
    ],
)
def test_what_cannot_be_seen_in_a_name_becomes_a_visible_escape(name, shown):
    assert printable(name) == Text(name).text == Heading(name).text == shown
    assert Table("t", (Column(name),), ((name,),)).rows == ((shown,),)


@given(st.text(st.characters(codec=None), min_size=1))
def test_every_name_can_be_written_and_shown(name):
    shown = printable(name)
    assert shown.encode("utf-8")
    assert shown == printable(shown)
    assert shown.isprintable() or not set(shown) & set("\n\r\t\0\x1b\u202e")


def test_cells_take_numpy_numbers_and_say_what_is_no_number():
    row = (np.float32(0.5), np.int64(3), float("nan"), float("inf"), None)
    assert Table("t", (Column("c"),) * 5, (row,)).rows == ((0.5, 3, None, "∞", None),)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Table("t", (Column("a"), Column("b")), ((1,),)), "row 0 has 1 cells, the table has 2 columns"),
        (lambda: Figure("alt"), "either svg or image"),
        (lambda: Figure("alt", svg=SQUARE, image=picture()), "either svg or image"),
        (lambda: Figure("", svg=SQUARE), "at least 1"),
        (lambda: Figure("alt", image=b"GIF89a"), "neither PNG nor JPEG"),
        (lambda: Figure("alt", image=picture()[:20]), "cannot be read"),
        (lambda: Video(b"\x1aE\xdf\xa3 matroska", "alt"), "no mp4"),
        (lambda: Video(b"\0\0\0\x20ftypisom" + bytes(section.MAX_VIDEO), "alt"), "3.0 MB, at most 3"),
        (lambda: Column("a", "number", "{x}"), "pattern"),
        (lambda: Section("", 1, ()), "at least 1"),
        (lambda: Section("t", 1000, ()), "less than or equal to 999"),
    ],
)
def test_what_the_page_could_not_show_is_refused_when_it_is_made(make, reason):
    with pytest.raises(ValidationError, match=reason):
        make()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"\xff": 1}', "decode"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "top level"),
        (b'{"order": 1, "blocks": []}', "title: Field required"),
        (b'{"title": "t", "order": 1, "blocks": [{"kind": "tabel"}]}', "blocks.0.*'tabel'"),
        (b'{"title": "t", "order": 1, "blocks": [{"kind": "text", "text": "x", "colour": 1}]}', "colour"),
        (b'{"title": "t", "order": 1, "blocks": [{"kind": "figure", "alt": "x", "image": "@"}]}', "base64"),
    ],
)
def test_a_broken_section_file_names_itself(tmp_path, content, reason):
    path = tmp_path / "30-recognition.json"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"30-recognition\.json: this is no section of the report \(.*{reason}.*run its stage again"
    ):
        section.read(path)


def test_a_section_file_that_is_not_there_names_itself():
    with pytest.raises(DataError, match="nowhere.json: there is no such section file"):
        section.read(Path("nowhere.json"))


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@example({"title": "t", "order": 1, "blocks": [{"kind": "table", "caption": "c", "columns": [{"name": 3}], "rows": 7}]})
def test_no_json_value_breaks_the_reader_itself(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("any") / "any.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"any\.json"):
        section.read(path)


def test_one_thing_has_no_plural():
    assert [section.counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
