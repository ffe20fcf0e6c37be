"""Penn Action: from folders of frames, MATLAB files and phase labels to clips and tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.datasets.published.releases import penn_action

from kinoflow.datasets.published.options import PennActionOptions
from kinoflow.datasets.published.penn_action import ACTIONS, PHASES, RELEASE, convert_penn_action, thinned
from kinoflow.errors import DataError
from kinoflow.media.decode import frame_index
from kinoflow.store.tables import read_csv

CLIPS = {
    "0001": ("train", "bowl", 8, 8),
    "0002": ("train", "pushup", 9, 6),  # more frames than labels
    "0003": ("val", "pullup", 6, 9),  # more labels than frames
}
OPTIONS = PennActionOptions(size=32)


def convert(folder, release, phases):
    names = ("labels.csv", "splits.csv", "classes.txt", "missing.csv")
    labels, splits, classes, missing = (folder / name for name in names)
    convert_penn_action(release, phases, folder / "videos", labels, splits, OPTIONS, classes, missing)
    rows = [[row for _, row in read_csv(path, ())] for path in (labels, splits, missing)]
    return (*rows, classes.read_text().splitlines())


def test_clips_have_names_splits_and_actions(tmp_path):
    labels, splits, missing, classes = convert(tmp_path, *penn_action(tmp_path / "r", CLIPS))
    assert [(row["video"], row["split"], row["task"]) for row in splits] == [
        ("0001_bowl.mp4", "train", "bowl"),
        ("0002_pushup.mp4", "train", "pushup"),
        ("0003_pullup.mp4", "validation", "pullup"),
    ]
    assert classes == ["bowl", "pushup", "pullup"] and missing == []
    assert {row["action"] for row in labels if row["video"] == "0003_pullup.mp4"} == {"pullup"}


def test_the_longer_of_frames_and_labels_is_thinned(tmp_path):
    labels, *_ = convert(tmp_path, *penn_action(tmp_path / "r", CLIPS))
    for name in ("0002_pushup", "0003_pullup"):
        assert len(frame_index(tmp_path / "videos" / f"{name}.mp4").times) == 6
        ends = [float(row["end"]) for row in labels if row["video"] == f"{name}.mp4" and row["phase"]]
        assert ends[-1] == pytest.approx(6 / 25)
    # nine labels 000001111 (5 + 4), every third dropped: 0 1 3 4 6 7
    own = [row for row in labels if row["video"] == "0003_pullup.mp4" and row["phase"]]
    assert [(row["phase"], round(float(row["end"]) * 25)) for row in own] == [("phase 0", 4), ("phase 1", 6)]


@given(st.integers(1, 200), st.integers(1, 200))
def test_thinning_keeps_order_and_stays_inside(a, b):
    longer, shorter = max(a, b), min(a, b)
    found = thinned(longer, shorter)
    assert len(found) == shorter and found[0] == 0 and found[-1] < longer and (np.diff(found) > 0).all()


def test_the_order_of_actions_is_the_published_one():
    assert len(ACTIONS) == 13 and ACTIONS[7:9] == ("pushup", "pullup")
    assert sum(PHASES.values()) == 42 and PHASES["clean_and_jerk"] == 6


def test_numbers_of_clips_are_compared_with_the_published_ones(tmp_path, caplog):
    assert [sum(row[i] for row in RELEASE.values()) for i in range(2)] == [1140, 966]
    assert RELEASE["pushup"] == (102, 106, 2) and RELEASE["clean_and_jerk"] == (40, 42, 6)
    convert(tmp_path, *penn_action(tmp_path / "r", CLIPS))
    assert "bowl train 1, not 134; bowl validation 0, not 85" in caplog.text


def test_a_clip_without_frames_is_reported(tmp_path):
    release, phases = penn_action(tmp_path / "r", CLIPS)
    (release / "labels" / "0001.mat").unlink()
    _, splits, missing, _ = convert(tmp_path, release, phases)
    assert [(row["clip"], row["reason"]) for row in missing] == [("frames/0001", "no file in labels")]
    assert len(splits) == 2


def test_a_second_conversion_makes_no_clip_again(tmp_path):
    release = penn_action(tmp_path / "r", CLIPS)
    convert(tmp_path, *release)
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "videos").glob("*.mp4"))]
    convert(tmp_path, *release)
    assert before == [path.stat().st_mtime_ns for path in sorted((tmp_path / "videos").glob("*.mp4"))]


def test_two_actions_of_the_release_are_left_out_and_counted(tmp_path, caplog):
    release, phases = penn_action(tmp_path / "r", CLIPS)
    for i, name in enumerate(("train/strum_guitar", "train/jump_rope", "val/jump_rope")):
        (phases / name).mkdir()
        np.save(phases / name / f"{i + 4:04d}.npy", np.zeros(3, int))
    with caplog.at_level("INFO"):
        _, splits, missing, classes = convert(tmp_path, release, phases)
    assert len(splits) == 3 and missing == [] and classes == ["bowl", "pushup", "pullup"]
    assert "3 clips of jump_rope or strum_guitar are left out" in caplog.text


def _other_action(release, phases):
    (phases / "train" / "bowl" / "0001.npy").rename(phases / "train" / "pushup" / "0001.npy")


def _no_mat(release, phases):
    (release / "labels" / "0001.mat").write_bytes(b"no MATLAB file")


def _cut_label(release, phases):
    (phases / "train" / "bowl" / "0001.npy").write_bytes(b"\x93NUMPY")


def _many_phases(release, phases):
    np.save(phases / "train" / "bowl" / "0001.npy", np.array([0, 1, 7]))


def _broken_picture(release, phases):
    (release / "frames" / "0001" / "000003.jpg").write_bytes(b"no JPEG")


def _juggling(release, phases):
    (phases / "train" / "juggling").mkdir()
    np.save(phases / "train" / "juggling" / "0009.npy", np.zeros(3, int))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_other_action, "is of pushup, but .*0001.mat says bowl"),
        (_no_mat, "0001.mat: this is no MATLAB file with a field action"),
        (_cut_label, "0001.npy: this is no file of phase labels"),
        (_many_phases, "the phase 7 is not one of the 3 of bowl"),
        (_broken_picture, "000003.jpg: this picture cannot be read"),
        (_juggling, "'juggling' is none of the 13 actions"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, spoil, sentence):
    release, phases = penn_action(tmp_path / "r", CLIPS)
    spoil(release, phases)
    with pytest.raises(DataError, match=sentence):
        convert(tmp_path, release, phases)
