"""The command that watches a running video: real mp4 files, and a camera as FFmpeg draws one."""

import csv
import logging
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import moving_square

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.media.options import FramesOptions
from kinoflow.media.sample import at_rate
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition.live import at_most, stream
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import RecognitionOptions, StreamOptions
from kinoflow.tasks.recognition.sampling import windows
from kinoflow.tasks.recognition.scoring import Trained
from kinoflow.training import checkpoint

FRAMES = FramesOptions(size=48, store="raw")
HEADS = {"verb": ("push", "pull", "pour", "stir"), "noun": ("pan", "tray", "jar")}
OPTIONS = RecognitionOptions.model_validate(
    {
        "heads": {"verb": {}, "noun": {}},
        "input": {"kind": "gray", "frames": 3, "size": 32},
        "sampling": {"segments": 12},
        "network": {"backbone": "small", "one_sided": True},
        "augment": {"crop": "none"},
    }
)
RAW = StreamOptions(every=1, average=1, settle=False)


def trained(frames: FramesOptions | None = FRAMES, **more) -> Trained:
    options = RecognitionOptions.model_validate(OPTIONS.model_dump() | more)
    network = Recogniser(
        options.network,
        inputs.channels(options.input),
        options.sampling.segments,
        {head: len(classes) for head, classes in HEADS.items()},
        options.input.kind,
    )
    if options.input == OPTIONS.input:
        _contrast(network.eval(), options)
    counts = {head: (1,) * len(classes) for head, classes in HEADS.items()}
    return Trained(network.eval(), options, HEADS, counts, frames, True, "kitchen")


def _contrast(network: Recogniser, options: RecognitionOptions) -> None:
    """Make drawn heads say different things of the frames of a video: their mean features get equal scores."""
    frames = moving_square(24)[np.arange(2, 24)[:, None] + np.arange(-2, 1)]  # (22, 3, H, W, 3)
    one = options.model_copy(update={"sampling": options.sampling.model_copy(update={"segments": len(frames)})})
    with torch.no_grad():
        features = network.features(torch.from_numpy(inputs.prepare_validation(frames, one))[None])[0]
        for layer in network.fc.children():
            layer.weight.mul_(3000)
            layer.bias.copy_(-layer.weight @ features.mean(0))


def save(folder: Path, found: Trained) -> Path:
    path = folder / "model.safetensors"
    checkpoint.save(path, found.network, found.about(seed=0))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("model"), trained())


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "a.mp4", frames=24, fps=12)


@pytest.fixture(autouse=True)
def said(caplog):
    caplog.set_level(logging.INFO, "kinoflow")
    return caplog


def rows(path: Path) -> list[tuple[float, str, float]]:
    with open(path, newline="") as file:
        return [(float(time), label, float(share)) for time, label, share in list(csv.reader(file))[1:]]


def in_one_piece(found: Trained, video: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the probabilities of every frame, from the whole video as one clip."""
    blocks = list(decode_video(video, found.frames))
    frames, times = np.concatenate([block for block, _ in blocks]), np.concatenate([each for _, each in blocks])
    span = found.options.input.frames
    numbers = windows(np.arange(len(frames)) - span + 1 + span // 2, len(frames), found.options.input)
    numbers[: span - 1] = [[0, 0, 0], [0, 1, 1]]  # until enough frames have come, the newest stands in
    one = found.options.model_copy(
        update={"sampling": found.options.sampling.model_copy(update={"segments": len(frames)})}
    )
    with torch.no_grad():
        x = torch.from_numpy(inputs.prepare_validation(frames[numbers], one))
        return times, found.network.segment_scores(x[None])["verb"][0].softmax(1).numpy()


def test_a_running_video_is_told_what_the_whole_video_would_be(model, video, tmp_path):
    stream(str(video), model, RAW, table=tmp_path / "told.csv", head="verb")
    found, (times, shares) = rows(tmp_path / "told.csv"), in_one_piece(trained(), video)
    assert [time for time, _, _ in found] == pytest.approx(times, abs=1e-5)
    np.testing.assert_allclose([share for _, _, share in found], shares.max(axis=1), atol=1e-4)
    sure = np.diff(np.sort(shares, axis=1)[:, -2:])[:, 0] > 1e-3
    assert [label for _, label, _ in np.array(found, object)[sure]] == [
        HEADS["verb"][best] for best in shares[sure].argmax(axis=1)
    ]


def test_a_line_is_said_when_and_only_when_the_label_changes(model, video, tmp_path, said):
    stream(str(video), model, RAW, table=tmp_path / "told.csv", head="verb")
    labels = [label for _, label, _ in rows(tmp_path / "told.csv")]
    changes = [label for before, label in zip(["", *labels], labels, strict=False) if label != before]
    lines = [re.fullmatch(r" +\d+\.\d\d s  (\w+) \(\d+ %\)", message) for message in said.messages]
    assert [line[1] for line in lines if line] == changes
    assert len(changes) > 1


def test_the_end_tells_how_long_answers_took(model, video, said):
    stream(str(video), model, StreamOptions(every=3))
    text = r"8 answers; from a frame to its label: median [\d.]+ ms, 95 % within [\d.]+ ms, longest [\d.]+ ms"
    assert any(re.fullmatch(text, message) for message in said.messages)


def test_windows_hold_neighbours_whatever_the_pace_of_answers(model, video, tmp_path):
    """The network's memory is of its own last run, its window of the last frames: the first answers agree in both."""
    stream(str(video), model, RAW, table=tmp_path / "all.csv")
    stream(str(video), model, RAW.model_copy(update={"every": 5}), table=tmp_path / "some.csv")
    every, some = rows(tmp_path / "all.csv"), rows(tmp_path / "some.csv")
    assert [time for time, _, _ in some] == [time for time, _, _ in every[::5]]
    assert some[0] == every[0]


def test_the_same_video_gives_the_same_bytes(model, video, tmp_path):
    for name in ("a.csv", "b.csv"):
        stream(str(video), model, StreamOptions(), table=tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_smoothing_options_reach_the_labels(model, video, tmp_path):
    options = StreamOptions(every=1, hidden=HEADS["verb"][1:], alike={"push": "pour"}, average=1)
    stream(str(video), model, options, table=tmp_path / "told.csv", head="verb")
    labels = {row[1] for row in csv.reader((tmp_path / "told.csv").open())} - {"label"}
    assert labels <= {"", "pour"}


def test_frames_are_taken_at_the_rate_of_the_training_videos_unless_told_otherwise(video, tmp_path):
    path = save(tmp_path, trained(FRAMES.model_copy(update={"rate": 4.0})))
    stream(str(video), path, RAW, table=tmp_path / "training.csv")
    stream(str(video), path, RAW.model_copy(update={"rate": 6.0}), table=tmp_path / "other.csv")
    assert [round(time * 12) for time, _, _ in rows(tmp_path / "training.csv")] == [*range(0, 24, 3)]
    assert [round(time * 12) for time, _, _ in rows(tmp_path / "other.csv")] == [*range(0, 24, 2)]


@pytest.mark.parametrize("rate", [3, 6, 12, 4])
def test_of_a_multiple_of_the_rate_the_frames_are_those_that_sampling_takes(rate):
    times = np.round(np.arange(60) / 12, 3)  # as containers that count milliseconds
    assert [number for number, _ in at_most(enumerate(times), rate)] == at_rate(times, rate).tolist()


def test_a_slower_video_gives_each_frame_once():
    assert [number for number, _ in at_most(enumerate([0.0, 0.5, 1.0]), 30)] == [0, 1, 2]


def test_another_head_may_speak(model, video, tmp_path):
    stream(str(video), model, RAW, table=tmp_path / "told.csv", head="noun")
    assert {label for _, label, _ in rows(tmp_path / "told.csv")} <= set(HEADS["noun"])


def test_a_camera_is_watched_for_so_many_seconds(model, tmp_path):
    """FFmpeg's drawn test picture stands for a camera: a device format with settings, without an end."""
    table = tmp_path / "told.csv"
    stream("testsrc", model, RAW, table=table, format="lavfi", settings="dumpgraph=1", seconds=1.0)
    times = [time for time, _, _ in rows(table)]
    assert times == pytest.approx(np.arange(25) / 25)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_ends_well_and_keeps_what_was_told(model, tmp_path, monkeypatch, capfd, number):
    import kinoflow.tasks.recognition.live as live

    def stopped(frames, rate):
        for count, item in enumerate(frames):
            if count == 5:
                signal.raise_signal(number)
            yield item

    monkeypatch.setattr(live, "at_most", stopped)
    words = ["--source", "testsrc", "--format", "lavfi", "--checkpoint", str(model), "--every", "1"]
    assert run("kinoflow.tasks.recognition.live:stream", stream, [*words, "--table", str(tmp_path / "told.csv")]) == 0
    assert len(rows(tmp_path / "told.csv")) == 5
    assert "stopped\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "error", "reason"),
    [
        ({"source": "absent.mp4"}, DataError, "there is no such file; a camera needs --format"),
        ({"source": "x", "format": "no_such_device"}, DataError, "'x' cannot be opened: no container format"),
        ({"source": "not a graph", "format": "lavfi"}, DataError, "'not a graph' cannot be opened"),
        ({"source": "anullsrc", "format": "lavfi"}, DataError, "it gives no pictures"),
        ({"source": "testsrc", "format": "lavfi", "settings": "fast"}, ConfigError, "settings: 'fast' is not allowed"),
        ({"settings": "a=b"}, ConfigError, "they are for cameras"),
        ({"head": "adverb"}, ConfigError, "'adverb' is none of the model's heads"),
        (
            {"head": "verb", "options": StreamOptions(start="jump")},
            ConfigError,
            "start: 'jump' is none of the model's 4 classes",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(model, video, more, error, reason):
    with pytest.raises(error, match=reason):
        stream(**({"source": str(video), "checkpoint": model, "options": RAW} | more))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"network": {"backbone": "small"}}, "its shift looks ahead"),
        ({"input": {"kind": "flow", "frames": 5, "size": 32}}, "optical flow"),
        ({"input": {"kind": "gray", "frames": 4, "size": 32, "normalise": "original"}}, "normalise: plain"),
    ],
)
def test_networks_that_cannot_be_streamed_are_refused(video, tmp_path, more, reason):
    with pytest.raises(ConfigError, match=reason):
        stream(str(video), save(tmp_path, trained(**more)), RAW)


def test_a_file_without_pictures_is_named(model, tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no\.mp4' cannot be opened"):
        stream(str(tmp_path / "no.mp4"), model, RAW)


def test_a_file_of_sound_is_named(model, shared):
    with pytest.raises(DataError, match=r"audio_only\.mp4' cannot be watched: it holds no pictures"):
        stream(str(shared / "data/torture/audio_only.mp4"), model, RAW)


def test_as_a_command(model, video, tmp_path, capfd):
    words = ["--source", str(video), "--checkpoint", str(model), "--table", str(tmp_path / "told.csv"), "--every", "4"]
    assert run("kinoflow.tasks.recognition.live:stream", stream, words) == 0
    assert len(rows(tmp_path / "told.csv")) == 6
    assert "6 answers; from a frame to its label" in capfd.readouterr().err
