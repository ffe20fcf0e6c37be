"""Checkpoints of AVT made into our own: names are translated, matrices of GPT-2 turned, nothing in a file is ever executed."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from kinoflow.datasets.actions import Classes, read_classes
from kinoflow.errors import DataError
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
USELESS = re.compile(
    r"gpt_model\.(wte\.weight|h\.\d+\.attn\.(bias|masked_bias))"
)  # buffers of GPT-2, and its unused words


def import_avt(
    file: In, classes: In, model: Out, options: AnticipationOptions, dataset: str = "", seed: int = 0
) -> None:
    """Make a checkpoint of AVT into one of a student. Width, layers and positions are found out; heads cannot be.

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
    """Return the student with the weights of AVT; DataError, naming ``source``, if they are of another network."""
    found = head_weights(tensors)
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
            "backbone": "identity",
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
    ignored = [name for name in tensors if not _known(name)]
    if ignored:
        log.info(
            "%s: %d weights of the file are not used (%s, ...): its backbone, for example",
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
