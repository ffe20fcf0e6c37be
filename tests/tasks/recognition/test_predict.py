"""What a network says of single video files and of folders of them."""

import csv
import json
import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition import predict as stage
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import PredictOptions, RecognitionOptions
from kinoflow.tasks.recognition.predict import predict
from kinoflow.tasks.recognition.sampling import segments
from kinoflow.tasks.recognition.scoring import Trained
from kinoflow.training import checkpoint

FRAMES = FramesOptions(size=48, store="raw")
CLASSES = {"noun": ("pan", "tray", "jar"), "verb": ("push", "pull", "pour", "stir")}


def save(folder: Path, mirror: bool = True, **more) -> tuple[Path, Trained]:
    values = {
        "heads": {"noun": {}, "verb": {}},
        "input": {"size": 32},
        "sampling": {"segments": 4},
        "network": {"backbone": "small"},
        "augment": {"crop": "none"},
    }
    options = RecognitionOptions.model_validate(values | more)
    counts = {head: len(classes) for head, classes in CLASSES.items()}
    network = Recogniser(options.network, inputs.channels(options.input), 4, counts, options.input.kind).eval()
    for layer in network.fc.children():
        layer.weight.data.mul_(300)
    ones = {head: (1,) * count for head, count in counts.items()}
    found = Trained(network, options, CLASSES, ones, FRAMES, mirror, "kitchen")
    checkpoint.save(folder / "model.safetensors", network, found.about(seed=0))
    return folder / "model.safetensors", found


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> tuple[Path, Trained]:
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    return [make_video(folder / f"{name}.mp4", frames=24, seed=seed) for seed, name in enumerate("ab")]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def guesses(row: dict[str, str], head: str) -> list[tuple[str, float]]:
    """The classes that a row tells of a head, with their probabilities."""
    numbers = range(1, len(CLASSES[head]) + 1)
    return [(row[f"{head}_{k}"], float(row[f"{head}_{k}_probability"])) for k in numbers if row.get(f"{head}_{k}")]


@pytest.fixture
def told(model, tmp_path):
    """Return a function that predicts and returns the rows of the table."""

    def tell(*videos: Path, threads: int = 1, **options) -> list[dict[str, str]]:
        predict(list(videos), model[0], PredictOptions(**options), table=tmp_path / "told.csv", threads=threads)
        return rows(tmp_path / "told.csv")

    return tell


def shares(found: Trained, video: Path, first: int = 0, last: int = 24) -> dict[str, np.ndarray]:
    frames = np.concatenate([block for block, _ in decode_video(video, FRAMES)])[first:last]
    moments = segments(len(frames), found.options.sampling, mode="test")
    with torch.no_grad():
        x = torch.from_numpy(inputs.prepare_test(frames[moments][:, None], found.options, mirror=True)[0])
        return {head: scores[0].softmax(0).numpy() for head, scores in found.network(x[None]).items()}


def test_the_likeliest_classes_of_each_video_are_told_in_order(model, videos, told):
    found = told(*videos)
    assert [(row["video"], row["status"], row["reason"]) for row in found] == [
        (str(video), "readable", "") for video in videos
    ]
    for row, video in zip(found, videos, strict=True):
        for head, expected in shares(model[1], video).items():
            labels, probabilities = zip(*guesses(row, head), strict=True)
            assert list(labels) == [CLASSES[head][k] for k in np.argsort(-expected)]
            assert probabilities == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_there_are_columns_for_as_many_classes_as_are_asked_for_and_there_are(videos, told):
    pairs = [(head, k) for head, most in (("noun", 3), ("verb", 4)) for k in range(1, most + 1)]
    columns = ["video", "status", "reason"]
    for head, k in pairs:
        columns += [f"{head}_{k}", f"{head}_{k}_probability"]
    assert list(told(videos[0])[0]) == columns
    few = ["noun_1", "noun_1_probability", "verb_1", "verb_1_probability"]
    assert list(told(videos[0], top=1, crops=3, clips="twice")[0]) == ["video", "status", "reason", *few]


def test_a_stretch_of_a_video_is_a_clip(model, videos, told):
    expected = shares(model[1], videos[0], first=6, last=18)["noun"]
    (row,) = told(videos[0], start=0.5, end=1.5)
    assert [share for _, share in guesses(row, "noun")] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_json_tells_the_same(model, videos, tmp_path, told):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    given = [*videos, tmp_path / "no.mp4"]
    predict(given, model[0], PredictOptions(), json=tmp_path / "told.json")
    for item, row in zip(json.loads((tmp_path / "told.json").read_text()), told(*given), strict=True):
        assert {key: item[key] for key in ("video", "status", "reason")}.items() <= row.items()
        for head in CLASSES:
            assert [(each["label"], each["probability"]) for each in item["heads"].get(head, [])] == guesses(row, head)


def test_without_a_file_to_write_the_likeliest_are_said(model, videos, caplog, told):
    caplog.set_level(logging.INFO, "kinoflow")
    (row,) = told(videos[0])
    noun, share = guesses(row, "noun")[0]
    line = f"{str(videos[0])!r}: noun: {noun} ({100 * share:.0f} %), verb: {row['verb_1']} ("
    assert not any(message.startswith(line) for message in caplog.messages)
    predict(videos[:1], model[0], PredictOptions())
    assert any(message.startswith(line) for message in caplog.messages)


# ---------------------------------------------------------------- folders


def test_of_a_folder_every_file_has_a_row_but_hidden_ones_in_the_order_of_names(tmp_path, make_video, told):
    folder = tmp_path / "folder"
    names = ["b.mp4", "a.mp4", "B/c.mp4", os.fsdecode(b"\xff\n.mp4"), ".hidden.mp4", ".hidden/d.mp4"]
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / "new.mp4", frames=6, seed=seed).rename(folder / name)
    (folder / "notes.txt").write_text("no video")
    seen = ["B/c.mp4", "a.mp4", "b.mp4", "notes.txt", os.fsdecode(b"\xff\n.mp4")]
    found = told(folder, folder / "a.mp4", folder / ".hidden.mp4")  # a.mp4 is in the folder: one row
    assert [row["video"] for row in found] == [str(folder / name) for name in (".hidden.mp4", *seen)]
    assert [row["status"] for row in found] == ["readable"] * 4 + ["unreadable", "readable"]
    assert [Path(row["video"]).name for row in told(folder, include=["*.mp4"], exclude=["B/*"])] == [
        "a.mp4",
        "b.mp4",
        os.fsdecode(b"\xff\n.mp4"),
    ]


def test_threads_and_company_change_nothing(videos, told, tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    alone = [row for video in videos for row in told(video)]
    assert told(*reversed(videos), tmp_path / "no.mp4", threads=3) == [*told(tmp_path / "no.mp4"), *alone]


# ---------------------------------------------------------------- what cannot be read


def test_files_that_cannot_be_read_are_rows_and_stop_nothing(videos, tmp_path, told, caplog):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "cut.mp4").write_bytes(videos[0].read_bytes()[:-100])
    found = {Path(row["video"]).name: row for row in told(videos[0], tmp_path, exclude=["*.csv"])}
    assert {name: row["status"] for name, row in found.items()} == {
        "a.mp4": "readable",
        "cut.mp4": "unreadable",  # its index is at the end
        "empty.mp4": "unreadable",
        "lost.mp4": "unreadable",
        "text.mp4": "unreadable",
    }
    assert found["empty.mp4"]["reason"] == "the file is empty" and found["lost.mp4"]["reason"]
    assert guesses(found["a.mp4"], "noun") and not guesses(found["text.mp4"], "noun")
    assert f"{str(tmp_path / 'empty.mp4')!r}: nothing can be told (unreadable): the file is empty" in caplog.messages


def test_a_crash_and_a_hang_cost_their_own_rows(videos, tmp_path, told, monkeypatch):
    examine = stage.examine

    def stumble(path, *more):
        if path.endswith("crash.mp4"):
            os.abort()
        if path.endswith("hang.mp4"):
            time.sleep(100)
        return examine(path, *more)

    monkeypatch.setattr(stage, "examine", stumble)
    for name in ("crash.mp4", "hang.mp4"):
        (tmp_path / name).write_bytes(videos[0].read_bytes())
    found = told(videos[0], tmp_path / "crash.mp4", tmp_path / "hang.mp4", timeout=2.0, threads=2)
    assert {Path(row["video"]).name: (row["status"], row["reason"]) for row in found} == {
        "a.mp4": ("readable", ""),
        "crash.mp4": ("unreadable", "the process that worked on it crashed (SIGABRT)"),
        "hang.mp4": ("unreadable", "it takes longer than 2 s"),
    }


@pytest.mark.parametrize(
    ("stretch", "reason"),
    [
        ({"start": 3.0}, "it has 0 frames from 3 s on, but the network's input needs 1"),
        ({"start": 0.51, "end": 0.52}, "it has 0 frames from 0.51 s to 0.52 s, but the network's input needs 1"),
    ],
)
def test_a_video_with_too_few_frames_is_a_row_with_the_reason(videos, told, stretch, reason):
    (row,) = told(videos[0], **stretch)
    assert (row["status"], row["reason"], row["noun_1"]) == ("readable", reason, "")


def test_every_real_clip_has_its_row(model, shared, tmp_path):
    with open(shared / "data/videos/manifest.csv", newline="") as file:
        names = sorted((row["file"] for row in csv.DictReader(file)), key=os.fsencode)
    words = [
        "--videos",
        str(shared / "data/videos"),
        "--exclude",
        "*.csv",
        "--checkpoint",
        str(model[0]),
        "--threads",
        "2",
    ]
    words += ["--table", str(tmp_path / "told.csv")]
    assert run("kinoflow.tasks.recognition.predict:predict", predict, words) == 0
    found = rows(tmp_path / "told.csv")
    assert [Path(row["video"]).name for row in found if row["noun_1"]] == names and len(names) == 41
    assert [(Path(row["video"]).name, row["status"]) for row in found if not row["noun_1"]] == [
        ("README.md", "unreadable")
    ]


# ---------------------------------------------------------------- refusals and the command


def test_what_cannot_be_predicted_is_refused(model, videos, tmp_path):
    with pytest.raises(ConfigError, match="videos: give at least one"):
        predict([], model[0], PredictOptions())
    with pytest.raises(DataError, match=r"there is no file or folder 'no\.mp4'"):
        predict([Path("no.mp4")], model[0], PredictOptions())
    with pytest.raises(DataError, match="holds no file that include and exclude leave"):
        predict([videos[0].parent], model[0], PredictOptions(exclude=["*.mp4"]))
    with pytest.raises(ConfigError, match="optical flow"):
        predict(videos, save(tmp_path, input={"kind": "flow", "frames": 5, "size": 32})[0], PredictOptions())
    with pytest.raises(ConfigError, match="10 crops"):
        predict(videos, save(tmp_path, mirror=False)[0], PredictOptions(crops=10))
    with pytest.raises(ValueError, match="end: 1 s is not after start: 2 s"):
        PredictOptions(start=2, end=1)


def test_as_a_command(model, videos, tmp_path):
    words = ["--videos", str(videos[0].parent), "--checkpoint", str(model[0]), "--json", str(tmp_path / "told.json")]
    assert run("kinoflow.tasks.recognition.predict:predict", predict, words) == 0
    assert len(json.loads((tmp_path / "told.json").read_text())) == 2
    assert run("kinoflow.tasks.recognition.predict:predict", predict, ["--videos", "no.mp4", *words[2:]]) == 1
