"""Checkpoints of AVT made into our own: names are translated, matrices of GPT-2 turned, nothing in a file is ever executed."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kinoflow.datasets.actions import Classes, read_classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import AnticipationOptions
from kinoflow.tasks.anticipation.scoring import Trained
from kinoflow.training import checkpoint

PREFIXES = ("module.", "future_predictor.")
BLOCK = re.compile(r"gpt_model\.h\.(\d+)\.(.+)")
PARTS = {
    "ln_1": "norm1",
    "ln_2": "norm2",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
}
TURNED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")  # stored (in, out)
OUTSIDE = {
    "gpt_model.wpe.weight": "transformer.positions.weight",
    "gpt_model.ln_f.weight": "transformer.norm.weight",
    "gpt_model.ln_f.bias": "transformer.norm.bias",
    "encoder.weight": "encoder.weight",
    "decoder.weight": "decoder.weight",
}
VIT, PATCH = "backbone.model.", 16  # what stands in front of the names of timm's ViT; pixels
VIT_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")
VIT_PARTS = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv": "self_attention.in_proj",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
}
VIT_OUTSIDE = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj.weight": "conv_proj.weight",
    "patch_embed.proj.bias": "conv_proj.bias",
    "norm.weight": "encoder.ln.weight",
    "norm.bias": "encoder.ln.bias",
}
USELESS = re.compile(
    r"gpt_model\.(wte\.weight|h\.\d+\.attn\.(bias|masked_bias))"
)  # buffers of GPT-2, and its unused words


def import_avt(
    file: In, classes: In, model: Out, options: AnticipationOptions, dataset: str = "", seed: int = 0
) -> None:
    """Make a checkpoint of AVT into one of a student. Width, layers and positions are found out, and a ViT behind; heads cannot be.

    file: the checkpoint of AVT, or of the distilled student: .pth, .pt or .safetensors
    classes: the table of classes of the dataset, of `kinoflow action-sequences`
    model: the checkpoint to write
    options: what the student was trained with: the window, and network.heads above all
    dataset: its name
    seed: what the checkpoint says of its seed
    """
    from kinoflow.features.weights import read

    table = read_classes(classes)
    student = imported(read(file), table, options, file)
    network = student.network
    used = options.model_copy(update={"network": network})
    told = Trained(student, used, table, (0,) * len(table.names), dataset, seed=seed)
    checkpoint.save(model, nn.ModuleDict({"student": student}), told.about())
    log.info("%s: %d layers of width %d, %d features", file.name, network.layers, network.width, student.features)


def imported(tensors: Mapping[str, Tensor], classes: Classes, options: AnticipationOptions, source: Path) -> Student:
    """Return the student with the weights of AVT; DataError, naming ``source``, if they are of another network.

    ConfigError if a ViT is among them, and the options read no frames.
    """
    found, eye = head_weights(tensors), vit_weights(tensors, source)
    classifiers = {
        name.removeprefix("module."): value
        for name, value in tensors.items()
        if name.removeprefix("module.").startswith("classifiers.")
    }
    if "encoder.weight" not in found or not classifiers:
        raise DataError(
            f"{source}: this is no checkpoint of AVT: it has no future_predictor.encoder, or no classifiers"
        )
    width, features = found["encoder.weight"].shape
    layers = 1 + max(
        (int(m[1]) for name in found if (m := re.match(r"transformer\.blocks\.(\d+)\.", name))), default=-1
    )
    targets = tuple(dict.fromkeys(name.split(".")[1] for name in classifiers))
    network = options.network.model_copy(
        update={
            **_reading(eye, options, source),
            "weights": "none",
            "head": "avt_h",
            "classifier": "linear",
            "width": width,
            "layers": layers,
            "positions": len(found["transformer.positions.weight"]),
            "targets": targets,
        }
    )
    wrong = [target for target in targets if target not in classes.heads]
    if wrong:
        raise DataError(f"{source}: it classifies {wrong[0]!r}, which the table of classes does not have")
    student = Student(network, features, {t: classes.heads[t] for t in targets}, options.sampling.steps)
    named = {f"head.{name}": value for name, value in found.items()} | classifiers
    named |= {f"backbone.network.{name}": value for name, value in eye.items()}
    ignored = [name for name in tensors if not _known(name) and not (eye and _plain(name).startswith(VIT))]
    if ignored:
        log.warning(
            "%s: %d weights of the file are not used (%s, ...); if these are its backbone, the student reads the features that it"
            " gives",
            source.name,
            len(ignored),
            ignored[0],
        )
    checkpoint.load_into(student, named, source)
    return student.eval()


def head_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of AVT-h under our names, from those of AVT, with or without ``future_predictor.`` in front."""
    found = {}
    for name, value in tensors.items():
        plain = _plain(name)
        inside = BLOCK.fullmatch(plain)
        if plain in OUTSIDE:
            found[OUTSIDE[plain]] = value
        elif inside and not USELESS.fullmatch(plain):
            part, _, kind = inside[2].rpartition(".")
            if part in PARTS:
                turned = part in TURNED and kind == "weight"
                found[f"transformer.blocks.{inside[1]}.{PARTS[part]}.{kind}"] = value.T if turned else value
    return found


def vit_weights(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return the weights of the ViT behind AVT under torchvision's names, from timm's; nothing if the file has no ViT.

    Raises DataError, naming ``source``, for one with a layer behind it that vit_b_16 does not have.
    """
    own = {_plain(name).removeprefix(VIT): value for name, value in tensors.items() if _plain(name).startswith(VIT)}
    if "cls_token" not in own:
        return {}
    found = {}
    for name, value in own.items():
        if name.startswith("pre_logits."):
            raise DataError(
                f"{source}: its ViT has a layer more ({name}), which vit_b_16 here does not have; take a checkpoint without"
            )
        inside = VIT_BLOCK.fullmatch(name)
        if name in VIT_OUTSIDE:
            found[VIT_OUTSIDE[name]] = value
        elif inside and inside[2] in VIT_PARTS:
            found[f"encoder.layers.encoder_layer_{inside[1]}.{VIT_PARTS[inside[2]]}{_joined(*inside.groups()[1:])}"] = (
                value
            )
    return found


def _joined(part: str, kind: str) -> str:
    """Return how the kind of a weight is written behind its part: in_proj_weight, all others with a dot."""
    return f"_{kind}" if part == "attn.qkv" else f".{kind}"


def _reading(eye: Mapping[str, Tensor], options: AnticipationOptions, source: Path) -> dict[str, Any]:
    """Return the options of the network that say what it reads."""
    if not eye:
        return {"backbone": "identity"}
    if options.sampling.read != "frames":
        raise ConfigError(f"sampling.read: {source.name} has a ViT, which reads single frames; take read: frames")
    squares = eye["encoder.pos_embedding"].shape[1] - 1
    return {"backbone": "vit_b_16", "size": PATCH * math.isqrt(squares)}


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _known(name: str) -> bool:
    plain = _plain(name)
    return (
        plain in OUTSIDE
        or bool(BLOCK.fullmatch(plain))
        or plain.startswith("classifiers.")
        or bool(USELESS.fullmatch(plain))
    )
