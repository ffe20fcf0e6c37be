"""A checkpoint is one file with all to build the model again; one of another model is refused in a sentence."""

from pathlib import Path

import pytest
import torch
from tests.training.toy import network
from torch import nn

from kinoflow.errors import DataError
from kinoflow.training.checkpoint import load_into, read, run_name, save

ABOUT = {"room": "toy", "heads": {"class": ["a", "b\n"]}, "seed": 3}


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "model.safetensors", network(), ABOUT)
    return tmp_path / "model.safetensors"


def test_weights_and_what_they_are_of_come_back(file):
    tensors, about = read(file)
    other = network()
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    load_into(other, tensors, file)
    expected = network().state_dict()
    assert about == ABOUT and all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())


def test_the_same_state_is_the_same_bytes(file, tmp_path):
    save(tmp_path / "again.safetensors", network(), dict(reversed(ABOUT.items())))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_tied_weights_can_be_saved(tmp_path):
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    save(tmp_path / "tied.safetensors", model, {})
    load_into(model, read(tmp_path / "tied.safetensors")[0], "tied")


def test_a_checkpoint_of_another_model_is_refused_and_nothing_changes(file):
    (tensors, _), model = read(file), network(width=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        DataError, match=r"another model: 0.weight is 6 x 1 x 3 x 3 there, and 8 x 1 x 3 x 3 in the network"
    ):
        load_into(model, tensors, file)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(DataError, match=r"model.safetensors: .* it has no 1.weight, which the network needs$"):
        load_into(network(), {name: value for name, value in tensors.items() if not name.startswith("1.")}, file)
    with pytest.raises(DataError, match="it has extra, which the network has not"):
        load_into(network(), tensors | {"extra": torch.ones(1)}, file)


def test_files_that_are_no_checkpoints_are_refused(file, tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(tmp_path / "none.safetensors")
    (tmp_path / "part").write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="no safetensors file, or only a part"):
        read(tmp_path / "part")
    save_file({"a": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(DataError, match="do not say which model"):
        read(tmp_path / "other")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("results/trial/recognition/lsnet/seed-0/model.safetensors", "lsnet seed-0"),
        ("seed-0/model.safetensors", "seed-0"),
        ("mine/model.safetensors", "mine"),
        ("mine.safetensors", "mine"),
    ],
)
def test_a_checkpoint_is_called_by_its_run_and_seed(path, name):
    assert run_name(Path(path)) == name
