import csv
import hashlib
import os
import resource
import shutil
import socket
import struct
from fractions import Fraction

import av
import pytest

from kinoflow.media.demux import decoding, opened, packets
from kinoflow.media.examine import examine
from kinoflow.store.tables import NO_VIDEO, PARTLY, READABLE, UNREADABLE

PIXELS = 35_389_440


def rows(table):
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def torture(tmp_path_factory, shared):
    """The torture set under the names that it asks for: [(path, expected)]."""
    folder = tmp_path_factory.mktemp("torture")
    found = []
    for row in rows(shared / "data/torture/expected.csv"):
        shutil.copy(shared / "data/torture" / row["file"], folder / row["copy_as"])
        found.append((folder / row["copy_as"], row))
    return found


def span(row):
    counts = [int(row[name]) for name in ("n_frames_ffprobe", "n_frames_pyav", "n_frames_pyav_tolerant") if row[name]]
    return min(counts), max(counts)


def test_decoding_finds_the_status_and_the_count_of_every_file_of_the_torture_set(torture):
    wrong = {}
    for path, row in torture:
        found = examine(path, True, PIXELS)
        least, most = span(row)
        counted = found.get("frames", 0)
        right = counted == most if row["exact"] == "1" else least <= counted <= most
        if found["status"] != row["expected"] or not right:
            wrong[row["file"]] = found
        if found["status"] != READABLE:
            assert found["reason"]
    assert wrong == {}


NOT_SEEN_WITHOUT_DECODING = {"bitflips_media.mp4", "zeroed_hole.mp4"}
OTHER_COUNT_WITHOUT_DECODING = {"cut_midfile_faststart.mp4", "cut_near_end_faststart.mp4", "starts_without_keyframe.ts"}


def test_demuxing_finds_the_same_but_for_damage_inside_packets(torture):
    for path, row in torture:
        found = examine(path, False, PIXELS)
        if row["file"] in NOT_SEEN_WITHOUT_DECODING:
            assert found["status"] == READABLE
            continue
        assert found["status"] == row["expected"], row["file"]
        least, most = span(row)
        slack = 1 if row["file"] in OTHER_COUNT_WITHOUT_DECODING else 0  # the packet at the cut
        assert least <= found.get("frames", 0) <= most + slack, row["file"]


def test_size_rotation_and_pixel_aspect_of_the_torture_set(torture):
    for path, row in torture:
        if row["frame_sizes"]:
            found = examine(path, False, PIXELS)
            assert f"{found['width']}x{found['height']}" == row["frame_sizes"].split()[0], row["file"]
            assert found["rotation"] == int(row["rotation_ffprobe"]) % 360, row["file"]
            assert found["pixel_aspect"] == (row["sample_aspect_ratio"] or "1:1"), row["file"]


def test_declared_durations_are_not_believed(shared):
    for name in ("huge_declared_duration.mp4", "zero_declared_duration.mp4", "late_start_10s.mp4", "raw_stream.h264"):
        found = examine(shared / "data/torture" / name, False, PIXELS)
        assert (found["duration"], found["fps"]) == (pytest.approx(2.0), pytest.approx(28.0)), name


@pytest.mark.parametrize(
    ("name", "duration"),
    [
        ("vfr.mp4", 1.97),
        ("vfr_long_gap.mkv", 6.429),
        ("one_frame.mp4", 0.036),
        ("low_fps_half.mp4", 16.0),
        ("high_fps_240.mp4", 0.1667),
    ],
)
def test_duration_goes_from_the_first_frame_to_the_end_of_the_last(shared, name, duration):
    for decode in (False, True):
        found = examine(shared / "data/torture" / name, decode, PIXELS)
        assert found["duration"] == pytest.approx(duration, abs=0.02)
        assert found["fps"] * found["duration"] == pytest.approx(found["frames"], rel=1e-4)


def test_real_clips_are_readable_with_the_count_of_the_manifest(shared):
    for row in rows(shared / "data/videos/manifest.csv"):
        found = examine(shared / "data/videos" / row["file"], int(row["bytes"]) < 100_000, PIXELS)
        assert (found["status"], found["reason"], found["frames"]) == (READABLE, "", int(row["n_frames"])), row["file"]
        assert (found["width"], found["height"]) == (int(row["width"]), int(row["height"])), row["file"]
        assert found["rotation"] == int(row["rotation_ffprobe"]) % 360, row["file"]
        if row["variable_frame_rate"] == "0":
            assert found["fps"] == pytest.approx(float(Fraction(row["fps"])), rel=1e-3), row["file"]


def test_plain_decoding_gives_the_very_pixels(shared):
    for row in rows(shared / "data/torture/expected.csv"):
        if row["md5_same_in_pyav"] != "1":
            continue
        digest = hashlib.md5()
        with opened(shared / "data/torture" / row["file"]) as (container, stream):
            for frames in decoding(stream, packets(container, stream)):
                for frame in frames:
                    digest.update(frame.to_ndarray().tobytes() if frame.format.name == "bgra" else planes(frame))
        assert digest.hexdigest() == row["md5_all_frames_native"], row["file"]


def planes(frame):
    parts = []
    for plane, component in zip(frame.planes, frame.format.components, strict=False):
        width = plane.width * (2 if component.bits > 8 else 1)
        data = bytes(plane)
        parts += [data[y * plane.line_size : y * plane.line_size + width] for y in range(plane.height)]
    return b"".join(parts)


# ---------------------------------------------------------------- planted files


def test_damage_is_told_in_words(shared):
    def reason(name):
        return examine(shared / "data/torture" / name, True, PIXELS)["reason"]

    assert "7440 of the bytes that its container declares are missing" in reason("cut_midfile.mkv")
    assert "before the first key frame: 1" in reason("starts_without_keyframe.ts")
    assert "cannot be decoded: 12" in reason("zeroed_hole.mp4")
    assert reason("zero_byte.mp4") == "the file is empty"
    assert "moov atom not found" in reason("moov_missing.mp4")
    assert reason("audio_only.mp4") == "it holds no pictures"


@pytest.mark.parametrize("name", ["zero_declared_duration.mp4", "plain.mkv", "plain_mpeg4.avi"])
def test_a_cut_between_two_packets_is_seen(shared, tmp_path, name):
    whole = shared / "data/torture" / name
    with opened(whole) as (container, stream):
        ends = sorted(packet.pos + packet.size for packet in packets(container, stream))
    path = tmp_path / "cut"
    path.write_bytes(whole.read_bytes()[: ends[30]])
    for decode in (True, False):
        found = examine(path, decode, PIXELS)
        assert found["status"] == PARTLY
        assert "the file is cut" in found["reason"]
        assert 29 <= found["frames"] <= 31


def test_a_large_picture_is_refused_before_it_is_decoded(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", height=48, width=64)
    assert examine(path, True, 48 * 64)["status"] == READABLE
    found = examine(path, True, 48 * 64 - 1)
    assert found["status"] == UNREADABLE
    assert "64 x 48 pixels" in found["reason"]


def test_a_header_that_declares_a_huge_picture_costs_no_memory(shared, tmp_path):
    gif = bytearray((shared / "data/torture/plain_palette.gif").read_bytes())
    gif[6:10] = struct.pack("<HH", 16000, 15000)
    path = tmp_path / "huge.gif"
    path.write_bytes(gif)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = examine(path, True, PIXELS)
    assert found["status"] == UNREADABLE
    assert "16000 x 15000 pixels" in found["reason"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; the picture has 720 MB


def test_an_unknown_codec_is_a_reason(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    found = examine(path, False, PIXELS)
    assert (found["status"], found["reason"]) == (UNREADABLE, "there is no decoder for its codec")


def test_a_cover_picture_alone_is_no_film(shared, tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(shared / "data/torture/audio_only.mp4")) as source, av.open(str(path), "w") as out:
        audio = out.add_stream_from_template(source.streams.audio[0])
        cover = out.add_stream("mjpeg", rate=1, width=32, height=32, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(av.VideoFrame(32, 32, "yuvj420p")) + cover.encode():
            out.mux(packet)
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = audio
                out.mux(packet)
    found = examine(path, True, PIXELS)
    assert (found["status"], found["reason"]) == (NO_VIDEO, "it holds a cover picture, but no film")


def test_a_playlist_leads_nowhere(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part.ts"
        path = tmp_path / "video.m3u8"
        path.write_text(
            f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\n{address}\n#EXT-X-ENDLIST\n"
        )
        assert examine(path, True, PIXELS)["status"] in (UNREADABLE, NO_VIDEO)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", [b"new\nline.mp4", b"\xff\xfe.mp4", b"%03d.mp4", b"-i.mp4", b"http:x.mp4", b" .mp4"])
def test_any_name_will_do(make_video, tmp_path, name):
    path = os.path.join(tmp_path, os.fsdecode(name))
    shutil.move(make_video(tmp_path / "a.mp4"), path)
    assert examine(path, True, PIXELS)["frames"] == 12


def test_joined_recordings_last_as_long_as_both(shared, tmp_path):
    part = (shared / "data/torture/resolution_change.ts").read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    for decode in (False, True):
        found = examine(path, decode, PIXELS)
        assert found["frames"] == 112
        assert found["duration"] == pytest.approx(4.0, abs=0.1)
        assert found["fps"] == pytest.approx(28.0, rel=0.03)


class LateStream:
    """What PyAV does at the end of a file in which a stream appeared late."""

    def demux(self, stream):
        yield av.Packet(b"film")
        yield self.streams[1]

    streams = ()


def test_a_stream_that_appears_late_does_not_end_the_film():
    assert [bytes(packet) for packet in packets(LateStream(), None)] == [b"film"]


def test_a_reason_tells_no_path(tmp_path):
    found = examine(tmp_path / "gone.mp4", True, PIXELS)
    assert found == {"status": UNREADABLE, "reason": "the file cannot be read: No such file or directory"}


def test_a_packet_marked_as_damaged_is_counted(shared):
    found = examine(shared / "data/torture/cut_midfile_faststart.mp4", False, PIXELS)
    assert (found["status"], found["bad_packets"]) == (PARTLY, 1)


def test_hundreds_of_videos_leave_nothing_behind(shared):
    path = shared / "data/torture/no_suffix"
    for _ in range(20):
        examine(path, False, PIXELS)
    files, memory = len(os.listdir("/proc/self/fd")), resident()
    for _ in range(300):
        examine(path, False, PIXELS)
    assert len(os.listdir("/proc/self/fd")) == files
    assert resident() - memory < 15_000_000


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
