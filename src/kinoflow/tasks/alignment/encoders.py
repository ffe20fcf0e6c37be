"""From the maps of pictures to one vector a frame: transformer, conv, vanilla; and the projection that only losses read.

Each encoder has two parts: ``reduce`` keeps of each picture what is needed of it, maps (n, C, h, w) -> (n, ...); ``forward``
makes frames of them, (N, T*c, ...) -> (N, T, D), where the c contexts of a frame lie next to each other. N sequences of T
frames. Papers: Chen et al., "Frame-wise action representations for long videos via sequence contrastive learning", 2022
(transformer); Dwibedi et al., "Temporal cycle-consistency learning", 2019 (conv).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, scaled_dot_product_attention

from kinoflow.errors import ConfigError
from kinoflow.tasks.alignment.options import EncoderOptions
from kinoflow.tasks.alignment.positions import positions
from kinoflow.training.seeds import SampleDropout

LEAST_MAP = 5  # rows and columns of the maps that two convolutions without padding need


class Layer(nn.Module):
    """A layer of the transformer: attention, then a network for each frame, both behind a norm and around a shortcut."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.ln_attn, self.ln_ff = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.ff1, self.ff2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.drop_attn, self.drop_ff = SampleDropout(dropout), SampleDropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return (N, T, width). mask: (N, T) bool, False where nobody may look; where nobody may look anywhere, 0 is seen."""
        y = self.ln_attn(x)
        q, k, v = (part(y).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        if mask is None:
            seen = scaled_dot_product_attention(q, k, v)  # (N, heads, T, width / heads)
        else:
            some = mask.any(1)  # (N,): a softmax over nothing would be NaN
            seen = scaled_dot_product_attention(q, k, v, (mask | ~some[:, None])[:, None, None])
            seen = seen * some[:, None, None, None]
        x = x + self.drop_attn(self.o(seen.transpose(1, 2).flatten(2)))
        return x + self.drop_ff(self.ff2(self.ff1(self.ln_ff(x)).relu()))


class Transformer(nn.Module):
    """Maxima of the maps -> two layers with batch normalisation -> positions -> transformer -> embedding.

    inputs: C of the maps. frames: T in training, to which positions are scaled.
    """

    def __init__(self, options: EncoderOptions, inputs: int, frames: int):
        super().__init__()
        self.pool, self.frames, self.timed = options.pool, frames, options.positions == "sine"
        hidden, width, dropout = options.hidden, options.width, options.dropout
        self.drop0, self.fc0, self.bn0 = (
            SampleDropout(dropout),
            nn.Linear(inputs * self.pool**2, hidden),
            nn.BatchNorm1d(hidden),
        )
        self.drop1, self.fc1, self.bn1 = SampleDropout(dropout), nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden)
        self.inner, self.drop_in = nn.Linear(hidden, width), SampleDropout(dropout)
        self.layers = nn.ModuleList(
            Layer(width, options.heads, options.feed_forward, dropout) for _ in range(options.layers)
        )
        self.out = nn.Linear(width, options.embedding)

    def reduce(self, maps: Tensor) -> Tensor:
        """Keep the maxima of maps (n, C, h, w): (n, C * pool * pool); rows (n, F) stay as they are."""
        return adaptive_max_pool2d(maps, self.pool).flatten(1) if maps.ndim == 4 else maps

    def forward(self, x: Tensor, contexts: int, mask: Tensor | None) -> Tensor:
        """Embed (N, T, F): (N, T, D). There is one context. mask: (N, T) bool, False for padding."""
        sequences, length = x.shape[:2]
        x = x.flatten(0, 1)
        x = self.bn0(self.fc0(self.drop0(x))).relu()
        x = self.bn1(self.fc1(self.drop1(x))).relu()
        x = self.inner(x).unflatten(0, (sequences, length))  # (N, T, width)
        if self.timed:
            x = x + positions(length, self.frames, x.shape[2]).to(x)
        x = self.drop_in(x)
        for layer in self.layers:
            x = layer(x, mask)
        return self.out(x)


class _Fully(nn.Module):
    """Two layers, then the embedding: (n, inputs) -> (n, D)."""

    def _build(self, options: EncoderOptions, inputs: int) -> None:
        self.drop0, self.fc0 = SampleDropout(options.dropout), nn.Linear(inputs, options.hidden)
        self.drop1, self.fc1 = SampleDropout(options.dropout), nn.Linear(options.hidden, options.hidden)
        self.out = nn.Linear(options.hidden, options.embedding)

    def _embed(self, x: Tensor) -> Tensor:
        x = self.fc0(self.drop0(x)).relu()
        return self.out(self.fc1(self.drop1(x)).relu())


class Conv(_Fully):
    """Two convolutions over a frame's contexts and positions -> maxima -> two layers -> embedding."""

    def __init__(self, options: EncoderOptions, inputs: int, frames: int):
        super().__init__()
        width = options.conv_width
        self.conv0, self.bn0 = nn.Conv3d(inputs, width, 3, padding=(1, 0, 0)), nn.BatchNorm3d(width)
        self.conv1, self.bn1 = nn.Conv3d(width, width, 3, padding=(1, 0, 0)), nn.BatchNorm3d(width)
        self._build(options, width)

    def reduce(self, maps: Tensor) -> Tensor:
        """Keep the maps (n, C, h, w) as they are; ConfigError if they are too small."""
        if min(maps.shape[-2:]) < LEAST_MAP:
            h, w = maps.shape[-2:]
            raise ConfigError(
                f"encoder: conv needs maps of {LEAST_MAP} x {LEAST_MAP}, but the backbone gives {h} x {w}: set a larger"
                " augment.size"
            )
        return maps

    def forward(self, x: Tensor, contexts: int, mask: Tensor | None) -> Tensor:
        """Embed (N, T*c, C, h, w): (N, T, D). The mask makes no difference: every frame is for itself."""
        sequences = len(x)
        x = x.reshape(-1, contexts, *x.shape[2:]).transpose(1, 2)  # (N*T, C, c, h, w)
        x = self.bn0(self.conv0(x)).relu()
        x = self.bn1(self.conv1(x)).relu()
        return self._embed(x.amax((2, 3, 4))).unflatten(0, (sequences, -1))


class Vanilla(_Fully):
    """Maxima over a frame's contexts and positions -> two layers -> embedding."""

    def __init__(self, options: EncoderOptions, inputs: int, frames: int):
        super().__init__()
        self._build(options, inputs)

    def reduce(self, maps: Tensor) -> Tensor:
        """Keep the maxima of maps (n, C, h, w): (n, C); rows (n, F) stay as they are."""
        return maps.amax((2, 3)) if maps.ndim == 4 else maps

    def forward(self, x: Tensor, contexts: int, mask: Tensor | None) -> Tensor:
        """Embed (N, T*c, C): (N, T, D). The mask makes no difference: every frame is for itself."""
        x = x.unflatten(1, (-1, contexts)).amax(2)  # (N, T, C)
        return self._embed(x.flatten(0, 1)).unflatten(0, x.shape[:2])


ENCODERS = {"transformer": Transformer, "conv": Conv, "vanilla": Vanilla}


class Projection(nn.Module):
    """What a contrastive loss reads in place of the embeddings: (N, T, D) -> (N, T, D)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc0, self.bn, self.fc1 = nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, width)

    def forward(self, z: Tensor) -> Tensor:
        """Project every frame."""
        return self.fc1(self.bn(self.fc0(z.flatten(0, 1))).relu()).unflatten(0, z.shape[:2])


def unit(z: Tensor) -> Tensor:
    """Scale vectors (..., D) to length 1; the zero vector stays."""
    return torch.nn.functional.normalize(z, dim=-1, eps=1e-12)
