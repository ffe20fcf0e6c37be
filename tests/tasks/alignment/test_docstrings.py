"""What the examples in docstrings show is what comes out."""

import doctest

import pytest

from kinoflow.tasks.alignment import dtw, loss, model, positions, scl

MODULES = (dtw, loss, model, positions, scl)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
