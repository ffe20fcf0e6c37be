"""SAM, semantic relational set abstraction, its pooled variant and the two networks that it is compared with.

    features (B, n, D) -> for each scale s: relation of s videos, for each of the T tuples      (T, B, F)
        -> every subset adds up the tuples inside it                                            (B, M, F)
        -> two linear heads: a semantic vector (B, M, E) and scores of the C nodes (B, C, M)

Paper: Andonian, Fosco et al., "We Have So Much In Common: Modeling Semantic Relational Set Abstractions in Videos", 2020.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.abstraction.options import NetworkOptions
from kinoflow.tasks.abstraction.subsets import membership, places, sizes, subsets
from kinoflow.tasks.abstraction.sums import Sums, inclusions, means
from kinoflow.training.first_weights import generator_of


class Told(NamedTuple):
    """What a model says of every subset of a set, in the order of ``subsets``."""

    features: Tensor | None  # (B, M, F)
    embeddings: Tensor  # (B, M, E)
    logits: Tensor | None  # (B, C, M)


class Relation(nn.Module):
    """What s videos have to do with each other: u (s * D) -> W2 relu(W1 relu(u) + b1) + b2.

    W1 is cut into a block for each place of a tuple: every video goes through each block once, and a tuple adds up what its
    videos gave. Of n videos that are s (n - s + 1) products in place of s binom(n, s).
    """

    def __init__(self, scale: int, inputs: int, bottleneck: int, outputs: int):
        super().__init__()
        self.scale = scale
        self.first, self.second = nn.Linear(scale * inputs, bottleneck), nn.Linear(bottleneck, outputs)

    def hidden(self, x: Tensor, sums: "Indices") -> Tensor:
        """Return what is behind the second ReLU, (T, B, K), of videos (n, B, D) whose negative values are cut off already."""
        blocks = self.first.weight.unflatten(1, (self.scale, -1)).unbind(1)  # s of (K, D)
        products = [
            functional.linear(x[videos], block) for videos, block in zip(sums.slots, blocks, strict=True)
        ]  # (videos, B, K) each
        if self.scale == 1 and len(sums.tuples) == len(products[0]):
            total = products[0]
        else:
            joined = torch.cat(products)
            total = (sums.choice @ joined.flatten(1)).unflatten(1, joined.shape[1:])
        return (total + self.first.bias).relu_()


class Indices(NamedTuple):
    """``subsets.Sums`` as tensors."""

    scale: int
    tuples: Tensor  # (T, s)
    slots: list[Any]  # the videos at each place: a slice, or a tensor of indices
    choice: Tensor  # (T, products)
    weights: Tensor  # (M, T)


@lru_cache(64)
def _indices(kind: str, n: int, scales: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> list[Indices]:
    with torch.inference_mode(False):  # a training may use them after an evaluation
        return [_as_tensors(each, dtype, device) for each in (means if kind == "pooled" else inclusions)(n, scales)]


def _as_tensors(sums: Sums, dtype: torch.dtype, device: torch.device) -> Indices:
    choice, weights = (torch.from_numpy(each).to(device, dtype) for each in (sums.choice, sums.weights))
    return Indices(
        sums.scale, torch.from_numpy(sums.tuples), [_slot(each, device) for each in sums.slots], choice, weights
    )


def _slot(videos: np.ndarray, device: torch.device) -> slice | Tensor:
    first, last = int(videos[0]), int(videos[-1])
    if last - first + 1 == len(videos):
        return slice(first, last + 1)  # a view, no copy
    return torch.from_numpy(videos).to(device)


class SetModel(nn.Module):
    """SAM (kind sam), its pooled variant (pooled), or a network on the mean of a set's features (head).

    inputs: D. embedding: E. nodes: C. seed: of the first weights. Sets below the smallest scale are padded by the pooled
    variant and refused by SAM (DataError).

    >>> model = SetModel(NetworkOptions(bottleneck=8, width=16), inputs=6, embedding=5, nodes=9)
    >>> told = model(torch.ones(2, 4, 6))
    >>> told.embeddings.shape, told.logits.shape
    (torch.Size([2, 15, 5]), torch.Size([2, 9, 15]))
    """

    def __init__(self, network: NetworkOptions, inputs: int, embedding: int, nodes: int, seed: int = 0):
        super().__init__()
        if network.kind == "classifier":
            raise ConfigError("network.kind: classifier is a network for single videos; take ClipClassifier")
        self.network, self.inputs = network, inputs
        self.scales = (1,) if network.kind == "head" else network.scales
        self.least = 1 if network.kind == "pooled" else self.scales[0]  # members of the smallest subset that is told
        self.relations = nn.ModuleDict(
            {str(scale): Relation(scale, inputs, network.bottleneck, network.width) for scale in self.scales}
        )
        self.node, self.embedding = nn.Linear(network.width, nodes), nn.Linear(network.width, embedding)
        if network.kind == "pooled":
            self.scale_weight = nn.Parameter(torch.ones(self.scales[-1]))  # column s - 1 is that of scale s
            self.scale_bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("spread", torch.ones(inputs))  # what features are divided by
        draw(self, seed)

    # ---------------------------------------------------------------- what it says of sets

    def forward(self, x: Tensor, features: bool = False, logits: bool = True) -> Told:
        """Return what is told of the subsets of sets x (B, n, D); with ``features`` (B, M, F) too, or without ``logits``.

        M: all subsets with as many members as the smallest scale, or more. DataError if the whole set has fewer.
        """
        n = self._checked(x)
        if self.network.symmetrise == "none" or n == 1:
            return self._told(x, features, logits)
        parts = [self._reordered(x, order, features, logits) for order in self._orders(x)]
        joined = [None if each[0] is None else torch.stack(each).mean(0) for each in zip(*parts, strict=True)]
        return Told(*joined)

    def _checked(self, x: Tensor) -> int:
        """Return the number of videos in a set; DataError if these are too few."""
        n = x.shape[1]
        if n < self.least:
            raise DataError(
                f"a set of {n} is smaller than the smallest scale of this model, {self.least}: give more videos, or take"
                " network.kind: pooled, which repeats some"
            )
        return n

    def whole(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, F) and vectors (B, E) of the sets x (B, n, D) as wholes, without their subsets.

        The sum over tuples goes through the last layer of a relation in place of every tuple: the same but for rounding.
        """
        n = self._checked(x)
        if self.network.kind == "head" or self.network.symmetrise != "none":
            told = self(x, features=True, logits=False)
            return told.features[:, -1], told.embeddings[:, -1]
        x, total = self._videos(x), torch.zeros((), dtype=x.dtype, device=x.device)
        for sums in self._sums(n, x):
            relation, weights = self.relations[str(sums.scale)], sums.weights[-1]  # (T,)
            hidden = relation.hidden(x, sums)  # (T, B, K)
            joined = (weights @ hidden.flatten(1)).unflatten(0, hidden.shape[1:])  # (B, K)
            part = functional.linear(joined, relation.second.weight) + weights.sum() * relation.second.bias
            pooled = self.network.kind == "pooled"
            total = total + (part * self.scale_weight[sums.scale - 1] if pooled else part)
        total = total + self.scale_bias if self.network.kind == "pooled" else total
        return total, self.embedding(total)

    def singles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, n, F) and vectors (B, n, E) of each video by itself, of x (B, n, D)."""
        told = self(x.flatten(0, 1)[:, None], features=True, logits=False)
        features, vectors = (each[:, 0].unflatten(0, x.shape[:2]) for each in (told.features, told.embeddings))
        return features, vectors

    def _told(self, x: Tensor, features: bool, logits: bool) -> Told:
        if logits and not features and self._is_cheaper_folded(x):
            return self._folded(x)
        f = self._features(x)  # (M, B, F)
        e, z = self.embedding(f), self.node(f).permute(1, 2, 0) if logits else None
        return Told(f.transpose(0, 1) if features else None, e.transpose(0, 1), z)

    def _videos(self, x: Tensor) -> Tensor:
        """Return videos first, (n, B, D): each product with weights is then one of large matrices."""
        x = (x / self.spread).transpose(0, 1).contiguous()
        return x.relu_() if self.network.input_relu else x

    def _sums(self, n: int, x: Tensor) -> list[Indices]:
        return _indices(self.network.kind, n, self.scales, x.dtype, x.device)

    def _features(self, x: Tensor) -> Tensor:
        """Return f of every subset, (M, B, F)."""
        n = x.shape[1]
        if self.network.kind == "head":
            return self._of_means(x)
        x, total = self._videos(x), None
        for sums in self._sums(n, x):
            relation = self.relations[str(sums.scale)]
            g = relation.second(relation.hidden(x, sums))  # (T, B, F)
            weights = sums.weights
            if self.network.kind == "pooled":
                weights = weights * self.scale_weight[sums.scale - 1]
            alone = n == 1 and self.network.kind == "sam"  # then the only weight is 1
            part = g.flatten(1) if alone else weights @ g.flatten(1)
            total = part if total is None else total + part
        total = total.unflatten(1, g.shape[1:])
        return total + self.scale_bias if self.network.kind == "pooled" else total

    def _of_means(self, x: Tensor) -> Tensor:
        n, relation = x.shape[1], self.relations["1"]
        members = torch.from_numpy(membership(n)).to(x)
        x = (x / self.spread).transpose(0, 1)  # (n, B, D)
        mean = ((members / members.sum(1, keepdim=True)) @ x.flatten(1)).unflatten(1, x.shape[1:])  # (M, B, D)
        mean = mean.relu() if self.network.input_relu else mean
        return relation.second(relation.first(mean).relu())

    # ---------------------------------------------------------------- two linear maps as one

    def _is_cheaper_folded(self, x: Tensor) -> bool:
        """Whether it costs fewer multiplications to join each relation's last layer with the heads first."""
        if self.network.kind != "sam" or not self.training:
            return False
        n, (batch, k, f) = x.shape[1], (len(x), self.network.bottleneck, self.network.width)
        told = self.node.out_features + self.embedding.out_features
        tuples = sum(len(sums.tuples) for sums in self._sums(n, x))
        apart = batch * (tuples * k * f + len(subsets(n, self.least)) * f * told)
        return batch * tuples * k * told + len(self.relations) * told * f * k < apart

    def _folded(self, x: Tensor) -> Told:
        """Return the same as from features, but for rounding: W (W2 h + b2) = (W W2) h + W b2, and sums move past W."""
        n, batch = x.shape[1], len(x)
        x, total = self._videos(x), None
        heads = torch.cat([self.embedding.weight, self.node.weight])  # (E + C, F)
        for sums in self._sums(n, x):
            relation = self.relations[str(sums.scale)]
            own = functional.linear(
                relation.hidden(x, sums), heads @ relation.second.weight, heads @ relation.second.bias
            )  # (T, B, E + C)
            part = sums.weights @ own.flatten(1)
            total = part if total is None else total + part
        found = total.unflatten(1, (batch, -1)) + torch.cat([self.embedding.bias, self.node.bias])
        e, z = found.split([self.embedding.out_features, self.node.out_features], 2)
        return Told(None, e.transpose(0, 1), z.permute(1, 2, 0))

    # ---------------------------------------------------------------- orders of a set's videos

    def _orders(self, x: Tensor) -> list[Tensor]:
        """Return orders of each set's videos, (B, n) each."""
        batch, n = x.shape[:2]
        if self.network.symmetrise == "sorted":
            return [x.sum(2).argsort(dim=1, stable=True)]
        rng = np.random.default_rng(n)
        given = [np.arange(n), *(rng.permutation(n) for _ in range(self.network.permutations - 1))]
        return [torch.from_numpy(each).to(x.device).expand(batch, n) for each in given]

    def _reordered(self, x: Tensor, order: Tensor, features: bool, logits: bool) -> Told:
        """Return what is told of the sets with their videos in another order, subsets named by their former places."""
        n = x.shape[1]
        told = self._told(x.gather(1, order[..., None].expand_as(x)), features, logits)
        bits = 1 << order.argsort(1)  # (B, n): where each video has gone
        members = torch.from_numpy(membership(n, self.least)).to(x.device, torch.int64)  # (M, n)
        where = torch.from_numpy(places(n, self.least)).to(x.device)[bits @ members.T]  # (B, M)
        by_row = where[..., None]
        return Told(
            None if told.features is None else told.features.gather(1, by_row.expand_as(told.features)),
            told.embeddings.gather(1, by_row.expand_as(told.embeddings)),
            None if told.logits is None else told.logits.gather(2, where[:, None].expand_as(told.logits)),
        )

    # ---------------------------------------------------------------- making it again

    def sizes(self, n: int) -> np.ndarray:
        """Return the number of members of each subset that is told of sets of n, (M,)."""
        return sizes(n, self.least)

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same network, as JSON values."""
        return {
            "network": self.network.model_dump(mode="json"),
            "inputs": self.inputs,
            "embedding": self.embedding.out_features,
            "nodes": self.node.out_features,
        }


class ClipClassifier(nn.Module):
    """Classes of single videos (baseline B3): (B, D) -> K -> scores (B, classes), as deep as the relation of one video."""

    def __init__(self, network: NetworkOptions, inputs: int, classes: int, seed: int = 0):
        super().__init__()
        self.network, self.inputs, self.classes = network, inputs, classes
        self.first, self.second = nn.Linear(inputs, network.bottleneck), nn.Linear(network.bottleneck, classes)
        self.register_buffer("spread", torch.ones(inputs))
        draw(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the classes, (B, classes), of features (B, D)."""
        x = x / self.spread
        return self.second(self.first(x.relu() if self.network.input_relu else x).relu())

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same network, as JSON values."""
        return {"network": self.network.model_dump(mode="json"), "inputs": self.inputs, "classes": self.classes}


def rebuild(about: dict[str, Any]) -> SetModel | ClipClassifier:
    """Return a network of the architecture that ``about`` says; its weights are drawn anew."""
    kind = ClipClassifier if "classes" in about else SetModel
    return kind(**about | {"network": NetworkOptions.model_validate(about["network"])})


# ---------------------------------------------------------------- first weights


def draw(model: nn.Module, seed: int) -> None:
    """Draw all linear layers anew, as torch does: uniform within 1 / sqrt(inputs), weights and biases.

    Each layer depends on the seed and its own name alone, so that one more scale changes no other.
    """
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                generator, bound = generator_of(name, seed), module.in_features**-0.5
                module.weight.uniform_(-bound, bound, generator=generator)
                module.bias.uniform_(-bound, bound, generator=generator)
