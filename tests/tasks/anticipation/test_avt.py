"""The head of AVT: the published numbers, and what must hold for any weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation.avt import AvtHead
from kinoflow.tasks.anticipation.importer import head_weights

GOLDEN = ROOT / "tests/golden/anticipation"


def published(name):
    """The golden arrays, and a head with their weights."""
    golden = np.load(GOLDEN / f"avt_head_{name}.npz")
    weights = {key[2:]: torch.from_numpy(golden[key]) for key in golden.files if key.startswith("w.")}
    width, features = weights["encoder.weight"].shape
    heads, layers, ahead, average = (int(golden[key]) for key in ("n_head", "n_layer", "output_len", "avg_last_n"))
    positions = len(weights["gpt_model.wpe.weight"])
    head = AvtHead(
        features, width, heads, layers, positions, 0.1, ahead, max(average, 0), bool(golden["return_past_too"])
    )
    head.double().load_state_dict(head_weights(weights))
    return golden, head.eval()


def fresh(features=6, **more):
    """A head with weights large enough to matter."""
    head = AvtHead(features, width=8, heads=2, layers=2, positions=40, **more).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_(0, 0.4, generator=generator)
    return head


def sequence(batch=2, steps=7, features=6, seed=0):
    return torch.randn(batch, steps, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["base", "rollout"])
def test_forward_equals_the_published_head(name):
    golden, head = published(name)
    x = torch.from_numpy(golden["feats"])
    with torch.no_grad():
        found = head(x)
        kept = found.told[:, : x.shape[1]]
        perturbed = head(torch.from_numpy(golden["feats_perturbed_second_half"])).told[:, : x.shape[1]]
    for key, value in (
        ("hidden", found.hidden),
        ("decoded", kept),
        ("updated_past", found.past),
        ("future", found.future),
        ("feat_loss_elementwise", found.feature_error(x)),
        ("decoded_perturbed", perturbed),
    ):
        assert value.shape == golden[key].shape
        assert np.abs(value.numpy() - golden[key]).max() < 1e-8, key
    half = x.shape[1] // 2
    assert torch.equal(perturbed[:, :half], kept[:, :half])


@given(st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_what_comes_later_changes_nothing_before(step, seed):
    head, x = fresh(), sequence(seed=seed)
    other = x.clone()
    other[:, step:] += 3
    with torch.no_grad():
        a, b = head(x), head(other)
    assert torch.allclose(a.told[:, :step], b.told[:, :step], atol=1e-12)
    assert not torch.allclose(a.told[:, step:], b.told[:, step:], atol=1e-3)


@pytest.mark.parametrize(("average", "ahead"), [(1, 1), (3, 1), (5, 2), (20, 2), (40, 4)])
def test_an_average_of_more_steps_than_there_are_is_one_of_all(average, ahead):
    head, plain, x = fresh(ahead=ahead, average=average), fresh(ahead=ahead, average=0), sequence(batch=3)
    lengths = torch.tensor([7, 1, 4])
    with torch.no_grad():
        found = head(x, lengths).future
        for row, length in enumerate(lengths.tolist()):
            alone = plain(x[row : row + 1, :length]).future[0]  # x_1 .. x_T, then what is predicted
            assert torch.allclose(found[row], alone[-average:].mean(0), atol=1e-12)


def test_the_first_step_of_a_roll_out_is_the_prediction_without_one():
    one, many, x = fresh(), fresh(ahead=4, average=0), sequence()
    with torch.no_grad():
        assert torch.allclose(many(x).told[:, : x.shape[1]], one(x).told, atol=1e-12)
        assert torch.allclose(many(x).future[:, x.shape[1]], one(x).future, atol=1e-12)


def test_a_roll_out_feeds_the_hidden_state_of_the_last_step_as_the_next_embedding():
    head, x = fresh(ahead=3, average=0, with_past=False), sequence()
    with torch.no_grad():
        embeddings = head.encoder(x)
        for _ in range(2):
            hidden, _ = head.transformer(embeddings)
            embeddings = torch.cat([embeddings, hidden[:, -1:]], 1)
        expected = head.decoder(head.transformer(embeddings)[0][:, -3:])
        assert torch.allclose(head(x).future[:, 0], expected[:, 0], atol=1e-12)
        assert torch.allclose(head(x).future[:, 2], expected[:, 2], atol=1e-12)


@pytest.mark.parametrize("ahead", [2, 4])
def test_gradients_of_a_roll_out_are_those_of_passes_over_all_steps(ahead):
    head, x = fresh(ahead=ahead, dropout=0.0).train(), sequence()

    def whole():
        embeddings = head.encoder(x)
        for _ in range(ahead - 1):
            embeddings = torch.cat([embeddings, head.transformer(embeddings)[0][:, -1:]], 1)
        return head.decoder(head.transformer(embeddings)[0][:, -1])

    found = torch.autograd.grad(head(x).future.square().sum(), list(head.parameters()))
    wanted = torch.autograd.grad(whole().square().sum(), list(head.parameters()))
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(found, wanted, strict=True))


def test_a_stream_with_cached_keys_says_what_whole_sequences_say():
    head, x = fresh(), sequence(steps=12)
    with torch.no_grad():
        cache = head.start(x[:, 0])
        streamed = torch.stack([head.step(step, cache) for step in x.unbind(1)], 1)
        assert torch.allclose(streamed, head(x).told, atol=1e-12)


@pytest.mark.parametrize("ahead", [1, 3])
def test_shorter_sequences_of_a_batch_are_told_as_by_themselves(ahead):
    head, x, lengths = fresh(ahead=ahead, average=2 if ahead > 1 else 1), sequence(3, 7), torch.tensor([7, 4, 1])
    with torch.no_grad():
        together = head(x, lengths)
        for i, length in enumerate(lengths.tolist()):
            alone = head(x[i : i + 1, :length])
            assert torch.allclose(together.future[i], alone.future[0], atol=1e-12)
            assert torch.allclose(together.past[i, :length], alone.past[0], atol=1e-12)


def test_one_step_works_and_has_no_feature_loss():
    head, x = fresh(), sequence(steps=1)
    found = head(x)
    assert found.future.shape == (2, 6) and found.feature_error(x).numel() == 0


def test_attention_maps_are_shares_of_what_was_seen():
    found = fresh()(sequence(), maps=True)
    assert len(found.maps) == 2
    for weights in found.maps:
        assert weights.shape == (2, 2, 7, 7)
        assert torch.allclose(weights.sum(3), torch.ones(2, 2, 7, dtype=torch.float64))
        assert (weights.triu(1) == 0).all()


def test_maps_change_nothing_of_what_is_told():
    head, x = fresh(), sequence()
    with torch.no_grad():
        assert torch.allclose(head(x, maps=True).told, head(x).told, atol=1e-12)


def test_averages_of_several_last_steps_reach_back_into_the_past():
    head, x = fresh(average=3), sequence()
    with torch.no_grad():
        expected = torch.cat([x[:, -2:], fresh()(x).future[:, None]], 1).mean(1)
        assert torch.allclose(head(x).future, expected, atol=1e-12)


def test_the_gradient_flows_into_what_is_predicted_unless_it_is_detached():
    head, x = fresh(), sequence().requires_grad_()
    head(x).feature_error(x).sum().backward()
    with_target, x.grad = x.grad[:, -1].clone(), None
    head(x).feature_error(x, detach=True).sum().backward()
    assert with_target.abs().sum() > 0 and x.grad[:, -1].abs().sum() == 0  # nothing is predicted from the last step


def test_more_steps_than_positions_are_refused():
    with pytest.raises(ConfigError, match="places 40 steps, not 41"):
        fresh()(sequence(steps=41))
    with pytest.raises(ConfigError, match="do not divide"):
        AvtHead(4, width=9, heads=2)
