"""Where in the video a frame stands, as sines and cosines."""

import torch
from torch import Tensor


def positions(length: int, trained: int, width: int) -> Tensor:
    """Return the code of every frame of a sequence, (length, width) float64.

    trained: frames of a training sequence. A sequence of another length is squeezed or stretched to it, so that its first
    and last rows are always the same: the code is a clock. Column c holds the sine (c even) or cosine (c odd) of
    p / 10000^(c / width); the exponent counts each column by itself, unlike Vaswani et al., 2017.

    >>> positions(5, 3, 2)[:, 0].asin().tolist()[:3]
    [0.0, 0.5, 1.0]
    """
    if length == trained:
        places = torch.arange(length, dtype=torch.float64)
    else:
        places = torch.linspace(0, trained - 1, length, dtype=torch.float64)
    columns = torch.arange(width, dtype=torch.float64)
    angles = places[:, None] / 10000 ** (columns / width)  # (S, d)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos())
