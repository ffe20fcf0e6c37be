"""A dropout mask is a function of seed, epoch, sample, place and element: of nothing else, and of each of them."""

import numpy as np
import pytest
import torch
from torch import nn

from kinoflow.training.draws import Draw
from kinoflow.training.seeds import MURMUR, SampleDropout, name_places, sample_keys, seed_of, words_of

CPU = torch.device("cpu")


def draws(*samples: int, seed: int = 1, epoch: int = 0) -> list[Draw]:
    return [Draw(sample, epoch, i, seed) for i, sample in enumerate(samples)]


def mask(which: list[Draw], shape: tuple[int, ...], p: float = 0.4, place: int = 0) -> torch.Tensor:
    module = SampleDropout(p)
    module.place = place
    with sample_keys(which, CPU):
        return module(torch.ones(shape)) > 0


def test_masks_do_not_depend_on_how_the_batch_is_split():
    whole = mask(draws(3, 1, 4, 0, 5), (5, 7))
    halves = [mask(draws(3, 1), (2, 7)), mask(draws(4, 0, 5), (3, 7))]
    assert torch.equal(whole, torch.cat(halves))


def test_a_samples_rows_lie_next_to_each_other():
    whole = mask(draws(3, 1), (6, 7))  # three rows each
    assert torch.equal(whole[3:], mask(draws(1), (3, 7))) and torch.equal(
        whole[3:].flatten(), mask(draws(1), (1, 21))[0]
    )


def test_a_longer_sample_begins_like_a_shorter_one():
    module = SampleDropout(0.5)
    with sample_keys(draws(2), CPU):
        short = module(torch.ones(1, 10))
    with sample_keys(draws(2), CPU):
        assert torch.equal(module(torch.ones(1, 50))[:, :10], short)


def test_seed_epoch_sample_place_and_call_each_give_another_mask():
    shape = (1, 64)
    module, again = SampleDropout(0.4), [Draw(3, 0, 0, 1, again=1)]
    with sample_keys(draws(3), CPU):
        calls = [module(torch.ones(shape)) > 0 for _ in range(2)]
    others = [mask(draws(4), shape), mask(draws(3, seed=2), shape), mask(draws(3, epoch=1), shape), mask(again, shape)]
    found = {tuple(m.flatten().tolist()) for m in [*calls, *others, mask(draws(3), shape, place=9)]}
    assert len(found) == 7 and torch.equal(calls[0], mask(draws(3), shape))


def test_masks_are_what_integers_that_wrap_around_give():
    """Computed in unsigned numbers of 32 bits, where the wrapping is defined: what every device must agree with."""
    which, p = draws(*range(5)), 0.3
    samples = words_of(seed_of(1, 0), np.arange(5, dtype=np.uint64)).view(np.uint32)
    elements = words_of(seed_of(0, 0), np.arange(11, dtype=np.uint64)).view(np.uint32)[:, 0]
    one, two = (np.uint32(m & 0xFFFFFFFF) for m in MURMUR)
    state = (samples[:, :1] ^ elements) * one
    state ^= (state.view(np.int32) >> 15).view(np.uint32)
    state = ((state + samples[:, 1:]) * two).view(np.int32)
    assert np.array_equal(mask(which, (5, 11), p).numpy(), state >= round(p * 2**32) - 2**31)


def test_as_many_are_dropped_as_it_says_and_the_mean_stays():
    x = torch.rand(64, 5000)
    for p in (0.1, 0.5, 0.8):
        module = SampleDropout(p)
        with sample_keys(draws(*range(64)), CPU):
            y = module(x)
        share = (y == 0).double()
        deviation = (p * (1 - p) / 5000) ** 0.5
        assert share.mean().item() == pytest.approx(p, abs=5 * deviation / 8)
        assert (share.mean(1) - p).abs().max() < 5 * deviation  # of each sample
        assert (share.mean(0) - p).abs().max() < 5.5 * (p * (1 - p) / 64) ** 0.5  # of each element
        torch.testing.assert_close(y[y > 0], (x / (1 - p))[y > 0])


def test_masks_of_neighbours_have_nothing_to_do_with_each_other():
    rows = [mask(draws(*range(32), epoch=e), (32, 2000), 0.5).double() for e in range(2)]
    centred = torch.cat(rows).sub(0.5)
    alike = centred @ centred.T / 500  # correlations of samples and epochs: 1 / sqrt(2000) by chance
    assert (alike - torch.diag(alike.diag())).abs().max() < 5 / 2000**0.5
    shifted = (centred[:, 1:] * centred[:, :-1]).mean() * 4
    assert abs(shifted) < 5 / (64 * 2000) ** 0.5


def test_gradients_pass_where_numbers_pass():
    x = torch.ones(2, 6, dtype=torch.float64, requires_grad=True)
    module = SampleDropout(0.5)
    with sample_keys(draws(0, 1), CPU):
        y = module(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_it_is_the_identity_in_eval_mode_and_where_nothing_is_dropped():
    x = torch.rand(2, 3)
    assert SampleDropout(0.5).eval()(x) is x and SampleDropout(0.0)(x) is x


def test_training_without_known_samples_is_a_bug():
    with pytest.raises(RuntimeError, match="does not know the samples"):
        SampleDropout(0.5)(torch.ones(1, 2))
    with pytest.raises(ValueError, match="below 1"):
        SampleDropout(1.0)


def test_places_follow_from_names():
    model = nn.ModuleDict({"a": SampleDropout(0.5), "b": nn.Sequential(SampleDropout(0.5))})
    assert name_places(model) and not name_places(nn.Sequential(SampleDropout(0.0)))
    assert model["a"].place != model["b"][0].place
