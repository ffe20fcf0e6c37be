"""Weights come from a seed, from torchvision's cache, from a server, or from a file; what is none of it is said in a sentence."""

import copy
import hashlib
import http.server
import logging
import os
import pickle
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from kinoflow.errors import DataError
from kinoflow.features.backbones import member
from kinoflow.features.bn_inception import BnInception
from kinoflow.features.small import Small
from kinoflow.features.weights import drawn, few, load, published_file, read


def small(seed: int) -> Small:
    return drawn(Small, seed)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="kinoflow")
    return caplog


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("below", [(), ("state_dict",), ("model",), ("model", "state_dict")])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone.", "model."])
def test_a_saved_state_is_found_wherever_programs_put_it(tmp_path, below, prefix):
    state = {f"{prefix}{key}": value for key, value in small(1).state_dict().items()}
    for key in reversed(below):
        state = {"epoch": 3, key: state}
    torch.save(state, tmp_path / "w.pt")
    network = small(2)
    load(network, tmp_path / "w.pt", whole=True)
    assert same(network, small(1))


def test_safetensors_of_a_room_give_its_backbone(tmp_path, said):
    state = {f"backbone.{key}": value for key, value in small(1).state_dict().items()}
    save_file(
        state | {"verb.weight": torch.ones(17, 96), "noun.weight": torch.ones(15, 96)}, tmp_path / "model.safetensors"
    )
    network = small(2)
    load(network, tmp_path / "model.safetensors", whole=True)
    assert same(network, small(1))
    assert "weights model.safetensors: 60 of 60 matched, 0 missing, 0 of the file ignored" in said.text


def test_matched_missing_and_ignored_weights_are_counted(tmp_path, said):
    state = dict(small(1).state_dict())
    del state["stem.0.weight"]
    state["blocks.3.conv2.weight"] = torch.zeros(1)
    state["head.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "w.pth")
    network = small(2)
    load(network, tmp_path / "w.pth")
    assert "58 of 60 matched, 2 missing (stem.0.weight, blocks.3.conv2.weight), 2 of the file ignored" in said.text
    assert torch.equal(network.stem[0].weight, small(2).stem[0].weight)  # as drawn
    assert torch.equal(network.blocks[0].conv1.weight, small(1).blocks[0].conv1.weight)


def test_weights_of_half_precision_are_taken(tmp_path):
    torch.save({key: value.half() for key, value in small(1).state_dict().items()}, tmp_path / "w.pt")
    network = small(2)
    load(network, tmp_path / "w.pt")
    torch.testing.assert_close(network.stem[0].weight, small(1).stem[0].weight, rtol=1e-3, atol=1e-4)
    assert network.stem[0].weight.dtype == torch.float32


def test_vectors_that_are_written_as_one_row_are_understood(tmp_path):
    """As norms are in the published files of BN-Inception, and the names of networks of segments."""
    network = drawn(BnInception, 0)
    state = {f"module.base_model.{k}": v[None] if v.ndim == 1 else v for k, v in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    other = drawn(BnInception, 1)
    load(other, tmp_path / "net.pth", whole=True)
    assert same(network, other)


def test_old_names_of_densely_connected_networks_are_understood(tmp_path):
    from torchvision.models import DenseNet

    one = drawn(partial(DenseNet, growth_rate=4, block_config=(1, 2), num_init_features=4, num_classes=5), 1)
    old = {
        key.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): value
        for key, value in one.state_dict().items()
    }
    torch.save(old, tmp_path / "w.pth")
    network = copy.deepcopy(one)
    for tensor in network.state_dict().values():
        tensor.zero_()
    load(network, tmp_path / "w.pth", whole=True)
    assert same(network, one)


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"layer.weight": torch.ones(3)}, tmp_path / "w.pt")
    with pytest.raises(DataError, match=r"w\.pt: only 0 of the network's 60 weights"):
        load(small(0), tmp_path / "w.pt")


def test_published_weights_must_fit_in_every_tensor(tmp_path):
    state = small(1).state_dict() | {"stem.0.weight": torch.zeros(16, 1, 3, 3)}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        DataError, match=r"stem\.0\.weight has the shape \(16, 1, 3, 3\), the network needs \(16, 3, 3, 3\)"
    ):
        load(small(0), tmp_path / "w.pt", whole=True)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, write in (
        ("a.pt", lambda f: torch.save({"w": Harmful()}, f)),
        ("b.pt", lambda f: pickle.dump(Harmful(), f)),
    ):
        with open(name, "wb") as file:
            write(file)
        with pytest.raises(DataError, match=f"{name}: this is no file of weights, or loading it would run code"):
            read(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04 cut", b"\x08\0\0\0\0\0\0\0{broken}", bytes(100)], ids=range(5)
)
def test_what_is_no_file_of_weights_is_refused(tmp_path, content):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.pt: this is no "):
        read(tmp_path / "w.pt")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="there are no weights in this file"):
        read(tmp_path / "w.pt")


# ---------------------------------------------------------------- torchvision's


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The cache of torch hub, empty; and a server for a folder: hub.url(name)."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    served = tmp_path / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield SimpleNamespace(
        served=served,
        cache=tmp_path / "home" / "hub" / "checkpoints",
        url=lambda name: f"http://127.0.0.1:{server.server_port}/{name}",
    )
    server.shutdown()
    server.server_close()


def named(folder, state) -> str:
    """Save a state under a name that holds the beginning of its checksum, as torchvision's are."""
    torch.save(state, folder / "new")
    name = f"net-{hashlib.sha256((folder / 'new').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "new").rename(folder / name)
    return name


def test_published_weights_are_fetched_into_the_cache_of_torch_hub(hub):
    name = named(hub.served, small(1).state_dict())
    path = published_file(SimpleNamespace(url=hub.url(name)))
    assert path == hub.cache / name and path.read_bytes() == (hub.served / name).read_bytes()


def test_published_weights_in_the_cache_need_no_network(hub):
    hub.cache.mkdir(parents=True)
    name = named(hub.cache, small(1).state_dict())
    assert published_file(SimpleNamespace(url=f"http://127.0.0.1:9/{name}")) == hub.cache / name


def test_without_a_network_the_sentence_says_what_to_put_where(hub):
    start = time.monotonic()
    sentence = r"are not on this machine .*; put http://127\.0\.0\.1:9/net-01234567\.pth at .*/hub/checkpoints/net-01234567\.pth$"
    with pytest.raises(DataError, match=sentence):
        published_file(SimpleNamespace(url="http://127.0.0.1:9/net-01234567.pth"))
    assert time.monotonic() - start < 5


def test_a_damaged_file_in_the_cache_is_refused(hub):
    hub.cache.mkdir(parents=True)
    name = named(hub.cache, small(1).state_dict())
    (hub.cache / name).write_bytes(b"something else")
    with pytest.raises(DataError, match="checksum|sha256|SHA-256"):
        published_file(SimpleNamespace(url=f"http://127.0.0.1:9/{name}"))


def test_the_names_of_torchvision_files_hold_their_checksum():
    assert member("resnet18", "DEFAULT").url.endswith("/resnet18-f37072fd.pth")


def test_of_many_names_the_first_are_said():
    assert [few(list(names)) for names in ("", "a", "abc", "abcd")] == ["", " (a)", " (a, b, c)", " (a, b, c, ...)"]
