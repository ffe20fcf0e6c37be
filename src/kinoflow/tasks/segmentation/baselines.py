"""What any segmentation must beat: cuts that look at no feature, clusters of rows, and classifiers of single rows.

Those that need no labels tell numbers of states, which are assigned to labels afterwards; the others tell labels.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinoflow.tasks.segmentation import limits
from kinoflow.tasks.segmentation.data import Films, Item
from kinoflow.tasks.segmentation.initial import kmeans, nearest_centres
from kinoflow.tasks.segmentation.labels import canonical, inside
from kinoflow.tasks.segmentation.options import ConstraintOptions

CLUSTERS, DRAWS = 5, 6  # first words of what seeds generators here: training.draws has 1 and 2, batches 3, initial 4
ENOUGH = 20000  # rows from which clusters are found
FLOOR = 1e-6  # added to variances


@dataclass(frozen=True)
class Baseline:
    """What a baseline says of each video, (T,): labels (how: identity) or states (how: hungarian)."""

    told: list[np.ndarray]
    how: str


# ---------------------------------------------------------------- without features


def uniform(items: Sequence[Item], states: int) -> Baseline:
    """Each video is cut into as many equal parts as there are states."""
    return Baseline([np.arange(item.frames) * states // item.frames for item in items], "hungarian")


def clock(items: Sequence[Item], train: Sequence[Item], states: int) -> Baseline:
    """The state is the time since the beginning, in equal parts of the longest training video."""
    longest = max(float(item.times[-1] - item.times[0]) for item in train) or 1.0
    told = [
        np.minimum(((item.times - item.times[0]) / longest * states).astype(np.int64), states - 1) for item in items
    ]
    return Baseline(told, "hungarian")


def majority(items: Sequence[Item], counts: Mapping[str, Mapping[int, int]]) -> Baseline:
    """Every row has the commonest label of its task in the training."""
    best = {task: max(own, key=lambda label: (own[label], -label)) for task, own in counts.items()}
    common = best[max(counts, key=lambda task: (sum(counts[task].values()), task))]
    return Baseline([np.full(item.frames, best.get(item.task, common)) for item in items], "identity")


def sample(items: Sequence[Item], counts: Mapping[str, Mapping[int, int]], seed: int) -> Baseline:
    """Every row has a label drawn as often as it occurs in its task in the training."""
    told = []
    for item in items:
        own = counts.get(item.task) or next(iter(counts.values()))
        shares = np.array(list(own.values()), np.float64)
        name = zlib.crc32(item.video.encode("utf-8", "surrogateescape"))
        rng = np.random.default_rng((DRAWS, seed, name))
        told.append(rng.choice(np.array(list(own)), item.frames, p=shares / shares.sum()))
    return Baseline(told, "identity")


def in_order(items: Sequence[Item], films: Films, background: float) -> Baseline:
    """Each video goes through its task's steps in order, all as long."""
    return Baseline([canonical(films.vocabulary, item.task, item.frames, background) for item in items], "identity")


def narrated(items: Sequence[Item], films: Films, options: ConstraintOptions) -> Baseline:
    """A row has the first step in whose windows it lies, else background."""
    words, told = films.vocabulary, []
    for item in items:
        windows = limits.windows_of(item, films, options) or []
        hits = inside(windows, words.tasks[item.task], item.times, item.seconds / 2, "overlap")
        steps = np.array([*words.steps_of(item.task), words.backgrounds_of(item.task)[0]])
        told.append(steps[np.where(hits.any(axis=1), hits.argmax(axis=1), -1)])
    return Baseline(told, "identity")


def truth(items: Sequence[Item]) -> Baseline:
    """The true labels: the most that a label for each row can reach."""
    return Baseline([item.labels[:, 0] for item in items], "identity")


# ---------------------------------------------------------------- single rows


@dataclass(frozen=True)
class Clusters:
    """Clusters of training rows: centres (L, D) and shares of rows (L,), of features divided by ``scale`` (D,)."""

    centres: np.ndarray
    shares: np.ndarray
    scale: np.ndarray
    variance: np.ndarray  # (D,), shared by all

    def nearest(self, rows: np.ndarray) -> np.ndarray:
        """Return the nearest centre of each row."""
        return nearest_centres(rows / self.scale, self.centres)[0]

    def likeliest(self, rows: np.ndarray) -> np.ndarray:
        """Return the likeliest component of each row of the mixture."""
        return _log_joint(rows / self.scale, self.centres, self.variance, self.shares).argmax(axis=1)


def clusters(rows: Sequence[np.ndarray], states: int, seed: int, passes: int, mixture: bool) -> Clusters:
    """Find clusters: by k-means, then, if ``mixture``, a Gaussian mixture with one diagonal covariance by EM."""
    every = np.concatenate(rows).astype(np.float64)
    rng = np.random.default_rng((CLUSTERS, seed))
    some = every if len(every) <= ENOUGH else every[np.sort(rng.permutation(len(every))[:ENOUGH])]
    scale = np.maximum(some.std(axis=0), FLOOR)
    some, states = some / scale, min(states, len(some))
    centres, told = kmeans(some, states, rng, passes)
    shares = np.bincount(told, minlength=states) / len(some)
    variance = ((some - centres[told]) ** 2).mean(axis=0) + FLOOR
    for _ in range(passes if mixture else 0):
        log_joint = _log_joint(some, centres, variance, shares)
        most = log_joint.max(axis=1, keepdims=True)
        weights = np.exp(log_joint - most)
        weights /= weights.sum(axis=1, keepdims=True)
        mass = weights.sum(axis=0) + FLOOR
        centres, shares = (weights.T @ some) / mass[:, None], mass / mass.sum()
        variance = ((some**2).mean(axis=0) - (mass[:, None] * centres**2).sum(axis=0) / len(some)).clip(FLOOR) + FLOOR
    return Clusters(centres, shares, scale, variance)


def _log_joint(rows: np.ndarray, centres: np.ndarray, variance: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return log (share x density) of each row and component, up to a constant, (N, L)."""
    deviation = np.sqrt(variance)
    x, m = rows / deviation, centres / deviation
    apart = (x**2).sum(axis=1)[:, None] - 2 * x @ m.T + (m**2).sum(axis=1)
    return np.log(shares + 1e-300) - apart / 2


def gaussian(items: Sequence[Item], films: Films, train: Sequence[Item]) -> Baseline:
    """Each row has the likeliest label of its task under a Gaussian for each, with one diagonal covariance."""
    labels = np.concatenate([item.labels[:, 0] for item in train])
    rows = np.concatenate([films.rows(item) for item in train]).astype(np.float64)
    count = np.bincount(labels, minlength=len(films.vocabulary.names)).astype(np.float64)
    sums = np.zeros((len(count), rows.shape[1]))
    np.add.at(sums, labels, rows)
    means = sums / np.maximum(count, 1)[:, None]
    variance = ((rows - means[labels]) ** 2).mean(axis=0) + FLOOR
    told = []
    for item in items:
        scores = _log_joint(films.rows(item).astype(np.float64), means, variance, count / count.sum())
        told.append(masked(scores, films, item))
    return Baseline(told, "identity")


def masked(scores: np.ndarray, films: Films, item: Item) -> np.ndarray:
    """Return the label with the highest score of each row among those of the video's task, (T,)."""
    classes = np.array(films.vocabulary.classes_of(item.task))
    return classes[scores[:, classes].argmax(axis=1)]


def single_gaussian(films: Films, train: Sequence[Item], items: Sequence[Item]) -> float:
    """Return the negative log likelihood of a row under one Gaussian of all training rows, nats: what one state would tell."""
    every = np.concatenate([films.rows(item) for item in train]).astype(np.float64)
    mean, variance = every.mean(axis=0), every.var(axis=0) + FLOOR
    rows = np.concatenate([films.rows(item) for item in items]).astype(np.float64)
    return float(0.5 * (((rows - mean) ** 2 / variance).sum(axis=1) + np.log(2 * np.pi * variance).sum()).mean())
