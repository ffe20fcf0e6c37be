"""What a network says of clips: views, their mean, and that nothing else enters."""

import numpy as np
import pytest
import torch
from tests.tasks.recognition.bars import options

from kinoflow.features.arithmetic import Arithmetic
from kinoflow.media.options import FramesOptions
from kinoflow.tasks.recognition.data import Clip
from kinoflow.tasks.recognition.inputs import channels
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import ClipTestOptions
from kinoflow.tasks.recognition.scoring import Scorer, Trained

CLASSES = {"verb": ("a", "b", "c"), "noun": ("d", "e")}


class Noise:
    """A source of frames wider than high; remembers which were asked for."""

    def __init__(self, frames: int = 80):
        self.all = np.random.default_rng(0).integers(0, 256, (frames, 40, 60, 3), np.uint8)
        self.asked = []

    def frames(self, video: str, numbers: np.ndarray) -> np.ndarray:
        self.asked.append(numbers)
        return self.all[numbers]


def trained(**more) -> Trained:
    wanted = options(sampling={"segments": 4}, augment={"crop": "multi_scale"}, **more)
    heads = {head: len(classes) for head, classes in CLASSES.items()}
    network = Recogniser(wanted.network, channels(wanted.input), 4, heads, wanted.input.kind, seed=1)
    for layer in network.fc.children():
        torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    return Trained(network.eval(), wanted, CLASSES, {}, FramesOptions(size=40), True, "noise")


def scorer(found: Trained, threads: int = 1, mode: str | None = None, **test) -> Scorer:
    return Scorer(found, ClipTestOptions(**test), Arithmetic(torch.device("cpu"), threads=threads), mode)


CLIPS = [Clip("one", "x.mp4", 3, 70), Clip("two", "x.mp4", 10, 5), Clip("three", "x.mp4", 0, 80)]


@pytest.mark.parametrize(
    ("test", "views", "side"),
    [
        ({}, 1, 32),
        ({"crops": 3}, 3, 32),
        ({"crops": 10, "clips": "twice"}, 20, 32),
        ({"crops": 3, "clips": "dense", "full_resolution": True}, 30, 36),
    ],
)
def test_every_crop_of_every_draw_is_a_view(test, views, side):
    assert scorer(trained(), **test).views(CLIPS[0], Noise()).shape == (views, 4, 3, side, side)


def test_what_is_said_of_one_clip_s_views_are_its_scores():
    found = scorer(trained(), crops=3)
    whole = found.scores(CLIPS, Noise(), "test")
    for i, clip in enumerate(CLIPS):
        alone = found.said(found.planes(found.frames(clip, Noise())))
        assert all(np.array_equal(alone[head], whole[head][i]) for head in CLASSES)


def test_a_clip_may_be_tested_with_other_segments_than_it_was_trained_with():
    source, found = Noise(), scorer(trained(network={"shift": None}), crops=3, segments=6)
    assert found.views(CLIPS[0], source).shape == (3, 6, 3, 32, 32)
    assert found.scores(CLIPS, source, "test")["verb"].shape == (3, 3)
    assert len(source.asked[0]) == 6


@pytest.mark.parametrize("clips", ["one", "twice", "dense"])
def test_only_frames_of_the_clip_are_read(clips):
    source = Noise()
    for clip in CLIPS:
        scorer(trained(), clips=clips).views(clip, source)
        assert source.asked[-1].min() >= clip.first
        assert source.asked[-1].max() < clip.first + clip.frames


@pytest.mark.parametrize("test", [{"crops": 5}, {"clips": "dense"}, {"crops": 3, "softmax": True}])
def test_scores_are_the_mean_over_views(test):
    found, source = trained(), Noise()
    told = scorer(found, **test).scores(CLIPS, source, "test")
    for i, clip in enumerate(CLIPS):
        with torch.no_grad():
            rows = found.network(torch.from_numpy(scorer(found, **test).views(clip, source)))
        for head, scores in rows.items():
            mean = scores.mean(0).softmax(0) if test.get("softmax") else scores.mean(0)
            assert np.allclose(told[head][i], mean, atol=1e-4)


def test_without_consensus_segments_are_averaged_for_the_test():
    with_none, average = trained(network={"consensus": "none"}), trained()
    ours, theirs = (scorer(found).scores(CLIPS, Noise(), "test") for found in (with_none, average))
    assert all(np.allclose(ours[head], theirs[head], atol=1e-5) for head in CLASSES)


def test_probabilities_of_segments_are_not_turned_into_probabilities_again():
    found = trained(network={"softmax_first": True})
    asked, not_asked = (scorer(found, softmax=turn).scores(CLIPS, Noise(), "test") for turn in (True, False))
    assert np.allclose(asked["verb"].sum(1), 1, atol=1e-5)
    assert np.array_equal(asked["verb"], not_asked["verb"])


def test_a_clip_is_told_the_same_alone_and_among_others_and_by_any_number_of_threads():
    found, source = trained(), Noise()
    together = scorer(found, crops=3).scores(CLIPS, source, "test")
    threaded = scorer(found, threads=3, crops=3).scores(CLIPS * 4, source, "test")
    alone = scorer(found, crops=3).scores(CLIPS[1:2], source, "test")
    for head in CLASSES:
        assert np.array_equal(together[head][1:2], alone[head])
        assert np.array_equal(np.tile(together[head], (4, 1)), threaded[head])


def test_validation_sees_the_centre_once():
    assert scorer(trained(), mode="validate").views(CLIPS[0], Noise()).shape == (1, 4, 3, 32, 32)


def test_a_dense_validation_as_published_draws_the_same_stretch_every_time():
    found = trained()
    dense = found.options.sampling.model_copy(update={"scheme": "dense", "cover": "original"})
    changed = found.options.model_copy(update={"sampling": dense})
    again = Trained(found.network, changed, CLASSES, {}, found.frames, True, "noise")
    first, second = (scorer(again, mode="validate").views(CLIPS[0], Noise()) for _ in range(2))
    assert np.array_equal(first, second)
