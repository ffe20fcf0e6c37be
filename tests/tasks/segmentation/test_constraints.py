"""Constraints: against enumeration of what they leave, and the published code."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.tasks.segmentation.enumeration import score, segmentations
from tests.tasks.segmentation.test_inference import GOLDEN

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.chain import Chain
from kinoflow.tasks.segmentation.constraints import Constraints
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.spans import Span


def model(rank: int | None, states: int = 4, longest: int = 4, **more) -> SegmentModel:
    made = SegmentModel(states, 3, rank=rank, longest=longest, seed=1, **more).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
        made.current_deviations()
    return made


def videos() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return x, torch.tensor([6, 4])


def plain(made: SegmentModel, x: torch.Tensor, lengths: torch.Tensor, transition: torch.Tensor) -> Chain:
    """The model's own chain with another matrix, initial and durations as they stand, nothing folded."""
    deviations = made.current_deviations()
    normal = torch.distributions.Normal(made.means, deviations)
    emissions = normal.log_prob(x[:, :, None]).sum(-1)
    return Chain(emissions, lengths, made.initial_logits.log_softmax(0), made.duration_table(), transition).detached()


@pytest.mark.parametrize("rank", [None, 2])
def test_states_are_those_allowed_and_the_soft_max_runs_over_them(rank):
    made, (x, lengths) = model(rank), videos()
    states = torch.tensor([3, 1])
    matrix = made.transition_matrix()[states][:, states]
    matrix = (matrix / matrix.sum(1, keepdim=True)).log()
    free = plain(made, x, lengths, made.transition_matrix().log())
    chain = Chain(
        free.emissions[..., states],
        lengths,
        made.initial_logits[states].log_softmax(0).detach(),
        free.durations[:, states],
        matrix.detach(),
    )
    constraints = Constraints(states=states)
    found = made.log_likelihood(x, lengths, constraints).detach()
    decoded = made.viterbi(x, lengths, constraints)
    for video, length in enumerate(lengths.tolist()):
        scores = {tuple(spans): score(chain, video, spans) for spans in segmentations(length, 3, 2)}
        assert np.isclose(found[video], np.logaddexp.reduce(list(scores.values())))
        best = max(scores, key=scores.get)
        assert decoded[video].spans == [span._replace(state=int(states[span.state])) for span in best]
        assert np.isclose(
            made.joint(x, lengths, [one.spans for one in decoded], constraints)[video].detach(), scores[best]
        )
    posterior = made.posteriors(x, lengths, constraints).states
    assert torch.allclose(posterior[0].sum(1), torch.ones(6, dtype=torch.float64))
    assert not posterior[..., [0, 2]].any()


@pytest.mark.parametrize("rank", [None, 2])
def test_starts_ends_and_transitions_forbid_and_renormalise(rank):
    made, (x, lengths) = model(rank), videos()
    allowed = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=torch.bool)
    starts, ends = torch.tensor([True, True, False, False]), torch.tensor([False, False, True, True])
    constraints = Constraints(starts=starts, ends=ends, transitions=allowed)
    matrix = made.transition_matrix() * allowed
    free = plain(made, x, lengths, (matrix / matrix.sum(1, keepdim=True)).log())
    initial = (made.initial_logits.exp() * starts / (made.initial_logits.exp() * starts).sum()).log().detach()
    chain = Chain(free.emissions, lengths, initial, free.durations, free.transition)
    found = made.log_likelihood(x, lengths, constraints).detach()
    decoded = made.viterbi(x, lengths, constraints)
    for video, length in enumerate(lengths.tolist()):
        all_spans = [
            spans
            for spans in segmentations(length, 3, 4)
            if starts[spans[0].state]
            and ends[spans[-1].state]
            and all(allowed[a.state, b.state] for a, b in pairwise(spans))
        ]
        scores = [score(chain, video, spans) for spans in all_spans]
        assert np.isclose(found[video], np.logaddexp.reduce(scores))
        assert decoded[video].spans == all_spans[int(np.argmax(scores))]


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("duration", ["poisson", "geometric"])
def test_an_order_is_passed_element_by_element_and_a_state_may_stand_in_several(rank, duration):
    made, (x, lengths) = model(rank, duration=duration), videos()
    order = torch.tensor([[2, 0, 2, 1], [3, 3, -1, -1]])
    constraints = Constraints(order=order)
    decoded, found = made.viterbi(x, lengths, constraints), made.log_likelihood(x, lengths, constraints).detach()
    posterior = made.posteriors(x, lengths, constraints).states
    matrix = made.transition_matrix().detach()
    free = plain(made, x, lengths, matrix.log())
    for video, length in enumerate(lengths.tolist()):
        names = [int(state) for state in order[video] if state >= 0]
        scores, expected = {}, torch.zeros(6, 4, dtype=torch.float64)
        for spans in segmentations(length, made.longest - 1, len(names)):
            places = [span.state for span in spans]
            if places[0] != 0 or places[-1] != len(names) - 1 or any(b - a not in (0, 1) for a, b in pairwise(places)):
                continue
            total = 0.0
            for span in spans:
                total += float(free.durations[span.length, names[span.state]])
                total += float(free.emissions[video, span.start : span.start + span.length, names[span.state]].sum())
            for a, b in pairwise(places):
                if a + 1 < len(names):
                    stay, go = matrix[names[a], names[a]], matrix[names[a], names[a + 1]]
                    total += float(torch.log((stay if a == b else go) / (stay + go)))
            scores[tuple(spans)] = total
        whole = np.logaddexp.reduce(list(scores.values()))
        for spans, total in scores.items():
            for span in spans:
                expected[span.start : span.start + span.length, names[span.state]] += np.exp(total - whole)
        assert np.isclose(found[video], whole)
        assert torch.allclose(posterior[video], expected)
        assert np.isclose(decoded[video].score, max(scores.values()))
        assert [span.state for span in decoded[video].spans] == [names[e] for e in decoded[video].elements]
        spans = [span._replace(state=e) for span, e in zip(decoded[video].spans, decoded[video].elements, strict=True)]
        one = Constraints(order=order[video : video + 1, : len(names)])
        joint = made.joint(x[video : video + 1, :length], lengths[video : video + 1], [spans], one)
        assert np.isclose(joint.item(), decoded[video].score)


def test_a_video_with_fewer_frames_than_elements_may_end_early():
    made, (x, _) = model(None), videos()
    order = torch.tensor([[0, 1, 2, 3, 0, 1]])
    found = made.viterbi(x[:1, :3], torch.tensor([3]), Constraints(order=order))[0]
    assert found.elements == [0, 1, 2]


def test_a_penalty_leads_elsewhere_and_minus_infinity_forbids():
    made, (x, lengths) = model(2), videos()
    penalties = torch.zeros(2, 6, 4, dtype=torch.float64)
    penalties[:, 2:4, [0, 1, 3]] = -torch.inf
    constraints = Constraints(penalties=penalties)
    assert [one.labels[2:4].tolist() for one in made.viterbi(x, lengths, constraints)] == [[2, 2], [2, 2]]
    assert torch.allclose(
        made.posteriors(x, lengths, constraints).states[:, 2:4, 2], torch.ones(2, 2, dtype=torch.float64)
    )
    found = made.log_likelihood(x, lengths, constraints)
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


@pytest.mark.parametrize("name", ["dense_subset_narration", "dense_ordered"])
def test_the_model_equals_the_published_code_under_its_constraints(name):
    file = dict(np.load(GOLDEN / f"{name}.npz"))
    states, width = file["param_gaussian_means"].shape
    made = SegmentModel(states, width, longest=int(file["max_span_length"])).double()
    with torch.no_grad():
        made.initial_logits.copy_(torch.tensor(file["param_init_logits"]))
        made.transition_logits.copy_(torch.tensor(file["param_transition_logits_to_from"].T))
        made.log_rates.copy_(torch.tensor(file["param_poisson_log_rates"]))
        made.start_emissions(
            torch.tensor(file["param_gaussian_means"]), torch.tensor(file["param_gaussian_var"] ** 0.5)
        )
    x, lengths = torch.tensor(file["features"]), torch.tensor(file["lengths"])
    if name == "dense_ordered":
        starts, ends = torch.zeros(states, dtype=torch.bool), torch.zeros(len(x), states, dtype=torch.bool)
        transitions = torch.zeros(states, states, dtype=torch.bool)
        starts[file["allowed_starts"]] = ends[:, file["allowed_ends"]] = True
        transitions[tuple(file["allowed_transitions_from_to"].T)] = True
        for video, state in enumerate(file["additional_allowed_end_per_video"]):
            if state >= 0:
                ends[video, state] = True
        constraints = Constraints(starts=starts, ends=ends, transitions=transitions)
    else:
        penalties = torch.zeros(*x.shape[:2], states, dtype=torch.float64)
        penalties[..., file["valid_classes"]] = torch.tensor(-1e4 * (1 - file["narration_allowed"]))
        constraints = Constraints(states=torch.tensor(file["valid_classes"]), penalties=penalties)
    found = made.posteriors(x, lengths, constraints)
    assert np.allclose(found.log_partition, file["log_partition"], rtol=1e-6)
    assert np.allclose(found.states[..., file["valid_classes"]], file["state_posterior"], atol=1e-6)
    for video, one in enumerate(made.viterbi(x, lengths, constraints)):
        assert np.isclose(one.score, file["viterbi_score"][video], rtol=1e-6)
        assert (one.labels == file["viterbi_labels"][video, : len(one.labels)]).all()


def test_what_contradicts_itself_is_refused():
    with pytest.raises(ConfigError, match="leave the others out"):
        Constraints(order=torch.tensor([[0]]), states=torch.tensor([0]))
    with pytest.raises(ConfigError, match="is empty"):
        Constraints(order=torch.tensor([[-1]]))
    with pytest.raises(ConfigError, match="holds state 0, which is not among"):
        Constraints(states=torch.tensor([1])).indices([Span(0, 0, 1)])
