import csv

import numpy as np
import pytest

from kinoflow.errors import DataError
from kinoflow.media import decode as module
from kinoflow.media.decode import BLOCK, decode_at, decode_video, frame_index
from kinoflow.media.options import FramesOptions
from kinoflow.media.sample import at_rate, evenly
from kinoflow.media.write import write_video


def read(path, **options):
    blocks = list(decode_video(path, FramesOptions(**options)))
    assert all(len(frames) == len(times) <= BLOCK for frames, times in blocks)
    return np.concatenate([frames for frames, _ in blocks]), np.concatenate([times for _, times in blocks])


def names(table, column):
    with open(table, newline="", encoding="utf-8") as file:
        return {row["file"]: row[column] for row in csv.DictReader(file)}


def psnr(a, b):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2)))


def test_all_frames_come_with_their_times(make_video, tmp_path):
    frames, times = read(make_video(tmp_path / "a.mp4", frames=50, fps=25, height=48, width=64), size=48)
    assert frames.shape == (50, 48, 64, 3)
    assert times == pytest.approx(np.arange(50) / 25)


def test_the_pixels_are_those_that_were_encoded(tmp_path):
    y, x = np.mgrid[:96, :128]
    film = np.stack([np.stack([x + 9 * t, 2 * y, 255 - x], -1) for t in range(12)]).astype(np.uint8)
    write_video(tmp_path / "a.mp4", film, 12, crf=10)
    frames, _ = read(tmp_path / "a.mp4", size=96)
    assert psnr(frames, film) > 30


def test_blocks_hold_32_frames(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=70)
    assert [len(times) for _, times in decode_video(path, FramesOptions(size=16))] == [32, 32, 6]


SMALL = 250_000  # bytes


def test_few_frames_of_real_clips_are_bit_equal_to_a_full_decode(shared):
    for name, count in names(shared / "data/videos/manifest.csv", "n_frames").items():
        if (shared / "data/videos" / name).stat().st_size < SMALL:
            check_picks(shared / "data/videos" / name, int(count), [1, 8])


def test_pictures_that_depend_on_the_version_of_their_encoder_survive_seeking(shared):
    check_picks(shared / "data/videos/cockatoo.mp4", 280, [1])


@pytest.mark.long
def test_few_frames_of_large_real_clips_are_bit_equal_to_a_full_decode(shared):
    for name, count in names(shared / "data/videos/manifest.csv", "n_frames").items():
        if (shared / "data/videos" / name).stat().st_size >= SMALL:
            check_picks(shared / "data/videos" / name, int(count), [1, 5, 8, 40])


DAMAGED_WITHOUT_SIGN = {"bitflips_media.mp4", "zeroed_hole.mp4"}


def test_few_frames_of_awkward_files_are_bit_equal_to_a_full_decode(shared):
    for name, count in names(shared / "data/torture/expected.csv", "n_frames_pyav_tolerant").items():
        if count not in ("", "0") and name not in DAMAGED_WITHOUT_SIGN:
            check_picks(shared / "data/torture" / name, int(count), [2, 9])


def check_picks(path, count, picks):
    frames, times = read(path, size=32)
    assert len(frames) == count, path.name
    assert (np.diff(times) > 0).all(), path.name
    index = frame_index(path)
    assert (index.times == times).all(), path.name
    for chosen in [*(evenly(count, pick) for pick in picks), at_rate(times, 1.0)]:
        blocks = list(decode_at(path, index, chosen, FramesOptions(size=32)))
        assert (np.concatenate([block for block, _ in blocks]) == frames[chosen]).all(), path.name
        assert (np.concatenate([seconds for _, seconds in blocks]) == times[chosen]).all(), path.name


def test_frames_that_cannot_be_decoded_are_replaced_by_the_one_before(shared):
    path = shared / "data/torture/zeroed_hole.mp4"
    whole, times = read(path, size=32)
    frames, chosen = read(path, size=32, count=28)
    assert len(whole) == 44
    assert len(frames) == 28
    for frame, time in zip(frames, chosen, strict=True):
        expected = whole[max(0, np.searchsorted(times, time, side="right") - 1)]
        assert psnr(frame, expected) > 25  # the damaged neighbour that others lean on may be another


def test_sparse_frames_are_sought_and_many_are_not(shared, monkeypatch):
    sought = []
    group = module._group
    monkeypatch.setattr(module, "_group", lambda *given: sought.append(given[2]) or group(*given))
    path = shared / "data/videos/v_GGSY1Qvo990.mp4"
    read(path, size=16, count=8)
    assert len(sought) == 6  # groups of pictures
    sought.clear()
    read(path, size=16, rate=15.0)
    assert sought == []


def test_avi_with_reordered_pictures_is_counted(shared):
    assert not frame_index(shared / "data/videos/mmaction2_test.avi").trusted
    assert frame_index(shared / "data/videos/testsrc2_mpeg4.avi").trusted


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("late_start_10s.mp4", 0.0),
        ("fragmented_no_count.mp4", 0.0),
        ("raw_stream.h264", 0.0),
        ("edit_list_trim.mp4", 0.0),
    ],
)
def test_time_zero_is_the_start_of_the_container(shared, name, first):
    assert read(shared / "data/torture" / name, size=16)[1][0] == first


def test_a_picture_that_starts_later_than_the_sound_keeps_its_delay(shared):
    assert read(shared / "data/videos/applausing.mp4", size=16, count=1)[1][0] > 0.0667
    assert read(shared / "data/torture/starts_without_keyframe.ts", size=16)[1][0] == pytest.approx(0.107, abs=1e-3)


def test_streams_without_time_stamps_are_counted_at_their_rate(shared):
    assert read(shared / "data/torture/raw_stream.h264", size=16)[1] == pytest.approx(np.arange(56) / 28)


def test_time_goes_on_where_recordings_were_joined(shared, tmp_path):
    part = (shared / "data/torture/resolution_change.ts").read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    frames, times = read(path, size=16)
    assert len(frames) == 112
    assert np.diff(times) == pytest.approx(1 / 28, abs=0.01)
    assert not frame_index(path).trusted
    picked, chosen = read(path, size=16, count=10)
    assert (picked == frames[evenly(112, 10)]).all()
    assert (chosen == times[evenly(112, 10)]).all()


def test_a_rate_follows_time_stamps_not_frame_numbers(shared):
    path = shared / "data/torture/vfr_long_gap.mkv"
    whole, times = read(path, size=32)
    frames, chosen = read(path, size=32, rate=2.0)
    assert len(frames) == 13  # 6.43 s
    moments = np.arange(13) / 2
    on_screen = np.searchsorted(times, moments + 1e-3, side="right") - 1
    assert (chosen == times[on_screen]).all()
    assert (frames == whole[on_screen]).all()


def test_rate_and_count_agree_with_a_constant_frame_rate(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=48, fps=12)
    whole, times = read(path, size=16)
    frames, chosen = read(path, size=16, rate=3.0)
    assert (chosen == times[::4]).all()
    assert (frames == whole[::4]).all()
    assert (read(path, size=16, count=6)[0] == whole[4::8]).all()


# ---------------------------------------------------------------- shape


def test_rotated_copies_show_the_picture_turned(shared):
    folder = shared / "data/torture"
    plain, _ = read(folder / "no_suffix", size=64, square_pixels=False)
    stored, _ = read(folder / "rotate90.mp4", size=64, square_pixels=False, upright=False)
    left, _ = read(folder / "rotate90.mp4", size=64, square_pixels=False)
    over, _ = read(folder / "rotate180.mp4", size=64, square_pixels=False)
    assert (stored == plain).all()
    assert (left == np.rot90(plain, 1, (1, 2))).all()
    assert (over == np.rot90(plain, 2, (1, 2))).all()


@pytest.mark.parametrize(("name", "shape"), [("0", (320, 568)), ("180", (320, 568)), ("90", (568, 320))])
def test_phone_videos_are_upright(shared, name, shape):
    frames, _ = read(shared / f"data/videos/decord_video_{name}.mov", size=320)
    assert frames.shape[1:3] == shape
    # The front of every key is lit from above in all three: the upper half of the picture is the brighter one.
    stored, _ = read(shared / f"data/videos/decord_video_{name}.mov", size=320, upright=False)
    turns = {"0": 0, "180": 2, "90": 3}[name]
    assert (frames == np.rot90(stored, turns, (1, 2))).all()


def test_pixels_that_are_not_square_are_stretched(shared):
    path = shared / "data/torture/sar_16_11.mp4"
    assert read(path, size=64)[0].shape[1:3] == (64, 124)  # 170 * 16 / 11 / 128 * 64 = 123.6
    assert read(path, size=64, square_pixels=False)[0].shape[1:3] == (64, 86)


def test_crop_is_the_middle_of_keep(shared):
    path = shared / "data/videos/skateboarding_dog.mp4"
    whole, _ = read(path, size=64, count=3)
    crop, _ = read(path, size=64, count=3, shape="crop")
    top = (whole.shape[1] - 64) // 2
    assert (crop == whole[:, top : top + 64]).all()


@pytest.mark.parametrize("name", ["resolution_change.ts", "resolution_change.h264"])
@pytest.mark.parametrize("choice", [{}, {"count": 5}, {"rate": 20.0}])
def test_frames_of_another_size_get_that_of_the_first(shared, name, choice):
    frames, _ = read(shared / "data/torture" / name, size=64, square_pixels=False, **choice)
    assert frames.shape[1:3] == (64, 86)


def test_every_pixel_format_shows_the_same_film(shared):
    folder = shared / "data/torture"
    plain, _ = read(folder / "no_suffix", size=64, count=4, shape="squash")
    for name in (
        "full_range.mp4",
        "h264_yuv420p10.mp4",
        "h264_yuv444p.mp4",
        "odd_101x77_444.mp4",
        "plain_mjpeg.avi",
        "plain_vp8.webm",
    ):
        frames, _ = read(folder / name, size=64, count=4, shape="squash")
        assert psnr(frames, plain) > (25 if name.startswith("odd") else 27), name
    grey, _ = read(folder / "h264_gray.mp4", size=64, count=4, shape="squash")
    assert psnr(grey[..., 0], plain @ [0.299, 0.587, 0.114]) > 27
    assert np.ptp(grey, -1).max() <= 2


# ---------------------------------------------------------------- what does not work


@pytest.mark.parametrize("name", ["zero_byte.mp4", "audio_only.mp4", "random_bytes.mkv", "html_error_page.mp4"])
@pytest.mark.parametrize("choice", [{}, {"count": 2}])
def test_what_gives_no_frame_is_an_error_that_names_it(shared, name, choice):
    with pytest.raises(DataError, match=name):
        read(shared / "data/torture" / name, **choice)
    with pytest.raises(DataError, match=r"nowhere\.mp4"):
        read("/nowhere.mp4", **choice)


def test_an_abandoned_reader_closes_its_file(make_video, tmp_path):
    import os

    before = len(os.listdir("/proc/self/fd"))
    reader = decode_video(make_video(tmp_path / "a.mp4", frames=70), FramesOptions(size=16))
    next(reader)
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
