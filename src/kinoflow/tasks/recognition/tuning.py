"""Weights to begin with: none, torchvision's, or those of a file, in our naming or in that of TSM's published models.

A file's weights are taken over as TSM's rule for tuning says, but for its accidents:
- heads are taken over only where the file was trained on the same dataset, with the same classes;
- the first convolution is made anew where weights for an RGB picture, or for three gray planes in the place of its colours,
  meet other planes (first_conv.py), and is left as it was drawn where a network for flow begins with one that was trained on
  something else;
- everything else must be there, and must fit.
What works along time adds nothing to names, so that TSN's weights begin a TSM, or those of one place of shift the other's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinoflow.errors import ConfigError, DataError
from kinoflow.features.backbones import member
from kinoflow.features.weights import few, published_file, read
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.store.files import parse_json
from kinoflow.tasks.recognition.backbones import first_convolution
from kinoflow.tasks.recognition.first_conv import adapted
from kinoflow.tasks.recognition.model import Recogniser, plain
from kinoflow.tasks.recognition.options import NetworkOptions
from kinoflow.training import checkpoint

NONE, PUBLISHED = "none", "torchvision:"
HEAD = "fc."
OTHER_INPUT = (
    "it was trained on another input; set input.kind and input.frames as there, or begin with weights for RGB pictures"
)
COUNTER = "num_batches_tracked"  # counts steps; no weight, and in no old file
# TSM's names: wrappers add parts, the last layer has a name of its own. Others' names of last layers come after.
WRAPPERS = re.compile(r"^(?:module\.)?(?:base_model\.)?")
LAST = re.compile(r"^(?:new_fc|last_linear|classifier(?:\.1)?)\.")
# MobileNetV2 as TSM has it numbers the layers of a block through; torchvision groups them. The first block has no widening.
FLAT = "features.1.conv.0.weight"
GROUPED = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
GROUPED_FIRST = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
FILE_NAME = re.compile(
    r"TSM_(?P<dataset>[^_]+)_(?P<modality>RGB|Flow)_(?P<backbone>[^_]+)"
    r"(?:_shift(?P<shift>\d+)_(?P<place>blockres|block))?(?P<middle>.*?)_(?P<consensus>avg|identity|rnn)"
    r"_segment(?P<segments>\d+)(?P<rest>.*)$"
)
DATASETS = {"kinetics": "kinetics400", "something": "something_v1", "somethingv2": "something_v2"}  # TSM's names: ours
BACKBONES = {"mobilenetv2": "mobilenet_v2", "BNInception": "bn_inception"}


@dataclass(frozen=True)
class Source:
    """Weights by our names, those of a nameless head as ``fc.weight``, and what is known about their training.

    kind: of the input. classes: of each head, in order.
    """

    tensors: dict[str, Tensor]
    dataset: str | None = None
    kind: str | None = None
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """What came from a file, and what stayed as drawn: names of weights. heads: whether the heads came, too."""

    loaded: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    heads: bool = False


def begin(model: Recogniser, weights: str, dataset: str, classes: Mapping[str, Sequence[str]]) -> Begun:
    """Give ``model`` its first weights: ``none`` (as they were drawn), ``torchvision:NAME``, or the path of a file.

    dataset, classes: what the model is to be trained on, and the names of each head's classes in order.
    Raises ConfigError or DataError that names the file and its first weight that does not fit.
    """
    if weights == NONE:
        return Begun(left=tuple(_own(model)))
    if weights.startswith(PUBLISHED):
        if model.network.backbone == "bn_inception":
            raise ConfigError("weights: torchvision has none for bn_inception; give none, or a file")
        path = published_file(member(model.network.backbone, weights.removeprefix(PUBLISHED)))
        return take(model, Source(renamed(read(path))), str(path), dataset, classes)
    return take(model, source(Path(weights)), weights, dataset, classes)


def take(model: Recogniser, given: Source, name: str, dataset: str, classes: Mapping[str, Sequence[str]]) -> Begun:
    """Copy weights into ``model``; see the rule at the top. ``name``: of the file, for messages.

    Raises DataError if anything but heads and non-local blocks is missing, too much, or does not fit; a network for flow
    needs no first convolution.
    """
    own, stem = _own(model), f"{model.first}.weight"
    anew = model.kind == "flow" and given.kind not in (None, "flow")
    found = _with_heads(model, given, dataset, classes)
    found |= {key: value for key, value in given.tensors.items() if not key.startswith(HEAD)}
    if anew:
        found.pop(stem, None)
    elif stem in found:
        found[stem] = _stem(model, given.kind, found[stem], own[stem])
    for key, value in found.items():
        if key not in own:
            raise DataError(f"{name}: {key} is no weight of this {model.network.backbone}; it is of another network")
        if value.shape != own[key].shape:
            shapes = f"the shape {tuple(value.shape)}, the network needs {tuple(own[key].shape)}"
            raise DataError(f"{name}: {key} has {shapes}; {OTHER_INPUT if key == stem else 'it is of another network'}")
    left = tuple(key for key in own if key not in found)
    for key in left:
        if not (key.startswith(HEAD) or (key == stem and anew) or ".nl." in key):
            raise DataError(f"{name}: {key} is not in it; it is of another network than {model.network.backbone}")
    with torch.no_grad():
        for key, value in found.items():
            own[key].copy_(value)
    log.info("weights %s: %d taken, %d as drawn%s", Path(name).name, len(found), len(left), few(left))
    return Begun(tuple(found), left, heads=any(key.startswith(HEAD) for key in found))


# ---------------------------------------------------------------- the rule


def _own(model: Recogniser) -> dict[str, Tensor]:
    return {plain(key): value for key, value in model.state_dict().items() if not key.endswith(COUNTER)}


def _with_heads(
    model: Recogniser, given: Source, dataset: str, classes: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Return the weights of heads that are taken over: none unless the same dataset's classes were learned."""
    theirs, ours = (DATASETS.get(name or "", name) for name in (given.dataset, dataset))
    if not ours or theirs != ours:
        return {}
    heads = {}
    for key, value in named(given.tensors, next(iter(model.fc))).items():
        head = key.removeprefix(HEAD).rpartition(".")[0]
        if not key.startswith(HEAD) or head not in model.fc:
            continue
        learned = given.classes.get(head)
        fits = list(learned) == list(classes[head]) if learned else len(value) == model.fc[head].out_features
        heads |= {key: value} if fits else {}
    return heads


def _stem(model: Recogniser, kind: str | None, weight: Tensor, own: Tensor) -> Tensor:
    """Return a first convolution for the model's planes, made of one for ``kind`` where that can be done."""
    adapts = kind in (None, "rgb") or (kind == "gray" and weight.shape != own.shape)
    if not adapts or weight.ndim != 4 or weight.shape[1] != 3:
        return weight
    return adapted(weight, model.kind, model.channels, model.segments if model.network.fuse else 1)


# ---------------------------------------------------------------- files


def source(path: Path) -> Source:
    """Return the weights of a file: of a run of this room, of TSM, or of anybody who names layers as torchvision does.

    Raises DataError, naming the file, if it holds no weights.
    """
    if _is_run(path):
        tensors, about = checkpoint.read(path)
        tensors = {plain(key): value for key, value in tensors.items() if not key.endswith(COUNTER)}
        return _of_run(path, tensors, about)
    match = FILE_NAME.match(_telling(path))
    tensors = renamed(read(path))
    return Source(tensors, match["dataset"], _kind(match)) if match else Source(tensors)


@checkpoint.rebuilding
def _of_run(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Source:
    return Source(tensors, about["dataset"], about["options"]["input"]["kind"], about["heads"])


def _is_run(path: Path) -> bool:
    """Tell whether a file is a checkpoint of this room; what cannot be read is not, and is refused by whoever reads it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = (file.metadata() or {}).get(checkpoint.ABOUT, "{}")
        return parse_json(about).get("room") == "recognition"
    except (OSError, SafetensorError, ValueError, AttributeError):
        return False


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under our names: without TSM's wrappers, heads as ``fc``, without counters of batches."""
    names = {key: LAST.sub(HEAD, WRAPPERS.sub("", plain(key)).replace(".net.", ".")) for key in tensors}
    flat = FLAT in names.values()
    return {_grouped(name) if flat else name: tensors[key] for key, name in names.items() if not name.endswith(COUNTER)}


def named(tensors: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """Return the weights with a nameless head, ``fc.weight``, called ``fc.<head>.weight``."""
    return {
        f"{HEAD}{head}.{key.removeprefix(HEAD)}" if key.startswith(HEAD) and key.count(".") == 1 else key: value
        for key, value in tensors.items()
    }


def _grouped(name: str) -> str:
    parts = name.split(".")
    if parts[2:3] != ["conv"]:
        return name
    table = GROUPED_FIRST if parts[1] == "1" else GROUPED
    return ".".join([*parts[:3], table[parts[3]], *parts[4:]])


# ---------------------------------------------------------------- TSM's published models


@dataclass(frozen=True)
class Published:
    """What the name of one of TSM's files says. scheme: of sampling. frames, interval: of gray windows, where told."""

    network: NetworkOptions
    dataset: str
    kind: str
    segments: int
    scheme: str
    frames: int
    interval: int


def described(name: str) -> Published:
    """Return what a file's name says, such as TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth.

    Raises DataError if it is not made like this.
    """
    match = FILE_NAME.match(name)
    if not match:
        raise DataError(
            f"{name}: this name does not say which network it is, as TSM's names do"
            " (TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth); give the file its first name"
        )
    rest = f"{match['rest'].partition('.')[0]}_"
    values = {
        "backbone": BACKBONES.get(match["backbone"], match["backbone"]),
        "shift": int(match["shift"]) if match["shift"] else None,
        "shift_place": match["place"] or "blockres",
        "temporal_pool": "_tpool" in match["middle"],
        "non_local": "_nl_" in rest,
        "fuse": "_fusebefore_" in rest,
        "consensus": "average" if match["consensus"] == "avg" else "none",
    }
    frames, interval = (re.search(rf"_{key}(\d+)_", rest) for key in ("nf", "interval"))
    return Published(
        check(NetworkOptions, values, name),
        match["dataset"],
        _kind(match),
        int(match["segments"]),
        "dense" if "_dense_" in rest else "uniform",
        int(frames[1]) if frames else 1,
        int(interval[1]) if interval else 0,
    )


def published(
    path: Path, head: str = "action", name: str = "", one_sided: bool = False
) -> tuple[Recogniser, Published]:
    """Return one of TSM's models with its weights, and what its name says; its classes are those of ``head``.

    name: its first name, if it has another one now. one_sided: its shift is from the past only.
    Raises DataError if name and weights do not fit each other.
    """
    about, tensors = described(name or _telling(path)), named(renamed(read(path)), head)
    if one_sided:
        network = check(NetworkOptions, about.network.model_dump() | {"one_sided": True}, str(path))
        about = replace(about, network=network)
    stem, last = f"{first_convolution(about.network.backbone)}.weight", f"{HEAD}{head}.weight"
    for key in (stem, last):
        if key not in tensors:
            raise DataError(
                f"{path}: {key} is not in it, nor under the name that TSM gives it; it is none of TSM's models"
            )
    planes = tensors[stem].shape[1] // (about.segments if about.network.fuse else 1)
    model = Recogniser(about.network, planes, about.segments, {head: len(tensors[last])}, about.kind)
    given = Source(tensors, about.dataset, about.kind)
    take(model, given, str(path), about.dataset, {head: ()})
    return model, about


def _telling(path: Path) -> str:
    """Return the name that tells of a file: its own, or that of its folder (TSM_kinetics_.../ckpt.best.pth.tar)."""
    return path.parent.name if FILE_NAME.match(path.parent.name) and not FILE_NAME.match(path.name) else path.name


def _kind(match: re.Match[str]) -> str:
    if match["modality"] == "Flow":
        return "flow"
    return "gray" if "_gray" in match["middle"] else "rgb"
