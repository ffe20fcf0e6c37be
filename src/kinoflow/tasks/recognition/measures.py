"""What is told of a tested head: shares of clips told right, by class, by group of classes; and what guessing would reach.

N clips, K classes that the network knows. Clips of other classes stay in: nothing that it says of them can be right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.metrics import classification as metrics
from kinoflow.tasks.recognition.options import ClipTestOptions

FEW = 5  # classes of the wider share


@dataclass(frozen=True)
class Outcome:
    """What one head said of the clips, and what is true."""

    scores: np.ndarray  # (N, K) float
    labels: Sequence[str]  # N names, "" where none is known
    classes: Sequence[str]  # K names
    training: Sequence[int]  # K counts of clips trained on

    @property
    def names(self) -> list[str]:
        """The classes that the network knows, then those that only the labels have, sorted."""
        return [*self.classes, *sorted(set(self.labels) - {*self.classes, ""})]

    @property
    def predicted(self) -> np.ndarray:
        """The number of each clip's likeliest class, (N,); the lower one of equals."""
        return self.scores.argmax(axis=1)

    @property
    def labelled(self) -> np.ndarray:
        """Which clips have a label, (N,) bool."""
        return np.array([bool(name) for name in self.labels], bool)

    @property
    def numbers(self) -> np.ndarray:
        """The number of each labelled clip's class among ``names``."""
        number = {name: i for i, name in enumerate(self.names)}
        return np.array([number[name] for name in self.labels if name], np.int64)

    def counts(self) -> np.ndarray:
        """Count labelled clips by true and predicted class, both among ``names``."""
        return metrics.confusion(self.numbers, self.predicted[self.labelled], len(self.names))


def check_groups(test: ClipTestOptions, heads: Mapping[str, Sequence[str]]) -> None:
    """Raise ConfigError for a group or bit with a class that no head knows together with its others."""
    wanted = {f"groups.{name}": group for name, group in test.groups.items()}
    wanted |= {f"bits.{name}": [each for value in values for each in value] for name, values in test.bits.items()}
    for key, group in wanted.items():
        if not any(set(group) <= set(classes) for classes in heads.values()):
            least = min(heads.values(), key=lambda classes: len(set(group) - set(classes)))
            lost = next(name for name in group if name not in least)
            raise ConfigError(f"{key}: no head has all of these classes ({lost!r} is missing); correct the names")


def measures(outcome: Outcome, test: ClipTestOptions) -> dict[str, Any]:
    """Return the measures of one head, JSON values; shares are 0 to 1, None where there is nothing to measure.

    ``clips`` is the number of labelled ones, of which all measures are; ``unseen`` those of classes that were not trained.
    """
    labelled, known = outcome.labelled, len(outcome.classes)
    clips = int(labelled.sum())
    found: dict[str, Any] = {"classes": known, "clips": clips, "unlabelled": len(labelled) - clips}
    if not clips:
        return found
    numbers, scores = outcome.numbers, _with_unseen(outcome)[labelled]
    counts, trained = outcome.counts(), np.repeat(np.arange(known), outcome.training)
    few = known >= FEW
    return found | {
        "unseen": int((numbers >= known).sum()),
        "top1": metrics.top_k(scores, numbers, 1),
        "top5": metrics.top_k(scores, numbers, FEW) if few else None,
        "class_accuracy": metrics.class_accuracy(counts),
        "upper_bound": metrics.upper_bound(counts),
        "chance": {"top1": metrics.chance(known), "top5": metrics.chance(known, FEW) if few else None},
        "majority": {
            "top1": metrics.majority(trained, numbers) if len(trained) else None,
            "top5": metrics.majority(trained, numbers, FEW) if few and len(trained) else None,
        },
        "recall": _recalls(outcome.names, counts),
        "groups": {name: _group(outcome, group) for name, group in test.groups.items() if _fits(outcome, group)},
        "bits": {name: _bit(outcome, values) for name, values in test.bits.items() if _fits(outcome, *values)},
    }


def _with_unseen(outcome: Outcome) -> np.ndarray:
    """Return the scores with a column for every class that the network cannot name."""
    more = len(outcome.names) - outcome.scores.shape[1]
    return np.pad(outcome.scores, ((0, 0), (0, more)), constant_values=-np.inf)


def _recalls(names: Sequence[str], counts: np.ndarray) -> dict[str, float]:
    recalls = metrics.class_recalls(counts)
    return {name: float(recall) for name, recall in zip(names, recalls, strict=True) if not np.isnan(recall)}


def _fits(outcome: Outcome, *groups: Sequence[str]) -> bool:
    return all(set(group) <= set(outcome.classes) for group in groups)


def _group(outcome: Outcome, group: Sequence[str]) -> float | None:
    rows = [outcome.classes.index(name) for name in group]
    there = np.isin(outcome.numbers, rows).any()
    return metrics.group_recall(outcome.numbers, outcome.predicted[outcome.labelled], rows) if there else None


def _bit(outcome: Outcome, values: Sequence[Sequence[str]]) -> float | None:
    bits = {outcome.classes.index(name): value for value, names in enumerate(values) for name in names}
    there = np.isin(outcome.numbers, list(bits)).any()
    scores = outcome.scores[outcome.labelled]
    known = outcome.numbers < len(outcome.classes)
    return metrics.bit_recall(scores[known], outcome.numbers[known], bits) if there else None
