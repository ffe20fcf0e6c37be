"""Best segmentations, k best ones and given ones, against enumeration and the published code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.segmentation.enumeration import CASES, every, random_chain, score
from tests.tasks.segmentation.test_inference import chains, golden_chain, hard_chain

from kinoflow.tasks.segmentation.chain import Chain
from kinoflow.tasks.segmentation.decoding import Decoded, joint, k_best, viterbi
from kinoflow.tasks.segmentation.inference import log_partition
from kinoflow.tasks.segmentation.spans import Span, cut, uncode

few = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize(("rank", "kind"), CASES)
def test_viterbi_and_the_k_best_equal_enumeration(rank, kind):
    chain = random_chain(1, rank=rank, kind=kind)
    found = k_best(chain, 12)
    for video, best in enumerate(found):
        all_spans, scores = every(chain, video)
        order = np.argsort(-scores, kind="stable")[:12]
        order = order[scores[order] > -np.inf]
        assert np.allclose([one.score for one in best], scores[order], atol=1e-9)
        assert len({tuple(one.spans) for one in best}) == len(order)  # all different
        for one in best:
            assert np.isclose(score(chain, video, one.spans), one.score)
        assert viterbi(chain)[video].spans == all_spans[order[0]] == best[0].spans


def test_there_are_no_more_segmentations_than_there_are():
    chain = random_chain(2, lengths=(2,), states=2)
    assert len(k_best(chain, 50)[0]) == 2 * 2 + 2  # two segments of a frame, or one of two


@few
@given(chains)
def test_the_best_score_is_at_most_the_likelihood_and_that_of_its_segmentation(chain):
    best = viterbi(chain)
    scores = torch.tensor([one.score for one in best], dtype=torch.float64)
    assert (scores <= log_partition(chain) + 1e-9).all()
    assert torch.allclose(joint(chain, [one.spans for one in best]), scores, atol=1e-9)
    for one, length in zip(best, chain.lengths.tolist(), strict=True):
        assert sum(span.length for span in one.spans) == length
        assert max(span.length for span in one.spans) <= chain.longest


def test_where_one_segment_is_all_there_can_be_it_is_found():
    emissions, durations = torch.zeros(1, 4, 2), torch.full((5, 1), -torch.inf)
    durations[4], emissions[0, :, 1] = 0, 1
    chain = Chain(emissions, torch.tensor([4]), torch.zeros(2), durations, torch.zeros(2, 2))
    assert viterbi(chain)[0].spans == [Span(1, 0, 4)]


def test_an_impossible_video_has_no_segmentation_and_its_companion_is_none_the_worse():
    chain = random_chain(3)
    emissions = chain.emissions.clone()
    emissions[1, 1] = -torch.inf
    found = viterbi(replace(chain, emissions=emissions))
    assert found[1] == Decoded(-np.inf, [])
    assert found[0] == viterbi(chain)[0]


def runs(spans: list[Span]) -> list[tuple[int, list[int]]]:
    """Runs of a state with the sorted lengths of their pieces, whose order within a run is a tie."""
    found: list[tuple[int, list[int]]] = []
    for span in spans:
        if found and found[-1][0] == span.state:
            found[-1][1].append(span.length)
        else:
            found.append((span.state, [span.length]))
    return [(state, sorted(lengths)) for state, lengths in found]


@pytest.mark.parametrize("name", ["dense_tiny", "dense_mid", "dense_subset_narration", "dense_ordered"])
def test_viterbi_and_joint_scores_equal_the_published_codes(name):
    chain, file = golden_chain(name)
    classes, best = file["valid_classes"], viterbi(chain)
    for video, (one, length) in enumerate(zip(best, file["lengths"], strict=True)):
        assert np.isclose(one.score, file["viterbi_score"][video], rtol=1e-10)
        assert (classes[one.labels] == file["viterbi_labels"][video, :length]).all()
        spans = [span._replace(state=int(classes[span.state])) for span in one.spans]
        assert runs(spans) == runs(uncode(file["viterbi_spans"][video, :length]))
    if "gold_labels" in file:
        position = {int(label): i for i, label in enumerate(classes)}
        gold = []
        for labels, length in zip(file["gold_labels"], file["lengths"], strict=True):
            gold.append(cut([position[int(label)] for label in labels[:length]], int(file["max_span_length"])))
        assert np.allclose(joint(chain, gold), file["gold_joint_log_prob"], rtol=1e-9)


@pytest.mark.parametrize(("rank", "kind"), CASES)
def test_the_joint_likelihood_is_its_definition(rank, kind):
    chain = random_chain(4, rank=rank, kind=kind)
    spans = [[Span(1, 0, 1), Span(2, 1, 3), Span(2, 4, 2)], [Span(2, 0, 2), Span(2, 2, 2)]]
    expected = [score(chain, video, one) for video, one in enumerate(spans)]
    assert np.allclose(joint(chain, spans), expected)


def test_gradients_of_the_joint_likelihood_equal_numerical_ones():
    chain = random_chain(5, rank=2, kind="final")
    spans = [[Span(1, 0, 1), Span(2, 1, 3), Span(2, 4, 2)], [Span(2, 0, 2), Span(2, 2, 2)]]

    def function(emissions, initial, durations, left, right, final):
        return joint(
            Chain(emissions, chain.lengths, initial, durations, type(chain.transition)(left, right), final), spans
        )

    leaves = [chain.emissions, chain.initial, chain.durations, *chain.transition, chain.final]
    assert torch.autograd.gradcheck(function, [leaf.clone().requires_grad_() for leaf in leaves])


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 0, 2)], "do not cover its 4 frames"),
        ([Span(0, 0, 2), Span(1, 3, 1)], "do not cover"),
        ([Span(0, 0, 4)], "not 1 to 3 frames long"),
    ],
)
def test_spans_that_do_not_fit_are_refused(spans, message):
    with pytest.raises(ValueError, match=message):
        joint(random_chain(6, lengths=(4,)), [spans])


def test_hopeless_states_are_left_out_without_a_difference():
    """Of 64 states a few can win: the pruned step finds what the whole matrix says, ties and all."""
    chain = hard_chain(60, 64, torch.float64)
    pruned = viterbi(chain)[0]
    batch = replace(chain, transition=chain.dense().transition.expand(1, 64, 64).repeat(2, 1, 1))
    twice = replace(
        batch, emissions=chain.emissions.expand(2, -1, -1), lengths=chain.lengths.expand(2)
    )  # a matrix for each video is never pruned
    assert viterbi(twice)[0].spans == pruned.spans
    assert np.isclose(viterbi(twice)[1].score, pruned.score)


def test_single_precision_finds_a_best_segmentation():
    exact, single = (viterbi(hard_chain(300, 32, dtype))[0] for dtype in (torch.float64, torch.float32))
    assert (exact.labels == single.labels).mean() > 0.99
    assert abs(exact.score - single.score) < 0.05  # of 1e5


@few
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_more_best_segmentations_begin_with_the_fewer(seed, k):
    chain = random_chain(seed, lengths=(5,))
    fewer, more = k_best(chain, k)[0], k_best(chain, k + 3)[0]
    assert np.allclose([one.score for one in more[: len(fewer)]], [one.score for one in fewer])
    assert [one.score for one in more] == sorted((one.score for one in more), reverse=True)


def test_runs_join_pieces_of_a_state_or_of_an_element_of_an_order():
    spans = [Span(3, 0, 2), Span(3, 2, 1), Span(3, 3, 1), Span(1, 4, 1)]
    assert Decoded(0.0, spans).runs == [Span(3, 0, 4), Span(1, 4, 1)]
    assert Decoded(0.0, spans, [0, 0, 1, 2]).runs == [Span(3, 0, 3), Span(3, 3, 1), Span(1, 4, 1)]
    assert Decoded(0.0, spans).labels.tolist() == [3, 3, 3, 3, 1]
