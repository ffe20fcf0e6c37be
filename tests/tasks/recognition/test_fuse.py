"""Scores of several tests added clip by clip: the same as testing the networks together, each in its own way."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.tasks.recognition.bars import options

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.store import hdf5
from kinoflow.store.shards import put, roomy
from kinoflow.tasks.recognition.evaluate import recognition_evaluate
from kinoflow.tasks.recognition.fuse import fused, recognition_fuse
from kinoflow.tasks.recognition.measures import Outcome
from kinoflow.tasks.recognition.options import ClipFusionOptions, ClipTestOptions
from kinoflow.tasks.recognition.score_store import Scores, read_scores, write_scores

FILES = ("metrics.json", "predictions.csv", "confusion.csv")
GROUPS = {"ways": ("left", "right")}


@pytest.fixture(scope="module")
def evaluate(bars):
    """Return a function that tests checkpoints on the bars: evaluate(folder, *models, **options) -> the folder."""

    def into(folder, *models, **test):
        folder.mkdir(exist_ok=True, parents=True)
        outputs = {path.partition(".")[0]: folder / path for path in (*FILES, "scores.h5")}
        given = {"videos": bars.videos, "segments": bars.segments, "frames": bars.shards, "device": "cpu"}
        recognition_evaluate(list(models), options=ClipTestOptions(groups=GROUPS, **test), **outputs, **given)
        return folder

    return into


@pytest.fixture(scope="module")
def tsn(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("tsn"), options(5, network={"shift": None}))


def fuse(folder, *tests, **more):
    folder.mkdir(exist_ok=True)
    outputs = {path.partition(".")[0]: folder / path for path in FILES}
    recognition_fuse([each / "scores.h5" for each in tests], options=ClipFusionOptions(**more), **outputs)
    return folder


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def scores(segments=("a", "b"), labels=("x", "y"), classes=("x", "y"), **more) -> Scores:
    values = np.arange(2.0 * len(segments)).reshape(-1, 2).astype(np.float32)
    heads = {"verb": Outcome(values, list(labels), classes, [1, 1])}
    found = Scores(list(segments), [f"{name}.mp4" for name in segments], heads, False, 1, 10, ClipTestOptions())
    return replace(found, **more)


@pytest.mark.parametrize("coefficients", [(), (1.0, 0.25)])
def test_sums_of_stored_scores_are_those_of_networks_tested_together(evaluate, tsm, tsn, tmp_path, coefficients):
    whole = evaluate(tmp_path / "whole", tsm, tsn, coefficients=coefficients)
    parts = [evaluate(tmp_path / str(i), model) for i, model in enumerate((tsm, tsn))]
    assert content(fuse(tmp_path / "sum", *parts, coefficients=coefficients)) == content(whole)
    assert json.loads((whole / "metrics.json").read_text())["verb"]["groups"].keys() == {"ways"}


def test_each_network_is_tested_its_own_way(evaluate, tsm, tsn, tmp_path):
    ways = [{"segments": 3, "crops": 3}, {"segments": 8, "softmax": True}]
    parts = [
        evaluate(tmp_path / str(i), model, **way) for i, (model, way) in enumerate(zip((tsm, tsn), ways, strict=True))
    ]
    fuse(tmp_path / "sum", *parts)
    one, other = (read_scores(part / "scores.h5") for part in parts)
    both = fused(["a", "b"], [one, other])
    assert np.allclose(both.heads["noun"].scores, (one.heads["noun"].scores + other.heads["noun"].scores) / 2)
    found = json.loads((tmp_path / "sum/metrics.json").read_text())
    assert (found["models"], found["clips"]) == (2, 8) and not both.probabilities


def test_one_test_alone_is_itself(evaluate, tsm, tmp_path):
    part = evaluate(tmp_path / "one", tsm)
    assert content(fuse(tmp_path / "sum", part)) == content(part)


def test_clips_are_matched_by_their_names():
    turned = scores(("b", "a"), ("y", "x"))
    both = fused(["first", "second"], [scores(), turned])
    assert both.segments == ["a", "b"]
    assert both.heads["verb"].scores.tolist() == [[1, 2], [1, 2]]  # rows (0, 1), (2, 3) and the same turned about


def test_clips_of_videos_and_of_folders_of_pictures_are_matched_without_folder_and_suffix():
    films = replace(scores(), segments=["x/a.avi#0000", "x/b.avi#0000"], videos=["x/a.avi", "x/b.avi"])
    flow = replace(scores(labels=("y", "x")), segments=["b#0000", "a#0000"], videos=["b", "a"])
    both = fused(["first", "second"], [films, flow])
    assert both.segments == films.segments and both.heads["verb"].scores.tolist() == [[1, 2], [1, 2]]
    twice = replace(flow, segments=["y/b#0000", "x/b#0000"], videos=["y/b", "x/b"])
    with pytest.raises(DataError, match="second: the clip 'x/a.avi#0000' of first is not in it"):
        fused(["first", "second"], [films, twice])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (scores(("a", "c")), r"second: the clip 'b' of first is not in it \(1 are not\)"),
        (scores(("a", "b", "c"), ("x", "y", "y")), r"first: the clip 'c' of second is not in it"),
        (scores(labels=("x", "x")), "second and first differ in labels of the head 'verb'"),
        (scores(classes=("y", "x")), "second and first differ in the classes of the head 'verb'"),
        (replace(scores(), heads={"noun": scores().heads["verb"]}), "second and first differ in the heads"),
    ],
)
def test_tests_of_something_else_are_refused(other, message):
    with pytest.raises(DataError, match=message):
        fused(["first", "second"], [scores(), other])


def test_coefficients_are_as_many_as_tests():
    with pytest.raises(ConfigError, match="coefficients: there are 3, but 2 tests"):
        fused(["first", "second"], [scores(), scores()], [1, 2, 3])
    with pytest.raises(ConfigError, match="at least one"):
        fused([], [])


def test_a_file_of_scores_is_read_as_it_was_written(tmp_path):
    found = scores(("caf\udce9", "b"), ("", "y"), test=ClipTestOptions(groups=GROUPS))
    write_scores(tmp_path / "one.h5", found)
    write_scores(tmp_path / "two.h5", found)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = read_scores(tmp_path / "one.h5")
    assert (again.segments, again.videos, again.test) == (found.segments, found.videos, found.test)
    assert np.array_equal(again.heads["verb"].scores, found.heads["verb"].scores)
    assert replace(again.heads["verb"], scores=None) == replace(found.heads["verb"], scores=None)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file of scores"):
        read_scores(tmp_path / "lost.h5")
    with roomy(tmp_path / "other.h5") as file:
        hdf5.tell(file, {"room": "anticipation", "kind": "scores"})
    with roomy(tmp_path / "less.h5") as file:
        hdf5.tell(file, {"room": "recognition", "kind": "scores"})
        put(file, "about", np.array([b'{"heads": {"verb": {}}}'], np.bytes_))
    (tmp_path / "text.h5").write_text("no scores")
    write_scores(tmp_path / "short.h5", replace(scores(), segments=["a"]))
    for name in ("other", "less", "text", "short"):
        with pytest.raises(DataError, match=rf"{name}.h5: these are no scores that recognition-evaluate has written"):
            read_scores(tmp_path / f"{name}.h5")


def test_the_stage_runs_as_a_command(tmp_path):
    for name in ("one", "two"):
        write_scores(tmp_path / name, scores())
    words = ["--tests", tmp_path / "one", tmp_path / "two", "--options", '{"coefficients": [2, 1]}']
    words += [word for path in FILES for word in (f"--{path.partition('.')[0]}", tmp_path / path)]
    words += ["--scores", tmp_path / "sum.h5", "--published", tmp_path / "sent.csv"]
    assert run("kinoflow.tasks.recognition.fuse:recognition_fuse", recognition_fuse, [*map(str, words)]) == 0
    assert (tmp_path / "sent.csv").read_text() == "a;y\nb;y\n"
    assert read_scores(tmp_path / "sum.h5").heads["verb"].scores.tolist() == [[0, 1.5], [3, 4.5]]
