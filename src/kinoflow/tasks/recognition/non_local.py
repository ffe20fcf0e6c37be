"""Non-local blocks: every position of a clip looks at every other one.

Wang, Girshick, Gupta, He, "Non-local Neural Networks", 2018, equations 4 (embedded Gaussian) and 6:

    y = softmax(theta(x)^T phi(x)) g(x)        over all positions (T, H, W)
    z = norm(W y) + x                          norm scales by 0 at first: the block begins as the identity
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from kinoflow.tasks.recognition.shift import Temporal

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
# Keys and values are thinned out over the picture, never over time.
POOLS = {1: (nn.MaxPool1d, 2), 2: (nn.MaxPool2d, 2), 3: (nn.MaxPool3d, (1, 2, 2))}


class NonLocal(nn.Module):
    """A non-local block over 1, 2 or 3 dimensions: (B, C, ...) -> (B, C, ...).

    subsample: compare with every second row and column only. norm: batch normalisation after the last convolution.
    """

    def __init__(self, channels: int, dimensions: int = 3, subsample: bool = True, norm: bool = True):
        super().__init__()
        inner, conv = max(1, channels // 2), CONVOLUTIONS[dimensions]
        pool, size = POOLS[dimensions]
        self.g, self.phi = (conv(channels, inner, 1) for _ in range(2))
        self.theta = conv(channels, inner, 1)
        if subsample:
            self.g, self.phi = (nn.Sequential(part, pool(size)) for part in (self.g, self.phi))
        back = conv(inner, channels, 1)
        self.W = nn.Sequential(back, NORMS[dimensions](channels)) if norm else back
        for parameter in self._last().parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus what the other positions say."""
        query, key, value = (
            part(x).flatten(2).transpose(1, 2) for part in (self.theta, self.phi, self.g)
        )  # (B, N, C/2)
        # Dot products are not scaled down, hence large: the fused form subtracts their maximum before it exponentiates.
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.W(found.transpose(1, 2).unflatten(2, x.shape[2:])) + x

    def attention(self, x: Tensor) -> Tensor:
        """Return how much every position (second axis) looks at every other one (third axis); rows sum to one."""
        query, key = (part(x).flatten(2).transpose(1, 2) for part in (self.theta, self.phi))
        return torch.softmax(query @ key.transpose(1, 2), dim=2)

    def _last(self) -> nn.Module:
        return self.W[1] if isinstance(self.W, nn.Sequential) else self.W


class NonLocalAfter(Temporal):
    """A block for pictures with a non-local block over whole clips behind it: (B*T, C, H, W) -> (B*T, C', H', W')."""

    def __init__(self, block: nn.Module, channels: int, segments: int, pace: int = 1):
        super().__init__(segments, pace)
        self.block, self.nl = block, NonLocal(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, with what the clip's other positions say."""
        clips = self.block(x).unflatten(0, (-1, self.segments)).transpose(1, 2)  # (B, C, T, H, W)
        return self.nl(clips).transpose(1, 2).flatten(0, 1)
