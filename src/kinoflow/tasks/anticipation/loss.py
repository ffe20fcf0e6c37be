"""What the student learns from: classes, the features that came, and the teacher; each loss by its key.

B rows, T steps, C classes, D features. Every function returns one number for each row (or step), nothing is averaged here but
where its docstring says so: `mean` does that, and leaves out what has no label or no teacher.

Ghosh et al., "Text-derived knowledge helps vision", 2023, for distillation; Hinton et al., 2015, for its temperature.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from kinoflow.tasks.anticipation.options import DistillOptions

NONE = -1  # the number of the class of what has no label
COSINE_EPSILON, NORM_EPSILON = 1e-8, 1e-12


def class_loss(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of each row, (...,), of scores (..., C) and labels (...,); 0 where there is no label.

    weights: (C,), of classes.
    """
    flat = functional.cross_entropy(
        scores.flatten(0, -2).float() if scores.dtype == torch.bfloat16 else scores.flatten(0, -2),
        labels.flatten(),
        weight=weights,
        ignore_index=NONE,
        reduction="none",
    )
    return flat.view(labels.shape)


def mean_of_labelled(losses: Tensor, labels: Tensor, over: str = "labelled") -> Tensor:
    """Return the mean of the losses of steps, (B, T), of which those without a label are 0.

    over: labelled: the mean over the steps with a label; samples: that of each sample first, then the mean over samples (one
    without any label counts 0); all: over all steps, as published.
    """
    if over == "all":
        return losses.mean()
    there = (labels != NONE).to(losses.dtype)
    if over == "samples":
        return (losses.sum(1) / there.sum(1).clamp(min=1)).mean()
    return losses.sum() / there.sum().clamp(min=1)


# ---------------------------------------------------------------- the teacher's scores


def distillation(student: Tensor, teacher: Tensor, options: DistillOptions) -> Tensor:
    """Return T^2 times the divergence KL(teacher || student) at temperature T of each row, (B,).

    student, teacher: scores (B, C). Of the classes compared, both sides are turned into probabilities anew. With
    ``elementmean`` it is divided by the number of classes compared.

    >>> same = torch.tensor([[1.0, 2.0, 3.0]])
    >>> distillation(same, same + 5, DistillOptions()).abs().item() < 1e-6
    True
    """
    if options.kind != "full":
        chosen = compared(teacher, options)
        student, teacher = student.gather(1, chosen), teacher.gather(1, chosen)
    T = options.temperature
    own, wanted = (student / T).log_softmax(1), (teacher / T).log_softmax(1)
    rows = T * T * (wanted.exp() * (wanted - own)).sum(1)
    return rows / student.shape[1] if options.reduction == "elementmean" else rows


def compared(teacher: Tensor, options: DistillOptions) -> Tensor:
    """Return the classes that are compared, (B, K) or (B, 3 K) int64: of equals the lower number counts as better.

    Where C < 3 K the parts of ``topmidbottom`` overlap, and what they share counts twice, as published.
    """
    classes = teacher.shape[1]
    k = min(options.k, classes)
    if options.kind == "topk":
        return teacher.sort(dim=1, descending=True, stable=True).indices[:, :k]
    order = teacher.sort(dim=1, stable=True).indices  # worst first
    return torch.cat([order[:, :k], order[:, (classes - k) // 2 : (classes + k) // 2], order[:, classes - k :]], 1)


def present(losses: Tensor, there: Tensor) -> Tensor:
    """Return the mean over all rows of the losses (B,) of those that are there (B,) bool: the others count as 0.

    Divided by all rows: so it does not matter how a batch is cut, and a missing teacher weighs nothing.
    """
    return torch.where(there, losses, torch.zeros_like(losses)).mean()


# ---------------------------------------------------------------- the teacher's features


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 - cosine of each row, (B,), of features (B, D); each norm is at least 1e-8."""
    return 1 - (_scaled(student, COSINE_EPSILON) * _scaled(teacher, COSINE_EPSILON)).sum(1)


def normalised_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over D of squared differences of rows scaled to length 1, (B,): 2 (1 - cosine) / D."""
    return (_scaled(student, NORM_EPSILON) - _scaled(teacher, NORM_EPSILON)).square().mean(1)


def _scaled(x: Tensor, least: float) -> Tensor:
    return x / x.norm(dim=1, keepdim=True).clamp_min(least)


# ---------------------------------------------------------------- the two that the published runs leave unused


def info_nce(told: Tensor, came: Tensor, temperature: float = 0.1) -> Tensor:
    """Return how hard it is to tell each step that came from the other steps of its sequence, (B, T).

    told, came: (B, T, D). Van den Oord et al., 2018; the others are those of the same sequence, so that a batch may be cut.
    """
    likeness = functional.normalize(told, dim=2) @ functional.normalize(came, dim=2).transpose(1, 2) / temperature
    right = torch.arange(told.shape[1], device=told.device).expand(told.shape[:2])
    return functional.cross_entropy(likeness.flatten(0, 1), right.flatten(), reduction="none").view(right.shape)


def quantised(told: Tensor, came: Tensor, centres: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the cross-entropy of the nearest centre of what came, told by likeness to the centres, (B, T).

    told, came: (B, T, D). centres: (K, D), by cosine.
    """
    centres = functional.normalize(centres, dim=1)
    labels = (functional.normalize(came, dim=2) @ centres.T).argmax(2)
    return class_loss(functional.normalize(told, dim=2) @ centres.T / temperature, labels)


# ---------------------------------------------------------------- together


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the terms (means) times their weights, in the order of their names; those with weight 0 are left out."""
    return {key: weights[key] * terms[key] for key in sorted(terms) if weights.get(key)}
