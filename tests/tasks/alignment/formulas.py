"""The losses as their formulas are written, over whole tables: slow, and followed by autograd. Also what benchmarks beat."""

import torch
from torch import Tensor

from kinoflow.tasks.alignment.options import SclOptions


def scl_written_out(z: Tensor, steps: Tensor, masks: Tensor, lengths: Tensor, options: SclOptions) -> Tensor:
    """Spec 4.6 over the table of all frames of the batch, (N, N), N = 2 B T."""
    B, V, T, D = z.shape
    flat, real = z.reshape(-1, D), masks.reshape(-1) > 0
    video = torch.arange(B).repeat_interleave(V * T)
    view = torch.arange(V).repeat_interleave(T).repeat(B)
    length = lengths.reshape(-1).repeat_interleave(T).float()
    time = steps.reshape(-1).float()
    distance = (time[:, None] * length[None] / length[:, None] - time[None]).abs()
    like = (video[:, None] == video[None]) & (view[:, None] != view[None]) & real[:, None] & real[None]
    q = (torch.exp(-(distance**2) / (2 * options.variance)) * like).to(z.dtype)
    total = q.sum(1, keepdim=True)
    q = torch.where(total > 0, q / total, 0)
    weight = torch.ones(len(flat), len(flat), dtype=z.dtype)
    if options.negatives.startswith("single"):
        weight[video[:, None] != video[None]] = 0
    if options.negatives.endswith("noself"):
        weight[(video[:, None] == video[None]) & (view[:, None] == view[None])] = 0
    weight[~(real[:, None] & real[None])] = 1e-6 if options.masked == "original" else 0
    similarity = flat @ flat.T / options.temperature
    p = similarity.exp() / (weight * similarity.exp()).sum(1, keepdim=True).clamp_min(1e-30)
    cells = torch.xlogy(q, q) - q * torch.log(p + 1e-6)
    return cells[real[:, None] & real[None]].sum() / real.sum().clamp_min(1)
