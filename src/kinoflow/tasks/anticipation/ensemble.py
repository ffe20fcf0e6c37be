"""Several teachers as one, by attention: the student's feature asks, the teachers' features answer.

Only the weights of the attention are used: they average the teachers' logits. The layer learns from the distillation loss,
so it is a part of the student that the optimiser trains and the checkpoint holds (the published code left it untrained).
B samples, M teachers, D width, C classes.
"""

import torch
from torch import Tensor, nn

from kinoflow.tasks.anticipation.encoder import draw


class TeacherAttention(nn.Module):
    """Weights of the teachers by multi-head attention, averaged over heads. Parameters are named as torch's attention.

    heads: how many; the width is a multiple of it (ValueError).

    >>> TeacherAttention(8, 2)(torch.ones(3, 8), torch.ones(3, 5, 8), torch.ones(3, 5, 4))[0].shape
    torch.Size([3, 4])
    """

    def __init__(self, width: int, heads: int, seed: int = 0):
        super().__init__()
        if width % heads:
            raise ValueError(f"heads: a width of {width} cannot be split into {heads}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))  # queries, keys, values
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        draw(self, seed)

    def forward(self, query: Tensor, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the combined logits (B, C), and each teacher's weight (B, M).

        query: (B, D) of the student. features: (B, M, D) and logits: (B, M, C) of the teachers.
        """
        width = query.shape[1]
        q = query @ self.in_proj_weight[:width].T + self.in_proj_bias[:width]  # (B, D)
        k = features @ self.in_proj_weight[width : 2 * width].T + self.in_proj_bias[width : 2 * width]  # (B, M, D)
        q, k = q.unflatten(1, (self.heads, -1)), k.unflatten(2, (self.heads, -1))
        scores = torch.einsum("bhd,bmhd->bhm", q, k) / (width // self.heads) ** 0.5
        weights = scores.softmax(2).mean(1)  # (B, M)
        return torch.einsum("bm,bmc->bc", weights, logits), weights
