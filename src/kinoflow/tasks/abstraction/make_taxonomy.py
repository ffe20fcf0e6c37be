"""The stage `taxonomy`: the classes of a dataset, the concepts above them, and a semantic vector for each."""

import numpy as np

from kinoflow.datasets.kitchen.world import taxonomy_graph
from kinoflow.errors import ConfigError, DataError
from kinoflow.options import Options
from kinoflow.progress import log
from kinoflow.stage import Folder, In, Out
from kinoflow.store.files import write_json
from kinoflow.store.tables import Segment
from kinoflow.store.tables import read as read_table
from kinoflow.tasks.abstraction import edits, taxonomy_files, wordnet
from kinoflow.tasks.abstraction import vectors as semantic
from kinoflow.tasks.abstraction.items import Items, listed
from kinoflow.tasks.abstraction.options import EditOptions, TaxonomyOptions, VectorsOptions
from kinoflow.tasks.abstraction.taxonomy import Taxonomy


def taxonomy(
    taxonomy: Out,
    vectors: Out,
    comparison: Out,
    options: TaxonomyOptions,
    segments: In | None = None,
    classes: In | None = None,
    file: In | None = None,
    wordnet_folder: Folder | None = None,
    corpus: In | None = None,
    word_vectors: In | None = None,
) -> None:
    """Make the taxonomy of a dataset and the semantic vectors of its nodes.

    taxonomy: the taxonomy to write, node-link JSON
    vectors: the vectors to write, safetensors
    comparison: a JSON table to write: how the cosine of nodes falls with their distance, for every kind of vectors that
        can be made from what is given
    segments: the dataset's table of labelled segments; its classes have to be in the taxonomy
    classes: a list of class names, one a line, in place of segments
    file: the taxonomy's file, with source: file (node-link JSON, list of edges, indented text)
    wordnet_folder: WordNet's dictionary files, with source: wordnet; Debian's place without it
    corpus: a text, for vectors of the kind corpus_ppmi
    word_vectors: a .vec file, for vectors of the kind fasttext
    """
    names, items = _classes(segments, classes, options)
    found = edited(_source(options, names, file, wordnet_folder), options.edit)
    _check_classes(found, names, options.max_missing)
    made = semantic.make(found, options.semantics, _placed(items, found, options), corpus, word_vectors)
    table = _compared(found, options.semantics, made, corpus, word_vectors)
    if not table[_kind(options.semantics)]["falls"]:
        log.warning(
            "the vectors are not less alike the farther nodes are apart; the table of the comparison tells more"
        )
    taxonomy_files.write(taxonomy, found)
    semantic.write(vectors, made)
    write_json(comparison, {"used": _kind(options.semantics), "kinds": table, "statistics": found.statistics()})
    log.info("taxonomy: %d classes below %d concepts", found.num_class, len(found) - found.num_class)


def _classes(segments: In | None, classes: In | None, options: TaxonomyOptions) -> tuple[list[str], list[Segment]]:
    """Return the classes of the dataset in alphabetical order, and its clips."""
    if segments is not None and classes is not None:
        raise ConfigError("segments, classes: give one of them")
    if classes is not None:
        lines = [line.strip() for line in classes.read_text("utf-8", "surrogateescape").splitlines()]
        return sorted({line for line in lines if line}), []
    if segments is None:
        return [], []
    rows = [row for row in read_table(segments, Segment) if not row.phase]
    return sorted({name for row in rows if (name := getattr(row, options.head))}), rows


def _source(options: TaxonomyOptions, names: list[str], file: In | None, folder: Folder | None) -> Taxonomy:
    if options.source == "file":
        if file is None:
            raise ConfigError("source: file: give the file of the taxonomy with --file")
        return _pruned(taxonomy_files.read(file), names)
    if options.source == "wordnet":
        if not names:
            raise ConfigError("source: wordnet: give classes to place, by --segments or --classes")
        return wordnet.taxonomy(names, folder or wordnet.DEBIAN, ("v", "n") if options.nouns else ("v",))
    return taxonomy_files.from_json(taxonomy_graph())


def _pruned(taxonomy: Taxonomy, names: list[str]) -> Taxonomy:
    """Take out classes that the dataset does not have, and concepts that have nothing below them then."""
    strange = [label for label, name in enumerate(taxonomy.categories) if names and name not in names]
    if len(strange) == taxonomy.num_class:
        raise DataError(f"the taxonomy has none of the dataset's classes, not even {names[0]!r}; correct its names")
    if not strange:
        return taxonomy
    log.info("%d classes of the taxonomy are not in the dataset and are left out", len(strange))
    smaller = edits.without(taxonomy, strange)
    while empty := [label for label in range(smaller.num_class, len(smaller)) if not smaller.children[label]]:
        smaller = edits.without(smaller, empty)
    return smaller


def edited(taxonomy: Taxonomy, options: EditOptions) -> Taxonomy:
    """Return the taxonomy after the changes that the options ask for: drop, splice, swap, permute, in this order."""
    rng = np.random.default_rng(options.seed)
    if options.drop:
        taxonomy = edits.dropped(taxonomy, options.drop, rng, options.keep_only_dropped)
    if options.splice:
        taxonomy = edits.spliced(taxonomy)
    for first, second in options.swap:
        taxonomy = edits.swapped(taxonomy, first, second)
    if options.permute != "none":
        taxonomy = edits.permuted(taxonomy, options.permute, rng)
    return taxonomy


def _check_classes(taxonomy: Taxonomy, names: list[str], max_missing: float) -> None:
    """Say which classes have no node; DataError if these are too many."""
    missing = [name for name in names if name not in taxonomy]
    if not missing:
        return
    text = f"{len(missing)} of {len(names)} classes have no node in the taxonomy: {', '.join(map(repr, missing))}"
    if len(missing) > max_missing * len(names):
        raise DataError(f"{text}; more than max_missing ({max_missing:g}) allows: add them, or raise max_missing")
    log.warning("%s", text)


def _placed(rows: list[Segment], taxonomy: Taxonomy, options: TaxonomyOptions) -> Items | None:
    """Return the clips whose class has a node, with their captions; None without any."""
    kept = [row for row in rows if getattr(row, options.head) in taxonomy]
    if not kept:
        return None
    bare = listed([row.segment for row in kept], [[taxonomy.label(getattr(row, options.head))] for row in kept])
    return Items(
        bare.names, bare.labels, bare.videos, bare.start, bare.end, tuple(row.text for row in kept), bare.names
    )


def _compared(
    taxonomy: Taxonomy, options: VectorsOptions, made: semantic.Vectors, corpus: In | None, word_vectors: In | None
) -> dict[str, dict]:
    """Return the table of similarity for every kind that can be made here."""
    found = {_kind(options): semantic.similarity_table(taxonomy, made.nodes)}
    changes: list[dict[str, str]] = [{"kind": "graph", "graph": "codes"}, {"kind": "graph", "graph": "laplacian"}]
    changes += [{"kind": "gloss_lsa"}]
    changes += [{"kind": "corpus_ppmi"}] if corpus is not None else []
    changes += [{"kind": "fasttext"}] if word_vectors is not None else []
    for change in changes:
        other: Options = options.model_copy(update=change | {"videos": "class"})
        if _kind(other) not in found:
            nodes = semantic.make(taxonomy, other, None, corpus, word_vectors).nodes
            found[_kind(other)] = semantic.similarity_table(taxonomy, nodes)
    return found


def _kind(options: VectorsOptions) -> str:
    return f"graph {options.graph}" if options.kind == "graph" else options.kind
