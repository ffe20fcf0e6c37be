"""Labels, runs and the span code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.segmentation.test_inference import GOLDEN

from kinoflow.tasks.segmentation.spans import Span, code, cut, joined, labels_of, uncode

labels = st.lists(st.integers(0, 3), min_size=0, max_size=60)


@pytest.mark.parametrize(("name", "longest"), [("max2", 2), ("max4", 4), ("max20", 20), ("nomax", None)])
def test_the_code_equals_the_published_ones(name, longest):
    golden = np.load(GOLDEN / "spans.npz")
    for row, expected in zip(golden["labels"], golden[f"spans_{name}"], strict=True):
        assert (code(row, longest) == expected).all()


@given(labels, st.integers(2, 8))
def test_cutting_and_coding_lose_nothing(values, longest):
    spans = cut(values, longest)
    assert labels_of(spans, len(values)).tolist() == values
    assert all(1 <= span.length < longest for span in spans)
    assert uncode(code(values, longest)) == spans
    assert joined(spans) == cut(values)


def test_a_run_is_cut_whenever_it_reaches_the_longest_segment():
    assert cut([5] * 7, longest=4) == [Span(5, 0, 3), Span(5, 3, 3), Span(5, 6, 1)]
    assert cut([]) == []


def test_frames_without_a_span_have_no_label():
    assert labels_of([Span(2, 1, 2)], 4).tolist() == [-1, 2, 2, -1]
