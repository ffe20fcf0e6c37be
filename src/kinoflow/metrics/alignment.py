"""How well embeddings tell the moments of an action: order, retrieval, phases, progress.

A set of videos is a list of arrays (L, D), a vector for each of L frames, with labels (L,) each, the phases 0..C-1; frames
with a label below 0 count nowhere. Baselines are embeddings like others: a `clock`, raw `pixels`, an untrained network.

Measures that have no value (a set with one frame, or with one phase) return what is said for each, never NaN.
Tau: Kendall, 1938; its use, and progress: Dwibedi et al., "Temporal cycle-consistency learning", 2019.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Videos = Sequence[np.ndarray]
CELLS = 2_000_000  # of a table of distances that is worked on at once
FAR = 1e300  # of padding, which is no neighbour of anything
NEAR = 1e-12  # distances that differ by less, as a share of the vectors' squared lengths, are equal


# ---------------------------------------------------------------- distances


def prepared(x: np.ndarray, distance: str) -> np.ndarray:
    """Return vectors (n, D) float64 whose squared Euclidean distances are in the order of ``distance``.

    distance: sqeuclidean, or cosine, for which vectors are scaled to length 1 (zero vectors stay).
    """
    x = np.asarray(x, np.float64)
    if distance == "sqeuclidean":
        return x
    if distance != "cosine":
        raise ValueError(f"the distance {distance!r} is none of sqeuclidean and cosine")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def _tailed(x: np.ndarray) -> np.ndarray:
    """Return queries (n, D + 1) such that their inner product with `_keys` is half the distance, but for a constant."""
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def _keys(x: np.ndarray) -> np.ndarray:
    return np.concatenate([-x, np.einsum("nd,nd->n", x, x)[:, None] / 2], 1)


def distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows (u, D) of x (n, D) without copies, and which of them each row is, (n,); x itself and None without any.

    Products of matrices round by the place of a row: copies have equal distances only if these are computed once.
    """
    x = np.ascontiguousarray(x) + 0.0  # no -0: copies are told by their bytes
    if not len(x) or not x.shape[1]:
        return x[:1], np.zeros(len(x), np.int64) if len(x) > 1 else None
    seen: dict[bytes, int] = {}
    place = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in x])
    if len(seen) == len(x):
        return x, None
    return x[np.unique(place, return_index=True)[1]], place


def soft_neighbours(
    x: np.ndarray, y: np.ndarray, temperature: float = 0.1, distance: str = "sqeuclidean"
) -> np.ndarray:
    """Return how near each frame of y is to each frame of x: (m, n), columns sum to 1; a picture of how two videos match.

    x: (n, D) queries. y: (m, D) keys. The column of a query is the softmax over keys of minus the distance by ``temperature``.
    """
    x, y = prepared(x, distance), prepared(y, distance)
    half = _keys(y) @ _tailed(x).T  # (m, n)
    powers = -(half if distance == "cosine" else 2 * half) / temperature
    powers = np.exp(powers - powers.max(0))
    return powers / powers.sum(0)


# ---------------------------------------------------------------- Kendall's tau


def kendalls_tau(videos: Videos, stride: int = 1, distance: str = "sqeuclidean") -> float:
    """Return how well nearest neighbours keep the order of frames: mean tau over all ordered pairs of videos, -1 to 1.

    Pairs without a tau (one frame, or one neighbour for all) are left out; 0 if no pair has one.
    A network that is told the time, and a clock, reach .99: print theirs beside it.

    >>> kendalls_tau([np.arange(4.0)[:, None], np.arange(4.0)[:, None] + 0.3])
    1.0
    """
    table = pairwise_tau(videos, stride, distance)
    defined = table[~np.isnan(table)]
    return float(defined.mean()) if len(defined) else 0.0


def pairwise_tau(videos: Videos, stride: int = 1, distance: str = "sqeuclidean") -> np.ndarray:
    """Return tau-b between the frames of video i and their first nearest neighbours in video j: (N, N), NaN if undefined.

    The diagonal is NaN. stride: every so-manieth frame of both counts.
    """
    queries = [_tailed(prepared(video[::stride], distance)) for video in videos]
    taus = np.full((len(videos), len(videos)), np.nan)
    for members, keys, length in _stacks(videos, stride, distance):
        for i, x in enumerate(queries):
            taus[i, members] = _tau_b(_nearest(x, keys, length))
    np.fill_diagonal(taus, np.nan)
    return taus


def _stacks(videos: Videos, stride: int, distance: str) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield videos of similar length, together: their numbers, their keys (V * length, D + 1), their length with padding."""
    kept = [prepared(video[::stride], distance) for video in videos]
    order = sorted((i for i in range(len(kept)) if len(kept[i])), key=lambda i: len(kept[i]))
    longest = max(map(len, kept), default=0)
    start = 0
    while start < len(order):
        stop, most = start + 1, 0
        while stop < len(order):
            most = len(kept[order[stop]])
            if (stop + 1 - start) * most * longest > CELLS or most > 2 * len(kept[order[start]]):
                break
            stop += 1
        members, length = order[start:stop], len(kept[order[stop - 1]])
        keys = np.zeros((len(members), length, kept[members[0]].shape[1] + 1))
        keys[:, :, -1] = FAR
        for row, i in enumerate(members):
            keys[row, : len(kept[i])] = _keys(kept[i])
        yield np.array(members), keys.reshape(-1, keys.shape[2]), length
        start = stop


def _nearest(queries: np.ndarray, keys: np.ndarray, length: int) -> np.ndarray:
    """Return the first nearest key of each query in each video: (V, n)."""
    half = (queries @ keys.T).reshape(len(queries), len(keys) // length, length)  # (n, V, L)
    known = keys[:, -1] < FAR
    longest = 2 * keys[known, -1].max(initial=0)
    slack = NEAR * (np.einsum("nd,nd->n", queries, queries) - 1 + longest)[:, None, None]
    return (half <= half.min(2, keepdims=True) + slack).argmax(2).T


def _tau_b(neighbours: np.ndarray) -> np.ndarray:
    """Return tau-b between 0..n-1 and each row of ``neighbours`` (V, n): (V,), NaN where all of a row are one frame."""
    V, n = neighbours.shape
    rows = np.ascontiguousarray(neighbours.T.astype(np.int32))  # (n, V)
    balance, ties = np.zeros(V), np.zeros(V)
    for lag in range(1, n):
        change = rows[lag:] - rows[:-lag]
        balance += np.sign(change).sum(0)
        ties += (change == 0).sum(0)
    total = n * (n - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > ties, balance / np.sqrt(total * (total - ties)), np.nan)


# ---------------------------------------------------------------- retrieval


def retrieval(
    videos: Videos,
    labels: Sequence[np.ndarray],
    neighbours: Sequence[int] = (5, 10, 15),
    stride: int = 1,
    distance: str = "sqeuclidean",
) -> dict[int, float]:
    """Return AP@K for each K: the share of a frame's K nearest frames of other videos that have its label, 0 to 1.

    Mean over a video's frames, then over videos. Equal distances: the first video, the first frame comes first. Fewer
    frames than K: all there are. 0 where there are none.
    """
    videos, labels = labelled(videos, labels, stride)
    ready = [prepared(video, distance) for video in videos]
    shares: dict[int, list[float]] = {k: [] for k in neighbours}
    for i, query in enumerate(ready):
        pool = [j for j in range(len(ready)) if j != i and len(ready[j])]
        if not len(query) or not pool:
            continue
        marks = np.concatenate([labels[j] for j in pool])
        rows, place = distinct(np.concatenate([ready[j] for j in pool]))
        keys, all_of = _keys(rows).T, slice(None) if place is None else place
        hits = np.concatenate(
            [
                marks[_first((_tailed(part) @ keys)[:, all_of], max(neighbours))] == own[:, None]
                for part, own in _parts(query, labels[i], len(marks))
            ]
        )
        for k in neighbours:
            shares[k].append(float(hits[:, :k].mean()))
    return {k: float(np.mean(found)) if found else 0.0 for k, found in shares.items()}


def _parts(query: np.ndarray, labels: np.ndarray, keys: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    step = max(1, CELLS // keys)
    for i in range(0, len(query), step):
        yield query[i : i + step], labels[i : i + step]


def _first(distances: np.ndarray, count: int) -> np.ndarray:
    """Return the columns of the ``count`` smallest of each row, (n, count), smallest first, of equals the first column."""
    if count >= distances.shape[1]:
        return np.argsort(distances, axis=1, kind="stable")
    some = np.sort(np.argpartition(distances, count - 1, axis=1)[:, :count], axis=1)
    values = np.take_along_axis(distances, some, 1)
    found = np.take_along_axis(some, np.argsort(values, axis=1, kind="stable"), 1)
    largest = values.max(1, keepdims=True)
    for row in np.flatnonzero((distances == largest).sum(1) > (values == largest).sum(1)):  # a tie over the border
        found[row] = np.argsort(distances[row], kind="stable")[:count]
    return found


# ---------------------------------------------------------------- phases


def labelled(
    videos: Videos, labels: Sequence[np.ndarray], stride: int = 1
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the frames that have a label, every ``stride``-th of them, and their labels. ValueError if lengths differ."""
    found, marks = [], []
    for i, (video, own) in enumerate(zip(videos, labels, strict=True)):
        own = np.asarray(own, np.int64)
        if len(own) != len(video):
            raise ValueError(f"video {i} has {len(video)} embeddings and {len(own)} labels")
        known = own >= 0
        found.append(np.asarray(video)[known][::stride])
        marks.append(own[known][::stride])
    return found, marks


def first_share(count: int, fraction: float) -> int:
    """Return how many of ``count`` videos a share of them is: the first floor(fraction * count), one at least."""
    return max(1, int(fraction * count))


def phase_classification(
    train: Videos,
    train_labels: Sequence[np.ndarray],
    validation: Videos,
    validation_labels: Sequence[np.ndarray],
    fractions: Sequence[float] = (0.1, 0.5, 1.0),
    classifier: str = "linear",
) -> dict[float, dict[str, float]]:
    """Return the share of frames whose phase a classifier tells right: {fraction: {train: .., validation: ..}}, 0 to 1.

    It learns from the first share of the training videos. classifier: linear (logistic regression, L2 with C = 1),
    svm_linear or svm_rbf. Where these have one phase, it is told always. 0 for a set without labelled frames.
    """
    train, train_labels = labelled(train, train_labels)
    x, y = joined(*labelled(validation, validation_labels))
    result = {}
    for fraction in fractions:
        count = first_share(len(train), fraction)
        known, marks = joined(train[:count], train_labels[:count])
        tell = _fitted(known, marks, classifier)
        result[fraction] = {"train": _share(tell, known, marks), "validation": _share(tell, x, y)}
    return result


def _fitted(x: np.ndarray, labels: np.ndarray, classifier: str) -> Any:
    """Return what tells the label of rows: an object with ``predict``, or the only label that there is."""
    classes = np.unique(labels)
    if len(classes) < 2:
        return int(classes[0]) if len(classes) else -1
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC, LinearSVC

    if classifier == "svm_rbf":
        return SVC().fit(x, labels)
    if classifier == "svm_linear":
        return LinearSVC(max_iter=10000, random_state=0).fit(x, labels)
    if classifier != "linear":
        raise ValueError(f"the classifier {classifier!r} is none of linear, svm_linear and svm_rbf")
    # With two classes a softmax of two columns was published: that is one column of twice the freedom.
    return LogisticRegression(C=2.0 if len(classes) == 2 else 1.0, max_iter=100_000).fit(x, labels)


def _share(tell: Any, x: np.ndarray, labels: np.ndarray) -> float:
    if not len(x):
        return 0.0
    told = tell.predict(x) if hasattr(tell, "predict") else tell
    return float((labels == told).mean())


def joined(videos: Videos, labels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return all frames (n, D) float64 and their labels (n,)."""
    if not videos:
        return np.zeros((0, 1)), np.zeros(0, np.int64)
    return np.concatenate([np.asarray(video, np.float64) for video in videos]), np.concatenate(labels)


# ---------------------------------------------------------------- progress


def progression_targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return how far each frame is from the end of each phase but the last, in shares of the video: (L, C - 1).

    labels: (L,), all phases present; ValueError if one is not (see `complete`).

    >>> progression_targets(np.array([0, 0, 1, 1]), 2)[:, 0].tolist()
    [-0.25, 0.0, 0.25, 0.5]
    """
    labels = np.asarray(labels)
    if not complete(labels, classes):
        raise ValueError("a video without one of the phases has no time at which that ends")
    ends = np.array([np.flatnonzero(labels == phase)[-1] for phase in range(classes - 1)])
    return (np.arange(len(labels))[:, None] - ends.reshape(1, -1)) / len(labels)


def complete(labels: np.ndarray, classes: int) -> bool:
    """Tell whether all phases but the last occur, so that the progress of a video is defined."""
    return bool(np.isin(np.arange(classes - 1), labels).all()) and len(labels) > 0


def phase_progression(
    train: Videos,
    train_labels: Sequence[np.ndarray],
    validation: Videos,
    validation_labels: Sequence[np.ndarray],
    classes: int,
    fractions: Sequence[float] = (0.1, 0.5, 1.0),
) -> dict[float, dict[str, float]]:
    """Return how well progress follows from embeddings: {fraction: {train: R2, validation: R2}}, 1 at best.

    Ordinary least squares with intercept for each target; the mean of R2 over targets. Videos that are not `complete` are
    left out. 0 (no better than the mean) with one phase, or where no video is left.
    """
    known = _progressing(train, train_labels, classes)
    x, y = _tabled(_progressing(validation, validation_labels, classes), classes)
    result = {}
    for fraction in fractions:
        share = first_share(len(train), fraction)
        inputs, targets = _tabled([pair for number, *pair in known if number < share], classes)
        if not len(inputs) or classes < 2:
            result[fraction] = {"train": 0.0, "validation": 0.0}
            continue
        tell = _least_squares(inputs, targets)
        result[fraction] = {"train": _r2(tell, inputs, targets), "validation": _r2(tell, x, y)}
    return result


def _progressing(
    videos: Videos, labels: Sequence[np.ndarray], classes: int
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return number, embeddings and targets of the videos whose progress is defined."""
    pairs = zip(*labelled(videos, labels), strict=True)
    return [(i, x, progression_targets(y, classes)) for i, (x, y) in enumerate(pairs) if complete(y, classes)]


def _tabled(rows: Sequence[Sequence[Any]], classes: int) -> tuple[np.ndarray, np.ndarray]:
    if not rows:
        return np.zeros((0, 1)), np.zeros((0, max(0, classes - 1)))
    return np.concatenate([np.asarray(row[-2], np.float64) for row in rows]), np.concatenate([row[-1] for row in rows])


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    middle, mean = x.mean(0), y.mean(0)
    slope = np.linalg.lstsq(x - middle, y - mean, rcond=None)[0]
    return slope, middle, mean


def _r2(tell: tuple[np.ndarray, np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    if not len(x):
        return 0.0
    slope, middle, mean = tell
    left = ((y - (x - middle) @ slope - mean) ** 2).sum(0)
    spread = ((y - y.mean(0)) ** 2).sum(0)
    return float(np.where(spread > 0, 1 - left / np.where(spread > 0, spread, 1), 0.0).mean())


# ---------------------------------------------------------------- baselines


def clock(length: int) -> np.ndarray:
    """Return the embedding that knows nothing but the share of the video that has passed: (L, 1)."""
    return np.linspace(0.0, 1.0, length)[:, None]


def pixels(frames: np.ndarray, side: int = 8) -> np.ndarray:
    """Return frames (L, H, W, C) uint8 as embeddings: means over a grid of ``side`` x ``side`` parts, (L, side^2 C) float32.

    Values 0 to 1. Smaller pictures stay as they are.
    """
    small = np.asarray(frames, np.float32) / 255
    for axis in (1, 2):
        parts = min(side, small.shape[axis])
        starts = np.arange(parts) * small.shape[axis] // parts
        sums = np.add.reduceat(small, starts, axis)
        shape = [-1 if i == axis else 1 for i in range(4)]
        small = sums / np.diff([*starts, small.shape[axis]]).reshape(shape)
    return small.reshape(len(small), -1).astype(np.float32)
