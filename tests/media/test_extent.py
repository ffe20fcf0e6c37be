import csv

import pytest

from kinoflow.media.extent import missing_bytes


def test_a_whole_file_misses_nothing(make_video, tmp_path):
    assert missing_bytes(make_video(tmp_path / "a.mp4")) == 0


def test_real_files_miss_nothing(shared):
    assert {path.name: missing_bytes(path) for path in (shared / "data/videos").iterdir() if missing_bytes(path)} == {}


@pytest.mark.parametrize("name", ["no_suffix", "plain.mkv", "plain_vp8.webm", "plain_mpeg4.avi"])
@pytest.mark.parametrize("cut", [10, 100, 1000])
def test_a_cut_file_misses_as_much_as_was_cut(shared, tmp_path, name, cut):
    whole = (shared / "data/torture" / name).read_bytes()
    part = tmp_path / "part"
    part.write_bytes(whole[:-cut])
    assert missing_bytes(part) == cut


def test_of_the_torture_set_only_cut_files_miss_something(shared):
    with open(shared / "data/torture/expected.csv", newline="") as file:
        cases = {row["file"]: row["case"] for row in csv.DictReader(file)}
    short = {name for name in cases if missing_bytes(shared / "data/torture" / name)}
    assert short == {name for name in cases if "cut" in name} | {"moov_missing.mp4"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"RIFF",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x00\x00",
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67",
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",  # a segment of unknown size
        b"RIFF\xff\xff\xff\xffAVI ",
        b"\x00\x00\x00\x08ftyp",
        b"\x00\x00\x00\x08ftyp\x00\x00\x00\x00mdat" + bytes(50),  # to the end of the file
        b"\x00\x00\x00\x08ftyp\x00\x00\x00\x02mdat",
        b"\x00\x00\x00\x08ftypsome text that is no box",
    ],
)
def test_what_declares_nothing_misses_nothing(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert missing_bytes(path) == 0


def test_sizes_of_64_bits_are_understood(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x01mdat" + (1 << 33).to_bytes(8, "big") + bytes(84))
    assert missing_bytes(path) == (1 << 33) + 8 - 108
