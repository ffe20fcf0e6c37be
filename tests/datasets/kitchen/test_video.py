import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.datasets.kitchen.grammar import PlannedVideo, plan_videos
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.video import make_video, pictures, plan_film, truth
from kinoflow.datasets.kitchen.world import ACTIONS

SOURCES = Path(__file__).resolve().parents[3] / "src"
steps = st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=4).map(tuple)


def planned(steps, name="train000", kitchen=2):
    return PlannedVideo(name, "train", kitchen, "soup", tuple(steps))


def first_picture(video, options):
    return next(pictures(plan_film(video, options)))


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(0, 11), st.integers(6, 48))
def test_steps_are_in_order_disjoint_and_inside_the_video_and_phases_tile_them(steps, kitchen, fps):
    film = plan_film(planned(steps, kitchen=kitchen), KitchenOptions(fps=fps))
    acts = truth(film)
    assert [act.action for act in acts] == list(steps)
    ends = [0, *(act.end for act in acts)]
    assert all(end < act.start < act.end for end, act in zip(ends, acts, strict=False))  # a pause before each
    assert ends[-1] < len(film.shots)  # and after the last
    for act in acts:
        _, starts, stops = zip(*act.phases, strict=True)
        assert (starts, stops) == ((act.start, *stops[:-1]), (*starts[1:], act.end))
        assert 0 <= act.variant < 6


def test_the_default_videos_have_the_documented_sizes():
    options = KitchenOptions()
    films = [plan_film(video, options) for video in plan_videos(options)]
    assert sum(len(film.shots) for film in films) == 66_378
    lengths = [act.end - act.start for film in films for act in truth(film)]
    assert (len(lengths), min(lengths), max(lengths)) == (1431, 19, 67)


def test_what_happens_when_does_not_depend_on_the_size_of_the_picture():
    video = plan_videos(KitchenOptions())[0]
    small, large = (plan_film(video, KitchenOptions(size=size)) for size in (48, 256))
    assert small.shots == large.shots and truth(small) == truth(large)
    assert all(np.array_equal(a.wiggle, b.wiggle) for a, b in zip(small.steps, large.steps, strict=True))


def test_a_larger_picture_shows_the_same():
    for action in ("pour milk", "roll dough", "season pan"):
        small, large = (first_picture(planned([action]), KitchenOptions(size=size)) for size in (96, 192))
        assert np.abs(large.reshape(96, 2, 96, 2, 3).mean((1, 3)) - small).mean() < 2


def test_seed_name_kitchen_and_tremble_change_the_picture():
    pictured = [
        first_picture(
            planned(["push pan"], name, kitchen), KitchenOptions(size=48, seed=seed, tremble=tremble)
        ).tobytes()
        for name, kitchen, seed, tremble in (
            ("train000", 2, 0, 0.034),
            ("train001", 2, 0, 0.034),
            ("train000", 3, 0, 0.034),
            ("train000", 2, 1, 0.034),
            ("train000", 2, 0, 0.07),
        )
    ]
    assert len(set(pictured)) == len(pictured)


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_moves_something_in_every_phase(action):
    film = plan_film(planned([action]), KitchenOptions(size=32))
    painted = np.stack(list(pictures(film))).astype(int)
    moved = np.abs(np.diff(painted, axis=0)).mean((1, 2, 3))
    (act,) = truth(film)
    for _, start, end in act.phases:
        assert moved[start : end - 1].mean() > 0.3


def test_the_file_holds_the_pictures_at_the_frame_rate(tmp_path):
    video, options = planned(["slice bread", "push pan"]), KitchenOptions(size=64, fps=24, crf=10)
    make_video(tmp_path / "a.mp4", video, options)
    painted = list(pictures(plan_film(video, options)))
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.codec_context.pix_fmt) == (24, len(painted), "yuv420p")
        decoded = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
    assert len(decoded) == len(painted)
    assert np.abs(np.stack(decoded).astype(int) - np.stack(painted)).mean() < 6


PROGRAM = """
import hashlib, sys
from pathlib import Path
from kinoflow.datasets.kitchen.grammar import PlannedVideo
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.video import make_video
clips = {32: ("put carrot",), 48: ("blend sauce", "put carrot"), 64: ("roll board",), 96: ("pour oil", "froth sauce")}
for size, steps in clips.items():
    path = Path(sys.argv[1]) / f"{size}.mp4"
    make_video(path, PlannedVideo("train000", "train", 10, "soup", steps), KitchenOptions(size=size))
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_files_do_not_depend_on_what_memory_held_before(tmp_path):
    """x264 with its default look-ahead reads memory that it never wrote; glibc fills it as MALLOC_PERTURB_ says."""
    processes = []
    for filling in (0, 85, 170):
        folder = tmp_path / str(filling)
        folder.mkdir()
        environment = os.environ | {"MALLOC_PERTURB_": str(filling), "PYTHONPATH": str(SOURCES)}
        command = [sys.executable, "-c", PROGRAM, str(folder)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert said[0].count("\n") == 4 and said[0] == said[1] == said[2]
