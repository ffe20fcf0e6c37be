"""FineGym: cutting event clips and labelling their frames."""

import json

import numpy as np
import pytest
from tests.conftest import ROOT, moving_square
from tests.datasets.published.releases import finegym

from kinoflow.datasets.published.clips import compare
from kinoflow.datasets.published.files import Files
from kinoflow.datasets.published.finegym import ELEMENTS, chosen, class_names, cut_finegym, frame_labels
from kinoflow.datasets.published.options import FineGymOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.media.write import write_video
from kinoflow.store.tables import read_csv

GOLDEN = ROOT / "tests" / "golden" / "carl" / "finegym_labels.json"
VIDEO = "a_E_id-with_A_marks"
ANNOTATION = {
    VIDEO: {
        "E_000001_000003": {
            "event": 1,
            "timestamps": [[1.0, 2.6]],
            "segments": {
                "A_0000_0001": {"stages": 3, "timestamps": [[0.0, 0.2], [0.2, 0.4], [0.4, 0.88]]},
                "A_0001_0002": {"stages": 1, "timestamps": [[1.0, 9.0]]},
            },
        },
        "E_000003_000004": {"event": 2, "timestamps": [[2.6, 3.0]], "segments": None},
        "E_000004_000005": {
            "event": 4,
            "timestamps": [[0.2, 0.8]],
            "segments": {"A_0000_0001": {"stages": 1, "timestamps": [[0.0, 0.2]]}},
        },
    },
    "gone": {
        "E_000000_000001": {
            "event": 3,
            "timestamps": [[0, 1]],
            "segments": {"A_0000_0001": {"stages": 1, "timestamps": [[0, 1]]}},
        }
    },
}
TRAIN = {f"{VIDEO}_E_000001_000003_A_0000_0001": 4, f"{VIDEO}_E_000001_000003_A_0001_0002": 0}
VAL = {f"{VIDEO}_E_000004_000005_A_0000_0001": 98, "gone_E_000000_000001_A_0000_0001": 5}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A raw video of 3 seconds at 30 frames a second in which the number of the frame can be read off."""
    root = tmp_path_factory.mktemp("raw")
    frames = np.stack([np.full((90, 160, 3), 40 + 2 * i, np.uint8) for i in range(90)])
    write_video(root / f"{VIDEO}.mp4", frames, 30, gop=30, crf=12)
    return root


def cut(folder, annotations, root, **options):
    names = ("labels.csv", "splits.csv", "classes.txt", "missing.csv")
    labels, splits, classes, missing = (folder / name for name in names)
    cut_finegym(annotations, root, folder / "videos", labels, splits, FineGymOptions(**options), classes, missing)
    rows = [[row for _, row in read_csv(path, ())] for path in (labels, splits, missing)]
    return (*rows, classes.read_text().splitlines())


def test_frame_labels_are_the_published_ones():
    golden = json.loads(GOLDEN.read_text())
    listed = dict(golden["elements"])
    for video, events in golden["annotation"].items():
        for event, told in events.items():
            expected = golden["expected"][f"{video}_{event}"]
            frames = golden["frame_counts"][f"{video}_{event}"]
            found = frame_labels(video, event, told["segments"], listed, frames, golden["fps"])
            assert found.tolist() == expected["frame_label"] and frames == expected["seq_len"]
            assert told["event"] == expected["event_label"]


def test_the_real_lists_of_categories_give_99_and_288_names(shared):
    files = Files(shared / "data" / "annotations" / "finegym")
    for count in (99, 288):
        found = class_names(files, count)
        assert len(found) == len(set(found)) == count
    assert class_names(files, 99)[0].startswith("(VT) round-off, flic-flac with 0.5 turn on")
    assert sum("salto backward tucked [set " in name for name in class_names(files, 99)) == 2


def test_events_are_cut_and_their_elements_labelled(raw, tmp_path, caplog):
    labels, splits, missing, classes = cut(tmp_path, finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL), raw)
    vault, bars = f"{VIDEO}_E_000001_000003.mp4", f"{VIDEO}_E_000004_000005.mp4"
    assert {row["video"]: (row["split"], row["task"]) for row in splits} == {
        vault: ("train", "vault"),
        bars: ("validation", "uneven bars"),
    }
    assert [(row["clip"], row["action"], row["reason"]) for row in missing] == [
        ("gone_E_000000_000001", "balance beam", "no video")
    ]
    phases = [(row["phase"], row["start"], row["end"]) for row in labels if row["video"] == vault and row["phase"]]
    assert phases == [("element 4", "0.4", "0.92"), ("element 0", "1.0", "1.6")]  # the last stage; clipped to the clip
    assert len(classes) == 99
    assert "numbers of elements differ from the published ones: train 2, not 20484" in caplog.text


@pytest.mark.parametrize(("classes", "train", "validation"), [(99, 20484, 8521), (288, 22671, 9646)])
def test_numbers_of_elements_are_those_of_the_release(caplog, classes, train, validation):
    compare("elements", {"train": train, "validation": validation}, ELEMENTS[classes])
    assert not caplog.records
    compare("elements", {"train": train - 1, "validation": validation}, ELEMENTS[classes])
    assert f"train {train - 1}, not {train}" in caplog.text and "validation" not in caplog.text


def test_a_clip_begins_at_its_very_time_and_not_at_a_key_frame(raw, tmp_path):
    cut(tmp_path, finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL), raw)
    blocks = list(decode_video(tmp_path / "videos" / f"{VIDEO}_E_000001_000003.mp4", FramesOptions(size=360)))
    frames = np.concatenate([frames for frames, _ in blocks])
    assert frames.shape == (40, 360, 640, 3)
    numbers = (frames[:, 180, 320].mean(-1) - 40) / 2  # frame of the raw video that is shown
    expected = np.floor((1.0 + np.arange(40) / 25) * 30 + 0.03)
    assert np.abs(numbers - expected).max() <= 1 and numbers[0] == 30


def test_clips_of_another_conversion_in_the_folder_are_unused(raw, tmp_path):
    annotations = finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL)
    cut(tmp_path, annotations, raw, additional=True)
    _, splits, *_ = cut(tmp_path, annotations, raw)
    floor = f"{VIDEO}_E_000003_000004.mp4"
    assert [row["split"] for row in splits if row["video"] == floor] == ["unused"]


def test_workers_change_no_byte(raw, tmp_path):
    annotations, folders = finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL), (tmp_path / "one", tmp_path / "three")
    for folder, workers in zip(folders, (1, 3), strict=True):
        names = [folder / name for name in ("videos", "labels.csv", "splits.csv")]
        folder.mkdir()
        cut_finegym(annotations, raw, *names, FineGymOptions(), workers=workers)
    one, three = (
        {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} for folder in folders
    )
    assert len(one) > 4 and one == three
    with pytest.raises(ConfigError, match="--workers"):
        cut_finegym(annotations, raw, *names, FineGymOptions(), workers=0)


def test_events_without_elements_are_cut_on_demand(raw, tmp_path):
    annotations = finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL)
    labels, splits, *_ = cut(tmp_path, annotations, raw, additional=True)
    floor = f"{VIDEO}_E_000003_000004.mp4"
    assert [(row["split"], row["task"]) for row in splits if row["video"] == floor] == [("train", "floor exercise")]
    assert [row["phase"] for row in labels if row["video"] == floor] == [""]


def test_an_event_of_both_lists_is_a_training_clip():
    listed = {"train": TRAIN, "validation": {f"{VIDEO}_E_000001_000003_A_0001_0002": 3}}
    events, both = chosen(listed, ANNOTATION, False)
    assert [(event.event, event.split) for event in events] == [("E_000001_000003", "train")] and both == 1


def test_events_are_sorted_by_name_whatever_the_order_of_the_lists():
    backwards = {"train": dict(reversed(TRAIN.items())), "validation": dict(reversed(VAL.items()))}
    forwards = {"train": TRAIN, "validation": VAL}
    assert chosen(forwards, ANNOTATION, True) == chosen(backwards, ANNOTATION, True)


def test_a_second_run_cuts_only_what_is_missing(raw, tmp_path):
    annotations = finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL)
    cut(tmp_path, annotations, raw)
    paths = sorted((tmp_path / "videos").glob("*.mp4"))
    before = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    cut(tmp_path, annotations, raw)
    after = [path.stat().st_mtime_ns for path in paths]
    assert after[0] == before[0] and after[1] != before[1]


def test_a_video_that_cannot_be_read_is_reported(tmp_path):
    root = tmp_path / "raw"
    root.mkdir()
    write_video(root / "gone.mp4", moving_square(30), 30)
    (root / f"{VIDEO}.mp4").write_bytes(b"no video")
    _, splits, missing, _ = cut(tmp_path, finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL), root)
    assert [row["video"] for row in splits] == ["gone_E_000000_000001.mp4"]
    assert len(missing) == 2 and all("cannot be decoded" in row["reason"] for row in missing)


def test_without_any_video_it_stops(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="there is no clip to write"):
        cut(tmp_path, finegym(tmp_path / "a", ANNOTATION, TRAIN, VAL), tmp_path / "raw")


@pytest.mark.parametrize(
    ("annotation", "train", "sentence"),
    [
        ({"v": {"E_1_2": {"event": 1}}}, {}, "has no event and timestamps"),
        ({"v": {"E_1_2": {"event": 1, "timestamps": [[5, 1]], "segments": None}}}, {}, "has no event and timestamps"),
        ({"v": []}, {}, "has no event and timestamps"),
        (ANNOTATION, {"v_E_1_2": 3}, "should be an element and its class below 99"),
        (ANNOTATION, {f"{VIDEO}_E_000001_000003_A_0000_0001": 99}, "its class below 99"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, annotation, train, sentence):
    with pytest.raises(DataError, match=sentence):
        cut(tmp_path, finegym(tmp_path / "a", annotation, train, {}), tmp_path)
