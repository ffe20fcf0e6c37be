"""Weights to begin with: the published rule for tuning, TSM's naming of files and layers, torchvision's, and refusals."""

import json

import numpy as np
import pytest
import torch
from tests.tasks.recognition.networks import (
    FORWARD,
    GOLDEN,
    META,
    close,
    described,
    procedural,
    published_clips,
    published_name,
    recogniser,
)

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.recognition import tuning
from kinoflow.tasks.recognition.first_conv import adapted
from kinoflow.tasks.recognition.model import Recogniser
from kinoflow.tasks.recognition.options import RecognitionOptions
from kinoflow.tasks.recognition.shift import TemporalPool, TemporalShift
from kinoflow.training import checkpoint

RULE = json.loads((GOLDEN / "tune_from.json").read_text())
NAMES = {
    "tsm_r18_blockres8": "TSM_jester_RGB_resnet18_shift8_blockres_avg_segment4_e50.pth",
    "tsm_r18_block8": "TSM_jester_RGB_resnet18_shift8_block_avg_segment4_e50.pth",
    "tsm_r18_tpool": "TSM_jester_RGB_resnet18_shift8_blockres_tpool_avg_segment4_e50.pth",
    "tsm_r50_nl": "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment4_e100_dense_nl.pth",
    "tsm_mbv2": "TSM_jester_RGB_mobilenetv2_shift8_blockres_avg_segment4_e50.pth",
    "flow_r18": "TSM_ucf101_Flow_resnet18_shift8_blockres_avg_segment4_e50.pth",
    "lsnet_r18_nf5": "TSM_jester_RGB_resnet18_shift8_blockres_gray_avg_segment4_nf5_interval1_e50.pth",
    "fuse_r18_nf3": "TSM_jester_RGB_resnet18_gray_avg_segment4_nf3_interval0_e50_fusebefore.pth",
    "tsn_r18": "TSM_kinetics_RGB_resnet18_avg_segment4_e50.pth.tar",
}


def wrapped(model: Recogniser, dropout: bool = True) -> dict[str, torch.Tensor]:
    """The weights under the names that the published program writes, wrappers and all."""
    shifts = {name.rpartition(".")[0] for name, m in model.named_modules() if isinstance(m, TemporalShift)}
    shifts = {published_name(f"{place}.weight").removesuffix(".weight") for place in shifts}
    pooled = any(isinstance(m, TemporalPool) for m in model.modules())
    return {_wrapped(published_name(k), shifts, pooled, dropout): v for k, v in model.state_dict().items()}


def _wrapped(name: str, shifts: set[str], pooled: bool, dropout: bool) -> str:
    if name.startswith("fc."):
        return f"module.new_{name}" if dropout else f"module.base_model.{name}"
    for place in shifts:
        if name.startswith(f"{place}."):
            name = name.replace(f"{place}.", f"{place}.net.", 1)
    if pooled:
        name = name.replace("layer2.", "layer2.net.", 1)
    return f"module.base_model.{name}"


def written(path, model: Recogniser, **options) -> str:
    torch.save({"epoch": 50, "arch": "resnet18", "state_dict": wrapped(model, **options), "best_prec1": 71.2}, path)
    return path


def classes(count: int) -> dict[str, list[str]]:
    return {"action": [f"class {i}" for i in range(count)]}


# ---------------------------------------------------------------- TSM's files


def test_wrapped_names_are_those_of_the_published_program():
    names = wrapped(described(META["tsm_r18_blockres8"]))
    for name in (
        "module.base_model.conv1.weight",
        "module.base_model.layer1.0.conv1.net.weight",
        "module.new_fc.weight",
    ):
        assert name in names
    assert "module.base_model.layer2.net.0.conv1.net.weight" in wrapped(described(META["tsm_r18_tpool"]))
    assert "module.base_model.features.3.conv.0.net.weight" in wrapped(described(META["tsm_mbv2"]))
    assert "module.base_model.layer1.0.net.conv1.weight" in wrapped(described(META["tsm_r18_block8"]))


@pytest.mark.parametrize("case", NAMES)
def test_a_file_of_tsm_is_read_by_its_name_alone_and_gives_the_published_logits(tmp_path, case):
    path = written(tmp_path / NAMES[case], procedural(described(META[case])))
    model, about = tuning.published(path)
    with torch.no_grad():
        assert close(model.eval()(published_clips(case))["action"], FORWARD[f"{case}_logits"])
    assert (about.segments, about.dataset) == (4, NAMES[case].split("_")[1])


def test_a_file_written_without_dropout_calls_its_last_layer_otherwise(tmp_path):
    case = "tsm_r18_nodropout"
    path = written(tmp_path / NAMES["tsm_r18_blockres8"], procedural(described(META[case])), dropout=False)
    with torch.no_grad():
        assert close(tuning.published(path)[0].eval()(published_clips(case))["action"], FORWARD[f"{case}_logits"])


@pytest.mark.parametrize("name", ["TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth",
                                  "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense_nl.pth",
                                  "TSM_something_RGB_resnet101_shift4_block_avg_segment16_e45.pth"])  # fmt: skip
def test_names_of_files_are_understood_as_published(name):
    expected = json.loads(str(np.load(GOLDEN / "metrics.npz")["name_parse"]))[name]
    about = tuning.described(name)
    shift, divisor, place = expected["shift"]
    assert about.network.shift == divisor
    assert not shift or about.network.shift_place == place
    assert (about.network.backbone, about.network.non_local) == (expected["arch"], expected["nl"])
    assert about.kind == expected["modality"].lower()


def test_windows_are_read_from_the_name():
    about = tuning.described(NAMES["lsnet_r18_nf5"])
    assert (about.kind, about.frames, about.interval) == ("gray", 5, 1)


def test_other_names_and_networks_are_refused(tmp_path):
    with pytest.raises(DataError, match="weights.pth: this name does not say"):
        tuning.described("weights.pth")
    with pytest.raises(ConfigError, match="resnet7"):
        tuning.described("TSM_kinetics_RGB_resnet7_avg_segment5_e50.pth")
    path = tmp_path / NAMES["tsm_r18_block8"]
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(DataError, match="fc.action.weight is not in it"):
        tuning.published(path)


# ---------------------------------------------------------------- the rule for tuning


@pytest.mark.parametrize("case", RULE)
def test_tuning_takes_over_what_the_published_rule_takes(tmp_path, case):
    rule = RULE[case]
    before = recogniser(classes=10, shift=None if case == "tsn_to_tsm" else 8, seed=1)
    path = written(tmp_path / rule["tune_from"].removeprefix("pre/"), before)
    kind, planes = ("flow", 10) if rule["modality"] == "Flow" else ("rgb", 3)
    model = recogniser(planes, classes=10, kind=kind, shift=None if case == "tsm_to_tsn" else 8)
    drawn = {name: value.clone() for name, value in model.state_dict().items()}
    begun = tuning.begin(model, str(path), rule["dataset"], classes(10))
    missing = {
        n.replace("module.", "").replace("base_model.", "").replace("new_fc", "fc.action") for n in rule["not_loaded"]
    }
    assert {*begun.left} == missing
    assert (len(begun.loaded), len(begun.loaded) + len(begun.left)) == (rule["n_loaded"], rule["n_float"])
    assert begun.heads == (case == "same_ds")
    now, there = model.state_dict(), before.state_dict()
    assert all(torch.equal(now[name], there[name]) for name in begun.loaded)
    assert all(torch.equal(now[name], drawn[name]) for name in begun.left)


def test_a_dataset_is_told_by_its_whole_name(tmp_path):
    path = written(tmp_path / "TSM_something_RGB_resnet18_avg_segment8_e50.pth", recogniser(seed=1))
    assert not tuning.begin(recogniser(), str(path), "somethingv2", classes(6)).heads
    assert not tuning.begin(recogniser(), str(path), "", classes(6)).heads


@pytest.mark.parametrize(("theirs", "ours"), [
    ("kinetics", "kinetics400"), ("something", "something_v1"), ("somethingv2", "something_v2"), ("jester", "jester"),
    ("ucf101", "ucf101"), ("hmdb51", "hmdb51"),
])  # fmt: skip
def test_names_of_published_datasets_are_those_of_our_studies(tmp_path, theirs, ours):
    path = written(tmp_path / f"TSM_{theirs}_RGB_resnet18_avg_segment8_e50.pth", recogniser(seed=1))
    assert tuning.begin(recogniser(), str(path), ours, classes(6)).heads
    for other in {"something_v1", "something_v2", "kinetics", "kinetics400"} - {theirs, ours}:
        assert not tuning.begin(recogniser(), str(path), other, classes(6)).heads


@pytest.mark.parametrize("name", ["ckpt.best.pth.tar", "ckpt.pth.tar"])
def test_a_folder_of_the_published_program_tells_what_its_files_do_not(tmp_path, name):
    folder = tmp_path / "TSM_kinetics_RGB_resnet18_shift8_blockres_avg_segment4_nf1_interval0_e50"
    folder.mkdir()
    path = written(folder / name, recogniser(shift=8, seed=1))
    assert tuning.begin(recogniser(shift=8), str(path), "kinetics400", classes(6)).heads
    flow = tuning.begin(recogniser(10, kind="flow", shift=8), str(path), "ucf101", classes(6))
    assert flow.left == ("conv1.weight", "fc.action.weight", "fc.action.bias")
    model, about = tuning.published(path)
    assert (about.dataset, about.segments, model.network.shift) == ("kinetics", 4, 8)
    path = written(folder / "TSM_jester_RGB_resnet18_avg_segment8_e50.pth", recogniser(seed=1))
    assert tuning.published(path)[1].dataset == "jester"  # a file's own name counts first


@pytest.mark.parametrize(("theirs", "ours"), [("avg", "average"), ("identity", "none"), ("rnn", "none")])
def test_every_published_consensus_is_understood(theirs, ours):
    assert tuning.described(f"TSM_jester_RGB_resnet18_{theirs}_segment8_e50.pth").network.consensus == ours


def test_a_block_checkpoint_begins_a_blockres_model(tmp_path):
    path = written(tmp_path / NAMES["tsm_r18_block8"], recogniser(shift=8, shift_place="block", seed=1))
    assert not tuning.begin(recogniser(shift=8), str(path), "jester", classes(6)).left


def test_non_local_blocks_stay_as_drawn_where_the_file_has_none(tmp_path):
    path = written(tmp_path / "TSM_jester_RGB_resnet50_avg_segment8_e50.pth", recogniser(backbone="resnet50", seed=1))
    model = recogniser(backbone="resnet50", shift=8, non_local=True)
    begun = tuning.begin(model, str(path), "jester", classes(6))
    assert begun.left and all(".nl." in name for name in begun.left)
    back = written(tmp_path / "TSM_jester_RGB_resnet50_avg_segment8_e50_nl.pth", model)
    with pytest.raises(DataError, match=r"layer2.0.nl.g.0.weight is no weight of this resnet50"):
        tuning.begin(recogniser(backbone="resnet50"), str(back), "jester", classes(6))


@pytest.mark.parametrize(("kind", "planes"), [("gray", 3), ("gray", 5), ("difference", 3), ("flow", 10)])
def test_a_plain_file_of_rgb_weights_gets_its_first_convolution_adapted(tmp_path, kind, planes):
    rgb = recogniser(seed=1)
    torch.save(rgb.state_dict(), tmp_path / "mine.pth")
    model = recogniser(planes, kind=kind)
    tuning.begin(model, str(tmp_path / "mine.pth"), "jester", classes(6))
    assert torch.equal(model.conv1.weight, adapted(rgb.conv1.weight, kind, planes))


def test_fused_networks_repeat_the_first_convolution_for_every_segment(tmp_path):
    rgb = recogniser(seed=1)
    torch.save(rgb.state_dict(), tmp_path / "mine.pth")
    model = recogniser(3, kind="gray", fuse=True)
    tuning.begin(model, str(tmp_path / "mine.pth"), "jester", classes(6))
    assert torch.equal(model.conv1.weight, rgb.conv1.weight.repeat(1, 4, 1, 1))


@pytest.mark.parametrize(("planes", "fuse"), [(3, False), (5, False), (1, False), (3, True)])
def test_a_first_convolution_for_three_gray_planes_begins_other_windows_as_one_for_rgb_does(tmp_path, planes, fuse):
    before = recogniser(kind="gray", seed=1)
    path = written(tmp_path / "TSM_jester_RGB_resnet18_gray_avg_segment4_nf3_interval0_e50.pth", before)
    model = recogniser(planes, kind="gray", fuse=fuse)
    assert not tuning.begin(model, str(path), "jester", classes(6)).left
    assert torch.equal(model.conv1.weight, adapted(before.conv1.weight, "gray", planes, 4 if fuse else 1))


@pytest.mark.parametrize(("kind", "planes", "to", "wanted"), [
    ("gray", 5, "gray", 3), ("gray", 5, "rgb", 3), ("flow", 10, "rgb", 3), ("flow", 10, "flow", 6), ("flow", 10, "gray", 5),
])  # fmt: skip
def test_a_first_convolution_for_other_planes_is_refused(tmp_path, kind, planes, to, wanted):
    names = {"gray": f"RGB_resnet18_gray_avg_segment4_nf{planes}_interval0", "flow": "Flow_resnet18_avg_segment4"}
    path = written(tmp_path / f"TSM_ucf101_{names[kind]}_e50.pth", recogniser(planes, kind=kind, seed=1))
    model = recogniser(wanted, kind=to)
    drawn = model.conv1.weight.clone()
    shapes = rf"conv1.weight has the shape \(64, {planes}, 7, 7\), the network needs \(64, {wanted}, 7, 7\)"
    with pytest.raises(DataError, match=f"e50.pth: {shapes}; it was trained on another input"):
        tuning.begin(model, str(path), "ucf101", classes(6))
    assert torch.equal(model.conv1.weight, drawn)


def test_a_file_without_a_first_convolution_is_refused(tmp_path):
    weights = recogniser(seed=1).state_dict()
    torch.save({name: value for name, value in weights.items() if name != "conv1.weight"}, tmp_path / "mine.pth")
    with pytest.raises(DataError, match=r"mine.pth: conv1.weight is not in it"):
        tuning.begin(recogniser(), str(tmp_path / "mine.pth"), "ucf101", classes(6))
    torch.save(weights | {"conv1.weight": torch.zeros(64)}, tmp_path / "mine.pth")
    with pytest.raises(DataError, match=r"mine.pth: conv1.weight has the shape \(64,\), the network needs"):
        tuning.begin(recogniser(), str(tmp_path / "mine.pth"), "ucf101", classes(6))


# ---------------------------------------------------------------- our own checkpoints


@pytest.fixture
def own(tmp_path):
    """A checkpoint of this room: small, RGB, trained on `kitchen`, two heads."""
    model = Recogniser(recogniser(backbone="small").network, 3, 4, {"verb": 3, "noun": 2}, seed=1)
    about = {
        "room": "recognition",
        "options": RecognitionOptions().model_dump(mode="json"),
        "heads": {"verb": ["cut", "mix", "pour"], "noun": ["bread", "milk"]},
        "dataset": "kitchen",
    }
    checkpoint.save(tmp_path / "model.safetensors", model, about)
    return tmp_path / "model.safetensors", model


def test_heads_of_our_own_checkpoints_come_where_dataset_and_classes_are_the_same(own):
    path, before = own
    names = {"verb": ["cut", "mix", "pour"], "noun": ["bread", "oil"]}
    model = Recogniser(before.network, 3, 4, {"verb": 3, "noun": 2})
    begun = tuning.begin(model, str(path), "kitchen", names)
    assert begun.heads and {*begun.left} == {"fc.noun.weight", "fc.noun.bias"}
    assert torch.equal(model.fc["verb"].weight, before.fc["verb"].weight)
    assert not tuning.begin(model, str(path), "others", names).heads


def test_an_rgb_checkpoint_of_ours_begins_gray_windows_but_leaves_flow_its_own_first_convolution(own):
    path, before = own
    for kind, planes, left in (("gray", 5, ()), ("flow", 10, ("stem.0.weight",))):
        model = Recogniser(before.network, planes, 4, {"verb": 3}, kind)
        begun = tuning.begin(model, str(path), "kitchen", {"verb": ["cut", "mix", "pour"]})
        assert begun.left == left


# ---------------------------------------------------------------- doors and refusals


def test_none_leaves_the_weights_as_they_were_drawn():
    model = recogniser(backbone="small")
    begun = tuning.begin(model, "none", "kitchen", classes(6))
    assert not begun.loaded and not begun.heads
    assert torch.equal(model.stem[0].weight, recogniser(backbone="small").stem[0].weight)


def test_torchvision_weights_come_from_the_cache_and_leave_the_heads(tmp_path, monkeypatch):
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    net = mobilenet_v2()
    torch.save(net.state_dict(), tmp_path / "mobilenet_v2.pth")
    # In the place of the published file, which this machine need not have, stands one of the same names and shapes.
    monkeypatch.setattr(tuning, "published_file", lambda member: tmp_path / "mobilenet_v2.pth")
    model = recogniser(backbone="mobilenet_v2", shift=8)
    begun = tuning.begin(model, "torchvision:IMAGENET1K_V1", "kitchen", classes(6))
    assert {*begun.left} == {"fc.action.weight", "fc.action.bias"}
    x = torch.ones(1, 1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model.eval().features(x)[0], net.eval().features(x[0]).mean((2, 3)), atol=1e-5)


@pytest.mark.parametrize(("backbone", "weights", "text"), [
    ("small", "torchvision:DEFAULT", "torchvision has none for the network 'small'"),
    ("bn_inception", "torchvision:DEFAULT", "torchvision has none for bn_inception"),
    ("resnet18", "torchvision:V9", "resnet18 has no weights 'V9'"),
])  # fmt: skip
def test_weights_that_torchvision_does_not_have_are_refused(backbone, weights, text):
    with pytest.raises(ConfigError, match=text):
        tuning.begin(recogniser(backbone=backbone), weights, "kitchen", classes(6))


def test_weights_of_another_network_are_refused_by_the_first_name_that_does_not_fit(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(recogniser(backbone="resnet34").state_dict(), path)
    with pytest.raises(DataError, match=r"mine.pth: layer1.2.conv1.weight is no weight of this resnet18"):
        tuning.begin(recogniser(), str(path), "kitchen", classes(6))
    torch.save(recogniser().state_dict(), path)
    with pytest.raises(DataError, match=r"mine.pth: layer1.2.conv1.weight is not in it"):
        tuning.begin(recogniser(backbone="resnet34"), str(path), "kitchen", classes(6))
    with pytest.raises(DataError, match=r"mine.pth: layer1.0.conv1.weight has the shape \(64, 64, 3, 3\)"):
        tuning.begin(recogniser(backbone="resnet50"), str(path), "kitchen", classes(6))


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(DataError, match=r"text.pth"):
        tuning.begin(recogniser(backbone="small"), str(tmp_path / "text.pth"), "kitchen", classes(6))
    with pytest.raises(DataError, match=r"gone.pth"):
        tuning.begin(recogniser(backbone="small"), str(tmp_path / "gone.pth"), "kitchen", classes(6))
