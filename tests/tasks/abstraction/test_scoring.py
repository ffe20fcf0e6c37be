"""Distances of set completion and odd one out against the published numbers, and which spaces apply."""

import numpy as np
import pytest
import torch
from tests.tasks.abstraction.golden import arrays, published

from kinoflow.metrics.abstraction import among_farthest, spearman
from kinoflow.tasks.abstraction.model import ClipClassifier, SetModel
from kinoflow.tasks.abstraction.options import NetworkOptions
from kinoflow.tasks.abstraction.scoring import RECORDS, SPACES, Reader

TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def reader(kind="sam", scales=(1, 2), width=6, **more) -> Reader:
    network = NetworkOptions(kind=kind, scales=scales, bottleneck=7, width=width)
    made = ClipClassifier(network, 6, 4) if kind == "classifier" else SetModel(network, 6, 5, 9)
    return Reader(made.double(), **more)


@pytest.mark.parametrize("batch", [256, 4])
def test_set_completion_equals_the_published_distances_and_correlations(batch):
    values = arrays("set_completion")
    model, together = Reader(published(values), batch), []
    for n in range(1, 5):
        found = model.completion(values[f"ref_n{n}"], values[f"query_n{n}"])
        for space, short in (("embedding", "emb"), ("feature", "feat"), ("mean", "mean")):
            assert np.allclose(found[space], values[f"dist_{short}_n{n}"], **TIGHT), space
        rho = spearman(values[f"gt_n{n}"], found["embedding"])
        assert np.allclose(rho, values[f"rho_n{n}"], **TIGHT)
        assert rho.mean() == pytest.approx(values[f"rho_mean_n{n}"], rel=1e-9)
        together.append(rho)
    assert np.concatenate(together).mean() == pytest.approx(values["rho_overall"], rel=1e-9)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_odd_one_out_equals_the_published_distances_and_shares(n):
    values = arrays("odd_one_out")
    x = values[f"x_n{n}"]
    found = Reader(published(values)).odd(x)
    for space, short in (("embedding", "emb"), ("feature", "feat"), ("mean", "mean"), ("relation", "rn")):
        assert np.allclose(found[space], values[f"dist_{short}_n{n}"], **TIGHT), space
    last = np.full(len(x), n - 1)
    for k in (1, 2):
        share = 100 * among_farthest(found["embedding"], last, k).mean()
        assert share == pytest.approx(values[f"top{k}_n{n}"], abs=1e-4)


def test_many_sets_are_told_as_few_are():
    model, rng = reader(width=8), np.random.default_rng(0)
    references, candidates = (rng.random((2 * RECORDS + 1, n, 6)) for n in (4, 5))
    some = slice(3, RECORDS)
    for found, alone in (
        (model.completion(references, candidates), model.completion(references[some], candidates[some])),
        (model.odd(candidates), model.odd(candidates[some])),
    ):
        for space in SPACES:
            assert isinstance(alone[space], str) or np.allclose(found[space][some], alone[space], **TIGHT), space


def test_the_space_singles_takes_the_mean_of_single_vectors_as_centre():
    model, x = reader(), np.random.default_rng(0).standard_normal((3, 4, 6))
    with torch.no_grad():
        single = model.network(torch.from_numpy(x)).embeddings[:, :4].numpy()
    centre = single.mean(axis=1)
    cosine = (
        (single * centre[:, None]).sum(2) / np.linalg.norm(single, axis=2) / np.linalg.norm(centre, axis=1)[:, None]
    )
    assert np.allclose(model.odd(x)["singles"], 1 - cosine)


def test_cosine_distances_do_not_care_for_the_scale_of_features_in_the_mean_space():
    x = np.random.default_rng(0).random((3, 4, 6))
    assert np.allclose(reader().odd(x)["mean"], reader().odd(7 * x)["mean"])


def applying(found) -> set[str]:
    assert list(found) == list(SPACES)
    return {space for space, distances in found.items() if not isinstance(distances, str)}


@pytest.mark.parametrize(
    ("made", "completion", "odd"),
    [
        ({}, set(SPACES) - {"singles"}, set(SPACES)),
        ({"width": 8}, {"embedding", "feature", "mean"}, {"embedding", "singles", "feature", "mean"}),
        ({"scales": (2,)}, {"relation", "mean"}, {"relation", "mean"}),
        ({"embedded": False}, {"feature", "relation", "mean"}, {"feature", "relation", "mean"}),
        ({"kind": "classifier"}, {"mean"}, {"mean"}),
        ({"kind": "head"}, set(SPACES) - {"singles"}, set(SPACES)),
        ({"kind": "pooled", "scales": (2,)}, set(SPACES) - {"singles"}, set(SPACES)),
    ],
)
def test_a_space_that_does_not_apply_is_told_with_its_reason(made, completion, odd):
    model, x = reader(**made), np.random.default_rng(0).random((3, 3, 6))
    assert applying(model.completion(x, x)) == completion
    assert applying(model.odd(x)) == odd


def test_fewer_references_than_the_smallest_scale_leave_the_raw_features():
    x = np.random.default_rng(0).random((3, 1, 6))
    found = reader(scales=(2,)).completion(x, x)
    assert applying(found) == {"mean"} and "1 references are fewer" in found["relation"]
