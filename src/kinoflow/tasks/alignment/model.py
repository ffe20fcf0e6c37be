"""The Aligner: one vector for every frame of a video, such that the same moment of an action has the same vector.

    pictures (N, T*c, 3, H, W) -> backbone, N * chunk pictures at once -> encoder -> embeddings (N, T, D)
        -> projection (losses of scl only) -> unit length

N: sequences (videos times views); c: contexts of a frame. See ``encoders`` for the papers.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.tasks.alignment.backbones import Backbone
from kinoflow.tasks.alignment.encoders import ENCODERS, Layer, Projection, unit
from kinoflow.tasks.alignment.options import AlignmentOptions, EncoderOptions, ViewOptions
from kinoflow.tasks.alignment.sampling import whole
from kinoflow.training.first_weights import generator_of
from kinoflow.training.seeds import SampleDropout

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


class Aligner(nn.Module):
    """A network that embeds frames.

    network: its options. frames: T in training, to which positions are scaled. contexts: frames read for each one.
    classes: of the classifier; 0: there is none. inputs: planes of a picture; with backbone: features, the length of rows.
    projects: whether the loss reads the projection that the options may ask for. seed: of the first weights.

    >>> options = EncoderOptions(backbone="tiny", layers=1, frozen=0, embedding=8)
    >>> Aligner(options, frames=6).eval()(torch.zeros(2, 6, 3, 20, 20)).shape
    torch.Size([2, 6, 8])
    """

    def __init__(
        self,
        network: EncoderOptions,
        frames: int,
        contexts: int = 1,
        classes: int = 0,
        inputs: int = 3,
        projects: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        self.network, self.frames, self.contexts, self.classes, self.inputs = network, frames, contexts, classes, inputs
        self.projects = projects and network.projection
        with torch.device("meta"):  # nothing is drawn yet
            self.backbone = None if network.backbone == "features" else Backbone(network, inputs)
            width = self.backbone.width if self.backbone else inputs
            self.embedder = ENCODERS[network.encoder](network, width, frames)
            self.head = Projection(network.embedding, network.projection_hidden) if self.projects else None
            self.drop = SampleDropout(network.dropout) if classes else None
            self.classifier = nn.Linear(network.embedding, classes) if classes else None
        self.to_empty(device="cpu")
        draw(self, seed)

    # ---------------------------------------------------------------- what it says of frames

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what losses read, (N, T, D), of pictures (N, T*c, 3, H, W), or rows (N, T*c, F).

        mask: (N, T), 0 for frames that are padding; None: there are none.
        """
        z = self.raw(x, mask)
        if self.head is not None:
            return unit(self.head(z))
        return unit(z) if self.network.normalise else z

    def embed(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return embeddings for use and tests, (N, T, D): without projection."""
        return self._final(self.raw(x, mask))

    def raw(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the encoder gives, (N, T, D), neither projected nor scaled."""
        step = self.network.chunk
        rows = [
            self.reduce(x[:, i : i + step].flatten(0, 1)).unflatten(0, (len(x), -1)) for i in range(0, x.shape[1], step)
        ]
        return self.embedder(torch.cat(rows, 1), self.contexts, None if mask is None else mask.bool())

    def reduce(self, pictures: Tensor) -> Tensor:
        """Return what the encoder needs of each picture (n, 3, H, W), or row (n, F)."""
        return self.embedder.reduce(self.backbone(pictures) if self.backbone else pictures)

    def classify(self, z: Tensor) -> Tensor:
        """Return the scores of classes (..., C) of what `forward` gave, (..., D)."""
        assert self.classifier is not None and self.drop is not None, "there is no classifier: classes is 0"
        return self.classifier(self.drop(z))

    def _final(self, z: Tensor) -> Tensor:
        return unit(z) if self.network.normalise else z

    # ---------------------------------------------------------------- making it again

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same network, as JSON values."""
        names = ("frames", "contexts", "classes", "inputs", "projects")
        return {"network": self.network.model_dump(mode="json")} | {name: getattr(self, name) for name in names}

    @classmethod
    def rebuild(cls, about: dict[str, Any]) -> Self:
        """Return a network of the same architecture; its weights are drawn anew."""
        return cls(**about | {"network": EncoderOptions.model_validate(about["network"])})


def build(options: AlignmentOptions, classes: int = 0, inputs: int = 3, seed: int = 0) -> Aligner:
    """Return the network of a run with its first weights, those of a file not yet in it.

    classes: phases, for algorithm: classification. inputs: 3, or the length of rows with backbone: features.
    """
    return Aligner(
        options.network,
        options.sampling.frames,
        options.sampling.contexts,
        classes if options.algorithm == "classification" else 0,
        inputs,
        options.algorithm == "scl",
        seed,
    )


# ---------------------------------------------------------------- whole videos


def chunks(length: int, most: int, overlap: float = 0.0) -> list[tuple[int, int]]:
    """Cut ``length`` frames into as few pieces of at most ``most`` as can be, all but the last equally long.

    overlap: share of a piece that lies in the one before it.

    >>> chunks(10, 4)
    [(0, 4), (4, 8), (8, 10)]
    """
    if length <= most:
        return [(0, length)]
    if not overlap:
        size = -(-length // -(-length // most))
        return [(start, min(start + size, length)) for start in range(0, length, size)]
    step = max(1, most - round(overlap * most))
    return [(start, min(start + most, length)) for start in range(0, length - most + step, step)]


@torch.no_grad()
def video_embedding(
    model: Aligner,
    read: Callable[[np.ndarray], Tensor],
    length: int,
    sampling: ViewOptions,
    most: int = 1000,
    stride: int = 1,
    overlap: float = 0.0,
) -> np.ndarray:
    """Embed a whole video: (n, D) float32, n = ceil(length / stride).

    read: returns the frames of given numbers (n,) as pictures (n, 3, H, W) on the model's device (rows (n, F) with
    backbone: features). most: frames that see each other; longer videos are cut by `chunks`, and positions begin anew in
    each piece: embeddings depend on where cuts are. overlap: embeddings of frames in two pieces are averaged.
    """
    was, contexts = model.training, model.contexts
    model.eval()
    try:
        numbers = whole(length, sampling, stride).reshape(-1, contexts)  # (n, c)
        total = np.zeros((len(numbers), model.network.embedding), np.float32)
        times = np.zeros((len(numbers), 1), np.float32)
        for first, last in chunks(len(numbers), most, overlap):
            total[first:last] += _piece(model, read, numbers[first:last].ravel())
            times[first:last] += 1
    finally:
        model.train(was)
    if (times == 1).all():
        return total
    mean = torch.from_numpy(total / times)
    return model._final(mean).numpy()


def _piece(model: Aligner, read: Callable[[np.ndarray], Tensor], numbers: np.ndarray) -> np.ndarray:
    step = model.network.chunk
    rows = torch.cat([model.reduce(read(numbers[i : i + step])) for i in range(0, len(numbers), step)])
    z = model.embedder(rows[None], model.contexts, None)
    return model._final(z)[0].float().cpu().numpy()


# ---------------------------------------------------------------- first weights


def draw(model: Aligner, seed: int) -> None:
    """Draw all weights anew; each depends on the seed and its own name alone.

    Matrices inside layers of the transformer: Glorot and Bengio, 2010, the same ones in every layer, as in the published
    code; the backbone's convolutions: He et al., 2015, by their outputs (those of small and tiny as torch scales them);
    all others as torch draws them. Norms: the identity.
    """
    small = model.network.backbone in ("small", "tiny")
    inside = {id(part): name for name, part in _layer_parts(model)}
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, NORMS):
                module.reset_parameters()
            elif isinstance(module, (nn.Linear, *CONVOLUTIONS)):
                random = generator_of(inside.get(id(module), name), seed)
                fan = module.weight[0].numel()
                if id(module) in inside:
                    nn.init.xavier_uniform_(module.weight, generator=random)
                elif name.startswith("backbone.") and not small:
                    module.weight.normal_(
                        0, (2 / (module.weight.numel() / module.in_channels)) ** 0.5, generator=random
                    )
                else:
                    module.weight.uniform_(-(fan**-0.5), fan**-0.5, generator=random)
                if module.bias is not None:
                    module.bias.uniform_(-(fan**-0.5), fan**-0.5, generator=random)


def _layer_parts(model: Aligner) -> list[tuple[str, nn.Module]]:
    """Return the maps inside layers, each under the name that it would have in the first layer."""
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    return [
        (f"layers.0.{name}", part)
        for layer in layers
        for name, part in layer.named_children()
        if isinstance(part, nn.Linear)
    ]
