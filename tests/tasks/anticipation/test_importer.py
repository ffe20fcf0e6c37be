"""Checkpoints of AVT, made into our own."""

import pickle

import numpy as np
import pytest
import torch
from tests.conftest import ROOT
from tests.tasks.anticipation import world as tiny
from tests.tasks.anticipation.world import options
from torchvision.models import VisionTransformer

from kinoflow.datasets.actions import Classes, write_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.anticipation import backbones
from kinoflow.tasks.anticipation.importer import import_avt
from kinoflow.tasks.anticipation.scoring import read_checkpoint

GOLDEN = np.load(ROOT / "tests/golden/anticipation/train_step.npz")
CLASSES = Classes("seven", 30.0, tuple("abcdefg"), tuple("abcdefg"))
WANTED = options(sampling={"steps": 5}, network={"heads": 2, "width": 8, "dropout": 0, "head_dropout": 0})


def published(folder, **more):
    """A checkpoint as AVT saves it, with what else GPT-2 keeps, and a backbone."""
    state = {f"module.{key[2:]}": torch.from_numpy(GOLDEN[key]).float() for key in GOLDEN.files if key.startswith("w.")}
    state["module.future_predictor.gpt_model.h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    state["module.backbone.conv.weight"] = torch.ones(3)
    torch.save({"model": state | more, "epoch": 3}, folder / "checkpoint.pth")
    write_classes(folder / "classes.json", CLASSES)
    return folder / "checkpoint.pth", folder / "classes.json", folder / "model.safetensors"


def test_an_imported_student_says_what_the_published_one_says(tmp_path):
    file, classes, model = published(tmp_path)
    import_avt(file, classes, model, WANTED)
    found = read_checkpoint(model)
    assert (found.network.network.width, found.network.network.layers, found.network.features) == (8, 2, 12)
    with torch.no_grad():
        said = found.network(torch.from_numpy(GOLDEN["video"][..., 0, 0, 0]).float())
    assert np.abs(said.scores["action"].numpy() - GOLDEN["logits"]).max() < 1e-5
    assert np.abs(said.past["action"].numpy() - GOLDEN["past_logits"]).max() < 1e-5


def timm_names(state):
    """Weights of torchvision's ViT under the names that timm's has in a checkpoint of AVT."""
    renamed = {
        "class_token": "cls_token",
        "encoder.pos_embedding": "pos_embed",
        "conv_proj": "patch_embed.proj",
        "encoder.layers.encoder_layer_": "blocks.",
        "encoder.ln": "norm",
        "ln_1": "norm1",
        "ln_2": "norm2",
        "self_attention.in_proj_": "attn.qkv.",
        "self_attention.out_proj": "attn.proj",
        "mlp.0": "mlp.fc1",
        "mlp.3": "mlp.fc2",
    }
    found = {}
    for name, value in state.items():
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        found[f"module.backbone.model.{name}"] = value
    return found


def test_a_vit_of_the_published_checkpoint_is_imported_too(tmp_path, monkeypatch):
    def small(size):
        vit = VisionTransformer(size, 16, 2, 2, 12, 24)  # the golden head reads 12 features
        vit.heads = torch.nn.Identity()
        return vit

    monkeypatch.setitem(backbones.NETWORKS, "vit_b_16", small)
    vit = small(32).eval()
    with torch.no_grad():
        for weight in vit.parameters():
            weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(weight.numel()))
    file, classes, model = published(tmp_path, **timm_names(vit.state_dict()))
    wanted = WANTED.model_copy(update={"sampling": WANTED.sampling.model_copy(update={"read": "frames"})})
    import_avt(file, classes, model, wanted)
    found = read_checkpoint(model)
    assert (found.network.network.backbone, found.network.network.size) == ("vit_b_16", 32)
    frames = torch.randn(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    import_avt(*published(tmp_path), WANTED)
    plain = read_checkpoint(model)
    assert plain.network.network.backbone == "identity"
    with torch.no_grad():
        told = plain.network(vit(frames.flatten(0, 1)).unflatten(0, (2, 5)))
        assert torch.allclose(found.network(frames).scores["action"], told.scores["action"], atol=1e-5)
    file, classes, model = published(tmp_path, **timm_names(vit.state_dict()))
    with pytest.raises(ConfigError, match="has a ViT, which reads single frames; take read: frames"):
        import_avt(file, classes, model, WANTED)
    more = timm_names(vit.state_dict()) | {"module.backbone.model.pre_logits.fc.weight": torch.ones(12, 12)}
    with pytest.raises(DataError, match="its ViT has a layer more"):
        import_avt(*published(tmp_path, **more), wanted)


def test_files_that_would_run_code_or_are_of_another_network_are_refused(tmp_path):
    file, classes, model = published(tmp_path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(print))
    torch.save({"model": {"fc.weight": torch.ones(2, 2)}}, tmp_path / "other.pth")
    write_classes(tmp_path / "tiny.json", tiny.CLASSES)
    for path, table, sentence in (
        (tmp_path / "bad.pth", classes, "would run code from it|no readable file"),
        (tmp_path / "other.pth", classes, "no checkpoint of AVT"),
        (file, tmp_path / "tiny.json", "classifiers.action.weight is 7 x 12 there, and 6 x 12"),
    ):
        with pytest.raises(DataError, match=sentence):
            import_avt(path, table, model, WANTED)
    assert not model.exists()
