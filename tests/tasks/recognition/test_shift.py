"""The temporal shift against the published numbers, its definition, and what must hold for any input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models.resnet import BasicBlock, Bottleneck

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition.shift import TemporalPool, TemporalShift, at_input

relaxed = settings(deadline=None, max_examples=50)  # a busy machine is slow, which is no fault
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"


def golden(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / f"{name}.npz"))


def tensors(values: dict, prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): torch.as_tensor(v) for k, v in values.items() if k.startswith(prefix)}


EITHER = st.booleans()


@st.composite
def clips(draw, one_sided=EITHER):
    """A shift and rows (B, T, C, H, W) for it."""
    b, t, c, h, w = (draw(st.integers(1, most)) for most in (3, 6, 12, 3, 3))
    shift = TemporalShift(t, draw(st.integers(2, 6)), draw(one_sided))
    x = torch.from_numpy(np.random.default_rng(draw(st.integers(0, 99))).standard_normal((b, t, c, h, w)))
    return shift, x


def over(shift: TemporalShift, x: torch.Tensor) -> torch.Tensor:
    return shift(x.flatten(0, 1)).view_as(x)


TWO_SIDED = clips(st.just(False))

# ---------------------------------------------------------------- published numbers


@pytest.mark.parametrize("case", range(7))
def test_shift_and_its_gradient_equal_the_published_numbers(case):
    values = tensors(golden("shift"), f"c{case}_")
    _, segments, *_, divisor = values["cfg"].tolist()
    x = values["x"].requires_grad_()
    y = TemporalShift(segments, divisor)(x)
    y.backward(values["gy"])
    assert torch.equal(y, values["y"])
    assert torch.equal(x.grad, values["gx"])


@pytest.mark.parametrize("case", range(3))
def test_pool_equals_the_published_numbers(case):
    values = tensors(golden("shift"), f"p{case}_")
    assert torch.equal(TemporalPool(int(values["cfg"][1]))(values["x"]), values["y"])


def test_pool_refuses_segments_that_cannot_be_halved():
    with pytest.raises(ConfigError, match="5 segments cannot be halved"):
        TemporalPool(5)(torch.zeros(5, 1, 2, 2))


@pytest.mark.parametrize("name", ["basic", "bottleneck", "basic_block"])
def test_residual_units_equal_the_published_numbers(name):
    values = tensors(golden("res_blocks"), f"{name}_")
    segments, divisor, whole = values["cfg"].tolist()
    inputs = values["x"].shape[1]
    block = Bottleneck(inputs, inputs // 4) if name == "bottleneck" else BasicBlock(inputs, inputs)
    block.load_state_dict(tensors(values, "w_"), strict=False)
    block.double().eval()
    at_input(block if whole else block.conv1, "shift", TemporalShift(segments, divisor))
    x = values["x"].requires_grad_()
    y = block(x)
    y.square().sum().backward()
    assert torch.allclose(y, values["y"], rtol=1e-9, atol=1e-9)
    assert torch.allclose(x.grad, values["gx_of_sum_y2"], rtol=1e-9, atol=1e-9)


def test_one_sided_shift_of_a_sequence_equals_the_published_streaming_unit():
    values = tensors(golden("online"), "")
    weights = tensors(values, "w_conv.")
    parts = [nn.Conv2d(16, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU6()]
    parts += [nn.Conv2d(96, 96, 3, padding=1, groups=96, bias=False), nn.BatchNorm2d(96), nn.ReLU6()]
    parts += [nn.Conv2d(96, 16, 1, bias=False), nn.BatchNorm2d(16)]
    unit = nn.Sequential(*parts).double().eval()
    unit.load_state_dict(weights, strict=False)
    at_input(unit[0], "shift", TemporalShift(len(values["x"]), 8, one_sided=True))
    assert torch.allclose(values["x"] + unit(values["x"]), values["y"], rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- what holds for any input


@relaxed
@given(clips())
def test_shift_is_a_depthwise_convolution_along_time(case):
    shift, x = case
    kernels = torch.zeros(x.shape[2], 1, 3, dtype=x.dtype)
    kernels[:, 0, 1] = 1
    for first, last, steps in shift.moves(x.shape[2]):
        kernels[first:last, 0] = torch.tensor([0, 0, 1] if steps > 0 else [1, 0, 0])
    series = x.permute(0, 3, 4, 2, 1).flatten(0, 2)  # (B*H*W, C, T)
    expected = F.conv1d(series, kernels, padding=1, groups=x.shape[2])
    assert torch.equal(over(shift, x).permute(0, 3, 4, 2, 1).flatten(0, 2), expected)


@relaxed
@given(clips(), st.integers(0, 99))
def test_backward_is_the_adjoint(case, seed):
    shift, x = case
    x.requires_grad_()
    g = torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape))
    y = over(shift, x)
    (back,) = torch.autograd.grad(y, x, g)
    assert torch.allclose((y * g).sum(), (x * back).sum())


@settings(max_examples=15, deadline=None)
@given(clips())
def test_gradient_equals_that_of_finite_differences(case):
    shift, x = case
    assert torch.autograd.gradcheck(lambda rows: over(shift, rows), x[:1, :, :, :1, :1].requires_grad_())


@relaxed
@given(clips(), clips())
def test_shift_is_linear_and_leaves_its_input_alone(one, other):
    shift, x = one
    before = x.clone()
    assert torch.allclose(over(shift, 2 * x + 1) - over(shift, torch.ones_like(x)), 2 * over(shift, x))
    assert torch.equal(x, before)


@relaxed
@given(clips())
def test_clips_of_a_batch_do_not_touch_each_other(case):
    shift, x = case
    assert torch.equal(over(shift, x)[:1], over(shift, x[:1]))


@relaxed
@given(TWO_SIDED)
def test_channels_that_stay_are_untouched_and_moved_ones_lose_one_segment(case):
    shift, x = case
    f, y = x.shape[2] // shift.divisor, over(shift, x)
    assert torch.equal(y[:, :, 2 * f :], x[:, :, 2 * f :])
    assert torch.allclose(y[:, :, :f].sum(1), x[:, 1:, :f].sum(1))
    assert torch.allclose(y[:, :, f : 2 * f].sum(1), x[:, :-1, f : 2 * f].sum(1))


@relaxed
@given(TWO_SIDED)
def test_shift_and_its_transpose_restore_the_inner_segments(case):
    shift, x = case
    x.requires_grad_()
    (back,) = torch.autograd.grad(over(shift, x), x, over(shift, x).detach())
    assert torch.equal(back[:, 1:-1], x[:, 1:-1])


@relaxed
@given(TWO_SIDED)
def test_reversed_time_swaps_the_two_groups_of_channels(case):
    shift, x = case
    f = x.shape[2] // shift.divisor
    order = [*range(f, 2 * f), *range(f), *range(2 * f, x.shape[2])]
    swapped = over(shift, x[:, :, order].flip(1))[:, :, np.argsort(order)]
    assert torch.equal(swapped.flip(1), over(shift, x))


@relaxed
@given(clips())
def test_one_segment_loses_what_moves_and_few_channels_lose_nothing(case):
    shift, x = case
    shift.segments = 1
    alone, last = shift(x.flatten(0, 1)), max((b for _, b, _ in shift.moves(x.shape[2])), default=0)
    assert not alone[:, :last].any()
    assert torch.equal(alone[:, last:], x.flatten(0, 1)[:, last:])
    few = x.flatten(0, 1)[:, : shift.divisor - 1]
    assert shift(few) is few


@relaxed
@given(clips())
def test_a_clip_that_stands_still_changes_at_its_ends_only(case):
    shift, x = case
    still = x[:, :1].expand_as(x).contiguous()
    assert torch.equal(over(shift, still)[:, 1:-1], still[:, 1:-1])


@relaxed
@given(clips(st.just(True)))
def test_one_sided_shift_never_looks_ahead(case):
    shift, x = case
    changed = x.clone()
    changed[:, -1] += 1
    assert torch.equal(over(shift, changed)[:, :-1], over(shift, x)[:, :-1])


# ---------------------------------------------------------------- how it is built in


@settings(max_examples=20, deadline=None)
@given(clips())
def test_channels_last_stays_channels_last(case):
    shift, x = case
    rows = x.flatten(0, 1)
    last = rows.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = shift(last)
    y.backward(y.detach())
    assert torch.equal(y, shift(rows))
    assert last.grad.stride() == y.stride() == last.stride()


def test_shift_adds_nothing_to_the_names_of_weights():
    conv = nn.Conv2d(8, 8, 1)
    at_input(conv, "shift", TemporalShift(4))
    assert [*conv.state_dict()] == ["weight", "bias"]


def test_another_operator_in_its_place_works_at_once():
    conv = nn.Conv2d(8, 8, 1)
    at_input(conv, "shift", TemporalShift(4))
    conv.shift = nn.Identity()
    x = torch.ones(4, 8, 1, 1)
    assert torch.equal(conv(x), F.conv2d(x, conv.weight, conv.bias))
