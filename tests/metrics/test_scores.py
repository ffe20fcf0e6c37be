"""Views, segments and models together: against the published program's numbers, and formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.conftest import ROOT

from kinoflow.metrics.scores import clip_scores, ensemble, softmax

ROWS = arrays.arrays(np.float64, (12, 4), elements=st.floats(-50, 50))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(ROOT / "tests/golden/lsnet/metrics.npz") as file:
        return dict(file)


def layout(golden, tag: str) -> tuple[int, int, bool]:
    """Views, segments for which there is a row each, and whether probabilities are asked for."""
    shift, crops, dense, twice, probabilities, segments, _, _ = golden[
        f"agg_{tag}_cfg_shift_crops_dense_twice_softmax_T_C_B"
    ]
    return int(crops * (10 if dense else 1) * (2 if twice else 1)), 1 if shift else int(segments), bool(probabilities)


@pytest.mark.parametrize("tag", ["tsm10", "tsm_dense3", "tsn3", "tsm_twice3"])
def test_scores_of_clips_agree_with_the_published_program(golden, tag):
    views, segments, probabilities = layout(golden, tag)
    found = clip_scores(golden[f"agg_{tag}_logits"].astype(np.float64), views, segments, probabilities)
    np.testing.assert_allclose(found, golden[f"agg_{tag}_score"], atol=1e-5)


def test_segments_are_averaged_before_the_softmax_where_the_published_program_mixes_them(golden):
    views, segments, probabilities = layout(golden, "tsn1_softmax")
    rows = golden["agg_tsn1_softmax_logits"].astype(np.float64)
    assert (views, segments, probabilities) == (1, 3, True)
    mixed = softmax(rows.reshape(2, -1)).reshape(2, segments, -1).mean(axis=1)  # its fault: one softmax over T * K
    np.testing.assert_allclose(mixed, golden["agg_tsn1_softmax_score"], atol=1e-5)
    ours = clip_scores(rows, views, segments, probabilities)
    np.testing.assert_allclose(ours, softmax(rows.reshape(2, segments, -1).mean(axis=1)))
    np.testing.assert_allclose(ours.sum(axis=1), 1)


def test_an_ensemble_agrees_with_the_published_program(golden):
    scores = [golden["agg_tsm10_score"], golden["agg_tsm_dense3_score"]]
    found = ensemble(scores, golden["ensemble_coeff"])
    np.testing.assert_allclose(found, golden["ensemble_of_tsm10_and_tsm_dense3"], atol=1e-5)


@given(ROWS)
def test_probabilities_sum_to_one_and_keep_the_order(rows):
    found = softmax(rows)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(np.take_along_axis(found, rows.argmax(1)[:, None], 1)[:, 0], found.max(axis=1))


def test_softmax_of_huge_scores_is_finite():
    np.testing.assert_array_equal(softmax(np.array([1e4, -1e4])), [1.0, 0.0])


@given(ROWS, st.permutations(range(6)))
def test_the_order_of_views_does_not_matter(rows, order):
    shuffled = rows.reshape(2, 6, 4)[:, order].reshape(12, 4)
    np.testing.assert_allclose(clip_scores(shuffled, 6), clip_scores(rows, 6), atol=1e-12)


@given(ROWS)
def test_the_mean_of_equal_views_is_the_view(rows):
    np.testing.assert_allclose(clip_scores(np.repeat(rows, 3, axis=0), 3), rows, atol=1e-12)


@given(ROWS)
def test_one_model_alone_is_its_own_ensemble(rows):
    np.testing.assert_array_equal(ensemble([rows]), rows)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: clip_scores(np.zeros((5, 3)), 2), "no whole number of clips with 2 views"),
        (lambda: ensemble([np.zeros((1, 2))], [1, 2]), "1 models and 2 coefficients"),
        (lambda: ensemble([]), "0 models"),
        (lambda: ensemble([np.zeros((1, 2)), np.zeros((2, 2))]), "differ in shape"),
    ],
)
def test_what_does_not_fit_together_is_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
