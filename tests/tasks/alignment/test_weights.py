"""Weights to begin with: every form of file, and what is refused."""

import logging

import pytest
import torch
from safetensors.torch import save_file

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.alignment.model import Aligner
from kinoflow.tasks.alignment.options import EncoderOptions
from kinoflow.tasks.alignment.weights import Matched, begin
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import NetworkOptions
from kinoflow.training import checkpoint

FORMS = {  # how training programs store a network
    "byol": lambda state: {"model": {f"module.encoder.{k}": v for k, v in state.items()}},
    "simclr": lambda state: {"state_dict": {f"encoder.{k}": v for k, v in state.items()}},
    "moco": lambda state: {"state_dict": {f"module.encoder_q.{k}": v for k, v in state.items()}},
    "torchvision": lambda state: state,
}
SIZES = {"hidden": 8, "width": 8, "heads": 2, "feed_forward": 8, "layers": 1, "embedding": 4}


def aligner(backbone: str = "resnet18", seed: int = 0) -> Aligner:
    return Aligner(EncoderOptions(backbone=backbone, **SIZES), 4, seed=seed)


def plain(model: Aligner) -> dict[str, torch.Tensor]:
    return {k: v for k, v in model.backbone.state_dict().items() if not k.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def other() -> dict[str, torch.Tensor]:
    """Weights of a network of the same kind, and its classifier."""
    return plain(aligner(seed=1)) | {"fc.weight": torch.zeros(3, 512), "fc.bias": torch.zeros(3)}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_is_known_by_its_names(form, other, tmp_path, caplog):
    state = FORMS[form](other)
    if form == "byol":  # has a second encoder, that follows the first one
        state["model"] |= {f"module.encoder_k.{k}": torch.zeros_like(v) for k, v in other.items()}
    torch.save(state, tmp_path / "file.pth")
    model = aligner()
    with caplog.at_level(logging.INFO):
        found = begin(model, str(tmp_path / "file.pth"))
    extra = len(other) if form == "byol" else 0
    assert found == Matched(len(other) - 2, 0, 2 + extra)
    assert all(torch.equal(value, other[name]) for name, value in plain(model).items())
    assert (
        f"{found.matched} of the backbone's {found.matched} matched, 0 missing, {2 + extra} of the file ignored"
        in caplog.text
    )


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_a_recognition_run_gives_its_backbone(name, tmp_path):
    network = Recogniser(NetworkOptions(backbone=name, shift=None), 3, 2, {"verb": 3}, seed=5)
    checkpoint.save(tmp_path / "model.safetensors", network, {"room": "recognition"})
    model = aligner(name)
    found = begin(model, str(tmp_path / "model.safetensors"))
    assert found is not None and found.missing == 0 and found.ignored == 2
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in plain(model).items())


def test_an_alignment_run_gives_its_backbone_to_another(tmp_path):
    one, two = aligner("small", seed=1), aligner("small", seed=2)
    checkpoint.save(tmp_path / "model.safetensors", one, {})
    found = begin(two, str(tmp_path / "model.safetensors"))
    assert found is not None and found.missing == 0
    assert all(torch.equal(value, plain(one)[key]) for key, value in plain(two).items())


def test_what_a_file_lacks_stays_as_drawn_and_is_told(other, tmp_path, caplog):
    fewer = {k: v for k, v in other.items() if not k.startswith("layer4")}
    save_file(fewer, tmp_path / "w.safetensors")
    model = aligner()
    before = plain(model)["layer4.0.conv1.weight"].clone()
    with caplog.at_level(logging.INFO):
        found = begin(model, str(tmp_path / "w.safetensors"))
    assert found is not None and found.missing == len(plain(model)) - found.matched > 0
    assert torch.equal(plain(model)["layer4.0.conv1.weight"], before) and "layer4.0.conv1.weight" in caplog.text


def test_less_than_half_of_the_backbone_is_refused_and_nothing_changed(other, tmp_path):
    few = {k: v for k, v in other.items() if k.startswith(("conv1", "bn1", "layer1"))}
    wrong = {k: v[..., None] for k, v in other.items()}
    for state in (few, wrong):
        save_file(state, tmp_path / "w.safetensors")
        model = aligner()
        before = {k: v.clone() for k, v in plain(model).items()}
        with pytest.raises(DataError, match=r"w.safetensors: only \d+ of the backbone's 100 weights"):
            begin(model, str(tmp_path / "w.safetensors"))
        assert all(torch.equal(value, before[name]) for name, value in plain(model).items())


def test_none_is_nothing_and_names_that_do_not_exist_are_refused(tmp_path):
    assert begin(aligner("small"), "none") is None
    with pytest.raises(ConfigError, match="torchvision has none for the network 'small'"):
        begin(aligner("small"), "torchvision:DEFAULT")
    with pytest.raises(ConfigError, match="has no weights 'BEST'"):
        begin(aligner(), "torchvision:BEST")
    with pytest.raises(DataError, match="cannot be read"):
        begin(aligner("small"), str(tmp_path / "nowhere.pth"))
    rows = Aligner(EncoderOptions(backbone="features", **SIZES), 4, inputs=5)
    with pytest.raises(ConfigError, match="there is no network that could take them"):
        begin(rows, "file.pth")
