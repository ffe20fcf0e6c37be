"""Names of weights in the published checkpoints of CARL, and ours."""

import re
from collections.abc import Mapping

from torch import Tensor

from kinoflow.errors import DataError

# (published, ours), tried in order. In a checkpoint with two frozen stages the trained ones are numbered from 0.
BACKBONE = (
    (r"backbone\.0\.", "backbone.conv1."),
    (r"backbone\.1\.", "backbone.bn1."),
    (r"backbone\.4\.", "backbone.layer1."),
    (r"backbone\.5\.", "backbone.layer2."),
    (r"backbone\.6\.", "backbone.layer3."),
)
ONE_STAGE = ((r"res_finetune\.", "backbone.layer4."),)
TWO_STAGES = ((r"res_finetune\.0\.", "backbone.layer3."), (r"res_finetune\.1\.", "backbone.layer4."))
TRANSFORMER = (
    (r"embed\.fc_layers\.1\.", "embedder.fc0."),
    (r"embed\.fc_layers\.2\.", "embedder.bn0."),
    (r"embed\.fc_layers\.5\.", "embedder.fc1."),
    (r"embed\.fc_layers\.6\.", "embedder.bn1."),
    (r"embed\.video_emb\.", "embedder.inner."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.res_layer0\.norm\.", r"embedder.layers.\1.ln_attn."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.res_layer1\.norm\.", r"embedder.layers.\1.ln_ff."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.self_att\.linear_Q2d\.", r"embedder.layers.\1.q."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.self_att\.linear_K2d\.", r"embedder.layers.\1.k."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.self_att\.linear_V2d\.", r"embedder.layers.\1.v."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.self_att\.linear_d2Q\.", r"embedder.layers.\1.o."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.feed_forward\.fc1\.", r"embedder.layers.\1.ff1."),
    (r"embed\.video_encoder\.enc_layers\.(\d+)\.feed_forward\.fc2\.", r"embedder.layers.\1.ff2."),
)
CONV = (
    (r"embed\.conv_layers\.0\.", "embedder.conv0."),
    (r"embed\.conv_layers\.1\.", "embedder.bn0."),
    (r"embed\.conv_layers\.3\.", "embedder.conv1."),
    (r"embed\.conv_layers\.4\.", "embedder.bn1."),
    (r"embed\.fc_layers\.1\.", "embedder.fc0."),
    (r"embed\.fc_layers\.4\.", "embedder.fc1."),
)
HEADS = (
    (r"embed\.embedding_layer\.", "embedder.out."),
    (r"ssl_projection\.net\.0\.", "head.fc0."),
    (r"ssl_projection\.net\.1\.", "head.bn."),
    (r"ssl_projection\.net\.3\.", "head.fc1."),
    (r"classifier\.fc_layers\.1\.", "classifier."),
)


def import_released(state: Mapping[str, Tensor], source: str = "checkpoint") -> dict[str, Tensor]:
    """Return a published checkpoint's ``model_state`` under our names, for `kinoflow.training.checkpoint.load_into`.

    Takes checkpoints of the transformer, the conv and the vanilla encoder. Raises DataError, naming ``source`` and the
    tensor, if one has no place here.
    """
    two = any(re.match(r"res_finetune\.\d+\.\d+\.", name) for name in state)
    encoder = TRANSFORMER if any(name.startswith("embed.video_emb.") for name in state) else CONV
    rules = [*BACKBONE, *(TWO_STAGES if two else ONE_STAGE), *encoder, *HEADS]
    return {_ours(name, rules, source): value for name, value in state.items()}


def _ours(name: str, rules: list[tuple[str, str]], source: str) -> str:
    plain = name.removeprefix("module.")
    for pattern, replacement in rules:
        found, hits = re.subn(f"^{pattern}", replacement, plain)
        if hits:
            return found
    raise DataError(f"{source}: {name} is no name of a weight of CARL; give a checkpoint of its program")
