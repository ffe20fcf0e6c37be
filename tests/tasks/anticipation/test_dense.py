"""Whole videos: one causal pass, a stream and sliding windows say the same."""

import pytest
import torch

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation.dense import Stream, sliding, streamed, whole
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import StudentOptions


def student(**more):
    options = StudentOptions(width=8, heads=2, **{"positions": 32, **more})
    model = Student(options, 6, {"action": 5}, 4).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5, generator=generator)
    return model


def video(steps=20):
    return torch.randn(steps, 6, generator=torch.Generator().manual_seed(0))


def prefixes(model, x):
    with torch.inference_mode():
        return torch.cat([model(x[None, : t + 1]).scores["action"] for t in range(len(x))])


@pytest.mark.parametrize("head", ["avt_h", "mlp", "identity"])
@pytest.mark.parametrize("aggregator", ["identity", "rulstm"])
def test_one_pass_a_stream_and_windows_say_what_every_prefix_says(head, aggregator):
    model, x = student(head=head, aggregator=aggregator, unroll=2), video()
    expected = prefixes(model, x)
    assert torch.allclose(whole(model, x)["action"], expected, atol=1e-5)
    assert torch.allclose(streamed(model, x)["action"], expected, atol=1e-5)
    assert torch.allclose(sliding(model, x, 20, together=7)["action"], expected, atol=1e-5)


def test_windows_see_their_own_steps_alone():
    model, x = student(), video()
    found = sliding(model, x, 4)["action"]
    with torch.inference_mode():
        for t in (0, 2, 3, 11, 19):
            alone = model(x[None, max(0, t - 3) : t + 1]).scores["action"][0]
            assert torch.allclose(found[t], alone, atol=1e-5)


@pytest.mark.parametrize("more", [{"aggregator": "mean"}, {"aggregator": "transformer"}, {"ahead": 3, "average": 2}])
def test_networks_that_see_whole_windows_slide(more):
    model, x = student(**more), video()
    assert sliding(model, x, 4)["action"].shape == (20, 5)
    for way in (whole, lambda model, x: Stream(model)):
        with pytest.raises(ConfigError, match="told by sliding windows"):
            way(model, x)


def test_a_stream_longer_than_the_positions_goes_on_from_its_younger_half():
    model, x = student(positions=8), video(30)
    found = streamed(model, x)["action"]
    assert torch.allclose(found[:8], prefixes(model, x[:8]), atol=1e-5)
    assert torch.allclose(found[8], prefixes(model, x[4:9])[-1], atol=1e-5)
    assert torch.isfinite(found).all()
    with pytest.raises(ConfigError, match="places 8 steps, not 30"):
        whole(model, x)
