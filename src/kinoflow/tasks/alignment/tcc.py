"""Temporal cycle consistency: from a frame to its soft nearest neighbour in another sequence, and back to the same frame.

Dwibedi et al., "Temporal cycle-consistency learning", 2019, equations 2 to 5. S sequences of T frames, all ordered pairs
(a, b) of them; a and b: (T, D).

    alpha = softmax(sim(a, b)),   n = alpha b,   beta = softmax(sim(n, a)),   sim: l2 or cosine, over D and temperature
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss, one_hot

from kinoflow.tasks.alignment.options import TccOptions

LEAST = {  # variance whose logarithm is taken: published without a floor; smaller ones would burst float32
    torch.float32: 1e-12,
    torch.float64: torch.finfo(torch.float64).tiny,
}


def tcc_loss(z: Tensor, steps: Tensor, lengths: Tensor, options: TccOptions) -> Tensor:
    """Return the loss, a scalar; float32 (float64 for float64 embeddings), whatever autocast says. 0 for one sequence.

    z: (S, T, D). steps: (S, T) frame numbers in the videos. lengths: (S,) frames of the videos.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = z if z.dtype == torch.float64 else z.float()
        if len(z) < 2:
            return z.sum() * 0
        first, _ = pairs(len(z), z.device)
        logits, labels = cycle_logits(z, options), cycle_labels(z.shape[1], options.smoothing, z.dtype).to(z)
        if options.kind == "classification":
            return _classified(logits, labels, options.original)
        times = steps.to(z) / lengths.to(z)[:, None] if options.normalise_time else steps.to(z)
        return _timed(logits, labels, times[first], options)


def pairs(sequences: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return the sequences a and b of all ordered pairs of two different ones, (P,) each."""
    numbers = torch.arange(sequences, device=device)
    first, second = torch.cartesian_prod(numbers, numbers).T
    return first[first != second], second[first != second]


def cycle_logits(z: Tensor, options: TccOptions) -> Tensor:
    """Return where the cycle of each frame may end, (P, T, T): row: the frame it began at."""
    first, second = (z[some] for some in pairs(len(z), z.device))
    near = _likeness(first, second, options).softmax(-1) @ second  # (P, T, D)
    return _likeness(near, first, options)


def cycle_labels(length: int, smoothing: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return where it should end, (T, T): the frame itself, a share of ``smoothing`` spread over the others."""
    if length == 1:
        return torch.ones(1, 1, dtype=dtype)
    hit = one_hot(torch.arange(length), length).to(dtype)
    return hit * (1 - smoothing) + (1 - hit) * smoothing / (length - 1)


def _likeness(x: Tensor, y: Tensor, options: TccOptions) -> Tensor:
    inner = x @ y.mT
    if options.similarity == "l2":
        inner = 2 * inner - x.square().sum(-1)[..., :, None] - y.square().sum(-1)[..., None, :]
    return inner / (x.shape[-1] * options.temperature)


def _classified(logits: Tensor, labels: Tensor, original: bool) -> Tensor:
    if original:  # logits where the logarithm of probabilities is due; the mean counts cells
        return (torch.xlogy(labels, labels) - labels * logits).mean()
    return cross_entropy(logits.flatten(0, 1), labels.expand_as(logits).flatten(0, 1))


def _timed(logits: Tensor, labels: Tensor, times: Tensor, options: TccOptions) -> Tensor:
    """Compare the times (P, T) at which cycles end with those that the labels tell."""
    share = logits.softmax(-1)
    true = times @ labels.T  # (P, T): of the smoothed labels, not quite the frame's own time
    found = (share * times[:, None]).sum(-1)
    if options.kind == "mse":
        return (true - found).square().mean()
    if options.kind == "huber":
        return huber_loss(found, true, delta=options.huber)
    variance = (share * (times[:, None] - found[..., None]).square()).sum(-1)
    log = variance.clamp_min(LEAST[variance.dtype]).log()
    return ((-log).exp() * (true - found).square() + options.variance_weight * log).mean()
