"""The closed form against the published code and its formulas."""

import numpy as np
import pytest
import torch
from tests.tasks.segmentation.test_inference import GOLDEN

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.segmentation.fit import count, fit_supervised
from kinoflow.tasks.segmentation.model import SegmentModel
from kinoflow.tasks.segmentation.spans import Span, cut


def test_parameters_and_counts_equal_the_published_codes():
    file = np.load(GOLDEN / "supervised_fit.npz")
    places, longest = np.cumsum(file["lengths"])[:-1], int(file["max_span_length"])
    features, labels = np.split(file["features"], places), np.split(file["labels"], places)
    spans = [cut(one, longest) for one in labels]
    counts = count(spans, 4)
    assert (counts.segments == file["span_counts"]).all()
    assert (counts.frames == file["span_lengths"]).all()
    assert (counts.starts == file["span_start_counts"]).all()
    assert (counts.transitions == file["span_transition_counts"].T).all()
    made = SegmentModel(4, 5, longest=longest).double()
    smoothing = float(file["state_smoothing"]), float(file["length_smoothing"])
    fit_supervised(made, features, spans, *smoothing)
    assert np.allclose(made.initial_logits.detach(), file["init_logits"], rtol=1e-5)
    assert np.allclose(made.transition_logits.detach(), file["transition_logits_to_from"].T, rtol=1e-5)
    assert np.allclose(made.log_rates.detach(), file["poisson_log_rates"], rtol=1e-5, atol=1e-6)
    assert np.allclose(made.means.detach(), file["gaussian_means"], rtol=1e-5, atol=1e-6)
    assert np.allclose(made.deviations.detach() ** 2, file["gaussian_var"], rtol=1e-5)


def test_merged_states_are_counted_together():
    made = SegmentModel(3, 1, longest=4, tied=[0, 1, 0]).double()
    features = [np.array([[1.0], [3.0], [10.0], [5.0]])]
    fit_supervised(made, features, [[Span(0, 0, 2), Span(1, 2, 1), Span(2, 3, 1)]])
    assert torch.allclose(made.means[:, 0], torch.tensor([3.0, 10.0], dtype=torch.float64))
    assert np.isclose(made.log_rates[0].exp().item(), 3.1 / 2.1)


def test_a_state_that_never_occurs_has_mean_zero():
    made = SegmentModel(3, 2, longest=4)
    fit_supervised(made, [torch.ones(2, 2)], [[Span(0, 0, 2)]])
    assert not made.means[1:].any()
    assert made.log_likelihood(torch.ones(1, 2, 2), torch.tensor([2])).isfinite().all()


def test_geometric_durations_have_no_rates_to_fit():
    made = SegmentModel(2, 1, duration="geometric")
    fit_supervised(made, [np.zeros((2, 1))], [[Span(0, 0, 1), Span(1, 1, 1)]])
    assert made.transition_logits.softmax(1)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 0, 2)], "do not cover its 4 rows"),
        ([Span(0, 0, 4)], "longer than 3 rows"),
        ([Span(0, 0, 2), Span(5, 2, 2)], "a state beyond the model's 3"),
    ],
)
def test_spans_that_do_not_fit_are_refused(spans, message):
    with pytest.raises(DataError, match=message):
        fit_supervised(SegmentModel(3, 2, longest=4), [np.zeros((4, 2))], [spans])


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ConfigError, match="no closed form"):
        fit_supervised(SegmentModel(3, 2, rank=1), [np.zeros((1, 2))], [[Span(0, 0, 1)]])
    with pytest.raises(DataError, match="not finite"):
        fit_supervised(SegmentModel(3, 2), [np.full((1, 2), np.nan)], [[Span(0, 0, 1)]])
    with pytest.raises(DataError, match="0 videos"):
        fit_supervised(SegmentModel(3, 2), [], [])
