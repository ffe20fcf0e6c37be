"""The loss of clip recognition against its formula."""

import numpy as np
import torch

from kinoflow.tasks.recognition.loss import head_losses


def minus_log_p(logits: np.ndarray, targets: list[int]) -> float:
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return float(-np.log(p[np.arange(len(targets)), targets]).mean())


def test_each_head_is_its_weight_times_the_cross_entropy():
    rng = np.random.default_rng(0)
    verb, noun = rng.standard_normal((3, 4)), rng.standard_normal((3, 5))
    scores = {"verb": torch.tensor(verb), "noun": torch.tensor(noun)}
    targets = {"verb": torch.tensor([0, 3, 1]), "noun": torch.tensor([4, 4, 2])}
    found = head_losses(scores, targets, {"verb": 1.0, "noun": 0.5})
    assert np.isclose(found["verb"].item(), minus_log_p(verb, [0, 3, 1]), rtol=1e-6)
    assert np.isclose(found["noun"].item(), 0.5 * minus_log_p(noun, [4, 4, 2]), rtol=1e-6)


def test_without_consensus_every_segment_counts_by_itself():
    rows = np.random.default_rng(1).standard_normal((2, 3, 4))
    found = head_losses({"verb": torch.tensor(rows)}, {"verb": torch.tensor([1, 2])}, {"verb": 1.0})
    assert np.isclose(found["verb"].item(), minus_log_p(rows.reshape(6, 4), [1, 1, 1, 2, 2, 2]), rtol=1e-6)


def test_the_loss_of_probabilities_is_minus_their_logarithm():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    found = head_losses({"verb": p}, {"verb": torch.tensor([1, 0])}, {"verb": 1.0}, probabilities=True)
    assert np.isclose(found["verb"].item(), -(np.log(0.2) + np.log(1e-12)) / 2, rtol=1e-5)
