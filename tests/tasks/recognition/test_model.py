"""The Recogniser against the published numbers, and what must hold of it whatever its weights."""

import copy
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.recognition.networks import (
    FORWARD,
    GOLDEN,
    META,
    close,
    described,
    drawn,
    procedural,
    published_clips,
    published_name,
    recogniser,
)
from torch import nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition.model import Recogniser, cost, draw, plain
from kinoflow.tasks.recognition.shift import TemporalShift
from kinoflow.training.draws import Draw
from kinoflow.training.seeds import sample_keys

relaxed = settings(deadline=None, max_examples=50)  # a busy machine is slow, which is no fault
TINY = {"backbone": "small", "shift": 8}


def clips(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def tiny(seed: int = 0, **options) -> Recogniser:
    """A small network whose heads say something, in eval mode."""
    model = recogniser(seed=seed, **TINY | options).eval()
    nn.init.normal_(model.fc["action"].weight)
    return model


# ---------------------------------------------------------------- published numbers


@pytest.mark.parametrize("case", META)
def test_whole_network_gives_the_published_logits(case):
    model, x = procedural(described(META[case])).eval(), published_clips(case)
    with torch.no_grad():
        logits, segments = model(x)["action"], model.segment_scores(x)["action"]
    assert close(logits, FORWARD[f"{case}_logits"])
    if META[case].get("before_softmax") is False:
        segments = segments.softmax(2)
    if f"{case}_seg" in FORWARD:
        assert close(segments, FORWARD[f"{case}_seg"])
    assert cost(model, tuple(x.shape[1:]))[0] == META[case]["nparam"]


@pytest.mark.parametrize("options", [
    {"shift_place": "block"}, {"shift_place": "blockres"}, {"shift_place": "block", "one_sided": True},
    {"shift_place": "block", "backbone": "resnet50", "non_local": True},
])  # fmt: skip
def test_the_temporal_pool_comes_before_all_that_the_second_stage_does(options):
    # Stages 2 to 4 are those of a network for half the segments; without a pool they are compared with published numbers.
    pooled, whole, half = (
        procedural(recogniser(segments=T, shift=8, temporal_pool=pool, **options)).eval()
        for T, pool in ((4, True), (4, False), (2, False))
    )
    x = clips(2, 4, 3, 32, 32)
    with torch.no_grad():
        y = whole.layer1(whole.maxpool(whole.relu(whole.bn1(whole.conv1(x.flatten(0, 1))))))
        rows = y.unflatten(0, (2, 4))
        maxima = torch.stack((rows[:, :2].amax(1), rows[:, 1:].amax(1)), 1)  # of segments 0 and 1, and of 1 to 3
        y = half.layer4(half.layer3(half.layer2(maxima.flatten(0, 1))))
        expected = half.fc["action"](y.mean((2, 3))).unflatten(0, (2, 2))
        assert close(pooled.segment_scores(x)["action"], expected.numpy())


def test_procedural_weights_are_those_of_the_golden_files():
    names = FORWARD["weight_check_names"].tolist()
    weights = {published_name(name): value for name, value in described(META["tsn_r18"]).state_dict().items()}
    found = [drawn(name, tuple(weights[name].shape)) for name in names]
    assert np.allclose([w.astype(np.float32).astype(float).sum() for w in found], FORWARD["weight_check_sum"])
    assert np.allclose([w.flat[0] for w in found], FORWARD["weight_check_first"])


def test_consensus_and_its_gradient_equal_the_published_numbers():
    values = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "consensus.npz").items()}
    x = values["x"].requires_grad_()
    mean = tiny().consensus(x)
    mean.backward(values["gy"][:, 0])
    assert torch.allclose(mean, values["avg"][:, 0], rtol=1e-9)
    assert torch.allclose(x.grad, values["gx"], rtol=1e-9)
    assert torch.equal(tiny(consensus="none").consensus(x), values["identity"])


# ---------------------------------------------------------------- what the operators along time do


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 99))
def test_tsn_does_not_care_for_the_order_of_segments(order, seed):
    model, x = tiny(shift=None), clips(1, 4, 3, 16, 16, seed=seed)
    assert torch.allclose(model(x[:, order])["action"], model(x)["action"], rtol=1e-4, atol=1e-4)


def test_tsm_and_lsnet_care_for_the_order_of_segments():
    x = clips(1, 4, 3, 16, 16)
    for options in ({}, {"kind": "gray"}):
        model = tiny(**options)
        assert not torch.allclose(model(x.flip(1))["action"], model(x)["action"], atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"backbone": "mobilenet_v2"}, {"backbone": "resnet18", "shift_place": "block"}]
)
def test_shift_adds_no_weights(options):
    with_shift, without = recogniser(**TINY | options), recogniser(**TINY | options | {"shift": None})
    assert [*with_shift.state_dict()] == [*without.state_dict()]
    assert cost(with_shift, (4, 3, 32, 32)) == cost(without, (4, 3, 32, 32))


def test_in_a_clip_that_stands_still_tsm_equals_tsn_away_from_the_ends():
    tsm, tsn, shifts = tiny(segments=12), tiny(segments=12, shift=None), 4
    tsn.load_state_dict(tsm.state_dict())
    x = clips(1, 1, 3, 16, 16).expand(1, 12, 3, 16, 16)
    with torch.no_grad():
        found, expected = (model.segment_scores(x)["action"][0] for model in (tsm, tsn))
    inner = slice(shifts, 12 - shifts)
    assert torch.allclose(found[inner], expected[inner], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], expected[0], atol=1e-2)


def test_clips_of_a_batch_do_not_see_each_other():
    model, x = tiny(), clips(3, 4, 3, 16, 16)
    assert torch.allclose(model(x)["action"][1:2], model(x[1:2])["action"], rtol=1e-4, atol=1e-4)


def test_one_network_reads_clips_of_any_number_of_segments():
    model, x = tiny(), clips(2, 4, 3, 16, 16)
    with torch.no_grad():
        first = model(x)["action"]
        assert [tuple(model.features(clips(2, t, 3, 16, 16)).shape) for t in (1, 9)] == [(2, 1, 96), (2, 9, 96)]
        assert torch.equal(model(x)["action"], first)


def test_a_fused_network_refuses_another_number_of_segments():
    model = recogniser(kind="gray", fuse=True)
    with pytest.raises(ConfigError, match="it reads clips of 4 segments, not 5"):
        model(clips(1, 5, 3, 32, 32))


def test_one_sided_network_never_looks_ahead():
    model, x = tiny(one_sided=True), clips(1, 6, 3, 16, 16)
    with torch.no_grad():
        early, whole = (model.segment_scores(part)["action"] for part in (x[:, :3], x))
    assert torch.allclose(early, whole[:, :3], rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- consensus and heads


@relaxed
@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6), st.integers(0, 99))
def test_consensus_of_equal_rows_is_the_row_and_probabilities_sum_to_one(batch, segments, classes, seed):
    rows = clips(batch, 1, classes, seed=seed).expand(-1, segments, -1)
    scores, probabilities = MEAN.consensus(rows), SOFTMAX.consensus(rows)
    assert torch.allclose(scores, rows[:, 0], atol=1e-6)
    assert torch.allclose(probabilities, rows[:, 0].softmax(1), atol=1e-6)
    assert torch.allclose(probabilities.sum(1), torch.ones(batch))


MEAN, SOFTMAX = recogniser(**TINY), recogniser(**TINY, softmax_first=True)


def test_every_head_reads_the_same_features():
    model = Recogniser(tiny().network, 3, 4, {"verb": 17, "noun": 15}).eval()
    x = clips(2, 4, 3, 16, 16)
    scores = model(x)
    assert {head: tuple(rows.shape) for head, rows in scores.items()} == {"verb": (2, 17), "noun": (2, 15)}
    assert torch.allclose(scores["noun"], model.fc["noun"](model.features(x)).mean(1), atol=1e-6)


def test_dropout_is_one_mask_for_all_heads_and_the_same_for_the_same_sample():
    model, x = recogniser(**TINY, dropout=0.5).train(), clips(2, 4, 3, 16, 16)
    draws = [Draw(sample=i, epoch=0, position=i, seed=1) for i in range(2)]
    scores = []
    for _ in range(2):
        with sample_keys(draws, x.device):
            scores.append(model(x)["action"])
    assert torch.equal(*scores)


# ---------------------------------------------------------------- partial batch normalisation


def test_partial_norm_trains_the_first_norm_alone():
    model = recogniser(**TINY, partial_norm=True).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [norm.training for norm in norms] == [True] + [False] * (len(norms) - 1)
    model(clips(2, 4, 3, 16, 16))["action"].sum().backward()
    assert [norm.weight.grad is not None for norm in norms] == [True] + [False] * (len(norms) - 1)


def test_modes_can_be_chained():
    model = recogniser(**TINY)
    assert model.train() is model and model.eval() is model and not model.stem[1].training


def test_non_local_norms_stay_trained_under_partial_norm():
    model = recogniser(backbone="resnet50", shift=8, non_local=True, partial_norm=True).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert len(norms) == 5 and all(norm.training and norm.weight.requires_grad for norm in norms)


# ---------------------------------------------------------------- first weights, copies, cost


def test_first_weights_depend_on_the_seed_alone():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    one, same, other = recogniser(**TINY), recogniser(**TINY), recogniser(**TINY, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, a), b, c in zip(
        one.state_dict().items(), same.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
        assert torch.equal(a, c) == (a.ndim < 2), name


def test_one_more_operator_changes_no_other_first_weight():
    bare, full = (recogniser(backbone="resnet50", non_local=nl, shift=s) for nl, s in ((False, None), (True, 8)))
    more = {plain(name): value for name, value in full.state_dict().items()}
    assert all(torch.equal(value, more[name]) for name, value in bare.state_dict().items())


def test_first_weights_keep_the_size_of_what_passes_through():
    model = recogniser(backbone="resnet18")
    weight = model.layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert model.fc["action"].weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert not model.fc["action"].bias.any()


def test_new_non_local_blocks_change_nothing():
    x = clips(1, 4, 3, 32, 32)
    scores = [recogniser(backbone="resnet50", shift=8, non_local=nl).eval()(x)["action"] for nl in (False, True)]
    assert torch.allclose(*scores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [TINY, {"backbone": "mobilenet_v2", "shift": 8, "one_sided": True}, {"fuse": True}])
def test_network_is_made_again_from_what_it_says_about_itself(options):
    kind = "gray" if "fuse" in options else "rgb"
    model = recogniser(kind=kind, **options).eval()
    again = Recogniser.rebuild(json.loads(json.dumps(model.about()))).eval()
    again.load_state_dict(model.state_dict())
    x = clips(1, 4, 3, 32, 32)
    assert torch.equal(again(x)["action"], model(x)["action"])
    assert again.about() == model.about()


def test_copies_are_independent_and_can_be_pickled():
    model, x = tiny(), clips(1, 4, 3, 16, 16)
    expected = model(x)["action"].detach()
    twin = copy.deepcopy(model)
    draw(model, 7)
    file = io.BytesIO()
    torch.save(twin, file)
    file.seek(0)
    for found in (twin, torch.load(file, weights_only=False)):
        assert torch.equal(found(x)["action"], expected)
    shifts = [[m for m in each.modules() if isinstance(m, TemporalShift)] for each in (model, twin)]
    assert not {*map(id, shifts[0])} & {*map(id, shifts[1])}


def test_cost_of_tsm_on_resnet50_is_33_billion_multiply_adds():
    parameters, products = cost(recogniser(backbone="resnet50", shift=8, classes=174), (8, 3, 224, 224))
    assert round(parameters / 1e6, 2) == 23.86
    assert products / 1e9 == pytest.approx(32.70, abs=0.01)


def test_cost_of_the_small_network_is_as_counted_by_hand():
    parameters, products = cost(recogniser(backbone="small", segments=1), (1, 3, 32, 32))
    stem = 16 * 16 * 16 * 27
    blocks = 256 * (2 * 16 * 16 * 9)
    assert parameters == sum(p.numel() for p in recogniser(backbone="small").parameters())
    for positions, a, b in ((64, 16, 32), (16, 32, 64), (4, 64, 96)):
        blocks += positions * (a * b * 9 + b * b * 9 + a * b)  # two convolutions and the shortcut
    assert products == stem + blocks + 6 * 96
