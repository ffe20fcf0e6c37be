"""The student: one published training step, and its parts put together in all ways."""

import numpy as np
import pytest
import torch
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation import loss
from kinoflow.tasks.anticipation.importer import head_weights
from kinoflow.tasks.anticipation.model import Student
from kinoflow.tasks.anticipation.options import DistillOptions, StudentOptions

GOLDEN = ROOT / "tests/golden/anticipation"


def student(features=6, classes=5, steps=4, **more):
    return Student(StudentOptions(width=8, heads=2, **more), features, {"action": classes}, steps).eval()


def sequence(batch=3, steps=4, features=6):
    return torch.randn(batch, steps, features, generator=torch.Generator().manual_seed(0))


def test_a_step_equals_the_published_one():
    golden = np.load(GOLDEN / "train_step.npz")
    weights = {key[2:]: torch.from_numpy(golden[key]) for key in golden.files if key.startswith("w.")}
    options = StudentOptions(width=8, heads=2, layers=2, positions=16, head_dropout=0, dropout=0)
    model = Student(options, 12, {"action": 7}, 5).double().train()
    named = {f"head.{name}": value for name, value in head_weights(weights).items()}
    model.load_state_dict(named | {name: value for name, value in weights.items() if name.startswith("classifiers.")})
    x = torch.from_numpy(golden["video"])[..., 0, 0, 0]
    said = model(x)
    labels = torch.from_numpy(golden["target"])
    past = torch.from_numpy(golden["target_subclips"]).mode(2).values
    teacher, features = torch.from_numpy(golden["lm_pred"]), torch.from_numpy(golden["lm_pred_feat"])
    how = DistillOptions(temperature=10, reduction="elementmean")
    told = {
        "cls_action": loss.class_loss(said.scores["action"], labels),
        "past_cls_action": loss.class_loss(said.past["action"], past),
        "feat": said.forecast.feature_error(x),
        "distill": loss.distillation(said.scores["action"], teacher, how),
        "distill_feat": loss.cosine_loss(said.future, features),
        "distill_feat_mse": loss.normalised_mse(said.future, features),
    }
    for key, value in (
        ("logits", said.scores["action"]),
        ("past_logits", said.past["action"]),
        ("future_agg", said.future),
        ("past", said.forecast.past),
        ("raw_cls_action", told["cls_action"]),
        ("raw_past_cls_action", told["past_cls_action"]),
        ("raw_feat", told["feat"]),
        ("raw_distill_feat", told["distill_feat"]),
    ):
        assert np.abs(value.detach().numpy() - golden[key]).max() < 1e-8, key
    assert np.abs(told["distill"].detach().numpy() - golden["raw_distill"].mean(1)).max() < 1e-8
    means = {key: value.mean() for key, value in told.items()}
    means["past_cls_action"] = loss.mean_of_labelled(told["past_cls_action"], past, "all")
    for key, value in means.items():
        assert abs(value.item() - golden[f"mean_{key}"]) < 1e-8, key
    weighting = dict(zip(golden["loss_weights_names"].tolist(), golden["loss_weights"].tolist(), strict=True))
    total = sum(loss.weighted(means, weighting).values())
    assert abs(total.item() - golden["total_loss"]) < 1e-8
    total.backward()
    assert np.abs(model.classifiers["action"].weight.grad.numpy() - golden["grad_classifier_weight"]).max() < 1e-8
    assert np.abs(model.head.encoder.weight.grad.numpy() - golden["grad_encoder_weight"]).max() < 1e-8


@pytest.mark.parametrize("aggregator", ["identity", "mean", "transformer", "rulstm"])
@pytest.mark.parametrize("head", ["avt_h", "mlp", "identity"])
@pytest.mark.parametrize("classifier", ["linear", "mlp"])
def test_parts_fit_in_all_ways(aggregator, head, classifier):
    said = student(aggregator=aggregator, head=head, classifier=classifier, regression=True)(sequence())
    assert said.scores["action"].shape == (3, 5) and said.seconds.shape == (3,)
    steps = 1 if aggregator in ("mean", "transformer") else 4
    assert said.past["action"].shape == (3, steps, 5)
    assert torch.isfinite(said.scores["action"]).all()


@pytest.mark.parametrize("aggregator", ["mean", "transformer"])
def test_groups_of_steps_are_joined_into_one_each(aggregator):
    model = student(aggregator=aggregator, group=2)
    x = sequence()
    assert model(x).past["action"].shape == (3, 2, 5)
    assert torch.allclose(model.aggregator(x)[:, 0], model.aggregator(x[:, :2])[:, 0], atol=1e-6)
    with pytest.raises(ConfigError, match="does not divide the 3 steps"):
        model(x[:, :3])


def test_rulstm_looks_back_only():
    model, x = student(aggregator="rulstm", unroll=3), sequence()
    other = x.clone()
    other[:, 2:] += 1
    a, b = model.aggregator(x), model.aggregator(other)
    assert torch.equal(a[:, :2], b[:, :2]) and not torch.allclose(a[:, 2:], b[:, 2:])


def test_one_step_of_the_lstm_is_that_of_torch():
    lstm = student(aggregator="rulstm").aggregator.rolling
    torchs = torch.nn.LSTMCell(6, 6)
    torchs.load_state_dict(
        {
            "weight_ih": lstm.input.weight,
            "bias_ih": lstm.input.bias,
            "weight_hh": lstm.state.weight,
            "bias_hh": lstm.state.bias,
        }
    )
    x, (h, c) = torch.randn(3, 6), torch.randn(2, 3, 6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(lstm(x, h, c), torchs(x, (h, c)), strict=True))


def test_verbs_and_nouns_may_be_sums_of_scores():
    golden = np.load(GOLDEN / "marginalize.npz")
    verb, noun = golden["action_verb"].tolist(), golden["action_noun"].tolist()
    counts = {"action": 30, "verb": int(golden["num_verbs"]), "noun": int(golden["num_nouns"])}
    model = Student(StudentOptions(width=8, heads=2, summed=True), 6, counts, 4, {"verb": verb, "noun": noun}).double()
    scores = torch.from_numpy(golden["action_logits"])
    found = model._with_sums({"action": scores})
    assert np.abs(found["verb"].numpy() - golden["raw_logit_verb_sum"]).max() < 1e-8
    assert found["noun"].shape == (120, 9)


def test_first_weights_depend_on_the_seed_and_their_own_names_alone():
    plain, more = (student(initial="published", regression=each) for each in (False, True))
    other = Student(StudentOptions(width=8, heads=2, initial="published"), 6, {"action": 5}, 4, seed=1)
    own = plain.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in more.state_dict().items() if name in own)
    assert not torch.equal(other.head.encoder.weight, plain.head.encoder.weight)
    assert own["head.encoder.weight"].std() < 0.02 < student().state_dict()["head.encoder.weight"].std()
    assert not own["classifiers.action.bias"].any()


def test_a_network_is_made_again_from_what_it_says_of_itself():
    model = student(aggregator="rulstm", classifier="mlp")
    again = Student.rebuild(model.about())
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(sequence()).scores["action"], model(sequence()).scores["action"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"heads": 3}, "do not divide the width 64"),
        ({"summed": True, "targets": ("verb",)}, "must have action"),
        ({"summed": True, "targets": ("action", "verb")}, "leave verb and noun out"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        StudentOptions(**wrong)
