"""What a model says of many sets at once, and the distances by which candidates are ranked and the odd one is found.

Spaces: embedding, semantic vectors; singles, the same with the mean of single videos' vectors as the centre of odd ones out;
feature, what the heads read; relation, what they read of the whole set against raw features; mean, raw features alone (B1).
Sets go through the model by their size, several at a time. A space that does not apply is told with its reason.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinoflow.metrics.abstraction import cosine_distances
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel

RECORDS = 160  # sets whose distances are told at once: enough rows for a matrix product, and little memory that is new
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
            found = [say(self._tensor(x[first : first + self.batch])) for first in range(0, len(x), self.batch)]
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
        found |= self._by_parts(self._completed, reasons, references, candidates)
        return {space: found[space] for space in SPACES}

    def _completed(
        self, reasons: Mapping[str, str], references: np.ndarray, candidates: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Give each space with its centres (N, .) and candidates (N, Q, .)."""
        yield "mean", references.mean(axis=1), candidates
        if reasons.keys() >= {"embedding", "feature", "relation"}:
            return
        features, vectors = map(_double, self.network.whole(self._tensor(references)))
        if "relation" not in reasons:
            yield "relation", features, candidates
        if not reasons.keys() >= {"embedding", "feature"}:
            own, single = map(_double, self.network.singles(self._tensor(candidates)))
            yield from (("embedding", vectors, single), ("feature", features, own))

    # ---------------------------------------------------------------- odd one out

    def odd(self, x: np.ndarray) -> Distances:
        """Return how far each member is from the centre of its set x (N, n, D): (N, n) in every space; the odd one is farthest."""
        reasons = self.reasons()
        found: Distances = reasons | self._by_parts(self._centred, reasons, x)
        return {space: found[space] for space in SPACES}

    def _centred(self, reasons: Mapping[str, str], x: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Give each space with its centres (N, .) and members (N, n, .)."""
        yield "mean", x.mean(axis=1), x
        if reasons.keys() >= set(SPACES[:-1]):
            return
        told, n = self.network(self._tensor(x), features=True, logits=False), x.shape[1]
        several = torch.from_numpy(np.flatnonzero(self.network.sizes(n) >= 2)).to(self._device)
        centre, feature = map(_double, (told.embeddings[:, several].mean(1), told.features[:, -1]))
        vectors, features = map(_double, (told.embeddings[:, :n], told.features[:, :n]))
        yield from (("embedding", centre, vectors), ("singles", vectors.mean(axis=1), vectors))
        yield from (("feature", feature, features), ("relation", feature, x))

    # ---------------------------------------------------------------- some records at a time

    def _by_parts(
        self,
        give: Callable[..., Iterator[tuple[str, np.ndarray, np.ndarray]]],
        reasons: Mapping[str, str],
        *arrays: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return the distances (N, .) in every space that applies; ``give`` is asked for some rows of the arrays at a time.

        The parts are alike in size: a product with one row, or two, is rounded otherwise than one with many.
        """
        count = -(-len(arrays[0]) // min(self.batch, RECORDS))
        with torch.inference_mode():
            parts = [
                {
                    space: cosine_distances(centres, members)
                    for space, centres, members in give(reasons, *part)
                    if space not in reasons
                }
                for part in zip(*(np.array_split(each, count) for each in arrays), strict=True)
            ]
        return {space: np.concatenate([part[space] for part in parts]) for space in parts[0]}

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(x, dtype=self._dtype, device=self._device)


def _double(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.float64)
