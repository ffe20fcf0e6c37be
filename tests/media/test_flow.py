"""Flow is the known motion of a known picture; a shard of it is made again only where something changed."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.media import flow as module
from kinoflow.media.flow import flow, to_bytes
from kinoflow.media.options import FlowOptions
from kinoflow.options import resolved
from kinoflow.store.shards import Shard, encode_jpeg, writing

METHODS = ("dis_ultrafast", "dis_fast", "dis_medium", "tvl1")
EDGE = 8  # pixels at the border, where things come in that were not there before


def texture(dx: float = 0.0, dy: float = 0.0, size: tuple[int, int] = (48, 64), seed: int = 0) -> np.ndarray:
    """A sum of random waves moved dx to the right and dy down, exactly, parts of pixels too: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = (grid - shift for grid, shift in zip(np.mgrid[: size[0], : size[1]], (dy, dx), strict=True))
    waves = sum(np.cos(rng.normal(0, 0.17) * x + rng.normal(0, 0.17) * y + rng.uniform(0, 7)) for _ in range(50))
    gray = np.clip(127.5 + 60 * waves / 7, 0, 255).round().astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def clip(*places: tuple[float, float], **choice) -> np.ndarray:
    return np.stack([texture(*place, **choice) for place in places])


def in_pixels(rows: np.ndarray, bound: float = 20.0) -> np.ndarray:
    return (rows.astype(float) - 127.5) * bound / 127.5


def write_frames(path: Path, videos: dict[str, np.ndarray], store: str = "raw") -> Path:
    with writing(path, {"store": store, "options": "{}"}, frames=True) as writer:
        for name, x in videos.items():
            coded = x if store == "raw" else (encode_jpeg(frame, 95) for frame in x)
            writer.add(name, coded, 0.3 + np.arange(len(x)) / 10, x.shape[1:3])
    return path


@pytest.fixture
def motion(tmp_path):
    """Return a function that runs the stage on one clip and returns the bytes of its flow, (T, H, W, 2)."""

    def found(frames: np.ndarray, stored: str = "raw", **options) -> np.ndarray:
        frame_shard = write_frames(tmp_path / "frames.h5", {"v": frames}, stored)
        flow(frame_shard, tmp_path / "flow.h5", FlowOptions(**{"store": "raw", **options}), code="1")
        return Shard(tmp_path / "flow.h5").frames("v")

    return found


# ---------------------------------------------------------------- known motions


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dx, dy", [(1.0, 0.0), (0.0, 2.0), (0.5, -0.25), (-3.0, 1.5), (2.7, -3.3)])
def test_a_moved_picture_has_the_motion_that_it_was_moved_by(motion, method, dx, dy):
    rows = motion(clip((0, 0), (dx, dy)), method=method, bound=8)
    inside = in_pixels(rows[0, EDGE:-EDGE, EDGE:-EDGE], 8)
    wrong = np.hypot(*(inside - (dx, dy)).transpose(2, 0, 1))
    assert wrong.mean() < 0.1 and np.percentile(wrong, 99) < 0.25
    assert np.abs(inside.mean((0, 1)) - (dx, dy)).max() < 0.08


def test_every_frame_has_the_motion_to_the_next_one(motion):
    places = [(0, 0), (1, 0), (1, 2), (-2, 2), (-2, 2)]
    rows = in_pixels(motion(clip(*places), bound=8)[:, EDGE:-EDGE, EDGE:-EDGE], 8).mean((1, 2))
    expected = [(1, 0), (0, 2), (-3, 0), (0, 0), (0, 0)]
    assert np.abs(rows - expected).max() < 0.08


def test_a_long_video_has_no_seam_where_blocks_of_frames_meet(motion):
    places = [(i % 4, 0) for i in range(2 * module.BLOCK + 2)]
    rows = in_pixels(motion(clip(*places), method="dis_ultrafast")[:, EDGE:-EDGE, EDGE:-EDGE, 0]).mean((1, 2))
    steps = np.diff([x for x, _ in places])
    assert np.abs(rows[:-1] - steps).max() < 0.2 and rows[-1] == rows[-2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_a_picture_that_stands_still_has_no_motion_at_all(motion, method, store):
    assert (motion(clip((0, 0), (0, 0)), stored="jpeg", method=method, store=store) == 128).all()


def test_motion_beyond_the_bound_counts_as_the_bound(motion):
    rows = motion(clip((0, 0), (3, -3)), bound=2)[0, EDGE:-EDGE, EDGE:-EDGE]
    assert (rows[..., 0] == 255).mean() > 0.99 and (rows[..., 1] == 0).mean() > 0.99


def test_a_mirrored_video_has_the_motion_mirrored(motion):
    """What flipping a flow field relies on: x turns round (255 - x), y stays."""
    frames = clip((0, 0), (2, 1))
    plain, mirrored = motion(frames)[0], motion(np.ascontiguousarray(frames[:, :, ::-1]))[0]
    away = np.abs(mirrored[:, ::-1].astype(int) - np.stack([255 - plain[..., 0], plain[..., 1]], -1))
    assert away[EDGE:-EDGE, EDGE:-EDGE].mean() < 1


def test_jpeg_rows_come_close_to_raw_ones(motion):
    frames = clip((0, 0), (2, 1), (3, -1))
    raw, coded = motion(frames), motion(frames, store="jpeg", quality=90)
    assert np.abs(raw.astype(int) - coded)[:, EDGE:-EDGE, EDGE:-EDGE].mean() < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_smallest_frames_that_there_are_have_motion_too(motion, method):
    assert motion(clip((0, 0), (1, 0), size=(16, 16)), method=method).shape == (2, 16, 16, 2)


# ---------------------------------------------------------------- bytes


@settings(max_examples=200, deadline=None)
@given(value=st.floats(-60, 60, width=32), bound=st.sampled_from([1.0, 2.5, 7.0, 20.0, 30.0]))
@example(value=0.0, bound=20.0)
@example(value=-20.0, bound=20.0)
@example(value=7.0, bound=7.0)
def test_bytes_are_the_linear_map_of_the_motion_cut_at_the_bound(value, bound):
    byte = int(to_bytes(np.float32([value]), bound)[0])
    wanted = 255 * (min(max(value, -bound), bound) + bound) / (2 * bound)
    assert abs(byte - wanted) <= 0.5 + 1e-4
    assert abs(in_pixels(np.uint8(byte), bound) - min(max(value, -bound), bound)) <= bound / 255 + 1e-4


def test_no_motion_the_bounds_and_halves_have_known_bytes():
    assert to_bytes(np.float32([0, -0.0, 20, -20, 99, -99]), 20).tolist() == [128, 128, 255, 0, 255, 0]
    assert to_bytes(np.float32([1, -1, 2, -2]), 127.5).tolist() == [128, 126, 130, 126]  # 128.5, 126.5, 129.5, 125.5


# ---------------------------------------------------------------- rows


def test_rows_frames_and_times_agree_and_the_last_motion_is_repeated(tmp_path, motion):
    rows = motion(clip((0, 0), (1, 0), (3, 0)))
    assert rows.shape == (3, 48, 64, 2) and (rows[2] == rows[1]).all() and (rows[1] != rows[0]).any()
    shard, frames = Shard(tmp_path / "flow.h5"), Shard(tmp_path / "frames.h5")
    assert (shard.times("v") == frames.times("v")).all()
    assert (shard.shape == frames.shape).all()
    assert shard.attrs == {"store": "raw", "channels": 2, "options": resolved(FlowOptions(store="raw"))}


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_a_video_of_one_frame_has_one_row_without_motion(motion, store):
    rows = motion(clip((0, 0)), store=store)
    assert rows.shape == (1, 48, 64, 2) and (rows == 128).all()


def test_a_shard_without_videos_gives_one_without(tmp_path):
    flow(write_frames(tmp_path / "frames.h5", {}), tmp_path / "flow.h5", FlowOptions(), code="1")
    assert Shard(tmp_path / "flow.h5").videos == []


# ---------------------------------------------------------------- what is carried over


class Place:
    """A frame shard of small clips and the flow shard made from it."""

    def __init__(self, folder: Path):
        self.frames, self.shard = folder / "frames.h5", folder / "flow" / "000.h5"
        self.clips = {f"{k}.mp4": clip((0, 0), (k, 1), (1, k), size=(16, 16 + 8 * k), seed=k) for k in range(3)}

    def write(self, store: str = "raw") -> Shard:
        return Shard(write_frames(self.frames, self.clips, store))

    def run(self, code="1", **options) -> Shard:
        self.write()
        flow(self.frames, self.shard, FlowOptions(**options), code=code)
        return Shard(self.shard)

    def fresh(self, **options) -> bytes:
        """Return the bytes of the shard made from nothing."""
        shutil.rmtree(self.shard.parent)
        self.run(**options)
        return self.shard.read_bytes()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def worked_on(caplog):
    """Return a function that gives the videos whose flow was really computed since it was last asked."""
    caplog.set_level(logging.INFO, "kinoflow")

    def since():
        videos = [record.args[0] for record in caplog.records if record.msg.startswith("computed")]
        caplog.clear()
        return videos

    return since


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_one_more_video_is_the_only_one_computed(place, worked_on, store):
    place.run(store=store)
    assert worked_on() == ["0.mp4", "1.mp4", "2.mp4"]
    place.clips["1b.mp4"] = clip((0, 0), (2, 2), size=(16, 16), seed=9)
    place.run(store=store)
    assert worked_on() == ["1b.mp4"]
    assert place.shard.read_bytes() == place.fresh(store=store)
    assert sorted(path.name for path in place.shard.parent.iterdir()) == [".keys", ".work", "000.h5"]
    assert list((place.shard.parent / ".work").iterdir()) == []


def test_a_changed_video_is_computed_and_a_removed_one_leaves_no_trace(place, worked_on):
    place.run()
    worked_on()
    del place.clips["0.mp4"]
    place.clips["1.mp4"] = place.clips["1.mp4"][:2]
    assert place.run().videos == ["1.mp4", "2.mp4"]
    assert worked_on() == ["1.mp4"]
    assert place.shard.read_bytes() == place.fresh()


def test_a_video_under_another_name_is_not_computed_again(place, worked_on):
    place.run()
    worked_on()
    place.clips["renamed.mp4"] = place.clips.pop("0.mp4")
    place.run()
    assert worked_on() == []
    assert place.shard.read_bytes() == place.fresh()


@pytest.mark.parametrize(
    "other", [{"method": "dis_fast"}, {"bound": 19}, {"quality": 91}, {"store": "raw"}, {"code": "2"}]
)
def test_other_options_or_code_compute_all_again(place, worked_on, other):
    place.run()
    worked_on()
    place.run(**other)
    assert len(worked_on()) == 3


def test_flow_does_not_depend_on_the_other_videos_of_the_shard(place):
    """An OpenCV object that has seen small pictures treats large ones in another way."""
    place.clips = {name: clip((0, 0), (2, 1), size=size) for name, size in (("a", (24, 24)), ("b", (96, 128)))}
    together = place.run(store="raw").frames("b").copy()
    del place.clips["a"]
    place.fresh(store="raw")
    assert (Shard(place.shard).frames("b") == together).all()


def test_names_may_hold_any_byte(place):
    names = [os.fsdecode(name) for name in (b"\xff\xfe.mp4", b"two\nlines.mp4")]
    place.clips = dict.fromkeys(names, place.clips["0.mp4"])
    assert place.run().videos == sorted(names, key=os.fsencode)


def test_a_killed_run_goes_on_where_it_was(place, worked_on, monkeypatch):
    compute = module._compute

    def killed(source, video, *rest):
        if video == "2.mp4":
            raise KeyboardInterrupt
        compute(source, video, *rest)

    monkeypatch.setattr(module, "_compute", killed)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    assert not place.shard.exists() and worked_on() == ["0.mp4", "1.mp4"]
    monkeypatch.undo()
    place.run()
    assert worked_on() == ["2.mp4"]
    assert place.shard.read_bytes() == place.fresh()


# ---------------------------------------------------------------- what is refused


def test_a_broken_picture_is_named_and_the_work_on_the_others_is_kept(tmp_path, place, worked_on):
    place.run()
    before = place.shard.read_bytes()
    whole = place.write("jpeg")
    with writing(tmp_path / "broken.h5", whole.attrs, frames=True) as writer:
        for name, x in place.clips.items():
            coded = [whole.picture(name, i) for i in range(3)]
            coded[2] = coded[2][:-100] if name == "1.mp4" else coded[2]
            writer.add(name, iter(coded), whole.times(name), x.shape[1:3])
    (tmp_path / "broken.h5").replace(place.frames)
    worked_on()
    sentence = (
        r"frames\.h5: the picture number 2 of '1\.mp4' is no whole JPEG .* \(1 of 3 videos failed; the work on the"
    )
    for computed in (["0.mp4", "2.mp4"], []):
        with pytest.raises(DataError, match=sentence):
            flow(place.frames, place.shard, FlowOptions(), code="1")
        assert worked_on() == computed
        assert place.shard.read_bytes() == before
    place.write("jpeg")
    flow(place.frames, place.shard, FlowOptions(), code="1")
    assert worked_on() == ["1.mp4"]


def test_a_shard_of_something_else_is_refused(tmp_path, place):
    place.run()
    with writing(tmp_path / "features.h5", {}, frames=False) as writer:
        writer.add("v", np.zeros((2, 3), np.float16), [0.0, 1.0])
    for path in (place.shard, tmp_path / "features.h5"):
        with pytest.raises(DataError, match="this shard holds no frames; give one that `kinoflow frames` has made"):
            flow(path, tmp_path / "out.h5", FlowOptions(), code="1")


def test_pictures_too_small_for_a_method_are_refused(motion):
    small = clip((0, 0), (1, 0), size=(8, 10))
    with pytest.raises(
        DataError, match=r"'v': method dis_medium needs pictures of 12 pixels .* these are 10 x 8; take"
    ):
        motion(small)
    assert motion(small, method="tvl1").shape == (2, 8, 10, 2)


def test_tvl1_without_its_package_is_refused_in_a_sentence(motion, monkeypatch):
    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(ConfigError, match="install opencv-contrib-python-headless in its place, or take a method dis_"):
        motion(clip((0, 0), (1, 0)), method="tvl1")
    assert motion(clip((0, 0), (1, 0)), method="dis_medium").shape == (2, 48, 64, 2)


# ---------------------------------------------------------------- the same bytes everywhere, and as a command


def test_the_settings_of_opencv_are_afterwards_what_they_were(motion):
    cv2.setNumThreads(2)
    cv2.setUseOptimized(True)
    motion(clip((0, 0), (1, 0)))
    assert cv2.getNumThreads() == 2 and cv2.useOptimized()


def test_other_processes_threads_and_processors_give_the_same_bytes(tmp_path):
    """The two switches of OpenCV do what its not knowing a newer processor would; with its own choice TV-L1 differs."""
    frames = write_frames(tmp_path / "frames.h5", {"v": clip((0, 0), (1.3, -0.4), (2, 2), size=(96, 128))})
    program = (
        "import sys; from pathlib import Path; from kinoflow.media.flow import flow;"
        "from kinoflow.media.options import FlowOptions;"
        "[flow(Path(sys.argv[1]), Path(f'{sys.argv[2]}-{m}.h5'), FlowOptions(method=m), code='1') for m in sys.argv[3:]]"
    )
    path = {"PYTHONPATH": str(Path(module.__file__).parents[2])}
    older = {"OPENCV_CPU_DISABLE": "AVX,AVX2", "OPENCV_IPP": "sse42", "OPENCV_FOR_THREADS_NUM": "2"}
    for name, environment in (("same", {}), ("older", older)):
        command = [sys.executable, "-c", program, frames, tmp_path / name, "dis_medium", "tvl1"]
        subprocess.run(command, env=os.environ | path | environment, check=True)
    for method in ("dis_medium", "tvl1"):
        flow(frames, tmp_path / "here.h5", FlowOptions(method=method), code="1")
        for name in ("same", "older"):
            assert (tmp_path / f"{name}-{method}.h5").read_bytes() == (tmp_path / "here.h5").read_bytes()


def test_the_stage_runs_as_a_command(place, capfd):
    place.run(method="dis_fast", bound=10)
    expected = place.shard.read_bytes()
    shutil.rmtree(place.shard.parent)
    words = ["--frames", place.frames, "--shard", place.shard, "--method", "dis_fast", "--bound", "10"]
    assert run("kinoflow.media.flow:flow", flow, [str(word) for word in words]) == 0
    assert "computed the flow of '1.mp4': 3 frames" in capfd.readouterr().err
    assert place.shard.read_bytes() == expected
