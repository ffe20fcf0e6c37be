"""Folders of published language models may hold anything: nothing in them runs, and what is wrong is told in one sentence."""

import ast
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from tests.conftest import ROOT
from tests.faults.mutations import Bomb
from tests.tasks.anticipation.published_folder import publish

from kinoflow.errors import DataError
from kinoflow.tasks.anticipation import language, tokens

EVIL = """import os
os.mkdir({trap!r})
from transformers import BertTokenizerFast, PreTrainedConfig
class C(PreTrainedConfig):
    model_type = "bert"
class T(BertTokenizerFast):
    pass
"""


def edit(path: Path, **more: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def config(**more: object):
    return lambda folder, trap: edit(folder / "config.json", **more)


def tokenizer(**more: object):
    return lambda folder, trap: edit(folder / "tokenizer_config.json", **more)


def holds(name: str, content: str | bytes):
    """The file holds this; weights in another format stand in place of the safetensors."""

    def plant(folder: Path, trap: Path) -> None:
        if name.startswith(("pytorch", "model.safetensors.index")):
            (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return plant


def code_of_config(folder: Path, trap: Path) -> None:
    (folder / "evil.py").write_text(EVIL.format(trap=str(trap)))
    edit(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C"})


def code_of_tokenizer(folder: Path, trap: Path) -> None:
    code_that_is_not_needed(folder, trap)
    edit(folder / "config.json", model_type="unheard")


def code_that_is_not_needed(folder: Path, trap: Path) -> None:
    (folder / "evil.py").write_text(EVIL.format(trap=str(trap)))
    edit(folder / "tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]})


def cut(folder: Path, trap: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])


def bare_pickle(folder: Path, trap: Path) -> None:
    holds("pytorch_model.bin", pickle.dumps(Bomb(str(trap))))(folder, trap)


def packed_pickle(folder: Path, trap: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": Bomb(str(trap))}, folder / "pytorch_model.bin")


HOSTILE = {
    "code of the config": code_of_config,
    "code of the tokenizer": code_of_tokenizer,
    "a pickle": bare_pickle,
    "a pickle in a zip": packed_pickle,
    "a config that is a list": holds("config.json", "[1]"),
    "a negative size": config(hidden_size=-1),
    "a size that is a text": config(hidden_size="x"),
    "no heads": config(num_attention_heads=0),
    "a function that is none": config(hidden_act="evil"),
    "a type that is none": config(dtype="nonsense"),
    "weights of another size": config(hidden_size=32),
    "labels that are a list": config(id2label=[1]),
    "a length that is a text": config(max_position_embeddings="a"),
    "a quantisation that is not there": config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
    "cut safetensors": cut,
    "safetensors that are none": holds("model.safetensors", b"\x80\x04garbage"),
    "a cut .bin": holds("pytorch_model.bin", b"PK\x03\x04"),
    "an index that leads out": holds("model.safetensors.index.json", '{"metadata": {}, "weight_map": {"a": "../../x"}}'),
    "an index that is a list": holds("model.safetensors.index.json", "[]"),
    "an empty tokenizer": holds("tokenizer.json", "{}"),
    "half a tokenizer": holds("tokenizer.json", "["),
    "a tokenizer's config that is a list": holds("tokenizer_config.json", "[1]"),
    "a map of code that is a text": tokenizer(auto_map="x"),
    "a class that is a number": tokenizer(tokenizer_class=5),
    "a token that is a mapping": tokenizer(pad_token={"a": 1}),
}  # fmt: skip
HARMLESS = {
    "code that is not needed": code_that_is_not_needed,
    "an attention of the hub": config(_attn_implementation="kernels-community/evil"),
    "a quantisation that is none": config(quantization_config={"quant_method": "evil"}),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A good folder; whoever asks whether to run something gets a yes."""
    monkeypatch.setattr("builtins.input", lambda *args: "y")
    publish(tmp_path / "model")
    return tmp_path / "model"


def load(folder: Path) -> None:
    language.published(str(folder), tokens.published(str(folder)), "bert")


def test_a_good_folder_is_read(folder):
    load(folder)


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_folder_is_refused_in_one_sentence_and_nothing_runs(folder, tmp_path, fault):
    HOSTILE[fault](folder, tmp_path / "executed")
    with pytest.raises(DataError) as refused:
        load(folder)
    assert str(refused.value).startswith(f"{folder}: ") and "give " in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == ["model"]


@pytest.mark.parametrize("fault", ("code of the config", "code of the tokenizer"))
def test_code_is_refused_by_name_and_nobody_is_asked(folder, tmp_path, fault, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("the user is asked"))
    HOSTILE[fault](folder, tmp_path / "executed")
    with pytest.raises(DataError, match="Python code of their own, which is never run"):
        load(folder)


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_is_not_used_does_no_harm(folder, tmp_path, fault):
    HARMLESS[fault](folder, tmp_path / "executed")
    load(folder)
    assert sorted(os.listdir(tmp_path)) == ["model"]


def test_a_checkpoint_names_no_attention_and_no_code_either(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("the user is asked"))
    about = language.published(str(folder), tokens.published(str(folder)), "bert").about()
    evil = {"_attn_implementation": "kernels-community/evil", "auto_map": {"AutoModelForMaskedLM": "x--evil.M"}}
    language.rebuild(about | {"config": about["config"] | evil})


def test_every_call_that_reads_a_model_forbids_its_code():
    """A call without it asks on standard input, and runs the code after a yes."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
            if name.startswith("Auto") and name.endswith((".from_pretrained", ".from_config")):
                words = [ast.unparse(word) for word in call.keywords]
                assert "**OFFLINE" in words or "trust_remote_code=False" in words, ast.unparse(call)
