"""What a test has said of every action, as one HDF5 file: what tables and figures are made of afterwards.

/uid (N,) utf-8 bytes    /classes (C,) utf-8 bytes    /target (N,) int64    /start, /end (N,) float64, of what was seen
/scores_action (N, C) float32, and scores_verb, scores_noun where the network tells them    /loss (N,) float64
/scores_marginal_verb, scores_marginal_noun, scores_own_verb, scores_own_noun: of tests that were added, instead
attrs: room "anticipation", kind "scores", dataset
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from kinoflow.datasets.actions import Classes, Rows
from kinoflow.errors import DataError
from kinoflow.metrics.anticipation import late_fusion, marginalise
from kinoflow.metrics.scores import softmax
from kinoflow.store import hdf5
from kinoflow.store.files import replacing
from kinoflow.store.shards import put, roomy

ROOM, KIND = "anticipation", "scores"
PREFIX, MARGINAL, OWN = "scores_", "marginal_", "own_"


@dataclass(frozen=True)
class Scores:
    """The scores of N actions. uids: (N,) str; targets: (N,) numbers of the true actions.

    scores: {target: (N, K)}, before any softmax. Where tests were added verbs and nouns are sums of probabilities:
    ``marginal_verb`` of those of their actions, ``own_verb`` of those of heads of their own; nouns alike.
    """

    uids: list[str]
    classes: tuple[str, ...]
    scores: dict[str, np.ndarray]
    targets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    dataset: str

    @property
    def losses(self) -> np.ndarray:
        """The cross-entropy of each action, (N,)."""
        scores = self.scores["action"].astype(np.float64)
        top = scores.max(1, keepdims=True)
        partition = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
        return partition - scores[np.arange(len(scores)), self.targets]

    def marginals(self, classes: Classes) -> dict[str, np.ndarray]:
        """Return the probabilities of verbs (N, V) and of nouns (N, M) by their actions, or of added tests the sums of these.

        Empty where the dataset has no verbs and nouns.
        """
        found = {}
        for head in ("verb", "noun") if classes.verb else ():
            ids, summed = np.array(getattr(classes, head)), self.scores.get(f"{MARGINAL}{head}")
            found[head] = marginalise(self.scores["action"], ids, classes.heads[head]) if summed is None else summed
        return found

    def own(self) -> dict[str, np.ndarray]:
        """Return the probabilities of verbs and of nouns by heads of their own, or of added tests the sums of these."""
        told = {head: softmax(self.scores[head].astype(np.float64)) for head in ("verb", "noun") if head in self.scores}
        return told | {head: self.scores[OWN + head] for head in ("verb", "noun") if OWN + head in self.scores}

    def of(self, uids: list[str]) -> np.ndarray:
        """Return the scores of actions ``uids``, (n, C); rows of NaN where there are none."""
        place = {uid: i for i, uid in enumerate(self.uids)}
        found = np.full((len(uids), self.scores["action"].shape[1]), np.nan, np.float32)
        for i, uid in enumerate(uids):
            if uid in place:
                found[i] = self.scores["action"][place[uid]]
        return found


def added(
    every: Sequence[Scores], rows: Rows, classes: Classes, weights: Sequence[float], norm: float | None
) -> Scores:
    """Return the weighted sums of the actions' scores over the union of their actions, in the order of the table.

    Actions are added as scores, verbs and nouns as probabilities, each by itself: those of the actions of each test, and
    those of heads of their own where every test has them. norm: each row is divided by its norm of this order before; None:
    it is not. What was seen of an action is told by the first that has it.
    """
    seen: dict[str, tuple[float, float]] = {}
    for each in every:
        seen = dict(zip(each.uids, zip(each.start, each.end, strict=True), strict=True)) | seen
    uids = [uid for uid in rows.uid if uid in seen]
    parts = [
        {"action": each.scores["action"]}
        | {MARGINAL + head: values for head, values in each.marginals(classes).items()}
        | {OWN + head: values for head, values in each.own().items()}
        for each in every
    ]
    scores = {}
    for target in [target for target in parts[0] if all(target in part for part in parts)]:
        told = [(each.uids, part[target]) for each, part in zip(every, parts, strict=True)]
        names, total = late_fusion(told, list(weights), norm)
        place = {uid: i for i, uid in enumerate(names)}
        scores[target] = total[[place[uid] for uid in uids]].astype(np.float32)
    bounds = np.array([seen[uid] for uid in uids]).reshape(-1, 2)
    targets = rows.action[places(rows, uids)]
    first = every[0]
    return Scores(uids, first.classes, scores, targets, bounds[:, 0], bounds[:, 1], first.dataset)


def places(rows: Rows, uids: Sequence[str]) -> np.ndarray:
    """Return where actions stand in the table, (n,) int64."""
    place = {uid: i for i, uid in enumerate(rows.uid)}
    return np.array([place[uid] for uid in uids], np.int64)


def _size(found: Scores) -> int:
    return sum(values.nbytes for values in found.scores.values()) + 100 * len(found.uids)


def write_scores(path: Path, found: Scores) -> None:
    """Write the file in one piece; the same scores, the same bytes."""
    with replacing(path) as new, roomy(new, _size(found)) as file:
        hdf5.tell(file, {"dataset": found.dataset, "kind": KIND, "room": ROOM})
        put(file, "uid", _texts(found.uids))
        put(file, "classes", _texts(found.classes))
        put(file, "target", np.asarray(found.targets, np.int64))
        put(file, "start", np.asarray(found.start, np.float64))
        put(file, "end", np.asarray(found.end, np.float64))
        for target in sorted(found.scores):
            put(file, f"{PREFIX}{target}", np.asarray(found.scores[target], np.float32))
        put(file, "loss", found.losses)


def read_scores(path: Path) -> Scores:
    """Return what `write_scores` has written; DataError if it is another file."""
    try:
        with h5py.File(path, "r") as file:
            about = hdf5.told(file)
            if (about.get("room"), about.get("kind")) != (ROOM, KIND):
                raise KeyError("room")
            scores = {name.removeprefix(PREFIX): hdf5.array(file, name) for name in file if name.startswith(PREFIX)}
            return Scores(
                uids=_names(hdf5.array(file, "uid")),
                classes=tuple(_names(hdf5.array(file, "classes"))),
                scores=scores,
                targets=hdf5.array(file, "target"),
                start=hdf5.array(file, "start"),
                end=hdf5.array(file, "end"),
                dataset=about["dataset"],
            )
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of scores") from None
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{path}: these are no scores that anticipation-evaluate has written ({error}); test again"
        ) from None


def same_classes(path: Path, found: Scores, classes: tuple[str, ...]) -> Scores:
    """Return the scores if they are of these classes; DataError else."""
    if found.classes != classes:
        raise DataError(f"{path}: scores of other classes ({found.dataset!r}); give those of a run on the same dataset")
    return found


def _texts(names: Mapping | list[str] | tuple[str, ...]) -> np.ndarray:
    return (
        np.array([name.encode("utf-8", "surrogateescape") for name in names], np.bytes_) if names else np.zeros(0, "S1")
    )


def _names(found: np.ndarray) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in found.tolist()]
