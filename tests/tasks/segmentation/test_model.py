"""The model against the published code, and its doors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.segmentation.test_constraints import model, videos
from tests.tasks.segmentation.test_inference import GOLDEN

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.segmentation import inference, messages
from kinoflow.tasks.segmentation.model import SegmentModel, orthogonal_features
from kinoflow.tasks.segmentation.spans import cut

NAMES = {
    "initial_logits": "init_logits",
    "log_rates": "poisson_log_rates",
    "means": "gaussian_means",
    "deviations": "gaussian_std",
    "source": "transition_embs_left",
    "target": "transition_embs_right",
    "projection": "projection_matrix",
}


def golden_model(file: dict[str, np.ndarray], prefix: str) -> SegmentModel:
    states, width = file[f"{prefix}gaussian_means"].shape
    longest, rank = int(file["max_span_length"]), int(file["rank"])
    made = SegmentModel(states, width, rank=rank, longest=longest).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.tensor(file[prefix + NAMES[name]]))
    return made


@pytest.mark.parametrize("way", ["fast", "safe"])
@pytest.mark.parametrize("name", ["lowrank_tiny", "lowrank_mid", "lowrank_short_clip"])
def test_likelihood_gradients_and_posteriors_equal_the_published_codes(name, way, monkeypatch):
    if way == "safe":
        monkeypatch.setattr(messages, "fast_enough", lambda *factors: False)
    file = dict(np.load(GOLDEN / f"{name}.npz"))
    made = golden_model(file, "param_")
    x, lengths = torch.tensor(file["features"]).requires_grad_(), torch.tensor(file["lengths"])
    found = made.log_likelihood(x, lengths, clip=True)
    assert np.allclose(found.detach(), file["log_partition"], rtol=1e-8)
    assert np.isclose(found.mean().item(), file["mean_log_likelihood"], rtol=1e-8)
    found.mean().backward()
    gradients = {"features": x.grad} | {NAMES[n]: parameter.grad for n, parameter in made.named_parameters()}
    for key, gradient in gradients.items():
        expected = file[f"grad_{key}"]
        assert np.allclose(gradient, expected, rtol=1e-5, atol=1e-6 * abs(expected).max()), key
    posterior = inference.posteriors(made.chain(x, lengths, clip=True)).states
    assert np.allclose(posterior, file["state_posterior"], atol=1e-6)
    assert np.allclose(made.transition_matrix().detach(), file["transition_matrix"])
    assert np.allclose(made.duration_table().detach(), file["length_log_probs"], rtol=1e-6)


def test_three_epochs_of_training_equal_the_published_codes():
    file = dict(np.load(GOLDEN / "train_loop.npz"))
    made = golden_model(file, "init_")
    features = {key[10:]: torch.tensor(file[key]) for key in file if key.startswith("features__")}
    first = torch.cat([features["__".join(video)] for video in json.loads(str(file["init_batch_json"]))])
    made.start_emissions(first.mean(0), first.std(0))
    optimiser = torch.optim.Adam(made.parameters(), lr=float(file["lr"]))
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser,
        factor=float(file["plateau_factor"]),
        patience=int(file["plateau_patience"]),
        min_lr=float(file["plateau_min_lr"]),
        threshold=float(file["plateau_threshold"]),
    )
    accumulation, losses = int(file["batch_accumulation"]), []
    for epoch, batches in enumerate(json.loads(str(file["batch_order_json"]))):
        total = 0.0
        for number, batch in enumerate(batches, 1):
            (x,) = (features["__".join(video)] for video in batch)
            loss = -made.log_likelihood(x[None], torch.tensor([len(x)])).mean()
            total += loss.item()
            (loss / accumulation).backward()  # what is left at the end of an epoch stays for the next one
            if number % accumulation == 0:
                torch.nn.utils.clip_grad_norm_(made.parameters(), float(file["max_grad_norm"]))
                optimiser.step()
                optimiser.zero_grad()
        losses.append(total / len(batches))
        plateau.step(losses[-1])
        for name, parameter in made.named_parameters():
            if epoch in (0, 2):
                expected = file[f"epoch{epoch}_{NAMES[name]}"]
                assert np.allclose(parameter.detach(), expected, rtol=1e-5, atol=1e-6), (epoch, name)
    assert np.allclose(losses, file["train_loss_per_video"], rtol=1e-6)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("normalise", [False, True])
def test_gradients_of_all_parameters_equal_numerical_ones(rank, normalise):
    made, (x, lengths) = model(rank, states=3, normalise_durations=normalise), videos()
    names = [name for name, _ in made.named_parameters()]
    spans = [cut([0, 0, 1, 1, 1, 2], 4), cut([2, 1, 1, 0], 4)]

    def both(*parameters):
        values = dict(zip(names, parameters, strict=True))
        function = torch.func.functional_call
        return function(Doors(made), {f"made.{n}": v for n, v in values.items()}, (x, lengths, spans))

    assert torch.autograd.gradcheck(both, [p.detach().clone().requires_grad_() for p in made.parameters()])


class Doors(torch.nn.Module):
    """Calls both likelihoods, so that a functional call can reach them."""

    def __init__(self, made: SegmentModel):
        super().__init__()
        self.made = made

    def forward(self, x, lengths, spans):
        return self.made.log_likelihood(x, lengths), self.made.joint(x, lengths, spans)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.05, 20), st.sampled_from([None, 2]))
def test_scaling_features_means_and_deviations_costs_the_logarithm(scale, rank):
    made, (x, lengths) = model(rank), videos()
    before = made.log_likelihood(x, lengths).detach()
    made.start_emissions(made.means.detach() * scale, made.current_deviations().detach() * scale)
    after = made.log_likelihood(x * scale, lengths).detach()
    assert torch.allclose(after, before - lengths * 3 * np.log(scale), atol=1e-6)


def test_merged_states_share_means_and_rates():
    tied = model(None, states=4, tied=[0, 1, 0, 2])
    assert tied.means.shape == (3, 3)
    free, (x, lengths) = model(None, states=4), videos()
    with torch.no_grad():
        for name in ("initial_logits", "transition_logits", "deviations"):
            getattr(free, name).copy_(getattr(tied, name))
        free.means.copy_(tied.means[[0, 1, 0, 2]])
        free.log_rates.copy_(tied.log_rates[[0, 1, 0, 2]])
    assert torch.allclose(tied.log_likelihood(x, lengths), free.log_likelihood(x, lengths))


def test_deviations_trained_as_logarithms_say_the_same():
    plain, logs, (x, lengths) = model(2), model(2, log_deviation=True), videos()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if name != "deviations":
                getattr(logs, name).copy_(parameter)
    logs.start_emissions(plain.means, plain.current_deviations().detach())
    assert torch.allclose(plain.log_likelihood(x, lengths), logs.log_likelihood(x, lengths))


def test_first_weights_depend_on_the_seed_and_their_own_names_alone():
    one, again, other = (SegmentModel(5, 4, rank=3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.source, other.source)
    assert not torch.equal(one.source, one.target)
    assert torch.equal(one.initial_logits, SegmentModel(5, 4, seed=1).initial_logits)


def test_columns_of_the_projection_are_orthogonal_in_blocks():
    projection = orthogonal_features(6, 9, torch.Generator().manual_seed(0))
    assert projection.shape == (6, 9)
    for block in (projection[:, :6], projection[:, 6:]):
        products = block.T @ block
        assert torch.allclose(products, products.diagonal().diag(), atol=1e-5)


def test_a_model_is_made_again_from_what_it_says_of_itself():
    made = SegmentModel(4, 3, rank=2, longest=7, tied=[0, 1, 1, 0], log_deviation=True, normalise_durations=True)
    again = SegmentModel.rebuild(json.loads(json.dumps(made.about())))
    again.load_state_dict(made.state_dict())
    x, lengths = torch.zeros(1, 5, 3), torch.tensor([5])
    assert torch.equal(made.log_likelihood(x, lengths), again.log_likelihood(x, lengths))


def test_a_clip_as_published_depends_on_companions_and_the_default_does_not():
    made, (x, lengths) = model(2, longest=20), videos()
    alone = made.log_likelihood(x[1:, :4], lengths[1:])
    assert torch.allclose(made.log_likelihood(x, lengths)[1], alone[0])
    assert made.log_likelihood(x, lengths, clip=True)[1] > made.log_likelihood(x[1:, :4], lengths[1:], clip=True)[0]


def test_entropy_samples_and_posteriors_of_the_model_agree():
    made, (x, lengths) = model(2), videos()
    drawn = made.sample(x, lengths, 3000, torch.Generator().manual_seed(0))
    total = made.log_likelihood(x, lengths).detach()
    entropy = made.entropy(x, lengths)
    found = made.posteriors(x, lengths)
    for video, segmentations in enumerate(drawn):
        scores = np.array([one.score for one in segmentations])
        error = scores.std() / len(scores) ** 0.5
        assert abs(float(total[video]) - scores.mean() - float(entropy[video])) < 5 * error
        segments = np.mean([len(one.spans) for one in segmentations])
        assert abs(segments - float(found.starts[video].sum())) < 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"longest": 1}, "longest: with 1"),
        ({"duration": "uniform"}, "duration: 'uniform'"),
        ({"kernel": "cuda"}, "kernel: 'cuda'"),
        ({"rank": 0}, "all are at least 1"),
        ({"tied": [0]}, "1 rows are named for 3 states"),
    ],
)
def test_impossible_models_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SegmentModel(3, 2, **arguments)


def test_bad_videos_are_refused_in_one_sentence():
    made, (x, lengths) = model(2), videos()
    with pytest.raises(DataError, match="not finite"):
        made.log_likelihood(x.clone().index_fill_(1, torch.tensor([2]), torch.nan), lengths)
    with pytest.raises(DataError, match="lengths of videos are 4 to 7"):
        made.log_likelihood(x, torch.tensor([7, 4]))
    with pytest.raises(DataError, match="3 columns"):
        made.log_likelihood(x[..., :2], lengths)
    with pytest.raises(DataError, match="do not cover"):
        made.joint(x, lengths, [cut([0] * 5, 4), cut([0] * 4, 4)])


def test_a_video_of_one_frame_and_more_states_than_frames_are_no_trouble():
    made = model(2, states=4)
    x, lengths = torch.zeros(1, 1, 3, dtype=torch.float64), torch.tensor([1])
    found = made.log_likelihood(x, lengths)
    found.sum().backward()
    assert found.isfinite().all()
    assert len(made.viterbi(x, lengths)[0].spans) == 1
    assert replace(made.chain(x, lengths).detached()).longest == 3
