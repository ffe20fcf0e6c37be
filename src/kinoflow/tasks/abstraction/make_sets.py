"""The stage `abstraction-sets`: sets of clips to learn from, and those that a model is tested with."""

from collections.abc import Callable, Sequence

import numpy as np

from kinoflow.errors import ConfigError, DataError
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.tasks.abstraction import set_files, taxonomy_files
from kinoflow.tasks.abstraction import vectors as semantic
from kinoflow.tasks.abstraction.items import Items, load_items
from kinoflow.tasks.abstraction.options import SetsOptions
from kinoflow.tasks.abstraction.sets import Ranking, Sets, draw_odd, draw_rankings, draw_sets
from kinoflow.tasks.abstraction.subsets import sizes
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

REFERENCES = (1, 2, 3, 4)
ODD = (3, 4, 5)


def abstraction_sets(
    segments: In,
    videos: In,
    taxonomy: In,
    vectors: In,
    train: Out,
    test: Out,
    rankings: Out,
    odd: Out,
    options: SetsOptions,
    seed: int = 0,
    features: list[In] | None = None,
) -> None:
    """Draw sets of clips with what each of their subsets has in common, rankings, and sets with an odd one.

    segments: the dataset's table of labelled segments
    videos: the dataset's table of videos
    taxonomy: the taxonomy of its classes
    vectors: the semantic vectors of the taxonomy's nodes, which tell the distances of rankings
    train: the sets to train on, to write
    test: the sets to name in the test, of other clips, to write
    rankings: the rankings of the test, to write: 1 to 4 references each
    odd: the sets with an odd one of the test, to write: 3 to 5 clips each, the odd one as the only query of a ranking
    features: the shards that the clips' features will be read from: clips without features are left out
    seed: what is drawn follows from it
    """
    graph = taxonomy_files.read(taxonomy)
    semantics = semantic.read(vectors)
    semantics.check(graph, vectors)
    learned, tested = _items(segments, videos, graph, options, features)
    sets = draw_sets(graph, learned, options.train, options.sampling, np.random.default_rng((seed, 0)))
    named = draw_sets(graph, tested, options.test, options.sampling, np.random.default_rng((seed, 1)))
    completed = by_size(
        "rankings of",
        REFERENCES,
        lambda size, rng: draw_rankings(
            graph, tested, semantics.nodes, size, options.rankings, options.sampling, rng((seed, 2, size))
        ),
    )
    strange = by_size(
        "odd ones of",
        ODD,
        lambda n, rng: draw_odd(graph, tested, n, options.odd, options.sampling, rng((seed, 3, n))),
    )
    set_files.write_sets(train, sets, graph, options.write_ties)
    set_files.write_sets(test, named, graph, options.write_ties)
    set_files.write_rankings(rankings, completed)
    set_files.write_rankings(odd, strange)
    for what, drawn in (("train", sets), ("test", named)):
        log.info("%s: %s", what, described(graph, drawn))


def by_size(what: str, sizes: Sequence[int], draw: Callable[[int, Callable], list[Ranking]]) -> list[Ranking]:
    """Draw records of every size; sizes that there are too few clips for are told and left out, unless these are all."""
    found, refused = [], []
    for size in sizes:
        try:
            found += draw(size, np.random.default_rng)
        except ConfigError as error:
            refused.append(error)
            log.warning("%s %d clips are left out: %s", what, size, error)
    if not found:
        raise refused[0]
    return found


def _items(
    segments: In, videos: In, taxonomy: Taxonomy, options: SetsOptions, features: list[In] | None
) -> tuple[Items, Items]:
    """Return the clips to train and to test with; DataError if a recording is on both sides."""
    common = {"head": options.head, "features": features, "max_missing": options.max_missing}
    held = options.hold_out
    learned = load_items(segments, videos, taxonomy, options.train_splits, **common, hold_out=held)
    splits = options.train_splits if held else options.test_splits
    tested = load_items(segments, videos, taxonomy, splits, **common, hold_out=held, only_held_out=bool(held))
    if both := sorted(set(learned.recordings) & set(tested.recordings)):
        raise DataError(
            f"{segments}: the recording {both[0]!r} is among the clips to train and to test with; train_splits and"
            " test_splits must not share one"
        )
    return learned, tested


def described(taxonomy: Taxonomy, sets: Sets) -> str:
    """Say how many sets there are, how many are about the root, and how many subsets of two and more have tied concepts."""
    root = (sets.labels[:, -1] == taxonomy.root).mean()
    tied = taxonomy.tied(sets.classes[:100_000])[:, sizes(sets.n) > 1].mean()
    return (
        f"{len(sets)} sets, {root:.1%} of them about the root, {tied:.1%} of their subsets with several common concepts"
    )
