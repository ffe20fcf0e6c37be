"""Our own transformer, those of transformers, and their first weights."""

import json

import numpy as np
import pytest
import torch
from tests.tasks.anticipation import toy
from transformers import AutoModel

from kinoflow.errors import DataError
from kinoflow.tasks.anticipation import language
from kinoflow.tasks.anticipation.encoder import Encoder, draw
from kinoflow.tasks.anticipation.teacher import Teacher
from kinoflow.tasks.anticipation.text_options import POOLED, EncoderOptions
from kinoflow.tasks.anticipation.tokens import Words, padded

WORDS = Words.of(toy.CLASSES.texts)
SIZES = {"width": 16, "heads": 2, "inner": 32, "layers": 1, "length": 32}
KINDS = ("albert", "bert", "distilbert", "electra", "roberta", "deberta")


def batch(*lines: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    found, real = padded([WORDS.line(line) for line in lines], WORDS.pad)
    return torch.from_numpy(found), torch.from_numpy(real)


def small(**more) -> Encoder:
    model = Encoder(EncoderOptions(**SIZES, **more), WORDS.size).eval()
    draw(model, 0)
    return model


def test_padding_changes_nothing():
    short, long = ["open <v> jar"], ["open <v> jar", "take <v> pan", "put <v> pan"]
    for causal in (False, True):
        model = small(causal=causal)
        alone, together = model(*batch(short)), model(*batch(short, long))
        torch.testing.assert_close(together[:1, : alone.shape[1]], alone, rtol=0, atol=1e-5)


def test_a_causal_model_does_not_see_what_comes_later_and_another_does():
    one, other = batch(["open <v> jar", "take <v> pan"]), batch(["open <v> jar", "put <v> jar"])
    for causal in (True, False):
        model = small(causal=causal)
        same = torch.allclose(model(*one)[:, :3], model(*other)[:, :3], atol=1e-6)
        assert same == causal


def test_first_weights_depend_on_the_seed_and_the_name_alone():
    model, deeper = small(), Encoder(EncoderOptions(**SIZES | {"layers": 2}), WORDS.size)
    draw(deeper, 0)
    weights = deeper.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    draw(deeper, 1)
    assert not torch.equal(deeper.state_dict()["tokens.weight"], weights["tokens.weight"].clone() * 0)
    assert not torch.equal(deeper.state_dict()["tokens.weight"], model.state_dict()["tokens.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_reads_tokens_and_is_made_again(kind):
    model = language.tiny(EncoderOptions(model=kind, **SIZES), WORDS)
    draw(model, 0)
    some = batch(["open <v> jar"], ["open <v> jar", "take <v> pan"])
    model.eval()
    with torch.no_grad():
        found = model(*some)
        assert found.shape == (*some[0].shape, 16)
        assert model.masked(*some).shape == (*some[0].shape, WORDS.size)
        again = language.rebuild(json.loads(json.dumps(model.about())))
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.eval()(*some), found)
        alone = model(*batch(["open <v> jar"]))
    np.testing.assert_allclose(found[0, : alone.shape[1]], alone[0], atol=1e-5)


@pytest.mark.parametrize("kind", POOLED)
def test_the_pooler_is_that_of_the_published_weights_or_drawn(tmp_path, kind):
    """Against the model of transformers that has one."""
    config = language.tiny(EncoderOptions(model=kind, **SIZES), WORDS).model.config
    torch.manual_seed(0)
    whole = AutoModel.from_config(config).eval()
    whole.save_pretrained(tmp_path / "whole")
    some = batch(["open <v> jar"], ["open <v> jar", "take <v> pan"])
    teacher = Teacher(language.published(str(tmp_path / "whole"), WORDS, kind, pooled=True), {"action": 6}).eval()
    line, at = torch.arange(2), torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        _, found = teacher(*some, line, at)
        true = whole(input_ids=some[0], attention_mask=some[1].long()).pooler_output
        plain = Teacher(language.published(str(tmp_path / "whole"), WORDS, kind), {"action": 6}).eval()
        assert not torch.allclose(plain(*some, line, at)[1], true, atol=1e-3)
    torch.testing.assert_close(found, true, rtol=0, atol=1e-6)
    again = language.rebuild(json.loads(json.dumps(teacher.encoder.about())))
    again.load_state_dict(teacher.encoder.state_dict())
    language.tiny(EncoderOptions(model=kind, **SIZES), WORDS).model.save_pretrained(tmp_path / "masked")
    drawn = [language.published(str(tmp_path / "masked"), WORDS, kind, True, seed).pooler[0] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0].weight, drawn[1].weight) and not torch.equal(drawn[0].weight, drawn[2].weight)


def test_published_sizes_may_be_taken_with_weights_drawn_anew(tmp_path):
    model = language.tiny(EncoderOptions(model="bert", **SIZES), WORDS)
    model.model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # they are not looked at
    found = language.published(str(tmp_path), WORDS, "bert", redraw=True)
    assert (found.width, found.length) == (16, model.length)


@pytest.mark.parametrize("kind", ["small", "distilbert", "electra", "deberta"])
def test_a_pooler_that_there_is_not_is_refused(kind):
    with pytest.raises(ValueError, match=f"{kind} has no pooler; set read: first"):
        EncoderOptions(model=kind, read="pooler")


def test_published_weights_of_a_folder_are_used_and_others_refused(tmp_path):
    model = language.tiny(EncoderOptions(model="bert", **SIZES), WORDS)
    draw(model, 3)
    model.model.save_pretrained(tmp_path)
    found = language.published(str(tmp_path), WORDS, "bert")
    some = batch(["open <v> jar"])
    assert torch.equal(found.eval()(*some), model.eval()(*some))
    with pytest.raises(DataError, match=r"these weights are of bert, and encoder\.model is roberta"):
        language.published(str(tmp_path), WORDS, "roberta")
    more = Words.of([*toy.CLASSES.texts, "juggle <v> knives"])
    with pytest.raises(DataError, match="belong together"):
        language.published(str(tmp_path), more, "bert")
    with pytest.raises(DataError, match="there are no weights in this folder"):
        language.published(str(tmp_path / "nowhere"), WORDS, "bert")
