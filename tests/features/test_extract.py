"""The stage that runs a network over a shard: rows depend on their video alone, and are not computed twice."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import kinoflow
from kinoflow.errors import ConfigError, DataError
from kinoflow.features import extract, plan
from kinoflow.features.arithmetic import CLIPS, PICTURES, Arithmetic, grouped
from kinoflow.features.backbones import member
from kinoflow.features.extract import features
from kinoflow.features.options import FeaturesOptions, RunWeights
from kinoflow.features.small import Small
from kinoflow.features.weights import drawn
from kinoflow.store.files import sha256_of
from kinoflow.store.shards import Shard, encode_jpeg, writing
from kinoflow.store.tables import Probed, write

ODD = os.fsdecode(b"caf\xe9 [1]\n.mp4")  # neither UTF-8 nor one line


def noise(video: str, frames: int, side: int = 24) -> np.ndarray:
    rng = np.random.default_rng(list(os.fsencode(video)))
    return rng.integers(0, 256, (frames, side, side, 3), np.uint8)


def frame_shard(path, videos: dict[str, int], side: int = 24, store: str = "raw"):
    """A frame shard with noise for each video, 12 frames a second from its first second on."""
    with writing(path, {"store": store}, frames=True) as writer:
        for video, count in videos.items():
            frames, times = noise(video, count, side), 1 + np.arange(count) / 12
            coded = frames if store == "raw" else (encode_jpeg(frame, 90) for frame in frames)
            writer.add(video, coded, times, (side, side))
    return path


def options(**values) -> FeaturesOptions:
    return FeaturesOptions(**{"dtype": "float32", **values})


def run(tmp_path, name: str, given: FeaturesOptions, videos=None, **more) -> Shard:
    frames = frame_shard(tmp_path / f"frames-{name}", videos) if videos is not None else more.pop("frames")
    features(tmp_path / name, given, frames=frames, **{"device": "cpu", "code": "1", **more})
    return Shard(tmp_path / name)


@pytest.fixture
def extracted(caplog):
    """Names of the videos that were really worked on since the last call."""
    caplog.set_level(logging.INFO, logger="kinoflow")

    def names() -> list[str]:
        found = [record.args[0] for record in caplog.records if record.msg == "extracted %r"]
        caplog.clear()
        return found

    return names


# ---------------------------------------------------------------- what stands in a shard


def test_rows_are_the_network_s_output_for_each_frame(tmp_path):
    shard = run(tmp_path, "a.h5", options(seed=3), {"v": 5, "w": 2})
    pictures = (torch.from_numpy(noise("v", 5)).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.226
    with torch.no_grad():
        expected = drawn(Small, 3).eval()(pictures)
    torch.testing.assert_close(torch.from_numpy(np.array(shard.rows("v"))), expected)
    np.testing.assert_allclose(shard.times("v"), 1 + np.arange(5) / 12)
    assert shard.rows("w").shape == (2, 96)


def test_a_shard_says_how_it_was_made_and_names_no_path(tmp_path):
    save_file(Small().state_dict(), tmp_path / "w.safetensors")
    given = options(weights=str(tmp_path / "w.safetensors"), dtype="float16", threads=2, batch=7)
    shard = run(tmp_path, "a.h5", given, {"v": 2})
    assert shard.attrs["weights"] == sha256_of(tmp_path / "w.safetensors")
    assert (shard.attrs["dtype"], shard.attrs["device"], shard.attrs["blocks"]) == ("float16", "cpu", "{}")
    told = json.loads(shard.attrs["extractor"])
    assert told["backbone"] == "small" and told["clip"] == 1 and not {"weights", "batch", "threads"} & set(told)
    assert json.loads(shard.attrs["pictures"])["std"] == [0.226] * 3
    assert str(tmp_path).encode() not in (tmp_path / "a.h5").read_bytes()
    assert run(tmp_path, "b.h5", options(), {"v": 2}).attrs["weights"] == "drawn"


def test_clips_of_a_video_network_have_a_row_each_at_their_centres(tmp_path):
    given = options(backbone="r3d_18", clip=4, dilation=2, stride=3, resize=32, crop=32)
    shard = run(tmp_path, "a.h5", given, {"long": 14, "short": 3, "none": 0})
    assert [len(shard.rows(v)) for v in ("long", "short", "none")] == [3, 1, 0]
    np.testing.assert_allclose(shard.times("long"), 1 + (np.array([0, 3, 6]) + 3) / 12)
    np.testing.assert_allclose(shard.times("short"), [1 + 1 / 12])
    assert shard.x.shape == (4, 512)


def test_jpeg_frames_are_decoded_where_clips_need_them(tmp_path, monkeypatch):
    frames = frame_shard(tmp_path / "f.h5", {"v": 40}, store="jpeg")
    asked = []
    whole = Shard.frames
    monkeypatch.setattr(Shard, "frames", lambda self, v, which=None: asked.extend(which) or whole(self, v, which))
    shard = run(tmp_path, "a.h5", options(stride=10), frames=frames)
    assert asked == [0, 10, 20, 30] and len(shard.rows("v")) == 4


def test_a_shard_without_a_row_has_the_width_of_the_network(tmp_path):
    assert run(tmp_path, "a.h5", options(), {}).x.shape == (0, 96)
    assert run(tmp_path, "b.h5", options(layer="blocks.1"), {"v": 0}).x.shape == (0, 32)
    assert run(tmp_path, "b.h5", options(layer="blocks.1"), {"v": 0}).x.shape == (0, 32)  # now carried over


def test_names_of_any_bytes_are_videos_like_others(tmp_path):
    assert run(tmp_path, "a.h5", options(), {ODD: 2}).videos == [ODD]


# ---------------------------------------------------------------- on what rows depend


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_features_do_not_depend_on_batch_threads_or_other_videos(tmp_path, backbone):
    given = options(backbone=backbone, resize=64, crop=64)
    frames = frame_shard(tmp_path / "f.h5", {"a": 37, "b": 5, "c": 16}, side=64)
    alone = run(tmp_path, "alone.h5", given, frames=frame_shard(tmp_path / "g.h5", {"a": 37}, side=64))
    made = set()
    for batch, threads in ((32, 1), (1, 1), (8, 2)):
        path = tmp_path / f"{batch}-{threads}.h5"
        shard = run(tmp_path, path.name, given.model_copy(update={"batch": batch, "threads": threads}), frames=frames)
        made.add(path.read_bytes())
        assert shard.rows("a").tobytes() == alone.rows("a").tobytes()
    assert len(made) == 1


def test_the_process_s_own_thread_count_changes_nothing_and_stays(tmp_path):
    made, before = set(), torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        run(tmp_path, f"{threads}.h5", options(), {"v": 20})
        made.add((tmp_path / f"{threads}.h5").read_bytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert len(made) == 1


def test_groups_are_cut_anew_for_every_video_and_never_larger_on_a_cpu():
    how = Arithmetic(torch.device("cpu"), threads=3, batch=999)
    assert (how.group(video=False), how.group(video=True)) == (PICTURES, CLIPS)
    assert Arithmetic(torch.device("cuda"), batch=999).group(video=True) == 999
    assert [len(group) for group in grouped(range(37), 16)] == [16, 16, 5]


def test_bfloat16_is_near_and_another_shard(tmp_path):
    exact = run(tmp_path, "a.h5", options(), {"v": 6})
    near = run(tmp_path, "b.h5", options(precision="bfloat16"), {"v": 6})
    a, b = np.array(exact.rows("v")), np.array(near.rows("v"))
    assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()


def test_an_error_in_a_second_thread_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(extract.Backbone, "__call__", lambda self, clips: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, "a.h5", options(threads=2), {"v": 40})


# ---------------------------------------------------------------- carrying over


def test_one_more_video_is_the_only_one_extracted(tmp_path, extracted):
    run(tmp_path, "a.h5", options(), {"a": 3, ODD: 4})
    assert extracted() == ["a", ODD]
    run(tmp_path, "a.h5", options(), {"a": 3, "b": 2, ODD: 4})
    assert extracted() == ["b"]
    run(tmp_path, "fresh.h5", options(), {"a": 3, "b": 2, ODD: 4})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_removed_video_leaves_nothing(tmp_path, extracted):
    run(tmp_path, "a.h5", options(), {"a": 3, "b": 2})
    extracted()
    assert run(tmp_path, "a.h5", options(), {"b": 2}).videos == ["b"] and extracted() == []
    run(tmp_path, "fresh.h5", options(), {"b": 2})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_changed_frames_times_options_or_code_are_reasons_to_extract_again(tmp_path, extracted):
    run(tmp_path, "a.h5", options(), {"a": 3})
    extracted()
    run(tmp_path, "a.h5", options(threads=2, batch=5), {"a": 3})
    assert extracted() == []
    for change in ({"seed": 1}, {"stride": 2}, {"std": (1.0, 1.0, 1.0)}, {"dtype": "float16"}):
        run(tmp_path, "a.h5", options(**change), {"a": 3})
        assert extracted() == ["a"], change
    run(tmp_path, "a.h5", options(), {"a": 3}, code="2")
    assert extracted() == ["a"]
    run(tmp_path, "a.h5", options(), {"a": 4}, code="2")
    assert extracted() == ["a"]
    with writing(tmp_path / "later.h5", {"store": "raw"}, frames=True) as writer:
        writer.add("a", noise("a", 4), 2 + np.arange(4) / 12)
    run(tmp_path, "a.h5", options(), frames=tmp_path / "later.h5", code="2")
    assert extracted() == ["a"]


def test_other_weights_under_the_same_path_are_a_reason_to_extract_again(tmp_path, extracted):
    save_file(drawn(Small, 1).state_dict(), tmp_path / "w.safetensors")
    run(tmp_path, "a.h5", options(), {"a": 3}, weights=str(tmp_path / "w.safetensors"))
    run(tmp_path, "a.h5", options(), {"a": 3}, weights=str(tmp_path / "w.safetensors"))
    assert extracted() == ["a"]
    save_file(drawn(Small, 2).state_dict(), tmp_path / "w.safetensors")
    run(tmp_path, "a.h5", options(), {"a": 3}, weights=str(tmp_path / "w.safetensors"))
    assert extracted() == ["a"]


def test_a_shard_that_was_replaced_is_made_anew(tmp_path, extracted):
    run(tmp_path, "a.h5", options(), {"a": 3})
    run(tmp_path, "b.h5", options(seed=1), {"a": 3})
    extracted()
    shutil.copy(tmp_path / "b.h5", tmp_path / "a.h5")
    run(tmp_path, "a.h5", options(), {"a": 3})
    assert extracted() == ["a"]


def test_a_killed_run_goes_on_where_it_was(tmp_path, extracted, monkeypatch):
    rows = extract.Extractor.rows

    def killed(self, video):
        if video == "b":
            raise SystemExit(143)
        return rows(self, video)

    monkeypatch.setattr(extract.Extractor, "rows", killed)
    with pytest.raises(SystemExit):
        run(tmp_path, "a.h5", options(), {"a": 3, "b": 2})
    assert not (tmp_path / "a.h5").exists()
    monkeypatch.undo()
    extracted()
    run(tmp_path, "a.h5", options(), {"a": 3, "b": 2})
    assert extracted() == ["b"]
    run(tmp_path, "fresh.h5", options(), {"a": 3, "b": 2})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert not list(tmp_path.glob(".work/*"))


# ---------------------------------------------------------------- weights and sizes


def test_the_checkpoint_of_a_run_gives_the_weights(tmp_path):
    state = {f"backbone.{key}": value for key, value in drawn(Small, 5).state_dict().items()}
    save_file(state | {"head.weight": torch.zeros(3, 96)}, tmp_path / "model.safetensors")
    given = options(weights=RunWeights(run="lsnet"))
    with pytest.raises(ConfigError, match=r"run 'lsnet'.*--weights"):
        run(tmp_path, "a.h5", given, {"v": 3})
    shard = run(tmp_path, "a.h5", given, {"v": 3}, weights=str(tmp_path / "model.safetensors"))
    assert shard.rows("v").tobytes() == run(tmp_path, "b.h5", options(seed=5), {"v": 3}).rows("v").tobytes()


def test_torchvision_s_weights_are_taken_from_its_cache(tmp_path, monkeypatch):
    network = drawn(lambda: __import__("torchvision").models.squeezenet1_1(), 7)
    torch.save(network.state_dict(), tmp_path / "new")
    file = tmp_path / "hub" / "checkpoints" / f"squeeze-{sha256_of(tmp_path / 'new')[:8]}.pth"
    file.parent.mkdir(parents=True)
    (tmp_path / "new").rename(file)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    published = SimpleNamespace(
        url=f"http://127.0.0.1:9/{file.name}", transforms=member("squeezenet1_1", "DEFAULT").transforms
    )
    monkeypatch.setattr(plan, "member", lambda backbone, name: published)
    given = options(backbone="squeezenet1_1", resize=32, crop=32)
    shard = run(tmp_path, "a.h5", given.model_copy(update={"weights": "torchvision:IMAGENET1K_V1"}), {"v": 2})
    drawn_alike = run(tmp_path, "b.h5", given.model_copy(update={"seed": 7}), {"v": 2})
    assert shard.attrs["weights"] == sha256_of(file)
    assert shard.rows("v").tobytes() == drawn_alike.rows("v").tobytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"backbone": "resnet81"}, r"no network 'resnet81'.*resnet18"),
        ({"weights": "torchvision:DEFAULT"}, "torchvision has none for the network 'small'"),
        (
            {"backbone": "resnet18", "weights": "torchvision:V1"},
            r"resnet18 has no weights 'V1'; known are: DEFAULT, IMAGENET1K_V1",
        ),
        ({"weights": "/nowhere/w.pt"}, "there is no file /nowhere/w.pt"),
        ({"clip": 3}, "small reads single pictures"),
        ({"layer": "blocks.9"}, r"no layer 'blocks.9'; the nearest names: blocks\.\d"),
        ({"from": "files"}, "feature-files"),
        ({"from": "video", "resize": 32}, "--root and --table"),
    ],
)
def test_options_that_cannot_be_met_are_refused_in_a_sentence(tmp_path, change, sentence):
    with pytest.raises((ConfigError, DataError), match=sentence):
        run(tmp_path, "a.h5", options(**change), {"v": 3})


def test_a_device_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'gpu' is no device"):
        run(tmp_path, "a.h5", options(), {"v": 3}, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no cuda on this machine"):
            run(tmp_path, "a.h5", options(), {"v": 3}, device="cuda")


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_features_that_do_not_fit_into_float16_are_refused(tmp_path, scale):
    state = drawn(Small, 0).state_dict()
    for key in ("blocks.3.norm2", "blocks.3.shortcut.1"):
        state[f"{key}.weight"] *= scale
    save_file(state, tmp_path / "w.safetensors")
    given = {"weights": str(tmp_path / "w.safetensors")}
    with pytest.raises(
        DataError,
        match=r"'v': the backbone 'small' gives features up to .* do not fit into float16; set dtype: float32",
    ):
        run(tmp_path, "a.h5", options(dtype="float16"), {"v": 3}, **given)
    assert run(tmp_path, "a.h5", options(), {"v": 3}, **given).x.any()


def test_features_that_are_not_finite_are_refused_but_the_others_are_kept(tmp_path, extracted, monkeypatch):
    rows = extract.Extractor.rows
    with monkeypatch.context() as patch:
        patch.setattr(extract.Extractor, "rows", lambda self, v: rows(self, v) if v != "a" else bad())
        with pytest.raises(DataError, match=r"no luck \(1 of 2 videos failed; the work on the others is kept\)"):
            run(tmp_path, "a.h5", options(), {"a": 3, "b": 2})
    extracted()
    run(tmp_path, "a.h5", options(), {"a": 3, "b": 2})
    assert extracted() == ["a"]
    state = drawn(Small, 0).state_dict()
    state["blocks.3.norm2.bias"][:] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"'a': the backbone 'small' gives features that are not finite"):
        run(tmp_path, "a.h5", options(), {"a": 3}, weights=str(tmp_path / "w.safetensors"))


def bad():
    raise DataError("no luck")


# ---------------------------------------------------------------- straight from videos


@pytest.mark.parametrize("stride", [1, 2, 5])  # from 2 on frames are sought
def test_features_of_videos_equal_those_of_frames_decoded_at_the_same_size(tmp_path, make_video, extracted, stride):
    decode = pytest.importorskip("kinoflow.media.decode")
    videos = {"a.mp4": 12, "sub/b.mp4": 5}
    rows = []
    (tmp_path / "root/sub").mkdir(parents=True)
    for video, count in videos.items():
        make_video(tmp_path / "root" / video, frames=count)
        sha = sha256_of(tmp_path / "root" / video)
        rows.append(Probed(video=video, status="readable", kept=True, sha256=sha))
    rows.append(Probed(video="broken.mp4", status="unreadable"))
    write(tmp_path / "table.csv", rows, Probed)
    given = options(resize=32, crop=32, stride=stride, **{"from": "video"})
    features(tmp_path / "a.h5", given, root=tmp_path / "root", table=tmp_path / "table.csv", device="cpu", code="1")
    shard = Shard(tmp_path / "a.h5")
    assert shard.videos == sorted(videos) and extracted() == sorted(videos)
    from kinoflow.media.options import FramesOptions

    with writing(tmp_path / "f.h5", {"store": "raw"}, frames=True) as writer:
        for video in videos:
            blocks = list(decode.decode_video(tmp_path / "root" / video, FramesOptions(size=32)))
            writer.add(video, np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks]))
    stored = run(tmp_path, "b.h5", options(resize=32, crop=32, stride=stride), frames=tmp_path / "f.h5")
    assert shard.x.tobytes() == stored.x.tobytes() and shard.time.tobytes() == stored.time.tobytes()
    extracted()
    features(tmp_path / "a.h5", given, root=tmp_path / "root", table=tmp_path / "table.csv", device="cpu", code="1")
    assert extracted() == []


@pytest.mark.parametrize("stride", [1, 5])
def test_a_video_that_does_not_decode_is_named(tmp_path, make_video, stride):
    pytest.importorskip("kinoflow.media.decode")
    make_video(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = [Probed(video=v, status="readable", kept=True, sha256=v) for v in ("bad.mp4", "good.mp4")]
    write(tmp_path / "table.csv", rows, Probed)
    given = options(resize=32, stride=stride, **{"from": "video"})
    with pytest.raises(DataError, match=r"bad\.mp4.*1 of 2 videos failed"):
        features(tmp_path / "a.h5", given, root=tmp_path, table=tmp_path / "table.csv", device="cpu", code="1")


# ---------------------------------------------------------------- as a command


def test_the_command_runs(tmp_path):
    words = [sys.executable, "-m", "kinoflow", "features", "--device", "cpu", "--stride", "2"]
    words += ["--frames", frame_shard(tmp_path / "f.h5", {"v": 4}), "--shard", tmp_path / "a.h5"]
    environment = os.environ | {"PYTHONPATH": str(Path(kinoflow.__file__).parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "extracted 'v'" in done.stderr, done.stderr
    assert len(Shard(tmp_path / "a.h5").rows("v")) == 2
