"""What the rules ask of a run: here, what tells a training how its features were made, so that the model reads videos."""

from types import SimpleNamespace

import pytest
from tests.conftest import ROOT

from kinoflow import config
from kinoflow.config import merge
from kinoflow.layout import Layout
from kinoflow.runs import Runs
from kinoflow.study import Study

OWN = {
    "study": "trial",
    "datasets": {"mine": {"source": {"kind": "folder", "path": "/videos"}, "index": {"labels": "/labels.csv"}}},
    "frames": {"all": {"dataset": "mine"}},
    "features": {"net": {"from": "video", "dataset": "mine", "backbone": "resnet18", "weights": "/my net.pt"}},
    "actions": {"mine": {"dataset": "mine"}},
    "segmentation": {"direct": {"features": "net"}},
    "anticipation": {
        "direct": {"actions": "mine", "features": "net", "losses": {"cls_action": 1}},
        "pictures": {
            "actions": "mine",
            "frames": "all",
            "losses": {"cls_action": 1},
            "network": {"backbone": "vit_b_16"},
            "sampling": {"read": "frames"},
        },
    },
}


@pytest.fixture(scope="module")
def kitchen() -> Runs:
    """The runs of the embedded study, whose features are those of a run's network."""
    return Runs(Layout(config.load([ROOT / "config.yaml"], {}, ROOT / "workflow/datasets"), {}))


@pytest.fixture(scope="module")
def own() -> Runs:
    """Runs on features of a network with the user's weights."""
    return Runs(Layout(Study.model_validate(merge(OWN, {})), {"/my net.pt": "0123"}))


@pytest.mark.parametrize(
    "room, run, reduced",
    [("segmentation", "states8", True), ("anticipation", "taught", True), ("abstraction", "sam", False)],
)
def test_a_training_gets_what_made_its_features(kitchen, room, run, reduced):
    wildcards = SimpleNamespace(run=run, seed="1")
    assert kitchen.extractor(room)(wildcards) == ["results/kitchen/recognition/lsnet/seed-1/model.safetensors"]
    (frames,) = kitchen.frames_below(room)(wildcards)
    assert "/frames/" in frames and frames.endswith("000.h5")
    basis = kitchen.basis(room)(wildcards)
    assert [path.rpartition("/")[2] for path in basis] == ["basis.safetensors"] * reduced
    assert kitchen.extractor_flag(room)(wildcards, None) == ""


def test_weights_of_the_user_are_named_by_a_flag(own):
    wildcards = SimpleNamespace(run="direct", seed="0")
    assert own.extractor_flag("segmentation")(wildcards, None) == "--weights '/my net.pt'"
    assert own.extractor_flag("anticipation", "extractor")(wildcards, None) == "--extractor '/my net.pt'"
    assert own.extractor("segmentation")(wildcards) == own.frames_below("segmentation")(wildcards) == []


def test_a_student_that_reads_frames_itself_has_no_features_to_tell_of(own):
    wildcards = SimpleNamespace(run="pictures", seed="0")
    for files in (own.frames_below, own.extractor, own.basis):
        assert files("anticipation")(wildcards) == []
