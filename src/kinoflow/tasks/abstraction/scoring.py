"""What a model says of many sets at once, and the distances by which candidates are ranked and the odd one is found.

Spaces: embedding, semantic vectors; singles, the same with the mean of single videos' vectors as the centre of odd ones out;
feature, what the heads read; relation, what they read of the whole set against raw features; mean, raw features alone (B1).
Sets go through the model by their size, several at a time. A space that does not apply is told with its reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinoflow.metrics.abstraction import cosine_distances
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel, Told

SPACES = ("embedding", "singles", "feature", "relation", "mean")
Distances = dict[str, np.ndarray | str]  # of each space: (N, candidates), or why it does not apply


@dataclass
class Reader:
    """A network in the mode of evaluation. ``embedded``: whether it learned semantic vectors; ``batch``: sets at once."""

    network: SetModel | ClipClassifier
    batch: int = 256
    embedded: bool = True

    def __post_init__(self):
        self.network.eval()
        weight = next(self.network.parameters())
        self._dtype, self._device = weight.dtype, weight.device

    # ---------------------------------------------------------------- what is told

    def _parts(self, x: np.ndarray, say: Callable[[Tensor], tuple[Tensor, ...]]) -> list[np.ndarray]:
        """Return what ``say`` tells of x (N, ...), joined over batches, as arrays."""
        with torch.inference_mode():
            found = [
                say(torch.as_tensor(x[first : first + self.batch], dtype=self._dtype, device=self._device))
                for first in range(0, len(x), self.batch)
            ]
            return [torch.cat(each).cpu().numpy() for each in zip(*found, strict=True)]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the nodes for every subset of sets x (N, n, D): (N, C, M)."""
        return self._parts(x, lambda sets: (self.network(sets).logits,))[0]

    def classes(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the classes (N, K) of videos x (N, D), of a classifier."""
        return self._parts(x, lambda videos: (self.network(videos),))[0]

    # ---------------------------------------------------------------- which spaces apply

    def reasons(self) -> dict[str, str]:
        """Return why spaces do not apply, {space: sentence}; spaces that do are not in it."""
        network = self.network
        if isinstance(network, ClipClassifier):
            return dict.fromkeys(SPACES[:-1], "a classifier of single videos says nothing of a set")
        found = {}
        if network.least > 1:
            text = f"the smallest scale is {network.least}: single videos have no vector"
            found |= dict.fromkeys(("embedding", "singles", "feature"), text)
        if not self.embedded:
            found |= dict.fromkeys(("embedding", "singles"), "trained without the loss of semantic vectors")
        if network.inputs != network.network.width:
            found["relation"] = f"raw features have {network.inputs} columns, those of sets {network.network.width}"
        return found

    # ---------------------------------------------------------------- set completion

    def completion(self, references: np.ndarray, candidates: np.ndarray) -> Distances:
        """Return how far each candidate is from the references as a set: (N, Q) in every space; smaller fits better.

        references: (N, n, D). candidates: (N, Q, D), which are looked at one by one, never as a set.
        """
        reasons = self.reasons()
        if isinstance(self.network, SetModel) and references.shape[1] < self.network.least:
            text = f"{references.shape[1]} references are fewer than the smallest scale, {self.network.least}"
            reasons |= dict.fromkeys(SPACES[:-1], text)
        found: Distances = {space: reasons[space] for space in SPACES if space in reasons}
        found["singles"] = reasons.get("singles", "the centre of the references is the set's own vector")
        found["mean"] = cosine_distances(references.mean(axis=1), candidates)
        if {"embedding", "feature", "relation"} - reasons.keys():
            vectors, features = map(_double, self._whole(references))
            pairs = {"relation": (features, candidates)}
            if {"embedding", "feature"} - reasons.keys():
                single = list(map(_double, self._single(candidates)))
                pairs |= {"embedding": (vectors, single[0]), "feature": (features, single[1])}
            found |= {space: cosine_distances(*pair) for space, pair in pairs.items() if space not in reasons}
        return {space: found[space] for space in SPACES}

    def _whole(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the vector (N, E) and the feature (N, F) of whole sets."""

        def say(sets: Tensor) -> tuple[Tensor, ...]:
            features, vectors = self.network.whole(sets)
            return vectors, features

        return self._parts(x, say)

    def _single(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the vectors (N, Q, E) and the features (N, Q, F) of videos, each a set of its own."""

        def say(videos: Tensor) -> tuple[Tensor, ...]:
            told: Told = self.network.singles(videos, features=True)
            return told.embeddings, told.features

        return self._parts(x, say)

    # ---------------------------------------------------------------- odd one out

    def odd(self, x: np.ndarray) -> Distances:
        """Return how far each member is from the centre of its set x (N, n, D): (N, n) in every space; the odd one is farthest."""
        reasons, network = self.reasons(), self.network
        found: Distances = dict(reasons)
        found["mean"] = cosine_distances(x.mean(axis=1), x)
        if set(SPACES[:-1]) - reasons.keys():
            several = torch.from_numpy(np.flatnonzero(network.sizes(x.shape[1]) >= 2)).to(self._device)

            def say(sets: Tensor) -> tuple[Tensor, ...]:
                told, n = network(sets, features=True), sets.shape[1]
                centre = told.embeddings[:, several].mean(1)
                return centre, told.features[:, -1], told.embeddings[:, :n], told.features[:, :n]

            centre, feature, vectors, features = map(_double, self._parts(x, say))
            pairs = {
                "embedding": (centre, vectors),
                "singles": (vectors.mean(axis=1), vectors),
                "feature": (feature, features),
                "relation": (feature, x),
            }
            found |= {space: cosine_distances(*pair) for space, pair in pairs.items() if space not in reasons}
        return {space: found[space] for space in SPACES}


def _double(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64)
