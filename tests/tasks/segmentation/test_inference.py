"""Exact inference against enumeration, numerical gradients, the published code's numbers, and its invariants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.tasks.segmentation.enumeration import CASES, every, random_chain

from kinoflow.tasks.segmentation import inference, messages
from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.inference import (
    edge_posteriors,
    entropy,
    log_partition,
    posteriors,
    segment_posteriors,
)

GOLDEN = ROOT / "tests" / "golden" / "lhsmm"
WAYS = ("fast", "safe")


@pytest.fixture
def way(request, monkeypatch):
    """Make the recursion run the safe way, or as it decides itself."""
    if request.param == "safe":
        monkeypatch.setattr(messages, "fast_enough", lambda *factors: False)
    return request.param


def log_sum(scores: np.ndarray) -> float:
    return float(np.logaddexp.reduce(scores))


# ---------------------------------------------------------------- enumeration


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize(("rank", "kind"), CASES)
def test_log_partition_and_posteriors_equal_enumeration(rank, kind, way):
    chain = random_chain(1, rank=rank, kind=kind)
    found, segments = posteriors(chain), segment_posteriors(chain)
    for video, length in enumerate(chain.lengths.tolist()):
        all_spans, scores = every(chain, video)
        assert np.isclose(found.log_partition[video], log_sum(scores), atol=1e-10)
        assert np.isclose(log_partition(chain)[video], log_sum(scores), atol=1e-10)
        p = np.exp(scores - log_sum(scores))
        expected = {name: np.zeros(chain.emissions.shape[1:]) for name in ("states", "starts", "ends")}
        by_duration = np.zeros((max(chain.lengths), chain.longest + 1, 3))
        for spans, weight in zip(all_spans, p, strict=True):
            for state, start, frames in spans:
                expected["states"][start : start + frames, state] += weight
                expected["starts"][start, state] += weight
                expected["ends"][start + frames - 1, state] += weight
                by_duration[start, frames, state] += weight
        for name, value in expected.items():
            assert np.allclose(getattr(found, name)[video], value, atol=1e-10), name
            assert not getattr(found, name)[video, length:].any()
        assert np.allclose(segments[video], by_duration, atol=1e-10)


@pytest.mark.parametrize(("rank", "kind"), CASES)
def test_entropy_equals_enumeration(rank, kind):
    chain = random_chain(2, lengths=(5, 3), rank=rank, kind=kind)
    for video, found in enumerate(entropy(chain).tolist()):
        _, scores = every(chain, video)
        p = np.exp(scores - log_sum(scores))
        assert np.isclose(found, -(p[p > 0] * np.log(p[p > 0])).sum(), atol=1e-9)


def test_edge_posteriors_count_every_transition():
    chain = random_chain(3, kind="final")
    edges = edge_posteriors(chain)
    assert torch.allclose(edges.sum((3, 4)), segment_posteriors(chain).sum(3))
    assert torch.allclose(edges[..., -1, :].sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))  # one last segment


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize(("rank", "kind"), [(None, "plain"), (None, "own"), (2, "final"), (2, "shared")])
def test_gradients_of_all_factors_equal_numerical_ones(rank, kind, way):
    chain = random_chain(4, lengths=(4, 3), rank=rank, kind=kind)
    transition = chain.transition if rank else (chain.transition,)
    leaves = [chain.emissions, chain.initial, chain.durations, *transition]
    leaves += [] if chain.final is None else [chain.final]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]

    def function(emissions, initial, durations, *rest):
        matrices, final = rest[: len(transition)], rest[len(transition) :]
        whole = LowRank(*matrices) if rank else matrices[0]
        return log_partition(Chain(emissions, chain.lengths, initial, durations, whole, *final))

    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize(("rank", "kind"), [(None, "forbidden"), (2, "forbidden")])
def test_the_gradient_of_emissions_is_the_posterior_where_much_is_forbidden(rank, kind):
    chain = random_chain(5, rank=rank, kind=kind)
    emissions = chain.emissions.clone().requires_grad_()
    log_partition(replace(chain, emissions=emissions)).sum().backward()
    assert torch.allclose(emissions.grad, posteriors(chain).states)
    assert emissions.grad.isfinite().all()


def test_a_video_without_any_segmentation_has_minus_infinity_and_no_gradient():
    chain = random_chain(6)
    emissions = chain.emissions.clone()
    emissions[1, 1] = -torch.inf
    emissions.requires_grad_()
    found = log_partition(replace(chain, emissions=emissions))
    assert found[0].isfinite()
    assert found[1] == -torch.inf
    found[0].backward()
    assert emissions.grad.isfinite().all()
    assert not emissions.grad[1].any()
    assert not posteriors(replace(chain, emissions=emissions.detach())).states[1].any()


# ---------------------------------------------------------------- the published code


def golden_chain(name: str) -> tuple[Chain, dict[str, np.ndarray]]:
    file = dict(np.load(GOLDEN / f"{name}.npz"))
    rows = min(int(file["max_span_length"]), file["features"].shape[1])  # its clip
    final = None
    if "allowed_ends" in file:
        final = np.full((len(file["lengths"]), file["emission_log_probs"].shape[2]), -np.inf)
        final[:, file["allowed_ends"]] = 0
        for video, state in enumerate(file["additional_allowed_end_per_video"]):
            if state >= 0:
                final[video, state] = 0
    tensors = (
        file["emission_log_probs"],
        file["lengths"],
        file["initial_log_probs"],
        file["length_log_probs"][:rows],
        np.ascontiguousarray(file["transition_log_probs_to_from"].T),
    )
    return Chain(*map(torch.tensor, tensors), None if final is None else torch.tensor(final)), file


@pytest.mark.parametrize("name", ["dense_tiny", "dense_mid", "dense_subset_narration", "dense_ordered"])
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_dense_likelihood_and_posteriors_equal_the_published_codes(name, way):
    chain, file = golden_chain(name)
    found = posteriors(chain)
    assert np.allclose(found.log_partition, file["log_partition"], rtol=1e-9)
    assert np.allclose(found.states, file["state_posterior"], atol=1e-9)


def test_edge_posteriors_equal_the_published_codes():
    chain, file = golden_chain("dense_tiny")
    assert np.allclose(edge_posteriors(chain), file["edge_marginals"], atol=1e-9)


# ---------------------------------------------------------------- invariants

chains = st.builds(
    random_chain,
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    states=st.integers(1, 5),
    longest=st.integers(1, 6),
    rank=st.sampled_from([None, 1, 3]),
    kind=st.sampled_from(["plain", "final", "shared"]),
)
few = settings(max_examples=25, deadline=None)


@few
@given(chains, st.integers(0, 5), st.integers(0, 2**31))
def test_padding_and_companions_never_change_a_likelihood(chain, padding, seed):
    alone = [log_partition(inference.single(chain, video))[0] for video in range(len(chain.lengths))]
    more = torch.tensor(np.random.default_rng(seed).normal(0, 50, (len(alone), padding, chain.emissions.shape[2])))
    padded = replace(chain, emissions=torch.cat([chain.emissions, more], 1))
    assert torch.allclose(log_partition(padded), torch.stack(alone), rtol=1e-12, atol=1e-10)
    states = posteriors(padded).states
    for video, length in enumerate(chain.lengths.tolist()):
        own = posteriors(inference.single(chain, video)).states[0]
        assert torch.allclose(states[video, :length], own, atol=1e-10)


@few
@given(chains)
def test_posteriors_of_a_frame_sum_to_one_and_as_many_segments_start_as_end(chain):
    found = posteriors(chain)
    inside = torch.arange(chain.emissions.shape[1]) < chain.lengths[:, None]
    assert torch.allclose(found.states.sum(2), inside.double())
    assert torch.allclose(found.starts.sum((1, 2)), found.ends.sum((1, 2)))
    assert torch.allclose(found.starts[:, 0].sum(1), torch.ones(len(chain.lengths), dtype=torch.float64))


@few
@given(chains, st.floats(-300, 300), st.integers(0, 2**31))
def test_a_constant_added_to_all_emissions_of_a_frame_is_added_to_the_likelihood(chain, constant, seed):
    frame = seed % int(chain.lengths[0])
    emissions = chain.emissions.clone()
    emissions[0, frame] += constant
    found = log_partition(replace(chain, emissions=emissions))[0]
    assert torch.isclose(found, log_partition(chain)[0] + constant, atol=1e-9)


@few
@given(chains, st.randoms())
def test_renaming_states_renames_posteriors_and_leaves_the_likelihood(chain, random):
    order = list(range(chain.emissions.shape[2]))
    random.shuffle(order)
    transition = chain.transition
    renamed = replace(
        chain,
        emissions=chain.emissions[..., order],
        initial=chain.initial[order],
        durations=chain.durations[:, order] if chain.durations.shape[1] > 1 else chain.durations,
        transition=LowRank(*(x[order] for x in transition))
        if isinstance(transition, LowRank)
        else transition[order][:, order],
        final=None if chain.final is None else chain.final[order],
    )
    assert torch.allclose(log_partition(renamed), log_partition(chain), atol=1e-10)
    assert torch.allclose(posteriors(renamed).states, posteriors(chain).states[..., order], atol=1e-10)


@few
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 5))
def test_low_rank_equals_the_dense_chain_of_its_product_and_its_ranks_have_no_order(seed, rank, states):
    chain = random_chain(seed, lengths=(9, 5), states=states, longest=4, rank=rank)
    assert torch.allclose(log_partition(chain), log_partition(chain.dense()), atol=1e-10)
    order = torch.randperm(rank, generator=torch.Generator().manual_seed(seed % 1000))
    mixed = replace(chain, transition=LowRank(*(x[:, order] for x in chain.transition)))
    assert torch.allclose(log_partition(chain), log_partition(mixed), atol=1e-10)


@few
@given(chains)
def test_the_likelihood_grows_with_the_longest_duration(chain):
    if chain.longest > 1:
        fewer = replace(chain, durations=chain.durations[:-1])
        assert (log_partition(chain) >= log_partition(fewer) - 1e-10).all()


def test_with_segments_of_one_frame_it_is_a_hidden_markov_model():
    chain = random_chain(7, lengths=(8,), longest=1)
    frames = (chain.emissions[0] + chain.durations[1]).exp()
    forward = chain.initial.exp() * frames[0]
    for frame in frames[1:]:
        forward = (forward @ chain.transition.exp()) * frame
    assert torch.isclose(log_partition(chain)[0], forward.sum().log())


# ---------------------------------------------------------------- single precision, long and hard videos


def hard_chain(frames: int, states: int, dtype: torch.dtype, seed: int = 0) -> Chain:
    """Emissions as 300 columns make them: a likelihood of -1e5, states hundreds of nats apart in every frame."""
    rng = np.random.default_rng(seed)
    emissions = torch.tensor(rng.normal(-430, 60, (1, frames, states)), dtype=torch.float64)
    chain = random_chain(seed, lengths=(frames,), states=states, longest=19, rank=4)
    factorials = -torch.lgamma(torch.arange(1, 21, dtype=torch.float64))[:, None]
    return replace(chain, emissions=emissions, durations=factorials).detached(dtype)


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_single_precision_keeps_posteriors_of_long_videos_with_many_columns(way):
    exact, single = (posteriors(hard_chain(400, 16, dtype)) for dtype in (torch.float64, torch.float32))
    assert abs(float(single.log_partition - exact.log_partition)) < 0.05  # of 1e5: what single emissions allow
    assert (single.states - exact.states).abs().max() < 2e-3
    assert (single.states.sum(2) - 1).abs().max() < 1e-4


def test_the_two_ways_agree(monkeypatch):
    chain = hard_chain(200, 24, torch.float32)
    assert messages.prepare(chain, 2).fast
    fast = posteriors(chain)
    monkeypatch.setattr(messages, "fast_enough", lambda *factors: False)
    safe = posteriors(chain)
    assert abs(float(fast.log_partition - safe.log_partition)) < 1e-2
    assert (fast.states - safe.states).abs().max() < 1e-3


def test_a_chain_of_states_that_must_be_passed_is_exact_though_each_is_hopeless():
    """State 0 fits the first half, state 4 the second; those between fit nowhere, but have a frame each to take."""
    emissions = torch.full((1, 40, 5), -2000.0)
    emissions[0, :20, 0] = emissions[0, 20:, 4] = 0
    transition = torch.full((5, 5), -torch.inf)
    for state in range(5):
        transition[state, state : state + 2] = -0.5
    initial, final = torch.full((5,), -torch.inf), torch.full((5,), -torch.inf)
    initial[0], final[4] = 0, 0
    chain = Chain(emissions, torch.tensor([40]), initial, torch.zeros(2, 1), transition, final)
    expected = -3 * 2000 - 0.5 * 39 + np.log(4)  # where the three lie around the middle: 4 places
    assert abs(float(log_partition(chain)[0]) - expected) < 1e-2


def test_durations_of_a_wide_range_take_the_safe_way_and_are_exact():
    chain = random_chain(8, lengths=(6,), longest=3)
    durations = chain.durations.clone()
    durations[1], durations[2] = -torch.inf, -300.0
    chain = replace(chain, durations=durations)
    assert not messages.prepare(chain, 1).fast
    assert np.isclose(float(log_partition(chain)[0]), log_sum(every(chain, 0)[1]))
