"""Every network by its name, cut at any layer: clips in, one feature vector a clip out."""

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.features import bn_inception
from kinoflow.features.networks import BN_INCEPTION, RESNET3D, SMALL
from kinoflow.features.resnet3d import ResNet3d
from kinoflow.features.small import Small
from kinoflow.features.transforms import Pictures, published

VIDEO_CLIP = 16  # frames that torchvision's video networks were trained on
CLASSIFIERS = (nn.Linear, nn.Conv2d, nn.Conv3d)


# ---------------------------------------------------------------- names


def names() -> list[str]:
    """Return the names of all networks: three of ours, and torchvision's for classifying pictures and videos."""
    return [SMALL, RESNET3D, BN_INCEPTION, *_torchvision_names(video=False), *_torchvision_names(video=True)]


def is_video(name: str) -> bool:
    """Tell whether a network reads clips of several frames; ConfigError, with the nearest names, if there is none."""
    if name == SMALL:
        return False
    if name not in names():
        raise ConfigError(f"backbone: there is no network {name!r}; {_nearest(name, names())}")
    return name == RESNET3D or name in _torchvision_names(video=True)


def _torchvision_names(video: bool) -> list[str]:
    from torchvision import models

    return models.list_models(module=models.video if video else models)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f"the nearest names: {', '.join(close)}" if close else f"known are: {', '.join(known[:12])}, ..."


# ---------------------------------------------------------------- torchvision's weights


def member(name: str, weights: str) -> Any:
    """Return a member of a network's enumeration of published weights (``DEFAULT`` is the best one).

    Raises ConfigError, with the names that there are.
    """
    if name == SMALL:
        raise ConfigError("weights: torchvision has none for the network 'small'; give none, a file, or a run")
    from torchvision.models import get_model_weights

    known = get_model_weights(name)
    if weights not in known.__members__:
        raise ConfigError(
            f"weights: {name} has no weights {weights!r}; known are: DEFAULT, {', '.join(m.name for m in known)}"
        )
    return known[weights]


def usual_pictures(name: str, weights: Any = None) -> Pictures:
    """Return how pictures are made ready for a network: as published with ``weights`` (a member) or with its default ones."""
    if name == BN_INCEPTION:
        return Pictures(256, 224, bn_inception.MEAN, (1 / 255,) * 3)
    if name == RESNET3D:  # as its weights come from a file, what is usual for networks of 224 pixels
        return Pictures(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return Pictures() if name == SMALL else published((weights or member(name, "DEFAULT")).transforms())


# ---------------------------------------------------------------- networks


def build(name: str, side: int) -> nn.Module:
    """Return a network for pictures of ``side`` pixels, its weights drawn from torch's global random state.

    Only networks with learned positions care about ``side``. Auxiliary classifiers are left away.
    """
    if name == SMALL:
        return Small()
    if name == RESNET3D:
        return ResNet3d()
    if name == BN_INCEPTION:
        return bn_inception.BnInception()
    from torchvision.models import get_model

    if name in (
        "googlenet",
        "inception_v3",
    ):  # their weights want values of another scale than the published transforms
        return get_model(name, weights=None, aux_logits=False, transform_input=True, init_weights=True)
    if name.startswith("vit_"):
        return get_model(name, weights=None, image_size=side)
    if name.startswith("maxvit_"):
        return get_model(name, weights=None, input_size=(side, side))
    return get_model(name, weights=None)


class _ReachedError(Exception):
    """Carries the tensor at the layer out of a network that need not run any further."""

    def __init__(self, tensor: Any):
        super().__init__()
        self.tensor = tensor


def _leave_before(module: nn.Module, inputs: tuple) -> None:
    raise _ReachedError(inputs[0])


def _leave_after(module: nn.Module, inputs: tuple, output: Any) -> None:
    raise _ReachedError(output)


class Backbone:
    """A network cut at one layer.

    layer: name of a module whose output is taken, that of its first call if there are several; empty: what the classifier
    reads (the network's output, if it has no classifier).
    Outputs over positions are averaged over them; tokens as well, unless the classifier reads one of them.

    >>> Backbone(Small())(torch.zeros(2, 3, 40, 40)).shape
    torch.Size([2, 96])
    """

    def __init__(self, network: nn.Module, layer: str = ""):
        self.network, self.layer = network.eval().requires_grad_(False), layer
        self._channels_last = False
        head = None if layer or isinstance(network, Small) else _classifier(network)
        if head is not None:
            head.register_forward_pre_hook(_leave_before)
            self._channels_last = isinstance(head, nn.Linear)
        elif layer:
            _module(network, layer).register_forward_hook(_leave_after)

    def __call__(self, clips: Tensor) -> Tensor:
        """Return features (B, D) of pictures (B, 3, H, W) or clips (B, 3, T, H, W), normalised."""
        return self._averaged(self._at_layer(clips), len(clips))

    @torch.inference_mode()
    def fit(self, shape: tuple[int, ...]) -> int:
        """Try pictures (3, H, W) or clips (3, T, H, W) of a shape; return the width of the features, D.

        Finds out on which axis of the layer's output the channels are: the one that does not grow with the picture.
        Raises ConfigError if the network cannot take the shape, or never comes to the layer.
        """
        device = next(self.network.parameters()).device
        try:
            found = self._at_layer(torch.zeros(1, *shape, device=device))
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"the backbone cannot take clips of {_shown(shape)} ({reason}); set resize, crop or clip"
            ) from None
        if self.layer and found.ndim > 3:
            self._channels_last = self._grows_inside(shape, found)
        return self._averaged(found, 1).shape[1]

    def _at_layer(self, clips: Tensor) -> Tensor:
        try:
            output = self.network(clips)
        except _ReachedError as reached:
            output = reached.tensor
        else:
            if self.layer:
                raise ConfigError(f"layer: the network never calls {self.layer!r}; take a layer around it")
        return output[0] if isinstance(output, tuple) else output

    def _averaged(self, found: Tensor, clips: int) -> Tensor:
        """Average over positions: (B, ..., D) or (B, D, ...) -> (B, D) float32."""
        if found.ndim < 2 or len(found) != clips:
            shape = tuple(found.shape)
            raise ConfigError(f"layer: {self.layer!r} gives {shape}, no vector for each clip; take a layer around it")
        found = found.float()
        if found.ndim == 2:
            return found
        last = found.ndim == 3 or self._channels_last
        return found.flatten(1, -2).mean(1) if last else found.flatten(2).mean(2)

    def _grows_inside(self, shape: tuple[int, ...], found: Tensor) -> bool:
        """Tell whether a larger picture makes axes of the layer's output grow, but not the last one."""
        larger = (*shape[:-2], shape[-2] + 64, shape[-1] + 64)
        try:
            other = self._at_layer(torch.zeros(1, *larger, device=found.device))
        except (RuntimeError, AssertionError, ValueError):
            return False  # learned positions allow one size only; what has four axes there comes out of convolutions
        return other.shape[-1] == found.shape[-1] and other.shape != found.shape


def _classifier(network: nn.Module) -> nn.Module:
    """Return the layer that gives the classes: the last one in the order of definition."""
    return [module for module in network.modules() if isinstance(module, CLASSIFIERS)][-1]


def _module(network: nn.Module, layer: str) -> nn.Module:
    known = dict(network.named_modules())
    if layer not in known:
        raise ConfigError(f"layer: the backbone has no layer {layer!r}; {_nearest(layer, [*filter(None, known)])}")
    return known[layer]


def _shown(shape: tuple[int, ...]) -> str:
    frames = f"{shape[1]} frames of " if len(shape) == 4 else ""
    return f"{frames}{shape[-2]} x {shape[-1]} pixels"
