"""Golden values of the published code, formulas, and what must hold of any scores."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from kinoflow.metrics import anticipation as metrics

GOLDEN = Path(__file__).parents[1] / "golden" / "anticipation"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "metrics.npz"))


@pytest.fixture(scope="module")
def pairs() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "marginalize.npz"))


def close(value: float, wanted: np.ndarray, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(value, wanted, rtol=0, atol=tolerance)


# ---------------------------------------------------------------- golden values


def test_examples_in_docstrings():
    result = doctest.testmod(metrics)
    assert result.attempted > 0
    assert result.failed == 0


def test_accuracies_are_those_of_the_published_code(golden):
    scores, labels, few = golden["logits"], golden["target"], golden["many_shot"]
    found = metrics.top_ks(scores, labels, range(1, 11))
    close(100 * found[1], golden["top1_pct"])
    close(100 * found[5], golden["top5_pct"])
    close(100 * np.array(list(found.values())), golden["topk_acc_pct_1_to_10"], 1e-5)  # float32 in the original
    close(100 * metrics.many_shot_accuracy(scores, labels, few, 1), golden["ms_top1_pct"])
    close(100 * metrics.many_shot_accuracy(scores, labels, few, 5), golden["ms_top5_pct"])


def test_samples_without_label_stay_in_the_denominator(golden):
    found = metrics.top_ks(golden["logits"], golden["target_with_ignored"], (1, 5))
    close(100 * np.array([found[1], found[5]]), golden["topk15_pct_with_ignored"], 1e-5)


def test_a_sample_without_label_is_never_a_hit_even_where_k_is_more_than_the_classes():
    scores = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    assert metrics.top_ks(scores, np.array([-1, 0]), (1, 3, 5)) == {1: 0.5, 3: 0.5, 5: 0.5}
    assert metrics.many_shot_accuracy(scores, np.array([-1, 0]), [-1, 0], 5) == 0.5
    moments = np.stack([scores, scores], 1)
    assert metrics.time_to_action(moments, np.array([-1, 0]), (2.0, 1.0), 5) == 1.0


def test_recalls_are_those_of_the_published_code(golden):
    scores, labels, few = golden["logits"], golden["target"], golden["many_shot"]
    close(100 * metrics.mean_top_k_recall(scores, labels, 5), golden["mean_recall5_pct"])
    close(100 * metrics.mean_top_k_recall(scores, labels, 5), golden["meter_mean_recall5_pct"])
    close(100 * metrics.mean_top_k_recall(scores, labels, 5, few), golden["ms_mean_recall5_pct"])
    found = metrics.top_k_recalls(scores, labels, 5, few)
    assert list(found) == golden["teacher_ms_classes"].tolist()
    close(list(found.values()), golden["teacher_ms_recall5_per_class"])
    close(np.mean(list(found.values())), golden["teacher_ms_recall5"])


def test_both_means_over_classes_are_those_of_the_published_code(golden):
    scores, labels = golden["logits"], golden["target"]
    close(metrics.class_mean_top1(scores, labels), golden["teacher_mean_class_acc"])
    close(100 * metrics.class_mean_top1(scores, labels, "all"), golden["student_mean_class_acc_pct"])


def test_eight_moments_and_time_to_action_are_those_of_the_published_code(golden):
    scores, labels = golden["multi_t_scores"], golden["multi_t_target"]
    times = np.arange(2.0, 0.0, -0.25)
    each = [metrics.top_ks(scores[:, t], labels, (1, 5)) for t in range(8)]
    close([[one[k] for one in each] for k in (1, 5)], golden["multi_t_top1_top5"])
    recalls = [metrics.mean_top_k_recall(scores[:, t], labels, 5, golden["many_shot"]) for t in range(8)]
    close([recalls], golden["multi_t_recall5"])
    close(metrics.time_to_action(scores, labels, times), golden["time_to_action"])


def test_verbs_and_nouns_are_those_of_the_published_code(pairs):
    logits, verb, noun = pairs["action_logits"], pairs["action_verb"], pairs["action_noun"]
    verbs, nouns = int(pairs["num_verbs"]), int(pairs["num_nouns"])
    close(metrics.marginalise(logits, verb, verbs), pairs["verb_scores"])
    close(metrics.marginalise(logits, noun, nouns), pairs["noun_scores"])
    close(metrics.marginalise(logits, verb, verbs, original=True), pairs["rulstm_verb"])
    close(metrics.marginalise(logits, noun, nouns, original=True), pairs["rulstm_noun"])
    close(metrics.sum_by_id(logits, verb, verbs), pairs["raw_logit_verb_sum"])
    for k in (1, 5):
        found = [
            metrics.top_ks(logits, pairs["target_action"], (k,))[k],
            *(metrics.decomposed_top_k(logits, pairs["target_action"], ids, k) for ids in (verb, noun)),
        ]
        close(100 * np.array(found), pairs[f"decomposed_top{k}_action_verb_noun_pct"])
    close(metrics.verb_noun_product(logits[:4, :3], logits[:4, 3:7]), pairs["verb_x_noun_scores"])


def test_late_fusion_is_that_of_the_published_code():
    golden = dict(np.load(GOLDEN / "late_fusion.npz"))
    uids = [f"u{i}" for i in range(5)]
    parts = [(uids, golden["a"]), (uids, golden["b"])]
    names, fused = metrics.late_fusion(parts, golden["weights"].tolist())
    assert names == uids
    close(fused, golden["fused"])
    close(metrics.late_fusion(parts, golden["weights"].tolist(), norm=2)[1], golden["l2_normed_fused"])


def test_rows_of_one_uid_are_averaged_as_in_the_published_code():
    golden = dict(np.load(GOLDEN / "ensemble.npz"))
    uids, rows = metrics.mean_by_uid(golden["uid_with_duplicates"], golden["row_logits"])
    np.testing.assert_array_equal(uids, golden["unique_uid"])
    close(rows, golden["mean_by_uid"])


# ---------------------------------------------------------------- what must hold of any scores

SCORES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.integers(-3, 3).map(np.float32)
)


@st.composite
def samples(draw):
    scores = draw(SCORES)
    labels = draw(arrays.arrays(np.int64, len(scores), elements=st.integers(-1, scores.shape[1] - 1)))
    return scores, labels


@settings(deadline=None, max_examples=40)
@given(samples())
def test_ranks_are_those_of_a_stable_sort(some):
    scores, labels = some
    order = np.argsort(-scores, axis=1, kind="stable")
    wanted = [list(row).index(label) if label >= 0 else len(row) for row, label in zip(order, labels, strict=True)]
    np.testing.assert_array_equal(metrics.label_ranks(scores, labels), wanted)


@settings(deadline=None, max_examples=40)
@given(samples())
def test_accuracy_does_not_fall_with_k_and_is_all_at_the_number_of_classes(some):
    scores, labels = some
    found = list(metrics.top_ks(scores, labels, range(1, scores.shape[1] + 1)).values())
    assert found == sorted(found)
    assert found[-1] == (labels >= 0).mean()


@settings(deadline=None, max_examples=40)
@given(samples(), st.randoms(use_true_random=False))
def test_metrics_do_not_depend_on_the_order_of_samples_nor_on_a_rising_transform(some, random):
    scores, labels = some
    order = list(range(len(labels)))
    random.shuffle(order)
    changed = np.exp(scores[order].astype(np.float64)) + 3
    for k in (1, 2):
        assert metrics.top_ks(scores, labels, (k,)) == metrics.top_ks(changed, labels[order], (k,))
        assert metrics.top_k_recalls(scores, labels, k) == metrics.top_k_recalls(changed, labels[order], k)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_mean_recall_is_accuracy_where_classes_are_balanced(classes, each, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), each))
    scores = rng.normal(size=(len(labels), classes))
    accuracy = metrics.top_ks(scores, labels, (1,))[1]
    assert metrics.mean_top_k_recall(scores, labels, 1) == pytest.approx(accuracy)
    assert metrics.class_mean_top1(scores, labels) == pytest.approx(accuracy)


@settings(deadline=None, max_examples=40)
@given(SCORES, st.integers(0, 99))
def test_marginals_are_probabilities_and_each_action_counts_once(logits, seed):
    rng = np.random.default_rng(seed)
    classes = logits.shape[1]
    verb, noun = rng.integers(0, 3, classes), np.arange(classes)
    verbs, nouns = metrics.marginalise(logits, verb, 3), metrics.marginalise(logits, noun, classes)
    np.testing.assert_allclose(verbs.sum(axis=1), 1)
    np.testing.assert_allclose(nouns, metrics.softmax(logits.astype(np.float64)))  # every action has its own noun
    joint = np.zeros((len(logits), 3, classes))
    joint[:, verb, noun] = nouns
    np.testing.assert_allclose(verbs, joint.sum(axis=2), atol=1e-12)


def test_a_verb_without_action_gets_nothing_unless_asked_for_the_original():
    logits = np.log([[0.7, 0.3]])
    np.testing.assert_allclose(metrics.marginalise(logits, np.array([0, 0]), 2), [[1.0, 0.0]])
    np.testing.assert_allclose(metrics.marginalise(logits, np.array([0, 0]), 2, original=True), [[1.0, 0.7]])


def test_an_action_is_many_shot_if_its_verb_or_noun_is():
    verb, noun = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert metrics.many_shot_or(verb, noun, {0}, {0}).tolist() == [0, 1, 2]


def test_fusion_adds_up_what_is_there_of_a_uid():
    names, fused = metrics.late_fusion([(["b", "a"], np.eye(2)), (["c", "b"], np.eye(2))], [1, 10])
    assert names == ["a", "b", "c"]
    np.testing.assert_array_equal(fused, [[0, 1], [1, 10], [10, 0]])


def test_a_label_never_found_counts_no_time():
    scores = np.zeros((2, 2, 7))
    scores[0, 1, 6] = 1
    assert metrics.time_to_action(scores, np.array([6, 6]), (2.0, 1.0)) == 0.5


@pytest.mark.parametrize(
    ("scores", "labels"), [([[0.0, np.nan]], [0]), ([[0.0, 1.0]], [2]), ([[0.0, 1.0]], [0, 1]), ([[0.0, 1.0]], [-2])]
)
def test_what_does_not_fit_is_refused(scores, labels):
    with pytest.raises(ValueError):
        metrics.label_ranks(np.array(scores), np.array(labels))


def test_gains_are_sorted_and_only_of_classes_that_both_have():
    assert metrics.gains({1: 0.5, 2: 0.5, 3: 0.1}, {1: 0.75, 2: 1.0, 4: 1.0}) == {2: 0.5, 1: 0.25}
