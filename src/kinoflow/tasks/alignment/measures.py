"""What embeddings are worth: the paper's measures of one set of clips, the mean over sets, and what a baseline lacks to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinoflow.metrics import alignment as metrics
from kinoflow.metrics.linear_probe import linear_probe
from kinoflow.progress import log
from kinoflow.tasks.alignment.measuring_options import MeasuringOptions

Numbers = dict[str, Any]  # numbers below texts
TEMPERATURE = {True: 0.1, False: 1.0}  # of the picture of similarities, for vectors of length 1 or not


def similarity(x: np.ndarray, y: np.ndarray, normalised: bool, distance: str = "sqeuclidean") -> np.ndarray:
    """Return the picture of how near frames y (m, D) are to frames x (n, D): (m, n), columns sum to 1, as published."""
    return metrics.soft_neighbours(x, y, TEMPERATURE[normalised], distance)


@dataclass(frozen=True)
class Side:
    """Embeddings of training or of test clips: vectors (L, D) and labels (L,) of each, -1 where there is none."""

    vectors: list[np.ndarray]
    labels: list[np.ndarray]

    def labelled(self) -> "Side":
        """Return the clips with their labelled frames alone; where no frame of any clip has a label, all frames."""
        found = self.known()
        if found is self:
            return self
        pairs = [(v, n) for v, n in zip(found.vectors, found.labels, strict=True) if len(n)]
        return Side([v for v, _ in pairs], [n for _, n in pairs])

    def known(self) -> "Side":
        """Return the same as `labelled`, but also the clips without a label, which have no frame then."""
        masks = [labels >= 0 for labels in self.labels]
        if not any(mask.any() for mask in masks):
            return self
        found = [(v[m], n[m]) for v, n, m in zip(self.vectors, self.labels, masks, strict=True)]
        return Side([v for v, _ in found], [n for _, n in found])


def measures(train: Side, test: Side, classes: int, options: MeasuringOptions) -> Numbers:
    """Return the measures of one set of clips that can be taken, numbers below texts.

    tau: {train, test}; retrieval: {5: ..., 10: ...}; classification, progression and probe: {10: {train, test}, ...} by
    percent of the training clips. Of fewer than two phases there is no classification, progression or probe; of fewer than
    two test clips neither tau nor retrieval.
    """
    train, test = train.labelled(), test.labelled()
    found: Numbers = {}
    if "kendalls_tau" in options.tasks:
        sides = {"train": train, "test": test}
        found["tau"] = {
            name: metrics.kendalls_tau(side.vectors, options.stride, options.distance)
            for name, side in sides.items()
            if len(side.vectors) > 1
        }
    if "retrieval" in options.tasks and len(test.vectors) > 1 and classes:
        values = metrics.retrieval(test.vectors, test.labels, options.neighbours, options.stride, options.distance)
        found["retrieval"] = {str(k): float(value) for k, value in values.items()}
    known = {int(n) for labels in train.labels for n in np.unique(labels)} - {-1}
    if len(known) < 2:
        if {"classification", "progression", "probe"} & set(options.tasks):
            log.warning("the training clips have %d phases: classification and progression need two", len(known))
        return found
    return found | _learned(train, test, classes, options)


def _learned(train: Side, test: Side, classes: int, options: MeasuringOptions) -> Numbers:
    """Return the measures that learn from labelled training clips."""
    data = (train.vectors, train.labels, test.vectors, test.labels)
    found: Numbers = {}
    if "classification" in options.tasks:
        told = metrics.phase_classification(*data, fractions=options.fractions, classifier=options.classifier)
        found["classification"] = _by_percent(told)
    if "progression" in options.tasks:
        found["progression"] = _by_percent(metrics.phase_progression(*data, classes, options.fractions))
    if "probe" in options.tasks:
        found["probe"] = _by_percent(
            {share: _probe(train, test, classes, share, options) for share in options.fractions}
        )
    return found


def _probe(train: Side, test: Side, classes: int, share: float, options: MeasuringOptions) -> dict[str, float]:
    """Return the shares of frames that the linear probe tells right; it sees a batch of videos at least."""
    probe = options.probe
    count = min(len(train.vectors), max(probe.batch, metrics.first_share(len(train.vectors), share)))
    batch = min(probe.batch, count)
    own = (train.vectors[:count], train.labels[:count], test.vectors, test.labels)
    found = linear_probe(*own, classes, probe.learning_rate, probe.epochs, batch)
    return {"train": found.train, "validation": found.validation}


def _by_percent(told: dict[float, dict[str, float]]) -> Numbers:
    """Turn {share: {train, validation}} into {percent: {train, test}}; what is not defined is left out."""
    names = {"train": "train", "validation": "test"}
    return {
        f"{100 * share:g}".replace(".", "_"): {
            names[side]: float(value) for side, value in values.items() if np.isfinite(value)
        }
        for share, values in told.items()
    }


def mean(found: Sequence[Numbers]) -> Numbers:
    """Return the plain mean of the numbers of several sets, each over the sets that have it."""
    keys = dict.fromkeys(key for numbers in found for key in numbers)
    joined: Numbers = {}
    for key in keys:
        values = [numbers[key] for numbers in found if key in numbers]
        joined[key] = mean(values) if isinstance(values[0], dict) else float(np.mean(values))
    return joined


def headlines(numbers: Numbers) -> dict[str, float]:
    """Return the numbers by which networks are compared: tau and retrieval of test clips, the others at the largest share."""
    found = {}
    if "test" in numbers.get("tau", {}):
        found["tau"] = numbers["tau"]["test"]
    for k, value in list(numbers.get("retrieval", {}).items())[:1]:
        found[f"retrieval_{k}"] = value
    for name in ("classification", "progression", "probe"):
        shares = numbers.get(name, {})
        last = max(shares, key=lambda percent: float(percent.replace("_", ".")), default=None)
        if last is not None and "test" in shares[last]:
            found[name] = shares[last]["test"]
    return found


def over(numbers: Numbers, baselines: dict[str, Numbers]) -> Numbers:
    """Return by how much the headlines are above those of each baseline."""
    own = headlines(numbers)
    found: Numbers = {}
    for name, other in baselines.items():
        theirs = headlines(other)
        found[name] = {key: own[key] - theirs[key] for key in own if key in theirs}
    return found


def tau_by_clip(vectors: Iterable[np.ndarray], options: MeasuringOptions) -> list[float | None]:
    """Return each clip's mean tau with the others, either way round; None where none is defined."""
    matrix = metrics.pairwise_tau(list(vectors), options.stride, options.distance)
    found: list[float | None] = []
    for i in range(len(matrix)):
        values = np.delete(np.concatenate([matrix[i], matrix[:, i]]), [i, len(matrix) + i])
        values = values[np.isfinite(values)]
        found.append(float(values.mean()) if len(values) else None)
    return found
