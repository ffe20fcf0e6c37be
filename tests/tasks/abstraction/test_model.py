"""SAM against the published numbers, and what must hold of it whatever its weights."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.abstraction.golden import arrays, published

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.abstraction.model import ClipClassifier, Relation, SetModel, rebuild
from kinoflow.tasks.abstraction.options import NetworkOptions
from kinoflow.tasks.abstraction.subsets import membership, places, sizes, subsets

relaxed = settings(deadline=None, max_examples=15)
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def model(scales=(1, 2, 3, 4), seed=0, inputs=6, **options) -> SetModel:
    network = NetworkOptions(scales=scales, **{"bottleneck": 7, "width": 6} | options)
    return SetModel(network, inputs=inputs, embedding=5, nodes=9, seed=seed).double().eval()


def sets(batch=3, n=4, seed=0, inputs=6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((batch, n, inputs)))


def features(network, x):
    with torch.no_grad():
        return network(x, features=True).features


def close(first, second, **tolerance):
    first, second = (torch.as_tensor(each).detach().numpy() for each in (first, second))
    return np.allclose(first, second, **TIGHT | tolerance)


# ---------------------------------------------------------------- published numbers


@pytest.mark.parametrize(
    ("name", "n"),
    [("sam_forward", n) for n in range(1, 6)] + [(f"sam_scales_{which}", n) for which in "ab" for n in range(2, 6)],
)
def test_features_vectors_and_logits_equal_the_published_ones(name, n):
    values = arrays(name)
    network, x = published(values), torch.from_numpy(values[f"x_n{n}"])
    assert np.array_equal(membership(n, network.least), values[f"subsets_n{n}"])
    with torch.no_grad():
        told = network(x, features=True)
    assert close(told.features, values[f"feat_n{n}"])
    assert close(told.embeddings, values[f"emb_n{n}"])
    assert close(told.logits, values[f"logits_n{n}"])


@pytest.mark.parametrize("name", ["sam_pooled_full", "sam_pooled_pad"])
@pytest.mark.parametrize("n", range(1, 6))
def test_the_pooled_variant_equals_the_published_one_and_pads_small_sets(name, n):
    values = arrays(name)
    whole = features(published(values, "pooled"), torch.from_numpy(values[f"x_n{n}"]))[:, -1:]
    assert close(whole, values[f"out_n{n}"])


def test_the_published_default_has_16_million_weights():
    options = NetworkOptions()
    with torch.device("meta"):
        relations = [Relation(scale, 2048, options.bottleneck, options.width) for scale in options.scales]
        heads = [torch.nn.Linear(options.width, outputs) for outputs in (391, 300)]
    count = sum(p.numel() for module in (*relations, *heads) for p in module.parameters())
    assert round(count / 1e6, 1) == 16.1


# ---------------------------------------------------------------- the formula, one subset after the other


def written_down(network: SetModel, x: torch.Tensor) -> torch.Tensor:
    """f of every subset as section d of the spec has it: one relation after the other, sums of sums."""
    found = []
    for whole in subsets(x.shape[1], network.least):
        total = 0
        for scale in (s for s in network.scales if s <= len(whole)):
            relation = network.relations[str(scale)]
            for each in itertools.combinations(whole, scale):
                u = x[:, list(each)].flatten(1).relu()
                total = total + relation.second((relation.first(u)).relu())
        found.append(total)
    return torch.stack(found, 1)


@relaxed
@given(st.integers(0, 10**6), st.sets(st.integers(1, 5), min_size=1), st.integers(1, 6))
def test_block_products_give_what_the_formula_says(seed, scales, n):
    scales = tuple(sorted(scales))
    if n < scales[0]:
        return
    network, x = model(scales, seed), sets(n=n, seed=seed)
    with torch.no_grad():
        assert close(features(network, x), written_down(network, x), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("scales", [(1, 2, 3, 4), (2, 3), (1,)])
def test_heads_that_are_folded_into_relations_give_the_same(scales):
    network, x = model(scales, width=64), sets(32)
    with torch.no_grad():
        apart = network(x)
        network.train()
        assert network._is_cheaper_folded(x)
        folded = network(x)
    assert close(folded.embeddings, apart.embeddings) and close(folded.logits, apart.logits)


def test_a_set_has_an_output_for_every_subset():
    assert [len(subsets(n)) for n in range(1, 7)] == [1, 3, 7, 15, 31, 63]
    for n in range(1, 7):
        told = model((1,))(sets(n=n))
        assert told.embeddings.shape == (3, 2**n - 1, 5) and told.logits.shape == (3, 9, 2**n - 1)
    assert model((2, 3))(sets()).logits.shape == (3, 9, 11)


# ---------------------------------------------------------------- invariants (section j)


@relaxed
@given(st.integers(0, 10**6))
def test_with_one_video_scales_outputs_are_additive_and_do_not_care_for_order(seed):
    network, x = model((1,), seed), sets(seed=seed)
    f, order = features(network, x), np.random.default_rng(seed).permutation(4)
    place = places(4)
    assert close(f[:, place[0b0011]] + f[:, place[0b1100]], f[:, place[0b1111]])
    moved = features(network, x[:, order])
    for whole in subsets(4):
        there = sum(1 << int(order[member]) for member in whole)
        assert close(moved[:, place[sum(1 << m for m in whole)]], f[:, place[there]])


def test_with_the_largest_scale_alone_the_whole_set_is_its_own_relation():
    network, x = model((4,)), sets()
    assert close(features(network, x), written_down(network, x))
    assert features(network, x).shape == (3, 1, 6)


def test_relations_come_back_by_moebius_inversion():
    network, x = model(), sets()
    f, place = features(network, x), places(4)
    with torch.no_grad():
        for whole in subsets(4):
            relation = network.relations[str(len(whole))]
            g = relation.second(relation.first(x[:, list(whole)].flatten(1).relu()).relu())
            total = sum(
                (-1) ** (len(whole) - len(part)) * f[:, place[sum(1 << m for m in part)]]
                for part in subsets(4)
                if set(part) <= set(whole)
            )
            assert close(total, g)


@relaxed
@given(st.integers(0, 10**6))
def test_a_subset_does_not_see_the_other_videos(seed):
    network, x = model((1, 2), seed), sets(seed=seed)
    alone = features(network, x[:, [0, 2]])
    within = features(network, x)[:, [places(4)[code] for code in (0b001, 0b100, 0b101)]]
    assert close(within, alone)


@pytest.mark.parametrize("kind", ["sam", "pooled", "head"])
def test_negative_features_are_cut_off_unless_told_otherwise(kind):
    x = sets()
    if kind != "head":  # its mean is taken first
        assert close(features(model(kind=kind), x), features(model(kind=kind), x.relu()))
    assert not close(
        features(model(kind=kind, input_relu=False), x), features(model(kind=kind, input_relu=False), x.relu())
    )


@pytest.mark.parametrize("kind", ["sam", "pooled", "head"])
def test_more_sets_in_a_batch_change_nothing(kind):
    x = sets(5)
    assert close(features(model(kind=kind), x)[:2], features(model(kind=kind), x[:2]))


def test_sam_refuses_a_set_below_its_smallest_scale_and_the_pooled_variant_pads_it():
    with pytest.raises(DataError, match="a set of 1 is smaller than the smallest scale of this model, 2"):
        model((2, 3))(sets(n=1))
    assert features(model((3,), kind="pooled"), sets(n=2)).shape == (3, 3, 6)


def test_padding_repeats_a_set_or_adds_each_video_in_turn():
    network, x = model((3,), kind="pooled"), sets(n=2)
    with torch.no_grad():
        one = network.relations["3"]

        def g(*videos):
            return one.second(one.first(x[:, list(videos)].flatten(1).relu()).relu())

        pair = (g(0, 1, 0) + g(0, 1, 1)) / 2  # two videos: one more, each in turn
        assert close(features(network, x)[:, 2], pair)
        assert close(features(network, x)[:, 0], g(0, 0, 0))  # one video: three times


def test_the_pooled_variant_is_the_weighted_mean_of_relations():
    network, x = model((1, 2), kind="pooled"), sets(n=3)
    with torch.no_grad():
        network.scale_weight.copy_(torch.tensor([0.5, 2.0]))
        network.scale_bias.fill_(0.25)
        one, two = (network.relations[s] for s in "12")
        singles = torch.stack([one.second(one.first(x[:, i].relu()).relu()) for i in range(3)]).mean(0)
        pairs = [two.second(two.first(x[:, list(p)].flatten(1).relu()).relu()) for p in ((0, 1), (0, 2), (1, 2))]
        assert close(features(network, x)[:, -1], 0.5 * singles + 2 * torch.stack(pairs).mean(0) + 0.25)


def test_the_head_reads_the_mean_of_a_subset():
    network, x = model(kind="head"), sets()
    with torch.no_grad():
        relation = network.relations["1"]
        expected = relation.second(relation.first(x[:, [1, 3]].mean(1).relu()).relu())
    assert close(features(network, x)[:, places(4)[0b1010]], expected)
    assert list(network.relations) == ["1"]


# ---------------------------------------------------------------- orders of a set's videos


def named_anew(told, order):
    """Take the outputs of permuted sets back to the former names of the videos."""
    place = places(4)
    back = [place[sum(1 << int(np.flatnonzero(order == m)[0]) for m in each)] for each in subsets(4)]
    return told.embeddings[:, back], told.logits[:, :, back]


def test_relations_of_several_videos_depend_on_their_order_unless_sets_are_sorted():
    x, order = sets(), np.array([2, 0, 3, 1])
    for how, same in (("none", False), ("sorted", True)):
        network = model(symmetrise=how)
        with torch.no_grad():
            told, (e, z) = network(x), named_anew(network(x[:, order]), order)
        assert close(told.embeddings, e) == same and close(told.logits, z) == same


def test_all_orders_together_make_sam_symmetric():
    network, x = model((1, 2), symmetrise="permutations", permutations=120), sets(n=2)
    network._orders = lambda x: [torch.tensor(p).expand(len(x), 2) for p in ((0, 1), (1, 0))]
    with torch.no_grad():
        told, other = network(x), network(x.flip(1))
    assert close(told.embeddings[:, [1, 0, 2]], other.embeddings)


def test_several_orders_give_the_mean_of_what_each_gives():
    network, x = model(symmetrise="permutations", permutations=3), sets()
    plain = model()
    with torch.no_grad():
        parts = []
        for order in network._orders(x):
            one = order[0].numpy()
            parts.append(named_anew(plain(x[:, one]), one)[0])
        assert close(network(x).embeddings, torch.stack(parts).mean(0))
    assert network._orders(x)[0].tolist() == [[0, 1, 2, 3]] * 3


# ---------------------------------------------------------------- first weights, making it again


def test_first_weights_depend_on_seed_and_name_alone():
    one, other, third = model(), model((1, 2)), model(seed=1)
    assert torch.equal(one.relations["2"].first.weight, other.relations["2"].first.weight)
    assert not torch.equal(one.relations["2"].first.weight, third.relations["2"].first.weight)
    weight = one.relations["4"].first.weight
    assert weight.abs().max() <= 24**-0.5 and weight.std().item() == pytest.approx((24 * 3) ** -0.5, rel=0.15)


@pytest.mark.parametrize("kind", ["sam", "pooled", "head"])
def test_a_network_is_made_again_from_what_it_says_of_itself(kind):
    network = model((2, 3), kind=kind)
    again = rebuild(network.about()).double()
    again.load_state_dict(network.state_dict())
    assert close(features(again, sets()), features(network, sets()))


def test_a_classifier_is_no_model_of_sets():
    network = NetworkOptions(kind="classifier", bottleneck=8)
    with pytest.raises(ConfigError, match="ClipClassifier"):
        SetModel(network, 6, 5, 9)
    classifier = ClipClassifier(network, 6, 4)
    assert classifier(torch.zeros(3, 6)).shape == (3, 4)
    assert isinstance(rebuild(classifier.about()), ClipClassifier)


def test_single_videos_are_sets_of_one():
    network, x = model(), sets()
    with torch.no_grad():
        (f, e), whole = network.singles(x), network(x, features=True)
    assert close(f, whole.features[:, :4]) and close(e, whole.embeddings[:, :4])


@pytest.mark.parametrize("options", [{}, {"kind": "pooled"}, {"kind": "head"}, {"symmetrise": "sorted"}])
def test_without_the_scores_of_nodes_the_rest_stays_to_the_bit(options):
    network, x = model(**options), sets()
    with torch.no_grad():
        whole, part = network(x, features=True), network(x, features=True, logits=False)
    assert part.logits is None
    assert torch.equal(part.features, whole.features) and torch.equal(part.embeddings, whole.embeddings)


def test_sizes_of_subsets_follow_the_order():
    assert sizes(4).tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert model((2, 3)).sizes(4).tolist() == [2] * 6 + [3] * 4 + [4]


def test_what_was_evaluated_first_can_be_trained_after():
    network, x = model((1, 3), width=11), sets(n=6)  # sizes that nothing has asked for before
    with torch.inference_mode():
        network(x)
    network.train()(x).logits.sum().backward()
    assert network.relations["3"].first.weight.grad is not None


@pytest.mark.parametrize("options", [{}, {"kind": "pooled"}, {"kind": "head"}, {"symmetrise": "sorted"}])
@pytest.mark.parametrize("n", [2, 5])
def test_a_whole_set_by_itself_is_the_last_of_its_subsets(options, n):
    network, x = model((1, 2, 4), **options), sets(n=n)
    with torch.no_grad():
        told, (f, e) = network(x, features=True), network.whole(x)
    assert close(f, told.features[:, -1]) and close(e, told.embeddings[:, -1])
