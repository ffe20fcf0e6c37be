"""A taxonomy: classes and the concepts above them, a directed acyclic graph whose edges run from parent to child.

Every node has a number, its label, which is its row in every array of the room. Classes (concrete nodes) come first:
label < num_class. All operations read one matrix, ``down``: the directed steps from an ancestor down to a node. Labels of
taxonomies made here are the classes in alphabetical order, then the abstract nodes in alphabetical order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction.subsets import subsets

FAR = 4096  # steps between nodes that no path joins; a sum over seven members still fits into 16 bits
ROOT = "root"
BLOCK = 1 << 13  # sets whose labels are sought at a time


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A checked taxonomy; ``of`` makes one from names.

    nodes: ids in label order. num_class: how many of them are classes. edges: (E, 2) labels of parent and child, sorted.
    categories: the dataset's name of each class (num_class). root: label of the node on top. about: what made it (JSON).
    """

    nodes: tuple[str, ...]
    num_class: int
    edges: np.ndarray
    categories: tuple[str, ...]
    root: int
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        _check_cycles(self.nodes, self.parents, self.children)
        if self.statistics()["max_depth"] >= FAR:
            raise DataError(f"the taxonomy is {FAR} or more levels deep; that is not supported")

    def __len__(self) -> int:
        return len(self.nodes)

    # ------------------------------------------------------------ names

    @cached_property
    def _labels(self) -> dict[str, int]:
        found = {name: label for label, name in enumerate(self.nodes)}
        return found | {name: label for label, name in enumerate(self.categories)}

    def __contains__(self, name: str) -> bool:
        return name in self._labels

    def label(self, name: str) -> int:
        """Return the label of a category or of a node's id; DataError if the taxonomy has neither."""
        try:
            return self._labels[name]
        except KeyError:
            raise DataError(f"{name!r} is no category and no node of the taxonomy") from None

    def category(self, label: int) -> str:
        """Return what set files call a node: a class by its category, an abstract node by its id."""
        return self.categories[label] if label < self.num_class else self.nodes[label]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """``category`` of every label."""
        return self.categories + self.nodes[self.num_class :]

    # ------------------------------------------------------------ the graph

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """Labels of each node's parents, ascending."""
        return _neighbours(len(self.nodes), self.edges[:, ::-1])

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Labels of each node's children, ascending."""
        return _neighbours(len(self.nodes), self.edges)

    @cached_property
    def down(self) -> np.ndarray:
        """Directed steps from node a down to node b, (C, C) int16; FAR where b is not below a."""
        up = np.full((len(self), len(self)), FAR, np.int16)  # (b, a): rows are contiguous while they are filled
        for node in _topological(self.parents, self.children):
            if self.parents[node]:
                np.minimum(up[list(self.parents[node])].min(0) + 1, FAR, out=up[node], casting="unsafe")
            up[node, node] = 0
        return np.ascontiguousarray(up.T)

    @cached_property
    def reach(self) -> np.ndarray:
        """Whether node b is node a or below it, (C, C) bool."""
        return self.down < FAR

    @cached_property
    def distance(self) -> np.ndarray:
        """Steps between two nodes in whatever direction, (C, C) int16; FAR where nothing joins them."""
        found = np.full((len(self), len(self)), FAR, np.int16)
        np.fill_diagonal(found, 0)
        if not len(self.edges):
            return found
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        both = both[np.argsort(both[:, 1], kind="stable")]
        targets, starts = np.unique(both[:, 1], return_index=True)
        front, steps = np.eye(len(self), dtype=bool), 0
        while front.any():
            steps += 1
            reached = np.zeros_like(front)
            reached[:, targets] = np.logical_or.reduceat(front[:, both[:, 0]], starts, axis=1)
            front = reached & (found == FAR)
            found[front] = steps
        return found

    @cached_property
    def depth(self) -> np.ndarray:
        """Steps from the root down to each node, (C,) int16; FAR for one that is not below it."""
        return self.down[self.root]

    def path(self, label: int) -> list[int]:
        """Return one shortest path from a node up to the root: of several parents the one of smallest label.

        A node that is not below the root is a path of its own.
        """
        found = [label]
        while found[-1] != self.root and self.depth[found[-1]] < FAR:
            above = self.depth[found[-1]] - 1
            found.append(next(parent for parent in self.parents[found[-1]] if self.depth[parent] == above))
        return found

    @cached_property
    def path_multihot(self) -> np.ndarray:
        """The nodes on ``path`` of each node, (C, C) bool."""
        table = np.zeros((len(self), len(self)), bool)
        for label in range(len(self)):
            table[label, self.path(label)] = True
        return table

    def ancestors(self, label: int, self_too: bool = True) -> np.ndarray:
        """Return the labels of a node's ancestors, ascending."""
        found = np.flatnonzero(self.reach[:, label])
        return found if self_too else found[found != label]

    def descendants(self, label: int, self_too: bool = True) -> np.ndarray:
        """Return the labels of all nodes below a node, ascending."""
        found = np.flatnonzero(self.reach[label])
        return found if self_too else found[found != label]

    def common(self, labels: Sequence[int]) -> np.ndarray:
        """Return the ancestors that all these nodes share, each node being its own ancestor; ascending."""
        return np.flatnonzero(self.reach[:, list(labels)].all(1))

    def union(self, labels: Sequence[int]) -> np.ndarray:
        """Return the ancestors of any of these nodes, each node being its own ancestor; ascending."""
        return np.flatnonzero(self.reach[:, list(labels)].any(1))

    def statistics(self) -> dict[str, int]:
        """Return counts and maxima; max_depth is the longest directed path, in edges."""
        longest = [0] * len(self)
        for node in _topological(self.parents, self.children):
            longest[node] = max((longest[parent] + 1 for parent in self.parents[node]), default=0)
        return {
            "num_class": self.num_class,
            "num_nodes": len(self),
            "num_abstract": len(self) - self.num_class,
            "num_leaves": sum(not below for below in self.children),
            "max_depth": max(longest),
            "max_ancestors_incl_self": int(self.reach.sum(0).max()),
            "max_descendants_incl_self": int(self.reach.sum(1).max()),
            "max_predecessors": max(map(len, self.parents)),
            "max_successors": max(map(len, self.children)),
        }

    # ------------------------------------------------------------ what nodes have in common

    def lcas(self, labels: Sequence[int], exclude_self: bool = False) -> list[int]:
        """Return the common ancestors with the smallest sum of steps down to the members, sorted by id.

        A member that is given twice counts twice. exclude_self: no node is its own ancestor. Without a common ancestor: the
        root.
        """
        members = list(labels)
        shared = self.reach[:, members].all(1)
        if exclude_self:
            shared[members] = False
        if not shared.any():
            return [self.root]
        candidates = np.flatnonzero(shared)
        total = self.down[np.ix_(candidates, members)].sum(1, dtype=np.int64)
        return sorted(candidates[total == total.min()].tolist(), key=lambda label: self.nodes[label])

    def lca(self, labels: Sequence[int]) -> int:
        """Return one of ``lcas``: the deepest, of equally deep ones that of smallest label."""
        return min(self.lcas(labels), key=lambda label: (-int(self.depth[label]), label))

    def odd_one(self, labels: Sequence[int]) -> int:
        """Return the position of the node that shares fewest concepts with the others; -1 if all share the same.

        Each pair's common ancestors go to both its members; the first member with the fewest is odd. Two nodes at least.
        """
        shared: list[set[int]] = [set() for _ in labels]
        for i, j in (pair for pair in subsets(len(labels)) if len(pair) == 2):
            found = self.lcas([labels[i], labels[j]])
            shared[i].update(found)
            shared[j].update(found)
        if all(own == shared[0] for own in shared):
            return -1
        return min(range(len(shared)), key=lambda position: len(shared[position]))

    # ------------------------------------------------------------ many sets at once

    @cached_property
    def _candidates(self) -> np.ndarray:
        """Each node's ancestors, the deepest first, then by label, (K, C) int32; filled up with the node itself."""
        order = np.lexsort((np.arange(len(self)), -self.depth.astype(np.int32)))
        most = int(self.reach.sum(0).max())
        table = np.tile(np.arange(len(self), dtype=np.int32), (most, 1))
        for label in range(len(self)):
            found = order[self.reach[order, label]]
            table[: len(found), label] = found
        return table

    @cached_property
    def _usable(self) -> np.ndarray:
        """Which entries of ``_candidates`` are ancestors and no filling, (K, C) bool."""
        return np.arange(len(self._candidates))[:, None] < self.reach.sum(0)

    def subset_labels(self, classes: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the common ancestor of every subset of each set, (N, 2^n - 1) int16.

        classes: (N, n) labels of the members. Of tied ancestors the deepest, then that of smallest label; with ``rng`` any of
        them, each as likely. Single members keep their own label. About one microsecond a set of four.
        """
        found = np.empty((len(classes), 2 ** classes.shape[1] - 1), np.int16 if len(self) < 2**15 else np.int32)
        found[:, : classes.shape[1]] = classes
        for rows, position, first, costs in self._subset_costs(classes):
            least = costs.min(0)
            if rng is None:
                which = costs.argmin(0) if len(costs) == 1 else _first_least(costs, least)
            else:
                which = np.where(costs == least, rng.random(costs.shape), -1.0).argmax(0)
            chosen = self._candidates[which, first]
            found[rows, position] = np.where(least >= FAR, self.root, chosen)
        return found

    def tied(self, classes: np.ndarray) -> np.ndarray:
        """Return which subsets of each set have several common ancestors of smallest sum, (N, 2^n - 1) bool."""
        found = np.zeros((len(classes), 2 ** classes.shape[1] - 1), bool)
        for rows, position, _, costs in self._subset_costs(classes):
            least = costs.min(0)
            found[rows, position] = ((costs == least).sum(0) > 1) & (least < FAR)
        return found

    def hits(self, classes: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return whether each predicted label is one of the subset's common ancestors, tied ones included.

        classes: (N, n) labels of the members; predicted: (N, 2^n - 1) labels. Gives (N, 2^n - 1) bool.
        """
        found = predicted[:, :] == -1
        found[:, : classes.shape[1]] = predicted[:, : classes.shape[1]] == classes
        for rows, position, _, costs in self._subset_costs(classes):
            least, given = costs.min(0), predicted[rows, position]
            members = classes[rows][:, list(subsets(classes.shape[1])[position])]
            total = self.down[given[:, None], members].sum(1, dtype=np.int32)
            found[rows, position] = np.where(least >= FAR, given == self.root, total == least)
        return found

    def _subset_costs(self, classes: np.ndarray):
        """Give, for blocks of sets and each subset of two or more: the rows, the subset's position, the first member's labels
        (n,) and the sums of steps from that member's ancestors to all members, (K, n) int32, FAR or more where one is not above.
        """
        flat, count = self.down.astype(np.int32).ravel(), len(self)
        filling = np.where(self._usable, 0, FAR).astype(np.int32)
        for start in range(0, len(classes), BLOCK):
            rows = slice(start, min(len(classes), start + BLOCK))
            block = np.ascontiguousarray(classes[rows].T.astype(np.int64))  # (n, block)
            steps: dict[tuple[int, int], np.ndarray] = {}
            for position, members in enumerate(subsets(len(block))):
                if len(members) < 2:
                    continue
                first = members[0]
                for other in members:
                    if (first, other) not in steps:
                        above = self._candidates[:, block[first]] * np.int64(count)
                        steps[first, other] = flat.take(above + block[other])
                        if other == first:
                            steps[first, other] += filling[:, block[first]]
                yield rows, position, block[first], np.add.reduce([steps[first, other] for other in members])


def of(
    edges: Iterable[tuple[str, str]],
    classes: Mapping[str, str],
    extra: Iterable[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Taxonomy:
    """Make a taxonomy from (parent, child) names: classes in alphabetical order, then abstract nodes in alphabetical order.

    classes: {node: its category}. extra: nodes that no edge has. Where there are several nodes without parents and none of
    them is called ``root``, a root is put on top; whatever else has no parent hangs below the root.
    """
    pairs = sorted(set(edges))
    names = {name for pair in pairs for name in pair} | set(classes) | set(extra)
    if not names:
        raise DataError("the taxonomy has no nodes")
    tops = sorted(names - {child for _, child in pairs})
    root = ROOT if ROOT in names or len(tops) != 1 else tops[0]
    pairs += [(root, top) for top in tops if top != root]
    nodes = (*sorted(classes, key=lambda name: (classes[name], name)), *sorted((names | {root}) - set(classes)))
    label = {name: number for number, name in enumerate(nodes)}
    found = np.array(sorted((label[parent], label[child]) for parent, child in pairs), np.int32).reshape(-1, 2)
    categories = tuple(classes[name] for name in nodes[: len(classes)])
    return Taxonomy(nodes, len(classes), found, categories, label[root], about or {})


def _first_least(costs: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the first row of each column that holds its least value; plain minima over rows, which numpy does fast."""
    numbers = np.arange(len(costs), dtype=np.int32)[:, None]
    return np.where(costs == least, numbers, np.int32(len(costs))).min(0)


def _neighbours(count: int, pairs: np.ndarray) -> tuple[tuple[int, ...], ...]:
    found: list[list[int]] = [[] for _ in range(count)]
    for source, target in pairs.tolist():
        found[source].append(target)
    return tuple(tuple(sorted(each)) for each in found)


def _topological(parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]]) -> list[int]:
    """Return the nodes, parents before children; those on a cycle, or below one, are left out."""
    waiting = [len(above) for above in parents]
    order = [node for node, count in enumerate(waiting) if not count]
    for node in order:  # it grows while it is read
        for child in children[node]:
            waiting[child] -= 1
            if not waiting[child]:
                order.append(child)
    return order


def _check_cycles(nodes: Sequence[str], parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]]) -> None:
    """Raise DataError, spelling out one of them, if edges run in circles."""
    left = set(range(len(nodes))) - set(_topological(parents, children))
    if not left:
        return
    trail = [min(left)]
    while trail.count(trail[-1]) < 2:  # every node that is left has a parent that is left
        trail.append(next(parent for parent in parents[trail[-1]] if parent in left))
    circle = trail[trail.index(trail[-1]) :][::-1]
    raise DataError(f"the taxonomy has a cycle: {' > '.join(repr(nodes[node]) for node in circle)}; remove an edge")
