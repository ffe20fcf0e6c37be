"""The Recogniser: TSN, TSM, LSNet and LSNet fused as one network, told apart by its options.

    clips (B, T, c, H, W) -> pictures (B*T, c, H, W) -> backbone, with operators along time -> mean over positions
        -> dropout -> one linear layer a head -> scores (B, T', K) -> consensus (B, K)

TSN: no shift. TSM: shift. LSNet: shift, and c gray frames in place of red, green and blue. Fused: all planes of a clip are the
channels of one picture, c * T of them. T' is T, half of it with a temporal pool, 1 if fused.

Papers: Wang et al., "Temporal Segment Networks", 2016; Lin et al., "TSM", 2019. LSNet has no paper that we know of.
"""

import copy
from collections.abc import Callable
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.recognition.backbones import build, first_convolution
from kinoflow.tasks.recognition.options import NetworkOptions
from kinoflow.tasks.recognition.shift import Temporal
from kinoflow.training.first_weights import generator_of
from kinoflow.training.seeds import SampleDropout

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = nn.modules.batchnorm._BatchNorm
HEAD_DEVIATION, NON_LOCAL_DEVIATION = 0.001, 0.01  # of drawn weights; those of TSN and of the non-local paper
WRAPPED = ".block."  # what a non-local block adds to the names of the block before it


class Recogniser(nn.Module):
    """A network that says what is done in a clip.

    network: its options. channels: planes of one segment (3 for rgb). segments: T that it is trained with; a network that is
    not fused reads clips of any number of segments. heads: classes of each head. kind: what the planes are (rgb, gray, flow
    or difference). seed: of its first weights.

    >>> model = Recogniser(NetworkOptions(backbone="small"), channels=3, segments=4, heads={"verb": 17, "noun": 15}).eval()
    >>> {head: scores.shape for head, scores in model(torch.zeros(2, 4, 3, 32, 32)).items()}
    {'verb': torch.Size([2, 17]), 'noun': torch.Size([2, 15])}
    """

    def __init__(
        self,
        network: NetworkOptions,
        channels: int,
        segments: int,
        heads: dict[str, int],
        kind: str = "rgb",
        seed: int = 0,
    ):
        super().__init__()
        self.network, self.channels, self.segments, self.kind = network, channels, segments, kind
        backbone = build(network, channels * segments if network.fuse else channels, segments)
        # Not by add_module: a part of MobileNetV2 is called ``features``, as a method here is.
        self._modules.update(backbone.parts)
        self._through, self.width, self.first = backbone.run, backbone.width, first_convolution(network.backbone)
        self.dropout = SampleDropout(network.dropout) if network.dropout else nn.Identity()
        with torch.device("meta"):
            self.fc = nn.ModuleDict({head: nn.Linear(backbone.width, classes) for head, classes in heads.items()})
        self.to_empty(device="cpu")
        draw(self, seed)
        if network.partial_norm:
            for norm in self._later_norms():
                norm.requires_grad_(False)

    # ---------------------------------------------------------------- what it says of clips

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return each head's scores: (B, K), or (B, T', K) without consensus, of clips (B, T, c, H, W)."""
        return {head: self.consensus(scores) for head, scores in self.segment_scores(x).items()}

    def segment_scores(self, x: Tensor) -> dict[str, Tensor]:
        """Return each head's scores of every segment, (B, T', K), before any consensus."""
        features = self.features(x)
        rows = self.dropout(features.flatten(0, 1))  # (B*T', F)
        return {head: layer(rows).unflatten(0, features.shape[:2]) for head, layer in self.fc.items()}

    def features(self, x: Tensor) -> Tensor:
        """Return what the heads read, (B, T', F): the mean over positions of the backbone's output.

        Raises ConfigError if clips (B, T, c, H, W) have a number of segments that the network cannot read.
        """
        clips, segments = x.shape[:2]
        if self.network.fuse:
            if segments != self.segments:
                raise ConfigError(
                    f"network.fuse: it reads clips of {self.segments} segments, not {segments}; set segments"
                )
            pictures = x.flatten(1, 2)  # (B, T*c, H, W)
        else:
            pictures = x.flatten(0, 1)  # (B*T, c, H, W)
            self._tell(segments)
        return self._through(self, pictures).mean((2, 3)).unflatten(0, (clips, -1))

    def consensus(self, scores: Tensor) -> Tensor:
        """Return what the segments say together, (B, K), of their scores (B, T', K); the scores without consensus."""
        if self.network.consensus == "none":
            return scores
        return (scores.softmax(2) if self.network.softmax_first else scores).mean(1)

    def _tell(self, segments: int) -> None:
        """Tell what works along time how many of the rows belong to one clip."""
        for module in self.modules():
            if isinstance(module, Temporal):
                module.segments = segments // module.pace

    # ---------------------------------------------------------------- partial batch normalisation

    def train(self, mode: bool = True) -> Self:
        """Set the mode; with partial batch normalisation all but the first norm over pictures stay as they are."""
        super().train(mode)
        if self.network.partial_norm:
            for norm in self._later_norms():
                norm.eval()
        return self

    def _later_norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)][1:]

    # ---------------------------------------------------------------- making it again

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same network, as JSON values."""
        return {
            "network": self.network.model_dump(mode="json"),
            "channels": self.channels,
            "segments": self.segments,
            "heads": {head: layer.out_features for head, layer in self.fc.items()},
            "kind": self.kind,
        }

    @classmethod
    def rebuild(cls, about: dict[str, Any]) -> Self:
        """Return a network of the same architecture; its weights are drawn anew."""
        return cls(**about | {"network": NetworkOptions.model_validate(about["network"])})


# ---------------------------------------------------------------- first weights


def draw(model: Recogniser, seed: int) -> None:
    """Draw all weights anew; each depends on the seed and its own name alone, so that one more module changes no other.

    Convolutions: He et al., 2015, by their outputs; those of non-local blocks and the heads: small normal numbers. All of the
    small network as torch scales them: smaller weights before norms move faster, and it is trained for minutes. Biases: 0;
    norms: the identity, but for those that end a non-local block, which are 0.
    """
    small = model.network.backbone == "small"
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, NORMS):
                module.reset_parameters()
                nn.init.constant_(module.weight, 0.0 if _in_non_local(name) else 1.0)
            elif isinstance(module, (nn.Linear, *CONVOLUTIONS)):
                module.weight.normal_(0.0, _deviation(name, module, small), generator=generator_of(plain(name), seed))
                if module.bias is not None:
                    module.bias.zero_()


def _deviation(name: str, module: nn.Module, small: bool) -> float:
    if small:
        return (3 * module.weight[0].numel()) ** -0.5
    if isinstance(module, nn.Linear):
        return HEAD_DEVIATION
    if _in_non_local(name):
        return NON_LOCAL_DEVIATION
    return (2.0 / (module.out_channels * prod(module.kernel_size) / module.groups)) ** 0.5


def _in_non_local(name: str) -> bool:
    return ".nl." in name


def plain(name: str) -> str:
    """Return the name of a weight without what a non-local block behind its block adds to it."""
    return name.replace(WRAPPED, ".")


def channels_last(model: Recogniser) -> Recogniser:
    """Lay out the kernels of pictures with their channels last: a fifth faster on CPUs, more on GPUs. Returns the model.

    Kernels of non-local blocks have an axis more, for which torch knows no such layout.
    """
    for weight in model.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
    return model


# ---------------------------------------------------------------- what it costs


def cost(model: Recogniser, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of trained parameters, and of multiply-adds for one clip of ``shape`` (T, c, H, W).

    Counts convolutions and linear layers, on a copy without values: nothing is computed.
    """
    ghost, counts = copy.deepcopy(model).to("meta").eval(), []
    for module in ghost.modules():
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)):
            module.register_forward_hook(_counting(counts))
    ghost(torch.zeros(1, *shape, device="meta"))
    return sum(parameter.numel() for parameter in model.parameters()), sum(counts)


def _counting(counts: list[int]) -> Callable[[nn.Module, tuple, Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.numel() * module.weight[0].numel())

    return hook
