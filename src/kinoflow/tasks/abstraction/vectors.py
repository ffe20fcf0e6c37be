"""Semantic vectors of a taxonomy's nodes and of single clips: nearby nodes, similar vectors.

    graph        from the graph alone: the mean of fixed random directions, one for each node on the way up, or the smoothest
                 eigenvectors of the graph
    gloss_lsa    latent semantic analysis: names, names of all nodes above, glosses
    corpus_ppmi  which words stand together in a text of the project
    fasttext     word vectors of the user

All of unit length. A node none of whose words is known has the mean of the nodes below it, failing that of those above it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.store.files import parse_json, write_bytes
from kinoflow.tasks.abstraction import words
from kinoflow.tasks.abstraction.items import Items
from kinoflow.tasks.abstraction.options import VectorsOptions
from kinoflow.tasks.abstraction.taxonomy import FAR, Taxonomy
from kinoflow.tasks.abstraction.words import Words, words_of

HEAT = 3.0  # how long heat spreads: a few steps
COMMON = 0.01  # share of all pairs of nodes from which on a distance is compared
KIND = "kinoflow"  # the key of the metadata


@dataclass(frozen=True, eq=False)
class Vectors:
    """nodes: (C, E) float32 in label order, unit length. items: {clip: row of item_vectors (V, E)}, none without captions."""

    kind: str
    names: tuple[str, ...]
    nodes: np.ndarray
    items: Mapping[str, int] = field(default_factory=dict)
    item_vectors: np.ndarray | None = None

    def of_items(self, items: Items) -> np.ndarray:
        """Return each clip's own vector, (V, E) float32: of its caption where there is one, else of its first class."""
        found = self.nodes[items.first]
        if self.item_vectors is not None:
            known = [(number, self.items[name]) for number, name in enumerate(items.names) if name in self.items]
            if known:
                numbers, rows = map(list, zip(*known, strict=True))
                found[numbers] = self.item_vectors[rows]
        return found

    def check(self, taxonomy: Taxonomy, path: str | Path) -> None:
        """Raise DataError, naming the file, if these are vectors of another taxonomy."""
        if self.names != taxonomy.nodes:
            raise DataError(f"{path}: these vectors are of another taxonomy; make them again from this one")


def write(path: str | Path, vectors: Vectors) -> None:
    """Write vectors as safetensors; equal values, equal bytes."""
    from safetensors.numpy import save

    tensors = {"nodes": np.ascontiguousarray(vectors.nodes, np.float32)}
    if vectors.item_vectors is not None:
        tensors["items"] = np.ascontiguousarray(vectors.item_vectors, np.float32)
    about = {
        "kind": vectors.kind,
        "names": vectors.names,
        "items": sorted(vectors.items, key=vectors.items.__getitem__),
    }
    write_bytes(path, save(tensors, metadata={KIND: json.dumps(about, sort_keys=True)}))


def read(path: str | Path) -> Vectors:
    """Read vectors; DataError if the file holds none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = parse_json((file.metadata() or {})[KIND])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        items = {name: row for row, name in enumerate(about["items"])}
        return Vectors(about["kind"], tuple(about["names"]), tensors["nodes"], items, tensors.get("items"))
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise DataError(f"{path}: these are no vectors of a taxonomy ({error}); run its stage again") from None


# ---------------------------------------------------------------- the four kinds


def make(
    taxonomy: Taxonomy,
    options: VectorsOptions,
    items: Items | None = None,
    corpus: Path | None = None,
    word_vectors: Path | None = None,
) -> Vectors:
    """Make the vectors that the options ask for.

    items: the clips, for those of captions. corpus: a text, for corpus_ppmi; its captions are used with it. word_vectors: a
    .vec file, for fasttext. ConfigError if what is needed is not given.
    """
    captions = items if options.videos == "captions" else None
    if captions is not None and not any(captions.texts):
        raise ConfigError("semantics.videos: captions: the column `text` of segments.csv is empty; take class")
    if options.kind == "graph":
        nodes = laplacian(taxonomy, options.width) if options.graph == "laplacian" else codes(taxonomy, options)
        return Vectors("graph", taxonomy.nodes, nodes.astype(np.float32))
    known = _words(taxonomy, options, captions, corpus, word_vectors)
    nodes = of_names(taxonomy, known, whole_path=options.kind == "gloss_lsa").astype(np.float32)
    if captions is None:
        return Vectors(options.kind, taxonomy.nodes, nodes)
    rows = np.stack([known.of_text(text) for text in captions.texts])
    found = [number for number, row in enumerate(rows) if row.any()]
    names = {captions.names[number]: row for row, number in enumerate(found)}
    return Vectors(options.kind, taxonomy.nodes, nodes, names, _unit(rows[found]).astype(np.float32))


def _words(
    taxonomy: Taxonomy, options: VectorsOptions, captions: Items | None, corpus: Path | None, word_vectors: Path | None
) -> Words:
    if options.kind == "gloss_lsa":
        return words.from_documents([_document(taxonomy, label) for label in range(len(taxonomy))], options.width)
    if options.kind == "corpus_ppmi":
        if corpus is None:
            raise ConfigError("semantics.kind: corpus_ppmi needs a text: give --corpus")
        return words.from_corpus(words.sentences(corpus), options.width, options.window)
    if word_vectors is None:
        raise ConfigError("semantics.kind: fasttext needs word vectors: give --word-vectors, a .vec file")
    texts = [*taxonomy.names, *(captions.texts if captions is not None else ())]
    return words.from_file(word_vectors, {word for text in texts for word in words_of(text)})


def codes(taxonomy: Taxonomy, options: VectorsOptions) -> np.ndarray:
    """Return, for each node, the mean over itself and all nodes above it of fixed random unit vectors, normalised: (C, E)."""
    rng = np.random.default_rng(options.seed)
    directions = _unit(rng.standard_normal((len(taxonomy), options.width)))
    # The root's direction is in every sum and tells nothing apart; but it is what the root itself has.
    above = taxonomy.reach.T.astype(np.float64)
    return _unit(above @ directions)


def laplacian(taxonomy: Taxonomy, width: int) -> np.ndarray:
    """Return the smoothest eigenvectors of the graph's normalised Laplacian, (C, width), each times exp(-HEAT eigenvalue).

    So the vectors are rows of the graph's heat kernel, turned: how much of what starts at a node arrives elsewhere. Without
    weights, all eigenvectors together would make all nodes equally unlike each other. Columns that a small graph lacks are
    zeros.
    """
    near = (taxonomy.distance == 1).astype(np.float64)
    degrees = np.sqrt(np.maximum(near.sum(1), 1))
    values, vectors = np.linalg.eigh(np.eye(len(taxonomy)) - near / degrees[:, None] / degrees)
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
    found = np.zeros((len(taxonomy), width))
    found[:, : len(values)] = (vectors * signs * np.exp(-HEAT * values))[:, :width]
    return _unit(found)


def of_names(taxonomy: Taxonomy, known: Words, whole_path: bool = False) -> np.ndarray:
    """Return the normalised sum of the vectors of each node's words, (C, E); whole_path: those of all nodes above it too."""
    if whole_path:
        found = np.stack([known.of_text(" ".join(_document(taxonomy, label))) for label in range(len(taxonomy))])
    else:
        found = np.stack([known.of_text(name) for name in taxonomy.names])
    found = _unit(found)
    placed = found.any(1)
    unplaced = np.flatnonzero(~placed)
    for label in unplaced:
        for relatives in (taxonomy.descendants(label), taxonomy.ancestors(label)):
            mean = found[relatives[placed[relatives]]].sum(0)
            if mean.any():
                found[label] = mean
                break
    return _unit(found)


def _document(taxonomy: Taxonomy, label: int) -> list[str]:
    """Return the words of a node: its name, the names of all nodes above it, its gloss."""
    glosses = taxonomy.about.get("glosses") or {}
    names = [taxonomy.category(int(above)) for above in taxonomy.ancestors(label)]
    return words_of(" ".join([*map(_spaced, names), glosses.get(taxonomy.nodes[label], "")]))


def _spaced(name: str) -> str:
    return " ".join(words_of(name))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of unit length; rows of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


# ---------------------------------------------------------------- are they any good


def similarity_table(taxonomy: Taxonomy, nodes: np.ndarray) -> dict[str, Any]:
    """Return how the cosine of two nodes' vectors falls with their distance in the graph.

    distance: steps; pairs: how many have it; cosine: their mean. correlation: of cosine and distance over all pairs.
    falls: whether the means fall with every step among the distances that at least 1 % of all pairs have.
    """
    upper = np.triu_indices(len(taxonomy), 1)
    steps, unit = taxonomy.distance[upper], _unit(np.asarray(nodes, np.float64))
    cosines = (unit @ unit.T)[upper]
    joined = steps < FAR
    steps, cosines = steps[joined], cosines[joined]
    distances = np.unique(steps)
    pairs = np.array([(steps == distance).sum() for distance in distances])
    means = np.array([cosines[steps == distance].mean() for distance in distances])
    usual = means[pairs >= COMMON * len(steps)]
    spread = steps.std() * cosines.std()
    correlation = float(((steps - steps.mean()) * (cosines - cosines.mean())).mean() / spread) if spread else 0.0
    return {
        "distance": distances.tolist(),
        "pairs": pairs.tolist(),
        "cosine": means.tolist(),
        "correlation": correlation,
        "falls": bool((np.diff(usual) < 0).all()),
    }
