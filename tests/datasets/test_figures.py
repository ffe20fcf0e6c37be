"""The section on a dataset, with real videos on its contact sheet."""

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinoflow.datasets.contact_sheet import HEIGHT, Strip, clock, compose, enlarged
from kinoflow.datasets.figures import data_section
from kinoflow.errors import DataError
from kinoflow.report import section
from kinoflow.report.options import ReportOptions
from kinoflow.report.section import Callout, Figure, Table, Text
from kinoflow.store.tables import Segment, Unreadable, Video, write

EVIL = "<script>alert(1)</script>.mp4"


def video(name: str, **known) -> Video:
    values = {"split": "train", "fps": 12.0, "frames": 12, "duration": 1.0, "width": 64, "height": 48}
    return Video(**{"video": name, "path": name, "status": "readable", **values, **known})


def action(name: str, start: float, verb: str, noun: str, **known) -> Segment:
    known = {"split": "train", "action": f"{verb} {noun}", "verb": verb, "noun": noun, **known}
    return Segment(segment=f"{name}-{start}", video=name, start=start, end=start + 0.4, **known)


def made(folder: Path, videos=(), segments=(), lost=(), options=None, **more) -> section.Section:
    for name, rows, kind in (("v", videos, Video), ("s", segments, Segment), ("u", lost, Unreadable)):
        write(folder / f"{name}.csv", rows, kind)
    tables = (folder / "v.csv", folder / "s.csv", folder / "u.csv")
    data_section(*tables, folder / "section.json", options or ReportOptions(), "salads", **more)
    return section.read(folder / "section.json")


def tables(found: section.Section) -> dict[str, Table]:
    return {block.caption: block for block in found.blocks if isinstance(block, Table)}


def pictures(found: section.Section) -> list[Image.Image]:
    images = [block.image for block in found.blocks if isinstance(block, Figure) and block.image]
    return [Image.open(io.BytesIO(image)) for image in images]


@pytest.fixture
def salads(tmp_path, make_video):
    """Three real videos, one of them in a folder with a hostile name."""
    names = ["a.mp4", os.fsdecode(b"caf\xe9/") + "b\n.mp4", "c.mp4"]
    for i, name in enumerate(names):
        make_video(tmp_path / "root" / name, seed=i)
    videos = [
        video(names[0]),
        video(names[1], split="test", recording="r1"),
        video(names[2], recording="r1", task="soup"),
    ]
    segments = [action(name, start, "open", "jar") for name in names for start in (0.0, 0.5)]
    segments.append(action(names[0], 0.2, "", "", action="phase only", phase="reach"))
    return tmp_path, videos, segments


def test_numbers_by_split(salads):
    folder, videos, segments = salads
    found = made(folder, videos, segments, root=folder / "root")
    rows = tables(found)["What is used, by split"].rows
    assert rows == (
        ("train", 2, 2 / 3600, 1, 2, 4, 1),
        ("test", 1, 1 / 3600, 1, 1, 2, 1),
        ("all", 3, 3 / 3600, 1, 3, 6, 1),
    )
    assert tables(found)["Tasks: what whole videos are about"].rows == (("soup", 1, 1 / 3600),)
    assert tables(found)["Formats"].rows == (("64 × 48", "12.00", 3),)
    assert tables(found)["Segments by action"].rows == (("open jar", 6, 6, 0, pytest.approx(0.4)),)
    assert found.summary == "3 videos, 0.1 min of footage; 6 segments of 1 action; every file was read."


def test_the_contact_sheet_shows_real_frames(salads):
    folder, videos, segments = salads
    options = ReportOptions(sheet_videos=2, sheet_frames=3)
    found = made(folder, videos, segments, root=folder / "root", options=options, sheet=folder / "sheet.jpg")
    (sheet,) = pictures(found)
    cell = max(round(HEIGHT * 64 / 48), 400 // 3)
    assert sheet.width == 2 * 16 + 3 * cell + 2 * 3
    assert np.asarray(sheet.convert("L"))[40:120, 20:-20].max() > 110  # the bright square
    assert (folder / "sheet.jpg").read_bytes() == next(b.image for b in found.blocks if isinstance(b, Figure))
    caption = next(b.caption for b in found.blocks if isinstance(b, Figure))
    assert "2 of 3 videos" in caption and "3 frames of each" in caption


def test_the_same_tables_and_videos_give_the_same_bytes_in_any_order_of_rows(salads):
    folder, videos, segments = salads
    made(folder, videos, segments, root=folder / "root")
    first = (folder / "section.json").read_bytes()
    made(folder, videos[::-1], segments[::-1], root=folder / "root")
    assert (folder / "section.json").read_bytes() == first


def test_what_was_not_read_is_grouped_by_reason_and_named(tmp_path):
    lost = [
        Unreadable(video=f"{i:03d}.mp4", status="unreadable", reason="no frames" if i % 4 else "empty")
        for i in range(80)
    ]
    lost.append(Unreadable(video=EVIL, status="no video stream"))
    found = made(tmp_path, [video("a.mp4")], lost=lost)
    reasons, names = tables(found)["Why files are not used"], tables(found)["Files that are not used"]
    assert reasons.rows == (
        ("no frames", "unreadable", 60),
        ("empty", "unreadable", 20),
        ("no video stream", "no video stream", 1),
    )
    assert len(names.rows) == 50 and names.rows[0] == ("001.mp4", "no frames")
    assert names.notes == ("The first 50 of 81; unreadable.csv lists them all.",)
    assert any(isinstance(b, Callout) and b.text == "81 of 82 files are not used." for b in found.blocks)
    assert "81 of 82 files not used" in found.summary


def test_partly_readable_videos_are_listed_with_their_counts(tmp_path):
    damaged = video(EVIL, status="partly readable", bad_packets=3, corrupt_frames=2, reason="2 damaged frames")
    found = made(tmp_path, [damaged, video("a.mp4")])
    table = tables(found)["Files that are used although a part of them is damaged"]
    assert table.rows == ((EVIL, 12, 3, 2, "2 damaged frames"),)


def test_a_video_that_gives_no_frame_after_all_is_named_on_the_sheet(salads):
    folder, videos, segments = salads
    (folder / "root/a.mp4").write_bytes(b"")
    found = made(folder, videos, segments, root=folder / "root")
    assert len(pictures(found)) == 1


def test_one_video_of_one_frame(tmp_path, make_video):
    make_video(tmp_path / "root/a.mp4", frames=1)
    found = made(tmp_path, [video("a.mp4", frames=1, duration=1 / 12)], root=tmp_path / "root")
    assert len(pictures(found)) == 1
    assert len(tables(found)["What is used, by split"].rows) == 1  # no row for all


def test_a_dataset_of_features_alone_has_no_pictures_and_says_so(tmp_path):
    found = made(tmp_path, [video("a.npy", height=None, width=200, fps=1.0)], [action("a.npy", 0, "open", "jar")])
    assert pictures(found) == []
    assert any(isinstance(block, Text) and "features alone" in block.text for block in found.blocks)
    assert tables(found)["Formats"].rows == (("200 values a row", "1.00", 1),)
    with pytest.raises(DataError, match="'salads' has no picture"):
        made(tmp_path, [video("a.npy")], sheet=tmp_path / "sheet.jpg")


def test_an_empty_dataset_says_so(tmp_path):
    (tmp_path / "root").mkdir()
    found = made(tmp_path, root=tmp_path / "root")
    assert isinstance(found.blocks[0], Callout)
    assert pictures(found) == [] and tables(found) == {}


def test_no_contact_sheet_where_none_is_wanted(salads):
    folder, videos, segments = salads
    assert pictures(made(folder, videos, segments, root=folder / "root", options=ReportOptions(sheet_videos=0))) == []


def test_a_thousand_actions_stay_small(tmp_path):
    segments = [action("a.mp4", i, "do", f"thing {i}") for i in range(1000)]
    found = made(tmp_path, [video("a.mp4")], [*segments, action("a.mp4", 1, "do", "thing 7")])
    table = tables(found)["Segments by action"]
    assert len(table.rows) == 200 and table.rows[0][:2] == ("do thing 7", 2)
    assert table.notes == ("The 200 most frequent of 1000 actions.",)
    assert (tmp_path / "section.json").stat().st_size < 100_000


def strip(name: str, shape: tuple[int, int], segments=(), frames: int = 4) -> Strip:
    pixels = np.random.default_rng(0).integers(0, 255, (frames, *shape, 3), np.uint8)
    return Strip(name, "train", pixels, np.arange(frames) / 2.0, frames / 2, segments)


@pytest.mark.parametrize("shape", [(96, 96), (170, 96), (96, 170), (96, 2000), (16, 16), (2000, 96)])
def test_pictures_of_every_shape_fit_their_cells(shape):
    sheet = Image.open(io.BytesIO(compose([strip("x" * 500, shape)], 4)))
    assert 400 < sheet.width <= 4 * 174 + 32
    assert sheet.height < 200


def test_overlapping_late_and_empty_segments_can_be_drawn():
    odd = [action("a", 0, "open", "jar"), action("a", 0.1, "", "", action="<wave>"), action("a", 9, "cut", "")]
    odd.append(dataclasses.replace(odd[0], start=0.5, end=0.5))
    odd.append(dataclasses.replace(odd[0], start=-3.0, end=-1.0))
    assert compose(
        [strip("a\n\udcff", (48, 64), odd), dataclasses.replace(strip("b", (48, 64), frames=0), fault="why")], 4
    )


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00.0"), (3.24, "0:03.2"), (59.96, "1:00.0"), (3723.0, "1:02:03.0"), (-0.5, "−0:00.5")]
)
def test_times_read_as_a_players_clock(seconds, said):
    assert clock(seconds) == said


def test_small_frames_are_enlarged_to_the_height_of_the_sheet():
    small = np.full((2, 12, 16, 3), 7, np.uint8)
    assert enlarged(small).shape == (2, HEIGHT, HEIGHT * 16 // 12, 3) and (enlarged(small) == 7).all()
    large = np.zeros((1, HEIGHT, 40, 3), np.uint8)
    assert enlarged(large) is large
