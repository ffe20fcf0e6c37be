"""Options of recognition: published tests by their names."""

import json

import pytest

from kinoflow.errors import ConfigError
from kinoflow.options import check, resolved
from kinoflow.room_runs import RecognitionRun
from kinoflow.tasks.recognition.options import PROTOCOLS, ClipTestOptions, RecognitionOptions


@pytest.mark.parametrize(
    "protocol, crops, clips, full",
    [
        ("one_crop", 1, "one", False),
        ("ten_crop", 10, "one", False),
        ("non_local", 3, "dense", True),
        ("efficient", 1, "one", False),
        ("accurate", 3, "twice", True),
    ],
)
def test_a_protocol_says_crops_clips_and_resolution(protocol, crops, clips, full):
    found = ClipTestOptions(protocol=protocol)
    assert (found.crops, found.clips, found.full_resolution, found.softmax) == (crops, clips, full, False)


@pytest.mark.parametrize("protocol", [*PROTOCOLS, None])
def test_resolved_options_of_a_protocol_are_those_options(protocol):
    found = ClipTestOptions(protocol=protocol, softmax=True)
    assert check(ClipTestOptions, json.loads(resolved(found)), "--options") == found


def test_beside_a_protocol_nothing_else_may_be_said():
    with pytest.raises(ConfigError, match="ten_crop says crops: 10; leave crops out"):
        check(ClipTestOptions, {"protocol": "ten_crop", "crops": 3}, "study.yaml")
    with pytest.raises(ConfigError, match="accurate says full_resolution: True"):
        check(ClipTestOptions, {"protocol": "accurate", "full_resolution": False}, "study.yaml")
    with pytest.raises(ConfigError, match="protocol"):
        check(ClipTestOptions, {"protocol": "twelve_crop"}, "study.yaml")


POOLED = {"network": {"temporal_pool": True}}
FUSED = {"network": {"fuse": True, "shift": None}, "input": {"kind": "gray", "frames": 3}}


@pytest.mark.parametrize(
    "given, segments, text",
    [
        (POOLED, 5, "segments: 5 cannot be halved by network.temporal_pool"),
        (FUSED, 4, "segments: network.fuse reads clips of the 8 segments that it is trained with, not of 4"),
    ],
)
def test_a_test_with_segments_that_the_network_cannot_read_is_refused_before_training(given, segments, text):
    for test in ({}, {"segments": 8}):
        check(RecognitionRun, given | {"test": test, "tests": {"more": test}}, "study.yaml")
    with pytest.raises(ConfigError, match=rf"test\.{text}"):
        check(RecognitionOptions, given | {"test": {"segments": segments}}, "study.yaml")
    with pytest.raises(ConfigError, match=rf"tests\.more\.{text}"):
        check(RecognitionRun, given | {"tests": {"some": {}, "more": {"segments": segments}}}, "study.yaml")


def test_other_networks_are_tested_with_any_number_of_segments():
    check(RecognitionRun, {"test": {"segments": 5}, "tests": {"more": {"segments": 3}}}, "study.yaml")
