"""Frames one by one give what the clip of all frames so far gives; against the published unit, too."""

import doctest

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from torch import nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition import stream
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import InputOptions, NetworkOptions
from kinoflow.tasks.recognition.sampling import needed, windows
from kinoflow.tasks.recognition.shift import TemporalShift, at_input
from kinoflow.tasks.recognition.stream import FrameByFrame, LastFrames, StreamedShift

NETWORKS = {
    "small": {},
    "small, whole blocks": {"backbone": "small", "shift_place": "block", "shift": 4},
    "small, no shift": {"backbone": "small", "shift": None, "one_sided": False},
    "small, partial norm": {"backbone": "small", "partial_norm": True},
    "resnet18": {},
    "resnet50, whole blocks": {"backbone": "resnet50", "shift_place": "block"},
    "resnet101": {},  # shifts every second block
    "resnext50_32x4d": {},
    "mobilenet_v2": {},
    "bn_inception": {"shift_place": "block"},
}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recogniser(name: str = "small", **more) -> Recogniser:
    network = NetworkOptions(**({"backbone": name.partition(",")[0], "one_sided": True} | NETWORKS[name] | more))
    model = Recogniser(network, channels=3, segments=4, heads={"verb": 5, "noun": 3}).double().eval()
    noise = torch.Generator().manual_seed(1)
    for module in model.modules():  # norms that do something
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=noise)
            module.bias.data.normal_(0, 0.1, generator=noise)
    return model


def clip(videos: int = 1, frames: int = 4, size: int = 32) -> torch.Tensor:
    return torch.randn(videos, frames, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_frame_gets_the_features_that_the_clip_up_to_it_gives(name):
    model, x = recogniser(name), clip()
    streamed = FrameByFrame(model)
    found = torch.stack([streamed.features(x[:, t]) for t in range(x.shape[1])], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(found, model.features(x), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(found[:, :2], model.features(x[:, :2]), rtol=1e-9, atol=1e-10)


def test_scores_are_those_of_the_segments():
    model, x = recogniser(dropout=0.5), clip()
    streamed = FrameByFrame(model)
    found = [streamed.scores(x[:, t]) for t in range(x.shape[1])]
    with torch.no_grad():
        for head, scores in model.segment_scores(x).items():
            torch.testing.assert_close(torch.stack([rows[head] for rows in found], dim=1), scores)


def test_videos_side_by_side_do_not_touch_each_other():
    model, x = recogniser(), clip(videos=3)
    together = FrameByFrame(model)
    found = [together.features(x[:, t]) for t in range(4)][-1]
    for video in range(3):
        alone = FrameByFrame(model)
        assert torch.allclose([alone.features(x[video : video + 1, t]) for t in range(4)][-1], found[video], atol=1e-12)


def test_what_was_forgotten_has_no_influence():
    model, x = recogniser(), clip()
    streamed = FrameByFrame(model)
    first = streamed.features(x[:, 0])
    assert not torch.allclose(streamed.features(x[:, 0]), first)  # the frame before counts
    streamed.forget()
    assert torch.equal(streamed.features(x[:, 0]), first)


def test_the_model_stays_as_it_is_and_lends_its_weights():
    model = recogniser().train()
    streamed = FrameByFrame(model)
    assert model.training
    assert any(isinstance(module, TemporalShift) for module in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())
    shared = {weight.data_ptr() for weight in model.parameters()}
    assert {weight.data_ptr() for weight in streamed._model.parameters()} == shared


def test_a_streamed_unit_agrees_with_the_published_one():
    with np.load(ROOT / "tests/golden/lsnet/online.npz") as golden:
        weights = {
            name.removeprefix("w_conv."): torch.from_numpy(golden[name]) for name in golden if name.startswith("w_")
        }
        x, y = torch.from_numpy(golden["x"]), golden["y"]
    width, inner = x.shape[1], len(weights["0.weight"])
    unit = nn.Sequential(
        *(nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
        *(nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
        *(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)),
    ).double()
    unit.load_state_dict(weights, strict=False)
    unit.eval()
    at_input(unit[0], "shift", StreamedShift(8))
    with torch.no_grad():
        found = [frame + unit(frame[None])[0] for frame in x]
    np.testing.assert_allclose(torch.stack(found), y, rtol=1e-9, atol=1e-9)


def test_fewer_channels_than_the_divisor_are_left_alone():
    x = torch.ones(1, 7, 2, 2)
    assert StreamedShift(8)(x) is x


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"one_sided": False}, "its shift looks ahead; train one with network.one_sided: true"),
        ({"backbone": "resnet18", "temporal_pool": True}, "network.temporal_pool"),
        ({"backbone": "resnet50", "non_local": True}, "network.non_local"),
        ({"backbone": "resnet18", "fuse": True, "shift": None, "one_sided": False}, "network.fuse"),
    ],
)
def test_networks_that_need_several_frames_are_refused(more, reason):
    network = NetworkOptions(**({"backbone": "small", "one_sided": True} | more))
    with pytest.raises(ConfigError, match=reason):
        FrameByFrame(Recogniser(network, channels=3, segments=2, heads={"verb": 2}, kind="gray"))


# ---------------------------------------------------------------- windows


def numbered(frames: int) -> list[np.ndarray]:
    return [np.full((2, 2, 3), number, np.uint8) for number in range(frames)]


@pytest.mark.parametrize(
    "options",
    [
        InputOptions(),
        InputOptions(kind="gray", frames=3),
        InputOptions(kind="gray", frames=3, interval=1, border="original"),
        InputOptions(kind="gray", frames=4, interval=2),
        InputOptions(kind="difference", frames=5),
    ],
    ids=lambda options: f"{options.kind} {options.frames} {options.interval}",
)
def test_a_running_video_gives_the_windows_that_end_at_its_newest_frame(options):
    window, span = LastFrames(options), needed(options)
    found = np.stack([window(frame)[:, 0, 0, 0] for frame in numbered(30)])
    first = 0 if options.kind == "difference" else span // 2  # the moment of the window that begins with frame 0
    moments = np.arange(30 - span + 1) + first
    clamped = options.model_copy(update={"border": "clamp"})
    np.testing.assert_array_equal(found[span - 1 :], windows(moments, 30, clamped))


def test_until_enough_frames_have_come_the_newest_stands_in():
    window = LastFrames(InputOptions(kind="gray", frames=3))
    assert [window(frame)[:, 0, 0, 0].tolist() for frame in numbered(4)] == [[0, 0, 0], [0, 1, 1], [0, 1, 2], [1, 2, 3]]


def test_flow_is_refused():
    with pytest.raises(ConfigError, match="optical flow"):
        LastFrames(InputOptions(kind="flow", frames=5))


def test_examples_in_docstrings():
    assert doctest.testmod(stream).failed == 0
