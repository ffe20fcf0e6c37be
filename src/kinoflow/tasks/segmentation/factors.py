"""What the parameters of the model say as log factors of a chain: emissions, durations, transitions."""

from math import log, pi

import torch
from torch import Tensor

from kinoflow.tasks.segmentation.chain import LowRank

FORBIDDEN = -1e9  # logit of what is not allowed, before the soft-max over what is


def gaussian(x: Tensor, means: Tensor, deviations: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return log Normal(x; means, deviations) of rows x (..., D) in every state, (..., L), its constant included.

    means: (L, D). deviations: (D,), shared by all states. bias: (L,), added to every row. As a matrix product: nothing of shape
    (..., L, D) is made.
    """
    # |x - m|^2 = |x|^2 - 2 x m + |m|^2 cancels where both lie far from zero: so both are seen from the middle of the means.
    centre = means.detach().mean(0)
    x, means = (x - centre) / deviations, (means - centre) / deviations
    constant = -deviations.log().sum() - 0.5 * log(2 * pi) * len(deviations) - 0.5 * means.square().sum(-1)
    products = torch.addmm(constant if bias is None else constant + bias, x.flatten(0, -2), means.T)
    return products.unflatten(0, x.shape[:-1]) - 0.5 * x.square().sum(-1, keepdim=True)


def log_factorials(rows: int, like: Tensor) -> Tensor:
    """Return log d! for d = 0..rows-1, (rows,), of the type and on the device of ``like``."""
    return torch.lgamma(torch.arange(1, rows + 1, dtype=torch.float64)).to(like)


def poisson_offset(log_rates: Tensor, rows: int, normalise: bool) -> Tensor:
    """Return the part of log Poisson(d) that does not depend on d, (L,): minus the rate.

    normalise: so that d = 1..rows-1 sum to one.
    """
    if not normalise:
        return -log_rates.exp()
    durations = torch.arange(1, rows, device=log_rates.device)
    free = durations[:, None] * log_rates - log_factorials(rows, log_rates)[1:, None]
    return -torch.logsumexp(free, 0)


def log_poisson(log_rates: Tensor, rows: int, normalise: bool = False) -> Tensor:
    """Return log Poisson(d; rate) for d = 0..rows-1 and every state, (rows, L); row 0 is never used.

    >>> log_poisson(torch.tensor([0.0]), 3).exp().T
    tensor([[0.3679, 0.3679, 0.1839]])
    """
    durations = torch.arange(rows, device=log_rates.device)[:, None]
    return durations * log_rates + poisson_offset(log_rates, rows, normalise) - log_factorials(rows, log_rates)[:, None]


def low_rank(source: Tensor, target: Tensor, projection: Tensor) -> LowRank:
    """Return the transitions that embeddings (L, E) of sources and targets make through a projection (E, N).

    p(to | from) is proportional to sum over r of exp(source projection)[from, r] exp(target projection)[to, r]; rows sum to 1.
    """
    phi, psi = source @ projection, target @ projection
    return LowRank((phi + torch.logsumexp(psi, 0)).log_softmax(1), psi.log_softmax(0))


def masked_log_softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return the log soft-max over the last axis of what is allowed, -inf elsewhere."""
    return logits.masked_fill(~allowed, FORBIDDEN).log_softmax(-1).masked_fill(~allowed, -torch.inf)
