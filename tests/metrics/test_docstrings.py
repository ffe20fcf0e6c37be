"""What the examples in docstrings show is what comes out."""

import doctest

import pytest

from kinoflow.metrics import alignment, classification, intervals, scores


@pytest.mark.parametrize("module", [alignment, classification, intervals, scores], ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
