"""Examples in docstrings say what happens."""

import doctest

import pytest

from kinoflow.tasks.segmentation import chain, factors, inference, model, spans


@pytest.mark.parametrize("module", [chain, factors, inference, model, spans], ids=lambda module: module.__name__)
def test_examples_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
