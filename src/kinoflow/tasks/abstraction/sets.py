"""Sets of clips and what they have in common: the sampler of abstraction sets, of rankings and of sets with an odd one.

A set of n clips carries a node for each of its 2^n - 1 subsets, in the order of kinoflow.tasks.abstraction.subsets. A set is
drawn by drawing a concept, then clips below it, so that sets are about something; the root is kept from being what most are
about. The n-th set depends on the seed and n alone: more sets begin with the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.progress import Progress
from kinoflow.tasks.abstraction.items import Items
from kinoflow.tasks.abstraction.options import SamplingOptions
from kinoflow.tasks.abstraction.subsets import subsets
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

BLOCK = 1 << 13  # sets drawn at a time
PATIENCE = 32  # blocks, or draws of an odd one, without success before it gives up


@dataclass(frozen=True, eq=False)
class Sets:
    """N sets of n clips. names: (V,) of the clips; items: (N, n) int32, numbers of names; labels: (N, 2^n - 1) int16."""

    names: tuple[str, ...]
    items: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n(self) -> int:
        """The number of clips in a set."""
        return self.items.shape[1]

    @property
    def classes(self) -> np.ndarray:
        """The labels of the members' classes, (N, n)."""
        return self.labels[:, : self.n]

    def take(self, index: np.ndarray | slice) -> "Sets":
        """Return some of the sets."""
        return Sets(self.names, self.items[index], self.labels[index])


@dataclass(frozen=True)
class Ranking:
    """Clips to be ranked by how well they join a set. distances: (Q,) how far each query is from what the set has in common."""

    common: str
    references: tuple[str, ...]
    queries: tuple[str, ...]
    distances: tuple[float, ...]
    reference_labels: tuple[str, ...] = field(default=())
    query_labels: tuple[str, ...] = field(default=())

    @property
    def order(self) -> list[int]:
        """The queries from the nearest to the farthest; equal ones in their order."""
        return np.argsort(self.distances, kind="stable").tolist()

    @property
    def outlier(self) -> int:
        """The number of the farthest query, of equal ones the first."""
        return int(np.argmax(self.distances))


# ---------------------------------------------------------------- abstraction sets


class Sampler:
    """Draws sets of clips below the nodes of a taxonomy."""

    def __init__(self, taxonomy: Taxonomy, items: Items, options: SamplingOptions):
        self.taxonomy, self.items, self.options = taxonomy, items, options
        self._fill_pools()
        self._least = 1 if options.repeats else options.members
        if len(items) < self._least:
            raise ConfigError(f"members: sets of {options.members} different clips cannot be drawn from {len(items)}")
        if self.sizes[taxonomy.root] < self._least:
            top = taxonomy.nodes[taxonomy.root]
            raise ConfigError(f"the taxonomy's root {top!r} has {self.sizes[taxonomy.root]} clips below it; add edges")
        self._usable = self.sizes >= self._least

    def _fill_pools(self) -> None:
        """Collect the numbers of the clips below each node, one node after the other, each clip once."""
        labels = self.items.labels
        number, column = np.nonzero(labels >= 0)
        classes = labels[number, column]
        order = np.argsort(classes, kind="stable")
        ends = np.searchsorted(classes[order], np.arange(1, len(self.taxonomy)))
        by_class = np.split(number[order], ends)
        pools = []
        for node in range(len(self.taxonomy)):
            found = [by_class[below] for below in np.flatnonzero(self.taxonomy.reach[node]) if len(by_class[below])]
            joined = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
            pools.append(joined if labels.shape[1] == 1 else np.unique(joined))
        self.sizes = np.array([len(pool) for pool in pools])  # (C,) clips below each node
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self._pool = np.concatenate(pools)

    def below(self, nodes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``count`` clips below each of the nodes (N,), each as likely every time: (N, count) int64."""
        place = rng.integers(0, self.sizes[nodes][:, None], (len(nodes), count))
        return self._pool[self._starts[nodes][:, None] + place]

    def all_below(self, node: int) -> np.ndarray:
        """Return the numbers of all clips below a node, ascending."""
        return self._pool[self._starts[node] : self._starts[node] + self.sizes[node]]

    def different(self, nodes: np.ndarray, count: int, rng: np.random.Generator, first: np.ndarray | None = None):
        """Draw clips below nodes as ``below`` does, but no clip twice in a row; ``first`` (N,) is what the rows begin with."""
        found = self.below(nodes, count, rng)
        if first is not None:
            found[:, 0] = first
        rows = np.flatnonzero(_has_twins(found))
        while len(rows):
            again = self.below(nodes[rows], count, rng)
            if first is not None:
                again[:, 0] = first[rows]
            found[rows] = again
            rows = rows[_has_twins(again)]
        return found

    def classes(self, chosen: np.ndarray, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the class for which each clip stands in a set below a node: of its classes there, any. (N, n) labels."""
        labels = self.items.labels[chosen]  # (N, n, L)
        if labels.shape[2] == 1:
            return labels[:, :, 0]
        fits = (labels >= 0) & self.taxonomy.reach[nodes[:, None, None], labels]
        which = np.where(fits, rng.random(labels.shape), -1.0).argmax(2)
        return np.take_along_axis(labels, which[:, :, None], 2)[:, :, 0]

    def blocks(self, rng: np.random.Generator) -> Iterator[Sets]:
        """Give sets without end, in blocks of at most BLOCK; ConfigError where hardly any set is below the root."""
        roots = others = fruitless = 0
        while True:
            nodes, first = self._concepts(rng)
            draw = self._with_repeats if self.options.repeats else self.different
            chosen = draw(nodes, self.options.members, rng, first)
            classes = self.classes(chosen, nodes, rng)
            labels = self.taxonomy.subset_labels(classes, rng if self.options.ties == "random" else None)
            about_all = labels[:, -1] == self.taxonomy.root
            kept = _limited(about_all, roots, others, self.options.max_root_fraction)
            roots, others = roots + int((about_all & kept).sum()), others + int((~about_all).sum())
            fruitless = 0 if kept.any() else fruitless + 1
            if fruitless == PATIENCE:
                raise ConfigError(
                    f"max_root_fraction: no more sets can be drawn with only {self.options.max_root_fraction:g} of them about"
                    " the root; raise it, or give a taxonomy with concepts below the root"
                )
            if kept.any():
                yield Sets(self.items.names, chosen[kept].astype(np.int32), labels[kept])

    def _with_repeats(
        self, nodes: np.ndarray, count: int, rng: np.random.Generator, first: np.ndarray | None
    ) -> np.ndarray:
        found = self.below(nodes, count, rng)
        if first is not None:
            found[:, 0] = first
        return found

    def _concepts(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw what the sets of a block are about: nodes (BLOCK,), and their first clips where these decide the node."""
        if self.options.start == "node":
            inner = self.inner(self._least)
            nodes = inner[rng.integers(0, len(inner), BLOCK)] if len(inner) else np.full(BLOCK, self.taxonomy.root)
            return np.where(rng.random(BLOCK) < self.options.max_root_fraction, self.taxonomy.root, nodes), None
        first = rng.integers(0, len(self.items), BLOCK)
        columns = (self.items.labels >= 0).sum(1)
        classes = self.items.labels[first, rng.integers(0, columns[first])]
        ancestors, counts = self._usable_ancestors
        return ancestors[rng.integers(0, counts[classes]), classes], first

    @cached_property
    def _usable_ancestors(self) -> tuple[np.ndarray, np.ndarray]:
        """Each class's ancestors with enough clips below them, (K, C), and how many these are, (C,).

        To draw one of them is to redraw an ancestor with too few clips.
        """
        fits = self.taxonomy.reach & self._usable[:, None]
        fits[self.taxonomy.root] |= ~fits.any(0)  # a class that is not below the root, or below nothing usable
        counts = fits.sum(0)
        table = np.zeros((counts.max(), len(self.taxonomy)), np.int64)
        for label in range(len(self.taxonomy)):
            table[: counts[label], label] = np.flatnonzero(fits[:, label])
        return table, counts

    def inner(self, least: int) -> np.ndarray:
        """Return the abstract nodes but the root that have at least ``least`` clips below them."""
        nodes = np.arange(self.taxonomy.num_class, len(self.taxonomy))
        return nodes[(self.sizes[nodes] >= least) & (nodes != self.taxonomy.root)]

    def drawn(self, least: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``count`` of the ``inner`` nodes, (count,); ConfigError if there are none."""
        inner = self.inner(least)
        if not len(inner):
            raise ConfigError(
                f"rankings: no concept below the root has {least} clips below it; give more clips or fewer references"
            )
        return inner[rng.integers(0, len(inner), count)]


def stream(taxonomy: Taxonomy, items: Items, options: SamplingOptions, rng: np.random.Generator) -> Iterator[Sets]:
    """Draw sets without end, in blocks: the online sampler."""
    return Sampler(taxonomy, items, options).blocks(rng)


def draw_sets(taxonomy: Taxonomy, items: Items, count: int, options: SamplingOptions, rng: np.random.Generator) -> Sets:
    """Draw ``count`` sets: the offline sampler. Equal generators, equal sets; more sets begin with the same ones."""
    if not count:
        nothing = np.empty((0, options.members), np.int32)
        return Sets(items.names, nothing, np.empty((0, 2**options.members - 1), np.int16))
    parts, done = [], 0
    with Progress("abstraction sets", total=count, items="sets") as progress:
        for block in stream(taxonomy, items, options, rng):
            parts.append(block.take(slice(0, count - done)))
            done += len(parts[-1])
            progress.step(len(parts[-1]))
            if done == count:
                break
    labels = np.concatenate([part.labels for part in parts])
    return Sets(items.names, np.concatenate([part.items for part in parts]), labels)


def _has_twins(chosen: np.ndarray) -> np.ndarray:
    ordered = np.sort(chosen, 1)
    return (ordered[:, 1:] == ordered[:, :-1]).any(1)


def _limited(is_root: np.ndarray, roots: int, others: int, fraction: float) -> np.ndarray:
    """Return which sets of a block are kept, (N,) bool: all but those about the root that come too early.

    One is kept if it leaves the share of such sets among all so far at ``fraction`` or below. With r of them and m others
    before it that is r + 1 <= f m / (1 - f): the allowance only grows, so r follows from a running minimum.
    """
    if fraction >= 1:
        return np.ones(len(is_root), bool)
    before = others + np.cumsum(~is_root)[is_root]
    allowed = np.floor(before * (fraction / (1 - fraction)) + 1e-9).astype(np.int64)
    number = np.arange(1, len(allowed) + 1)
    so_far = np.minimum(roots + number, np.minimum.accumulate(allowed - number) + number) if len(allowed) else number
    kept = ~is_root
    kept[is_root] = np.diff(so_far, prepend=roots) > 0
    return kept


# ---------------------------------------------------------------- rankings and odd ones


def draw_rankings(
    taxonomy: Taxonomy,
    items: Items,
    node_vectors: np.ndarray,
    size: int,
    count: int,
    options: SamplingOptions,
    rng: np.random.Generator,
) -> list[Ranking]:
    """Draw sets of ``size`` clips below a concept that is not the root, each with queries in random order.

    One query is below the concept, the others are of classes drawn from all others. A query's distance is 1 - cosine between
    the vectors of its class and of what the references have in common. node_vectors: (C, E).
    """
    sampler = Sampler(taxonomy, items, options)
    filled = np.flatnonzero(sampler.sizes[: taxonomy.num_class])
    if len(filled) < options.queries:
        raise ConfigError(
            f"queries: {options.queries} clips of different classes cannot be drawn from {len(filled)} classes"
        )
    nodes = sampler.drawn(size + 1, count, rng)
    chosen = sampler.different(nodes, size + 1, rng)
    classes = sampler.classes(chosen, nodes, rng)
    common = taxonomy.subset_labels(classes[:, :size])[:, -1]
    found = []
    for row, labels, node in zip(chosen, classes, common, strict=True):
        queries, kinds = [row[-1]], [labels[-1]]
        for label in rng.permutation(filled[filled != labels[-1]]):
            free = np.setdiff1d(sampler.all_below(label), row)
            if len(free) and len(queries) < options.queries:
                queries.append(free[rng.integers(0, len(free))])
                kinds.append(label)
        order = rng.permutation(len(queries))
        queries, kinds = np.array(queries)[order], np.array(kinds)[order]
        distances = 1 - _cosines(node_vectors[kinds], node_vectors[node])
        found.append(_ranking(taxonomy, items, node, row[:-1], labels[:-1], queries, kinds, distances))
    return found


def draw_odd(
    taxonomy: Taxonomy, items: Items, n: int, count: int, options: SamplingOptions, rng: np.random.Generator
) -> list[Ranking]:
    """Draw n - 1 clips below a concept and one that shares nothing with them, as a ranking of this query, whose distance is 1.

    Nothing: no concept but the root that all the others share. Of clips with several labels this holds for each.
    """
    sampler = Sampler(taxonomy, items, options)
    chosen, classes = np.empty((count, n - 1), np.int64), np.empty((count, n - 1), np.int64)
    odd, rows = np.empty(count, np.int64), np.arange(count)
    for _ in range(PATIENCE):
        nodes = sampler.drawn(n - 1, len(rows), rng)
        chosen[rows] = sampler.different(nodes, n - 1, rng)
        classes[rows] = sampler.classes(chosen[rows], nodes, rng)
        waiting = rows
        for _ in range(PATIENCE):
            odd[waiting] = rng.integers(0, len(items), len(waiting))
            waiting = waiting[_share(taxonomy, items, classes[waiting], odd[waiting])]
        rows = waiting
        if not len(rows):
            break
    else:
        raise ConfigError("odd: hardly any clip shares nothing but the root with others; give more classes")
    common = taxonomy.subset_labels(classes)[:, -1]
    return [
        _ranking(taxonomy, items, node, row, labels, np.array([clip]), items.labels[[clip], 0], np.ones(1))
        for node, row, labels, clip in zip(common, chosen, classes, odd, strict=True)
    ]


def _share(taxonomy: Taxonomy, items: Items, classes: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return whether a clip is below a concept, other than the root, that all classes (N, n) are below: (N,) bool."""
    shared = taxonomy.reach[:, classes].all(2)  # (C, N)
    shared[taxonomy.root] = False
    labels = items.labels[clips]  # (N, L)
    own = (taxonomy.reach[:, labels] & (labels >= 0)).any(2)
    return (shared & own).any(0)


def _ranking(taxonomy, items, node, row, labels, queries, kinds, distances) -> Ranking:
    return Ranking(
        taxonomy.category(node),
        tuple(items.names[i] for i in row),
        tuple(items.names[i] for i in queries),
        tuple(float(value) for value in distances),
        tuple(taxonomy.category(label) for label in labels),
        tuple(taxonomy.category(label) for label in kinds),
    )


def _cosines(rows: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the cosine of each row with a vector or, row by row, with as many, float64; 0 with a vector of zeros."""
    rows, vector = np.asarray(rows, np.float64), np.asarray(vector, np.float64)
    norms = np.linalg.norm(rows, axis=-1) * np.linalg.norm(vector, axis=-1)
    return (rows * vector).sum(-1) / np.maximum(norms, 1e-8)


# ---------------------------------------------------------------- what is learned from sets


def targets(sets: Sets, item_vectors: np.ndarray, node_vectors: np.ndarray) -> np.ndarray:
    """Return the vector that each subset should have, (N, 2^n - 1, E): a member's own, else that of the subset's node."""
    found = node_vectors[sets.labels]
    found[:, : sets.n] = item_vectors[sets.items]
    return found


def outlier_targets(sets: Sets, item_vectors: np.ndarray, node_vectors: np.ndarray) -> np.ndarray:
    """Return, for each subset of three or more, the member (0..n-1) whose vector is farthest from its node's, (N, subsets)."""
    found = []
    for position, members in enumerate(subsets(sets.n)):
        if len(members) > 2:
            vectors = item_vectors[sets.items[:, members]]  # (N, members, E)
            cosines = _cosines(vectors, node_vectors[sets.labels[:, position]][:, None])
            found.append(np.array(members)[cosines.argmin(1)])
    return np.stack(found, 1)
