"""What a language model is to guess before any video's labels are known."""

import numpy as np
import pytest
from tests.tasks.anticipation import toy
from tests.tasks.anticipation.published_folder import publish

from kinoflow.tasks.anticipation import teacher as teaching
from kinoflow.tasks.anticipation.pretrain import MaskedTraining
from kinoflow.tasks.anticipation.text_options import EncoderOptions
from kinoflow.training.draws import Draw

DRAWS = 200


@pytest.mark.parametrize("weights", ["published", "own"])
def test_of_short_lines_too_a_token_is_to_be_guessed_and_never_a_special_one(tmp_path, weights):
    options = EncoderOptions(width=16, heads=2, inner=32, layers=1, length=32)
    if weights == "published":
        publish(tmp_path)
        options = EncoderOptions(model="bert", weights=str(tmp_path))
    lines = [[toy.CLASSES.texts[0]], list(toy.CLASSES.texts[:3])]
    network, tokens = teaching.built(options, toy.CLASSES, {"action": 6}, lines, 0)
    told = MaskedTraining(network, tokens, toy.CLASSES, lines, 0)
    assert (tokens.end is not None) == (weights == "published")
    special = {tokens.cls, tokens.pad, tokens.mask, tokens.end}
    for sample in (0, 1):
        guessed = [[t for t in told._hidden(Draw(sample, 0, 0, n))[1] if t >= 0] for n in range(DRAWS)]
        assert all(guessed) and not special & {token for line in guessed for token in line}
        assert {*np.concatenate(guessed).tolist()} == set(told.lines[sample]) - special
