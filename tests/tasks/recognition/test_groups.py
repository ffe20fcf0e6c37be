"""The optimiser's groups against the published tables, and three whole training steps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.recognition.networks import GOLDEN, close, procedural, published_name, recogniser
from torch import nn
from torch.nn import functional as F  # noqa: N812

from kinoflow.tasks.recognition.groups import policy

TABLES = dict(np.load(GOLDEN / "optim.npz"))
STEPS = dict(np.load(GOLDEN / "train_steps.npz"))
CASES = {
    "r18_tsm_npb": ({}, True),
    "r18_tsm_pbn": ({"partial_norm": True}, True),
    "r18_tsm_npb_fclr5": ({}, False),
    "r50_tsm_npb_fclr5": ({"backbone": "resnet50"}, False),
    "r50_tsm_pbn": ({"backbone": "resnet50", "partial_norm": True}, False),
    "r50_nl_npb": ({"backbone": "resnet50", "non_local": True}, False),
    "r50_flow": ({"backbone": "resnet50", "kind": "flow", "channels": 10}, False),
    "mbv2_npb": ({"backbone": "mobilenet_v2"}, False),
    "r18_lsnet5_npb": ({"kind": "gray", "channels": 5}, False),
}


def groups(case: str):
    options, trained_heads = CASES[case]
    model = recogniser(classes=10, **{"shift": 8, "dropout": 0.8} | options)
    return model, policy(model, trained_heads)


@pytest.mark.parametrize("case", CASES)
def test_groups_equal_the_published_table(case):
    expected = TABLES["table_ntensors_nscalars_lrmult_decaymult"][TABLES["cases"].tolist().index(case)]
    expected = np.delete(expected, TABLES["group_names"].tolist().index("custom_ops"), axis=0)  # always empty
    model, found = groups(case)
    rows = [(len(g.parameters), sum(p.numel() for _, p in g.parameters), g.rate, g.decay) for g in found]
    assert np.array_equal(rows, expected)
    total = [sum(len(g.parameters) for g in found), len([*model.parameters()])]
    assert total == TABLES[f"{case}_in_optimizer_vs_total"].tolist()


@pytest.mark.parametrize("case", [case for case in CASES if f"{case}_param_lists" in TABLES])
def test_groups_hold_the_published_parameters_in_order(case):
    found = [";".join(published_name(name) for name, _ in group.parameters) for group in groups(case)[1]]
    wrappers = {"base_model.": "", ".net.": ".", "new_fc": "fc"}
    expected = TABLES[f"{case}_param_lists"].tolist()
    del expected[TABLES["group_names"].tolist().index("custom_ops")]
    for old, new in wrappers.items():
        expected = [text.replace(old, new) for text in expected]
    assert found == expected


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["small", "resnet18", "mobilenet_v2", "bn_inception"]),
    st.sampled_from([("rgb", 3), ("gray", 5), ("flow", 10)]),
    st.booleans(),
    st.booleans(),
)
def test_every_trained_parameter_is_in_exactly_one_group(backbone, planes, shift, trained_heads):
    kind, channels = planes
    model = recogniser(backbone=backbone, kind=kind, channels=channels, shift=8 if shift else None, shift_place="block")
    found = [parameter for group in policy(model, trained_heads) for _, parameter in group.parameters]
    assert {*map(id, found)} == {*map(id, model.parameters())}
    assert len(found) == len([*model.parameters()])


def test_first_convolution_of_bn_inception_has_a_bias_of_its_own_group():
    found = {
        group.name: [name for name, _ in group.parameters] for group in policy(recogniser(backbone="bn_inception"))
    }
    assert found["first_conv_bias"] == ["conv1_7x7_s2.bias"]


def test_a_layer_that_the_policy_does_not_know_is_refused():
    model = recogniser(backbone="small")
    model.stem[2] = nn.PReLU()
    with pytest.raises(TypeError, match="PReLU"):
        policy(model)


@pytest.mark.parametrize("case", ["npb", "pbn"])
def test_three_training_steps_equal_the_published_ones(case):
    lr, decay, clip, momentum = STEPS[f"{case}_cfg"].tolist()
    model = procedural(recogniser(shift=8, partial_norm=case == "pbn")).train()
    parts = [
        {"params": [p for _, p in g.parameters], "lr": lr * g.rate, "weight_decay": decay * g.decay}
        for g in policy(model)
    ]
    sgd = torch.optim.SGD([part for part in parts if part["params"]], lr=lr, momentum=momentum)
    for step in range(3):
        rng = np.random.RandomState(100 + step)
        x = torch.from_numpy(rng.standard_normal((4, 12, 32, 32)).astype(np.float32)).unflatten(1, (4, 3))
        loss = F.cross_entropy(model(x)["action"], torch.from_numpy(rng.randint(0, 6, size=4)))
        sgd.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], clip)
        sgd.step()
        assert loss.item() == pytest.approx(STEPS[f"{case}_loss"][step], rel=2e-4)
        assert norm.item() == pytest.approx(STEPS[f"{case}_gradnorm"][step], rel=2e-4)
    weights = {published_name(name): value for name, value in model.state_dict().items()}
    cuts = {"_first2": lambda w: w[:2], "_00": lambda w: w[0, :8], "": lambda w: w}
    for key, expected in STEPS.items():
        if key.startswith(f"{case}_after_"):
            name = key.removeprefix(f"{case}_after_")
            cut = next(cut for cut in cuts if name.endswith(cut))
            assert close(cuts[cut](weights[name.removesuffix(cut)]), expected), name
