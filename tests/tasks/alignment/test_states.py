"""Names of the published checkpoints, on imitations with the architecture of each encoder."""

import pytest
import torch

from kinoflow.errors import DataError
from kinoflow.tasks.alignment.model import Aligner
from kinoflow.tasks.alignment.options import EncoderOptions
from kinoflow.tasks.alignment.states import import_released
from kinoflow.training.checkpoint import load_into

SIZES = {"hidden": 8, "width": 8, "heads": 2, "feed_forward": 8, "layers": 2, "embedding": 4, "conv_width": 4}
LINEAR, NORM = ("weight", "bias"), ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# (published, ours, what of it) as section 4.10 of the specification lists them; the backbone's are written by rule below
HEADS = [
    ("embed.embedding_layer", "embedder.out", LINEAR),
    ("ssl_projection.net.0", "head.fc0", LINEAR),
    ("ssl_projection.net.1", "head.bn", NORM),
    ("ssl_projection.net.3", "head.fc1", LINEAR),
    ("classifier.fc_layers.1", "classifier", LINEAR),
]
LAYER = [
    ("res_layer0.norm", "ln_attn"),
    ("res_layer1.norm", "ln_ff"),
    ("self_att.linear_Q2d", "q"),
    ("self_att.linear_K2d", "k"),
    ("self_att.linear_V2d", "v"),
    ("self_att.linear_d2Q", "o"),
    ("feed_forward.fc1", "ff1"),
    ("feed_forward.fc2", "ff2"),
]
TRANSFORMER = [
    ("embed.fc_layers.1", "embedder.fc0", LINEAR),
    ("embed.fc_layers.2", "embedder.bn0", NORM),
    ("embed.fc_layers.5", "embedder.fc1", LINEAR),
    ("embed.fc_layers.6", "embedder.bn1", NORM),
    ("embed.video_emb", "embedder.inner", LINEAR),
    *(
        (f"embed.video_encoder.enc_layers.{k}.{theirs}", f"embedder.layers.{k}.{ours}", LINEAR)
        for k in range(2)
        for theirs, ours in LAYER
    ),
]
CONV = [
    ("embed.conv_layers.0", "embedder.conv0", LINEAR),
    ("embed.conv_layers.1", "embedder.bn0", NORM),
    ("embed.conv_layers.3", "embedder.conv1", LINEAR),
    ("embed.conv_layers.4", "embedder.bn1", NORM),
    ("embed.fc_layers.1", "embedder.fc0", LINEAR),
    ("embed.fc_layers.4", "embedder.fc1", LINEAR),
]
VANILLA = CONV[4:]
ENCODERS = {"transformer": TRANSFORMER, "conv": CONV, "vanilla": VANILLA}
STAGES = {
    "conv1": "backbone.0",
    "bn1": "backbone.1",
    "layer1": "backbone.4",
    "layer2": "backbone.5",
    "layer3": "backbone.6",
}
FINETUNED = {
    ("transformer", 3): STAGES | {"layer4": "res_finetune"},
    ("transformer", 2): {k: v for k, v in STAGES.items() if k != "layer3"}
    | {"layer3": "res_finetune.0", "layer4": "res_finetune.1"},
    ("conv", 0): STAGES,
    ("vanilla", 3): STAGES | {"layer4": "res_finetune"},
}


def released(encoder: str, frozen: int) -> tuple[dict[str, torch.Tensor], Aligner]:
    """A checkpoint as the published program names it, and the network that it is of."""
    options = EncoderOptions(backbone="resnet18", encoder=encoder, frozen=frozen, **SIZES)
    model = Aligner(options, 4, classes=3, seed=7)
    names = {
        f"{ours}.{part}": f"{theirs}.{part}" for theirs, ours, parts in [*HEADS, *ENCODERS[encoder]] for part in parts
    }
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith("backbone."):
            _, stage, rest = name.split(".", 2)
            state[f"{FINETUNED[encoder, frozen][stage]}.{rest}"] = value
        else:
            state[names.pop(name)] = value
    assert not names
    return state, model


@pytest.mark.parametrize(("encoder", "frozen"), FINETUNED)
def test_every_weight_of_a_published_checkpoint_finds_its_place(encoder, frozen):
    state, model = released(encoder, frozen)
    other = Aligner(**{**model.about(), "network": model.network}, seed=8)
    load_into(other, import_released(state, "checkpoint_epoch_00300.pth"), "checkpoint_epoch_00300.pth")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())


def test_a_name_of_another_program_is_refused():
    with pytest.raises(DataError, match=r"x.pth: decoder.weight is no name of a weight of CARL"):
        import_released({"decoder.weight": torch.zeros(1)}, "x.pth")
