"""Samples: which actions are anticipated, and what is seen before each."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.backbones import Backbone, usual_pictures
from kinoflow.features.bn_inception import BnInception
from kinoflow.features.weights import drawn
from kinoflow.store import shards
from kinoflow.tasks.anticipation import backbones, data
from kinoflow.tasks.anticipation.data import Reader, Sequences
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import PicturesOptions
from kinoflow.tasks.anticipation.sources import View


def reader(world, wanted, full=False, given=None):
    rows = world.rows
    source = data.source(wanted, tiny.CLASSES, rows, *(given or (world.features, None, None)))
    return Reader(source, wanted, rows, ["action"], full)


def sequences(world, wanted, full=False):
    rows = world.rows
    chosen = data.in_splits(rows, ("train",), "train_on")
    return Sequences(data.samples(rows, chosen, wanted), reader(world, wanted, full))


# ---------------------------------------------------------------- which actions


def test_windows_end_with_the_action_before(world):
    of = sequences(world, options()).samples
    own = np.flatnonzero(world.rows.video == "v00.mp4")
    assert len(of) == 14 * 6 and len(of.dropped) == 14
    first = np.flatnonzero(of.rows.video == "v00.mp4")
    assert np.allclose(of.end[first], world.rows.end[own][:-1]) and np.allclose(of.seconds, 0.5)


def test_windows_may_end_a_fixed_time_before_and_skip_first_actions(world):
    of = sequences(world, options(window="gap", sampling={"gap": 1.0})).samples
    assert np.allclose(of.seconds, 1.0) and len(of) == 14 * 6  # the first begins at .5 s
    skipping = sequences(world, options(window="gap", sampling={"gap": 0.0, "skip": 3})).samples
    assert len(skipping) == 14 * 4 and len(skipping.dropped) == 14 * 3


def test_splits_and_recordings_that_are_not_there_are_refused(world):
    with pytest.raises(ConfigError, match=r"splits: no action is in the split 'dev' \(splits there: 'test', 'train'\)"):
        data.in_splits(world.rows, ("dev",), "splits")
    chosen = data.in_splits(world.rows, ("train",), "train_on")
    assert data.held_out(world.rows, chosen, ("p1",)).sum() == 4 * tiny.STEPS


# ---------------------------------------------------------------- what is seen


def test_steps_are_means_of_the_rows_in_them_and_show_the_commonest_label(world):
    made = sequences(world, options())
    rows, times = made.reader.source.rows("v00.mp4")
    number = int(np.flatnonzero(made.samples.rows.video == "v00.mp4")[1])
    seen, end = made(number), made.samples.end[number]
    assert seen.x.shape == (8, tiny.WIDTH) and 3 <= seen.length <= 8
    last = (times >= end - 1) & (times < end)
    assert np.allclose(seen.x[seen.length - 1], rows[last].mean(0), atol=1e-6)
    before = world.rows.action[np.flatnonzero(world.rows.uid == made.samples.rows.uid[number])[0] - 1]
    assert seen.past["action"][seen.length - 1] == before
    assert (seen.past["action"][seen.length :] == -1).all() and not seen.x[seen.length :].any()


def test_steps_may_be_filled_up_in_front_with_the_first(world):
    plain, full = sequences(world, options()), sequences(world, options(), full=True)
    a, b = plain(0), full(0)
    assert b.length == 8 and np.array_equal(b.x[-a.length :], a.x[: a.length])
    assert (b.x[: 8 - a.length] == a.x[0]).all()


def test_nothing_after_the_end_of_a_window_is_seen(world):
    made = sequences(world, options())
    rows, times = made.reader.source.rows("v00.mp4")
    end = 4.0
    changed = np.where((times >= end)[:, None], 99, rows)

    class Changed:
        width = tiny.WIDTH

        def rows(self, video):
            return changed, times

    other = Reader(Changed(), options(), world.rows, ["action"], False)
    assert np.array_equal(made.reader.seen("v00.mp4", 0, end).x, other.seen("v00.mp4", 0, end).x)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30), st.floats(0.5, 22), st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=50, deadline=None)
def test_means_of_steps_are_plain_means_and_gaps_repeat_the_step_before(times, end, seconds):
    times = np.sort(np.array(times))
    rows = np.stack([times, -times], 1)
    edges = np.append(np.arange(0, end, seconds), end)
    inside = (times >= edges[0]) & (times < edges[-1])
    if not inside.any():  # the nearest row, if there is one as near as rows are to each other
        spacing = np.median(np.diff(times)) if len(times) > 1 else np.inf
        if np.abs(times - end).min() <= spacing:
            nearest = rows[np.abs(times - end).argmin()]
            assert np.allclose(data.means(rows, times, edges, "v")[0], [nearest], atol=1e-4)
        else:
            with pytest.raises(DataError, match="has no features from"):
                data.means(rows, times, edges, "v")
        return
    found, numbers, own = data.means(rows, times, edges, "v")
    expected, before = [], None
    for first, last in pairwise(edges):
        part = rows[(times >= first) & (times < last)]
        before = part.mean(0) if len(part) else before
        expected += [] if before is None else [before]
    assert np.allclose(found, expected, atol=1e-4) and len(numbers) == len(found)
    assert np.array_equal(own, times[inside])


def test_single_frames_are_read_at_a_rate(world):
    wanted = options(window="gap", sampling={"read": "frames", "steps": 5, "rate": 2.0, "fps": 4.0})
    seen = sequences(world, wanted)(3)
    assert seen.x.shape == (5, tiny.WIDTH) and seen.length == 5 and len(seen.past["action"]) == 5


def test_random_clips_depend_on_the_generator_alone(world):
    sampling = {"read": "frames", "steps": 3, "rate": 2.0, "fps": 4.0, "observed": 6.0, "strategy": "random_clip"}
    made = sequences(world, options(window="gap", sampling=sampling))
    late = int(np.argmax(made.samples.end))
    found = [made(late, np.random.default_rng(seed)).x for seed in (0, 0, *range(1, 9))]
    assert np.array_equal(found[0], found[1]) and any(not np.array_equal(found[0], each) for each in found[2:])


def test_what_is_given_must_fit_the_options(world, tmp_path):
    with pytest.raises(ConfigError, match="not both"):
        data.source(options(), tiny.CLASSES, world.rows, world.features, None, tmp_path)
    with pytest.raises(ConfigError, match="the dataset has no verbs"):
        plain = type(tiny.CLASSES)("x", 12.0, tiny.NAMES, tiny.NAMES)
        data.check_targets(("action", "verb"), plain)
    oracle = data.source(options(source="labels"), tiny.CLASSES, world.rows, None, None, None)
    assert oracle.width == len(tiny.NAMES)


def test_squares_of_frames_are_drawn_for_training_alone():
    asked = PicturesOptions(short=248, drawn=(248, 280), flip=0.5)
    rng = np.random.default_rng(0)
    found = [data.drawn_view(asked, View(248), rng) for _ in range(300)]
    assert {view.short for view in found} == set(range(248, 281))
    places = np.array([view.place for view in found])
    assert (places >= 0).all() and (places < 1).all() and np.allclose(places.mean(0), 0.5, atol=0.1)
    assert 0.35 < np.mean([view.flip for view in found]) < 0.65
    assert data.drawn_view(PicturesOptions(), View(224), rng) == View(224)
    network = {"backbone": "vit_b_16", "size": 224}
    with pytest.raises(ValueError, match="no square of network.size 224 fits into a shorter side"):
        options(network=network, pictures={"drawn": [200, 280]})
    with pytest.raises(ValueError, match="280 comes before 248"):
        options(network=network, pictures={"drawn": [280, 248]})


def test_a_backbone_reads_frames_and_keeps_what_it_knows(tmp_path, monkeypatch):
    with shards.writing(tmp_path / "f.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        writer.add("v00.mp4", np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) / 4)
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8), torch.nn.Dropout(0.5))
    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", lambda size: small)
    network = {"backbone": "vit_b_16", "size": 16}
    wanted = options(window="gap", sampling={"read": "frames", "steps": 4, "rate": 1.0, "fps": 4.0}, network=network)
    source = data.source(wanted, tiny.CLASSES, None, None, [tmp_path / "f.h5"], None)
    x = torch.from_numpy(source.frames("v00.mp4", np.array([1, 5, 9])))[None]
    model = Student(wanted.network, 8, {"action": 6}, 4).train()
    assert model.backbone(x).shape == (1, 3, 8) and torch.equal(model.backbone(x), model.backbone(x))
    model.eval()
    assert torch.isfinite(model(x).scores["action"]).all()
    assert not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("vit_b_16", (1, 3, 224, 224), 86),
        ("csn_152", (1, 3, 4, 32, 32), 28),
        ("bn_inception", (1, 3, 224, 224), 10.3),
    ],
)
def test_backbones_have_the_published_size(name, shape, count):
    with torch.device("meta"):
        network = backbones.NETWORKS[name](224).eval()
        assert network(torch.zeros(shape)).shape == (1, backbones.WIDTHS[name])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(count, abs=1.5)


def test_bn_inception_with_weights_of_a_file_sees_what_the_feature_stage_sees(tmp_path):
    whole = drawn(BnInception, 3).eval()
    torch.save(whole.state_dict(), tmp_path / "net.pth")
    wanted = options(network={"backbone": "bn_inception", "size": 64, "weights": str(tmp_path / "net.pth")}).network
    backbone = backbones.build(wanted)
    backbones.begin(backbone, wanted)
    frames = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    x = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        found = backbone.eval()(x[None])[0]
        expected = Backbone(whole)(dataclasses.replace(usual_pictures("bn_inception"), resize=None, crop=None)(frames))
    assert not backbone.network.training and found.shape == (3, 1024)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
