"""Released checkpoints of CARL, by an imitation of their form."""

import sys
import types

import numpy as np
import pytest
import torch
from tests.tasks.alignment.test_states import FINETUNED, released

from kinoflow.errors import DataError
from kinoflow.tasks.alignment.embed import read_checkpoint
from kinoflow.tasks.alignment.options import ReleasedOptions
from kinoflow.tasks.alignment.released import import_carl

EMBED = {
    "embedder.fc0": "embed.fc_layers.1",
    "embedder.bn0": "embed.fc_layers.2",
    "embedder.fc1": "embed.fc_layers.5",
    "embedder.bn1": "embed.fc_layers.6",
    "embedder.inner": "embed.video_emb",
    "embedder.out": "embed.embedding_layer",
    "head.fc0": "ssl_projection.net.0",
    "head.bn": "ssl_projection.net.1",
    "head.fc1": "ssl_projection.net.3",
}
LAYER = {
    "ln_attn": "res_layer0.norm",
    "ln_ff": "res_layer1.norm",
    "q": "self_att.linear_Q2d",
    "k": "self_att.linear_K2d",
    "v": "self_att.linear_V2d",
    "o": "self_att.linear_d2Q",
    "ff1": "feed_forward.fc1",
    "ff2": "feed_forward.fc2",
}
STAGES = {
    "conv1": "backbone.0",
    "bn1": "backbone.1",
    "layer1": "backbone.4",
    "layer2": "backbone.5",
    "layer3": "backbone.6",
}


@pytest.fixture
def easydict():
    """The class in which a released file keeps its configuration, under its name; gone when the file is read."""
    module = types.ModuleType("easydict")

    class EasyDict(dict):
        def __init__(self, values=()):
            super().__init__()
            for key, value in dict(values).items():
                value = EasyDict(value) if isinstance(value, dict) else value
                dict.__setitem__(self, key, value)
                object.__setattr__(self, key, value)

    EasyDict.__module__, EasyDict.__qualname__ = "easydict", "EasyDict"
    module.EasyDict = sys.modules.setdefault("easydict", module).EasyDict = EasyDict
    yield EasyDict
    sys.modules.pop("easydict", None)


def state_of(layers=2, hidden=8, width=8, embedding=4):
    """Weights of a small embedder on a ResNet-50, under published names, and under ours."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    ours = {f"backbone.{k}": v for k, v in resnet50(weights=None).state_dict().items() if not k.startswith("fc.")}

    def linear(name, out, inside):
        ours[f"{name}.weight"], ours[f"{name}.bias"] = torch.randn(out, inside), torch.randn(out)

    def norm(name, size, batch=True):
        ours[f"{name}.weight"], ours[f"{name}.bias"] = torch.rand(size), torch.randn(size)
        if batch:
            ours[f"{name}.running_mean"], ours[f"{name}.running_var"] = torch.randn(size), torch.rand(size)
            ours[f"{name}.num_batches_tracked"] = torch.tensor(7)

    linear("embedder.fc0", hidden, 2048)
    norm("embedder.bn0", hidden)
    linear("embedder.fc1", hidden, hidden)
    norm("embedder.bn1", hidden)
    linear("embedder.inner", width, hidden)
    for k in range(layers):
        for name in "qkvo":
            linear(f"embedder.layers.{k}.{name}", width, width)
        norm(f"embedder.layers.{k}.ln_attn", width, batch=False)
        norm(f"embedder.layers.{k}.ln_ff", width, batch=False)
        linear(f"embedder.layers.{k}.ff1", 12, width)
        linear(f"embedder.layers.{k}.ff2", width, 12)
    linear("embedder.out", embedding, width)
    linear("head.fc0", embedding, embedding)
    norm("head.bn", embedding)
    linear("head.fc1", embedding, embedding)
    return {_published(name): value for name, value in ours.items()}, ours


def _published(name):
    parts = name.split(".")
    if parts[0] == "backbone":
        return ".".join(["res_finetune" if parts[1] == "layer4" else STAGES[parts[1]], *parts[2:]])
    if parts[1] == "layers":
        return ".".join(["embed.video_encoder.enc_layers", parts[2], LAYER[parts[3]], *parts[4:]])
    return f"{EMBED['.'.join(parts[:2])]}.{'.'.join(parts[2:])}"


CFG = {
    "TRAINING_ALGO": "scl",
    "DATASETS": ["pouring"],
    "IMAGE_SIZE": 224,
    "TRAIN": {"NUM_FRAMES": 6, "MAX_EPOCHS": 500},
    "MODEL": {
        "EMBEDDER_TYPE": "transformer",
        "L2_NORMALIZE": True,
        "PROJECTION": True,
        "TRAIN_BASE": "frozen",
        "BASE_MODEL": {"NETWORK": "Resnet50_byol", "LAYER": 3, "FRAMES_PER_BATCH": 40},
    },
    "DATA": {"NUM_CONTEXTS": 1, "CONTEXT_STRIDE": 1},
    "SCL": {"LABEL_VARIENCE": 25.0, "SOFTMAX_TEMPERATURE": 0.2},
    "AUGMENTATION": {"RANDOM_CROP": True},
}


def save(folder, state, cfg):
    path = folder / "checkpoint_epoch_00300.pth"
    torch.save(
        {"epoch": 300, "model_state": state, "optimizer_state": {"state": {}, "param_groups": []}, "cfg": cfg}, path
    )
    return path


@pytest.fixture(scope="module")
def state():
    return state_of()


def test_a_released_checkpoint_becomes_one_of_ours(easydict, state, tmp_path):
    path = save(tmp_path, state[0], easydict(CFG))
    del sys.modules["easydict"]  # it is not needed to read the file
    import_carl(path, tmp_path / "m.safetensors", ReleasedOptions())
    found = read_checkpoint(tmp_path / "m.safetensors")
    network, options = found.options.network, found.options
    assert (network.backbone, network.encoder, network.frozen) == ("resnet50", "transformer", 3)
    assert (network.hidden, network.width, network.layers, network.feed_forward, network.embedding) == (8, 8, 2, 12, 4)
    assert (options.algorithm, options.sampling.frames, options.augment.evaluate) == ("scl", 6, "crop")
    assert (options.scl.variance, options.scl.temperature) == (25.0, 0.2)
    assert found.dataset == "pouring" and "ImageNet" in found.seen
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, state[1][name]), name


def test_it_embeds_frames(easydict, state, tmp_path):
    import_carl(save(tmp_path, state[0], easydict(CFG)), tmp_path / "m.safetensors", ReleasedOptions())
    network = read_checkpoint(tmp_path / "m.safetensors").network
    with torch.no_grad():
        found = network.embed(torch.zeros(1, 3, 3, 32, 32))
    assert found.shape == (1, 3, 4) and np.allclose(found.norm(dim=2), 1, atol=1e-5)


@pytest.mark.parametrize(("encoder", "frozen"), FINETUNED)
@pytest.mark.parametrize("algorithm", ["scl", "classification"])
def test_every_encoder_is_imported_with_what_its_algorithm_needs(tmp_path, encoder, frozen, algorithm):
    state, model = released(encoder, frozen)
    base = {"NETWORK": "Resnet18", "LAYER": frozen or 3, "FRAMES_PER_BATCH": 40}
    network = {
        "TRAIN_BASE": "frozen" if frozen else "train_all",
        "BASE_MODEL": base,
        "EMBEDDER_MODEL": {"NUM_HEADS": 2},
    }
    more = {"MODEL": CFG["MODEL"] | network, "DATA": {"NUM_CONTEXTS": 1 if encoder == "transformer" else 2}}
    path = save(tmp_path, state, CFG | more | {"TRAINING_ALGO": algorithm})
    import_carl(path, tmp_path / "m.safetensors", ReleasedOptions())
    found = read_checkpoint(tmp_path / "m.safetensors")
    wanted, unread = found.options.network, "classifier." if algorithm == "scl" else "head."
    assert (wanted.backbone, wanted.encoder, wanted.frozen) == ("resnet18", encoder, frozen)
    assert wanted.heads == 2 or encoder != "transformer"
    for name, value in model.state_dict().items():
        assert name.startswith(unread) or torch.equal(found.network.state_dict()[name], value), name


@pytest.mark.parametrize("region", [0, 0.0, 0.5])
def test_a_region_below_1_is_no_stretch(state, tmp_path, region):
    path = save(tmp_path, state[0], CFG | {"DATA": {"NUM_CONTEXTS": 1, "SAMPLING_REGION": region}})
    import_carl(path, tmp_path / "m.safetensors", ReleasedOptions())
    assert read_checkpoint(tmp_path / "m.safetensors").options.sampling.region == 1.0


def test_a_fourth_stage_beside_the_conv_encoder_is_left_out_and_said(tmp_path, caplog):
    from torchvision.models import resnet18

    state, model = released("conv", 0)
    unused = {f"res_finetune.{k}": v for k, v in resnet18(weights=None).layer4.state_dict().items()}
    network = {"TRAIN_BASE": "train_all", "BASE_MODEL": {"NETWORK": "Resnet18", "LAYER": 3}}
    path = save(tmp_path, state | unused, CFG | {"MODEL": CFG["MODEL"] | network, "DATA": {"NUM_CONTEXTS": 2}})
    with caplog.at_level("INFO"):
        import_carl(path, tmp_path / "m.safetensors", ReleasedOptions())
    found = read_checkpoint(tmp_path / "m.safetensors").network.state_dict()
    assert not any("layer4" in name for name in found)
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items() if name in found)
    left = len(unused) + sum(name.startswith("classifier.") for name in model.state_dict())
    assert f"{left} weights that it does not use are left out" in caplog.text


@pytest.mark.parametrize(
    ("datasets", "given", "sets", "size", "rule"),
    [
        (["pouring"], {}, "none", 224, "video"),
        (["baseball_pitch", "bowl", "squat"], {}, "task", 224, "video"),
        (["kinetics400", "baseball_pitch"], {}, "task", 224, "video"),
        (["finegym"], {}, "none", 360, "window"),
        ("finegym", {}, "none", 360, "window"),
        (["strange"], {"sets": "task"}, "task", 224, "video"),
        (["bowl"], {"sets": "none"}, "none", 224, "video"),
    ],
)
def test_the_dataset_tells_sets_and_the_size_of_its_frames(state, tmp_path, datasets, given, sets, size, rule):
    """Penn's actions are tested apart; pictures of FineGym, 640 x 360, are cropped as they are."""
    path = save(tmp_path, state[0], CFG | {"DATASETS": datasets})
    import_carl(path, tmp_path / "m.safetensors", ReleasedOptions(**given))
    found = read_checkpoint(tmp_path / "m.safetensors")
    assert (found.options.sets, found.frames.size, found.options.sampling.rule) == (sets, size, rule)


def test_what_the_configuration_does_not_tell_is_asked_for(state, tmp_path):
    path = save(tmp_path, state[0], {})
    with pytest.raises(DataError, match="does not tell TRAIN.NUM_FRAMES; say it with frames"):
        import_carl(path, tmp_path / "m.safetensors", ReleasedOptions())
    import_carl(path, tmp_path / "m.safetensors", ReleasedOptions(frames=9))
    assert read_checkpoint(tmp_path / "m.safetensors").options.sampling.frames == 9


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = save(tmp_path, {"a": torch.zeros(1)}, Harmful())
    with pytest.raises(DataError, match="holds more than weights and configuration"):
        import_carl(path, tmp_path / "m", ReleasedOptions())
    assert "never" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state | {"strange.weight": torch.zeros(1)}, "strange.weight is no name of a weight of CARL"),
        (lambda state: {k: v for k, v in state.items() if "embedding_layer" not in k}, "it has no embedder.out.weight"),
        (
            lambda state: state | {"embed.fc_layers.5.weight": torch.zeros(3, 3)},
            "of another model: .*fc1.weight is 3 x 3",
        ),
        (lambda state: {}, "there is no model_state"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(state, tmp_path, change, sentence):
    path = save(tmp_path, change(state[0]), CFG)
    with pytest.raises(DataError, match=sentence):
        import_carl(path, tmp_path / "m", ReleasedOptions())


def test_a_file_of_another_kind_is_one_sentence(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="this is no checkpoint of CARL"):
        import_carl(tmp_path / "x.pth", tmp_path / "m", ReleasedOptions())
