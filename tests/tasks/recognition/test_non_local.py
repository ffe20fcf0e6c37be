"""Non-local blocks against the published numbers and what must hold for any input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kinoflow.tasks.recognition.non_local import NonLocal, NonLocalAfter

relaxed = settings(deadline=None, max_examples=50)  # a busy machine is slow, which is no fault
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"
SIZES = st.tuples(*(st.integers(2, 4) for _ in range(3)))


def loaded(name: str) -> tuple[NonLocal, dict[str, torch.Tensor]]:
    values = {k.removeprefix(f"{name}_"): torch.from_numpy(v) for k, v in np.load(GOLDEN / "nonlocal.npz").items()}
    weights = {k.removeprefix("w_"): v for k, v in values.items() if k.startswith("w_")}
    x = values["x"]
    block = NonLocal(x.shape[1], x.ndim - 2, subsample="g.0.weight" in weights, norm="W.0.weight" in weights)
    block.load_state_dict(weights, strict=False)
    return block.double().eval(), values


def drawn(channels: int, subsample: bool, seed: int) -> NonLocal:
    """A block whose last norm is no longer zero."""
    torch.manual_seed(seed)
    block = NonLocal(channels, subsample=subsample)
    nn.init.normal_(block.W[1].weight)
    return block.double().eval()


@pytest.mark.parametrize("name", ["nl3d", "nl3d_nosub", "nl3d_nobn", "nl2d", "nl1d"])
def test_block_equals_the_published_numbers(name):
    block, values = loaded(name)
    assert torch.allclose(block(values["x"]), values["y"], rtol=1e-9, atol=1e-9)


@relaxed
@given(st.integers(1, 5), SIZES, st.booleans(), st.integers(0, 99))
def test_new_block_is_the_identity(channels, size, subsample, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, channels, *size)))
    for norm in (True, False):
        assert torch.equal(NonLocal(channels, subsample=subsample, norm=norm).double()(x), x)


@relaxed
@given(st.integers(1, 5), SIZES, st.booleans(), st.integers(0, 99))
def test_rows_of_attention_sum_to_one(channels, size, subsample, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, channels, *size)))
    rows = drawn(channels, subsample, seed).attention(50 * x).sum(2)
    assert torch.allclose(rows, torch.ones_like(rows))


@relaxed
@given(st.integers(1, 5), SIZES, st.integers(0, 99))
def test_block_commutes_with_any_order_of_positions(channels, size, seed):
    rng = np.random.default_rng(seed)
    block, x = drawn(channels, False, seed), torch.from_numpy(rng.standard_normal((2, channels, *size)))
    order = torch.from_numpy(rng.permutation(int(np.prod(size))))

    def mixed(z: torch.Tensor) -> torch.Tensor:
        return z.flatten(2)[:, :, order].view_as(z)

    assert torch.allclose(block(mixed(x)), mixed(block(x)), rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(SIZES, st.integers(0, 99))
def test_fused_attention_equals_the_written_out_one(size, seed):
    block, x = drawn(4, True, seed), torch.from_numpy(np.random.default_rng(seed).standard_normal((2, 4, *size)))
    value = block.g(x).flatten(2).transpose(1, 2)
    found = (block.attention(x) @ value).transpose(1, 2).unflatten(2, x.shape[2:])
    assert torch.allclose(block(x), block.W(found) + x, rtol=1e-9, atol=1e-9)


def test_rows_of_pictures_are_read_clip_by_clip():
    block = NonLocalAfter(nn.Identity(), 4, segments=3)
    nn.init.normal_(block.nl.W[1].weight)
    block.double().eval()
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 4, 2, 2)))
    first = block.nl(x[:3].transpose(0, 1)[None])[0].transpose(0, 1)
    assert torch.allclose(block(x)[:3], first)
