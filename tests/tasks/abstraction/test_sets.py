"""The samplers: what every drawn set holds to, that draws follow the seed alone, and targets of the published files."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.abstraction.clips import kitchen, of_each_class

from kinoflow.errors import ConfigError
from kinoflow.tasks.abstraction import set_files, taxonomy_files
from kinoflow.tasks.abstraction.items import listed
from kinoflow.tasks.abstraction.options import SamplingOptions
from kinoflow.tasks.abstraction.sets import draw_odd, draw_rankings, draw_sets, outlier_targets, stream, targets
from kinoflow.tasks.abstraction.subsets import subsets
from kinoflow.tasks.abstraction.taxonomy import of

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "abstraction"


@pytest.fixture(scope="module")
def taxonomy():
    return kitchen()


@pytest.fixture(scope="module")
def items(taxonomy):
    return of_each_class(taxonomy)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows_with_twins(chosen: np.ndarray) -> np.ndarray:
    return np.array([len(set(row)) < len(row) for row in chosen.tolist()])


# ---------------------------------------------------------------- abstraction sets


@pytest.mark.parametrize("start", ["video", "node"])
def test_labels_are_what_the_members_have_in_common(taxonomy, items, start):
    sets = draw_sets(taxonomy, items, 300, SamplingOptions(start=start), rng())
    assert sets.items.shape == (300, 4) and sets.labels.shape == (300, 15)
    assert (sets.classes == items.first[sets.items]).all()
    for classes, labels in zip(sets.classes[:100], sets.labels[:100], strict=True):
        for position, members in enumerate(subsets(4)):
            assert labels[position] == taxonomy.lca(classes[list(members)].tolist())


@pytest.mark.parametrize("start", ["video", "node"])
def test_no_clip_is_in_a_set_twice_and_the_root_is_rare_everywhere(taxonomy, items, start):
    sets = draw_sets(taxonomy, items, 3000, SamplingOptions(start=start, max_root_fraction=0.1), rng())
    assert not rows_with_twins(sets.items).any()
    root = np.cumsum(sets.labels[:, -1] == taxonomy.root)
    assert (root <= 0.1 * np.arange(1, 3001) + 1e-9).all()
    assert root[-1] > 200


def test_without_a_limit_the_root_comes_as_it_is_drawn(taxonomy, items):
    free = draw_sets(taxonomy, items, 3000, SamplingOptions(max_root_fraction=1.0), rng())
    none = draw_sets(taxonomy, items, 3000, SamplingOptions(max_root_fraction=0.0), rng())
    assert (free.labels[:, -1] == taxonomy.root).mean() > 0.11
    assert not (none.labels[:, -1] == taxonomy.root).any()


def test_more_sets_begin_with_the_same_ones_and_another_seed_gives_others(taxonomy, items):
    few, many = (draw_sets(taxonomy, items, count, SamplingOptions(), rng()) for count in (50, 40_000))
    assert (many.items[:50] == few.items).all() and (many.labels[:50] == few.labels).all()
    assert (draw_sets(taxonomy, items, 50, SamplingOptions(), rng(1)).items != few.items).any()
    online = next(stream(taxonomy, items, SamplingOptions(), rng()))
    assert (online.items[:50] == few.items).all()


def test_a_clip_may_come_twice_where_that_is_asked_for(taxonomy):
    items = of_each_class(taxonomy, 1)
    sets = draw_sets(taxonomy, items, 2000, SamplingOptions(repeats=True), rng())
    assert rows_with_twins(sets.items).mean() > 0.2
    single = draw_sets(taxonomy, items, 2000, SamplingOptions(), rng())
    assert not rows_with_twins(single.items).any()  # ancestors with less than four clips are drawn again


def test_tied_concepts_are_all_drawn_where_that_is_asked_for(taxonomy, items):
    sets = draw_sets(taxonomy, items, 2000, SamplingOptions(ties="random"), rng())
    fixed = taxonomy.subset_labels(sets.classes)
    tied = taxonomy.tied(sets.classes)
    assert (sets.labels == fixed)[~tied].all() and (sets.labels != fixed)[tied].mean() > 0.2
    assert taxonomy.hits(sets.classes, sets.labels).all()


def test_a_clip_with_several_labels_stands_for_one_below_the_concept(taxonomy):
    first, second = taxonomy.label("pull pan"), taxonomy.label("slice bread")
    items = listed([f"c{n}" for n in range(30)], [[first, second] if n % 2 else [first] for n in range(30)])
    sets = draw_sets(taxonomy, items, 500, SamplingOptions(), rng())
    own = items.labels[sets.items]  # (N, 4, 2)
    assert (own == sets.classes[:, :, None]).any(2).all()
    assert not (sets.classes == -1).any() and (sets.classes == second).any()


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6), st.floats(0, 1), st.integers(1, 4))
def test_any_options_give_right_sets(n, seed, fraction, count):
    taxonomy = kitchen()
    items = of_each_class(taxonomy, count)
    sets = draw_sets(taxonomy, items, 64, SamplingOptions(members=n, max_root_fraction=fraction), rng(seed))
    assert sets.labels.shape == (64, 2**n - 1)
    assert (sets.labels[:, -1] == taxonomy.root).sum() <= fraction * 64 + 1e-9
    assert not rows_with_twins(sets.items).any()
    whole = sets.labels[:, -1]
    assert taxonomy.reach[whole[:, None], sets.classes].all()


def test_a_taxonomy_without_concepts_is_refused():
    flat = of([("root", "x"), ("root", "y")], {"x": "x", "y": "y"})
    items = listed([f"c{n}" for n in range(6)], [[n % 2] for n in range(6)])
    with pytest.raises(
        ConfigError, match="max_root_fraction: no more sets can be drawn with only 0 of them about the root"
    ):
        draw_sets(flat, items, 10, SamplingOptions(max_root_fraction=0.0), rng())
    with pytest.raises(ConfigError, match="sets of 4 different clips cannot be drawn from 3"):
        draw_sets(flat, items.take([0, 1, 2]), 10, SamplingOptions(), rng())


def test_drawing_is_fast(taxonomy, items):
    start = time.process_time()
    draw_sets(taxonomy, items, 30_000, SamplingOptions(), rng())
    assert time.process_time() - start < 3  # about 0.2 s; one common ancestor at a time would take 8


# ---------------------------------------------------------------- rankings and odd ones


def test_a_ranking_has_one_query_below_the_concept(taxonomy, items):
    vectors = rng(1).standard_normal((len(taxonomy), 8))
    for size in (1, 4):
        for ranking in draw_rankings(taxonomy, items, vectors, size, 40, SamplingOptions(), rng()):
            assert len(ranking.references) == size and len(ranking.queries) == 5
            names = (*ranking.references, *ranking.queries)
            assert len(set(names)) == len(names) and len(set(ranking.query_labels)) == 5
            labels = [taxonomy.label(name) for name in ranking.reference_labels]
            assert taxonomy.category(taxonomy.lca(labels)) == ranking.common
            node = vectors[taxonomy.label(ranking.common)]
            for label, distance in zip(ranking.query_labels, ranking.distances, strict=True):
                own = vectors[taxonomy.label(label)]
                assert distance == pytest.approx(1 - own @ node / np.linalg.norm(own) / np.linalg.norm(node))


def test_the_place_of_the_fitting_query_is_drawn(taxonomy, items):
    vectors = taxonomy.reach.T.astype(float)
    drawn = draw_rankings(taxonomy, items, vectors, 3, 200, SamplingOptions(), rng())
    assert len({ranking.order[0] for ranking in drawn}) == 5


def test_the_odd_one_shares_nothing_that_the_others_share(taxonomy, items):
    for n in (3, 4, 5):
        for record in draw_odd(taxonomy, items, n, 60, SamplingOptions(), rng()):
            assert (len(record.references), len(record.queries), record.outlier) == (n - 1, 1, 0)
            assert record.common != "root"
            shared = taxonomy.common([taxonomy.label(name) for name in record.reference_labels])
            odd = taxonomy.ancestors(taxonomy.label(record.query_labels[0]))
            assert set(shared) & set(odd) == {taxonomy.root}
            assert len({*record.references, *record.queries}) == n


def test_rankings_follow_the_seed_alone(taxonomy, items):
    vectors = rng(1).standard_normal((len(taxonomy), 8))
    first, again, other = (
        draw_rankings(taxonomy, items, vectors, 2, 10, SamplingOptions(), rng(seed)) for seed in (0, 0, 1)
    )
    assert first == again and first != other


def test_too_few_clips_for_a_ranking_are_told(taxonomy):
    everything = of_each_class(taxonomy, 1)
    few = everything.take(
        [taxonomy.label(name) for name in ("pull pan", "slice bread", "open jar", "blend sauce", "take carrot")]
    )
    with pytest.raises(ConfigError, match="no concept below the root has 5 clips below it"):
        draw_rankings(taxonomy, few, np.ones((58, 2)), 4, 1, SamplingOptions(members=2), rng())


# ---------------------------------------------------------------- golden values


@pytest.fixture(scope="module")
def published():
    with np.load(GOLDEN / "abstraction_items.npz") as file:
        arrays = dict(file)
    tiny = taxonomy_files.read(GOLDEN / "graph_tiny.json")
    return tiny, set_files.read_sets(GOLDEN / "abstraction_sets_tiny.json", tiny), arrays


def test_targets_of_the_published_sets_are_the_published_ones(published):
    tiny, sets, arrays = published
    place = {str(name): row for row, name in enumerate(arrays["video_names"])}
    items = [place[name] for name in sets.names]
    node_order = [tiny.label(str(name)) for name in arrays["node_order"]]
    nodes = np.empty_like(arrays["category_embeddings"])
    nodes[node_order] = arrays["category_embeddings"]
    assert (sets.labels == arrays["targets_label"]).all()
    assert (arrays["feature_matrix"][items][sets.items] == arrays["features"]).all()
    found = targets(sets, arrays["video_embeddings"][items], nodes)
    np.testing.assert_allclose(found, arrays["targets_emb"], atol=1e-12)
    with np.load(GOLDEN / "set_outlier_targets.npz") as file:
        assert (outlier_targets(sets, arrays["video_embeddings"][items], nodes) == file["outliers"]).all()


def test_labels_of_the_published_sets_are_what_their_members_have_in_common(published):
    tiny, sets, _ = published
    assert (tiny.subset_labels(sets.classes) == sets.labels).all()
    assert not tiny.tied(sets.classes).any()
