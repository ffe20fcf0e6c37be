"""The networks for pictures, each as named parts and the way through them, with what works along time put in.

A backbone is no module of its own: its parts become children of the Recogniser, so that weights have the very names that
torchvision gives them (``conv1.weight``, ``layer1.0.conv1.weight``, ``features.0.0.weight``). What works along time has no
weights and no part in names, but for non-local blocks: ``layer2.0`` becomes ``layer2.0.block`` and ``layer2.0.nl``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinoflow.features import bn_inception
from kinoflow.features.small import Small
from kinoflow.tasks.recognition.first_conv import with_inputs
from kinoflow.tasks.recognition.non_local import NonLocalAfter
from kinoflow.tasks.recognition.options import NetworkOptions
from kinoflow.tasks.recognition.shift import TemporalPool, TemporalShift, at_input

MANY = 23  # blocks of a stage from which on only every second block is shifted
STAGES = ("layer1", "layer2", "layer3", "layer4")
NON_LOCAL = {"layer2": (0, 2), "layer3": (0, 2, 4)}  # blocks of ResNet-50 with a non-local block behind


@dataclass(frozen=True)
class Backbone:
    """A network for pictures.

    parts: its children by name, in order. run: the way through them, (net that holds them, pictures (B, C, H, W)) ->
    (B, width, h, w).
    """

    parts: dict[str, nn.Module]
    run: Callable[[nn.Module, Tensor], Tensor]
    width: int


def build(network: NetworkOptions, inputs: int, segments: int) -> Backbone:
    """Return the backbone that ``network`` asks for, on torch's meta device: its weights have no values yet.

    inputs: channels of its pictures. segments: of a clip.
    """
    with torch.device("meta"):  # nothing is drawn: that is the Recogniser's affair
        if network.backbone == "small":
            return _small(network, inputs, segments)
        if network.backbone == "mobilenet_v2":
            return _mobilenet(network, inputs, segments)
        if network.backbone == "bn_inception":
            return _bn_inception(network, inputs, segments)
        return _resnet(network, inputs, segments)


def first_convolution(backbone: str) -> str:
    """Return the name of the first convolution."""
    return {"small": "stem.0", "mobilenet_v2": "features.0.0", "bn_inception": bn_inception.STEM}.get(backbone, "conv1")


# ---------------------------------------------------------------- residual networks


def _resnet(network: NetworkOptions, inputs: int, segments: int) -> Backbone:
    from torchvision.models import get_model

    net = get_model(network.backbone, weights=None)
    width = net.fc.in_features
    parts = {name: part for name, part in net.named_children() if name not in ("avgpool", "fc")}
    parts["conv1"] = _fitted(net.conv1, inputs)
    pace = 2 if network.temporal_pool else 1
    step = 2 if len(parts["layer3"]) >= MANY else 1
    if network.temporal_pool:  # first of all: what else works on the input of this block comes behind it
        at_input(parts["layer2"][0], "pool", TemporalPool(segments))
    for name in STAGES:
        stage, behind = parts[name], 1 if name == "layer1" else pace
        for block in list(stage)[::step] if network.shift else ():
            _shift(network, block, segments, behind)
        for i in NON_LOCAL.get(name, ()) if network.non_local else ():
            stage[i] = NonLocalAfter(stage[i], stage[i].bn3.num_features, segments // behind, behind)
    return Backbone(parts, _through_resnet, width)


def _through_resnet(net: nn.Module, x: Tensor) -> Tensor:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for name in STAGES:
        x = getattr(net, name)(x)
    return x


def _shift(network: NetworkOptions, block: nn.Module, segments: int, pace: int = 1) -> None:
    """Shift the input of a residual block, or of its residual branch alone, which begins with ``conv1``."""
    target = block if network.shift_place == "block" else block.conv1
    at_input(target, "shift", _operator(network, segments, pace))


def _operator(network: NetworkOptions, segments: int, pace: int = 1) -> TemporalShift:
    return TemporalShift(segments // pace, network.shift, network.one_sided, pace)


# ---------------------------------------------------------------- the others


def _small(network: NetworkOptions, inputs: int, segments: int) -> Backbone:
    net = Small(inputs)
    if network.shift:
        for block in net.blocks:
            _shift(network, block, segments)
    return Backbone(dict(net.named_children()), _through_small, net.width)


def _through_small(net: nn.Module, x: Tensor) -> Tensor:
    return net.blocks(net.stem(x))


def _mobilenet(network: NetworkOptions, inputs: int, segments: int) -> Backbone:
    from torchvision.models import mobilenet_v2
    from torchvision.models.mobilenetv2 import InvertedResidual

    layers = mobilenet_v2(weights=None).features
    layers[0][0] = _fitted(layers[0][0], inputs)
    for layer in layers if network.shift else ():
        # Blocks with a shortcut all widen their channels first, by a convolution that reads what is shifted.
        if isinstance(layer, InvertedResidual) and layer.use_res_connect:
            at_input(layer.conv[0][0], "shift", _operator(network, segments))
    return Backbone({"features": layers}, _through_mobilenet, layers[-1][0].out_channels)


def _through_mobilenet(net: nn.Module, x: Tensor) -> Tensor:
    return dict(net.named_children())["features"](x)  # the method ``features`` of the Recogniser hides it


def _bn_inception(network: NetworkOptions, inputs: int, segments: int) -> Backbone:
    parts = bn_inception.parts(inputs)
    if network.shift:
        shifts = {bn_inception.shift_name(place): _operator(network, segments) for place in bn_inception.PLACES}
        parts |= shifts
    return Backbone(parts, bn_inception.run, bn_inception.WIDTH)


def _fitted(conv: nn.Conv2d, inputs: int) -> nn.Conv2d:
    return conv if conv.in_channels == inputs else with_inputs(conv, inputs)
