"""Testing trained networks on real videos, as a stage."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.tasks.recognition.bars import options

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.store import tables
from kinoflow.store.shards import Shard, writing
from kinoflow.store.tables import Segment
from kinoflow.tasks.recognition.evaluate import probabilities, published_ids, ranked, recognition_evaluate
from kinoflow.tasks.recognition.options import ClipTestOptions

FILES = ("metrics.json", "predictions.csv", "confusion.csv")


@pytest.fixture(scope="module")
def evaluate(bars):
    """Return a function that tests checkpoints on the bars: evaluate(folder, *models, **changed) -> the folder."""

    def into(folder, *models, test=None, **more):
        given = {"videos": bars.videos, "segments": bars.segments, "frames": bars.shards, "device": "cpu"} | more
        outputs = {path.partition(".")[0]: folder / path for path in FILES}
        recognition_evaluate(list(models), options=test or ClipTestOptions(), **outputs, **given)
        return folder

    return into


@pytest.fixture(scope="module")
def tested(evaluate, tsm, tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("tested"), tsm)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def metrics(folder):
    return json.loads((folder / "metrics.json").read_bytes())


def changed(bars, folder, change):
    """The table of segments with every row that is tested changed."""
    found = [change(row) if row.split == "test" else row for row in tables.read(bars.segments, Segment)]
    folder.mkdir(exist_ok=True)
    tables.write(folder / "segments.csv", [row for row in found if row], Segment)
    return folder / "segments.csv"


# ---------------------------------------------------------------- what comes out


def test_shift_tells_directions_apart_and_a_network_without_it_cannot(train, evaluate, tested, tmp_path):
    assert metrics(tested)["verb"]["top1"] == metrics(tested)["noun"]["top1"] == 1
    tsn = evaluate(tmp_path, train(tmp_path, options(network={"shift": None})))
    assert metrics(tsn)["noun"]["top1"] == 1
    assert metrics(tsn)["verb"]["top1"] < 0.9


def test_every_clip_has_a_row_for_each_head_and_phases_have_none(tested):
    found = rows(tested / "predictions.csv")
    assert [(row["segment"], row["head"]) for row in found[:3]] == [
        ("v32.mp4#0", "verb"),
        ("v32.mp4#0", "noun"),
        ("v33.mp4#0", "verb"),
    ]
    assert len(found) == 16
    assert found[0]["label"] == found[0]["predicted"] == "left" and found[0]["second"] == "right"
    assert (found[0]["third"], found[0]["fifth"]) == ("", "")
    assert all(0.5 <= float(row["probability"]) <= 1 for row in found)


def test_measures_and_confusions_follow_from_the_predictions(tested):
    found = [row for row in rows(tested / "predictions.csv") if row["head"] == "verb"]
    assert metrics(tested)["verb"]["top1"] == np.mean([row["label"] == row["predicted"] for row in found])
    confused = [row for row in rows(tested / "confusion.csv") if row["head"] == "verb"]
    pairs = [(row["label"], row["predicted"]) for row in found]
    assert {(row["label"], row["predicted"]): int(row["clips"]) for row in confused} == {
        pair: pairs.count(pair) for pair in set(pairs)
    }


def test_metrics_say_what_was_tested(tested, tsm):
    from kinoflow.tasks.recognition.scoring import read_checkpoint

    found = metrics(tested)
    weights = sum(p.numel() for p in read_checkpoint(tsm).network.parameters())
    assert (found["clips"], found["models"], found["parameters"]) == (8, 1, weights)
    assert found["verb"]["chance"]["top1"] == found["verb"]["majority"]["top1"] == 0.5


def test_the_stage_runs_as_a_command(bars, tsm, tested, tmp_path):
    words = ["--models", tsm, "--videos", bars.videos, "--segments", bars.segments, "--frames", *bars.shards]
    words += [word for name in FILES for word in (f"--{name.partition('.')[0]}", tmp_path / name)]
    words += ["--splits", "test", "--options", "{}", "--device", "cpu"]
    assert (
        run("kinoflow.tasks.recognition.evaluate:recognition_evaluate", recognition_evaluate, [*map(str, words)]) == 0
    )
    assert content(tmp_path) == content(tested)


# ---------------------------------------------------------------- the same bytes


def test_neither_the_order_nor_the_number_of_shards_changes_a_byte(bars, evaluate, tsm, tested, tmp_path):
    first, second = map(Shard, bars.shards)
    with writing(tmp_path / "one.h5", first.attrs, frames=True) as writer:
        for shard in (second, first):
            for video in shard.videos:
                writer.add(video, np.array(shard.frames(video)), shard.times(video))
    assert content(evaluate(tmp_path / "a", tsm, frames=bars.shards[::-1])) == content(tested)
    assert content(evaluate(tmp_path / "b", tsm, frames=[tmp_path / "one.h5"])) == content(tested)


def test_threads_change_no_byte(evaluate, tsm, tested, tmp_path):
    assert content(evaluate(tmp_path, tsm, threads=3)) == content(tested)


def test_frames_decoded_from_the_videos_change_no_byte(bars, evaluate, tsm, tested, tmp_path):
    assert content(evaluate(tmp_path, tsm, frames=None, root=bars.root)) == content(tested)


def test_what_is_said_of_a_clip_does_not_depend_on_the_others(bars, evaluate, tsm, tested, tmp_path):
    fewer = changed(bars, tmp_path, lambda row: row if row.video > "v35.mp4" else None)
    found = rows(evaluate(tmp_path, tsm, segments=fewer) / "predictions.csv")
    assert found == rows(tested / "predictions.csv")[8:]


# ---------------------------------------------------------------- labels


def test_clips_of_a_class_that_training_never_saw_stay_and_count_as_wrong(bars, evaluate, tsm, tmp_path, caplog):
    up = changed(bars, tmp_path, lambda row: replace(row, verb="up") if row.video == "v33.mp4" else row)
    with caplog.at_level("WARNING", "kinoflow"):
        found = metrics(evaluate(tmp_path, tsm, segments=up))["verb"]
    assert (found["unseen"], found["clips"], found["top1"], found["recall"]["up"]) == (1, 8, 7 / 8, 0)
    assert "verb: 1 clips have labels that no training clip has ('up')" in caplog.text


def test_clips_without_labels_are_told_but_not_counted(bars, evaluate, tsm, tmp_path):
    bare = changed(bars, tmp_path, lambda row: replace(row, verb="", noun=""))
    folder = evaluate(tmp_path, tsm, segments=bare)
    assert metrics(folder)["verb"] == {"classes": 2, "clips": 0, "unlabelled": 8}
    assert len(rows(folder / "predictions.csv")) == 16 and rows(folder / "confusion.csv") == []


def test_a_split_without_clips_is_refused(evaluate, tsm, tmp_path):
    with pytest.raises(ConfigError, match="splits: no segment is in the split 'tset'"):
        evaluate(tmp_path, tsm, splits=["tset"])


# ---------------------------------------------------------------- several models, several views


def test_a_model_with_itself_says_what_it_says_alone(evaluate, tsm, tested, tmp_path):
    twice = evaluate(tmp_path, tsm, tsm, test=ClipTestOptions(coefficients=(1.5, 0.5)))
    assert (twice / "predictions.csv").read_bytes() == (tested / "predictions.csv").read_bytes()


def test_coefficients_weigh_models(train, evaluate, tsm, tested, tmp_path):
    other = train(tmp_path, options(1), seed=5)
    first = evaluate(tmp_path / "a", tsm, other, test=ClipTestOptions(coefficients=(2, 0)))
    assert (first / "predictions.csv").read_bytes() == (tested / "predictions.csv").read_bytes()


def test_softmax_gives_probabilities_that_are_not_turned_again(evaluate, tsm, tested, tmp_path):
    found = rows(evaluate(tmp_path, tsm, test=ClipTestOptions(softmax=True)) / "predictions.csv")
    for ours, theirs in zip(found, rows(tested / "predictions.csv"), strict=True):
        assert float(ours["probability"]) == pytest.approx(float(theirs["probability"]), abs=2e-6)


def test_models_of_other_classes_are_not_tested_together(train, evaluate, tsm, tmp_path):
    other = train(tmp_path, options(1, heads={"noun": {"classes": ["light", "dark"]}}))
    with pytest.raises(DataError, match="differ in the classes of the head 'noun'"):
        evaluate(tmp_path, tsm, other)


@pytest.mark.parametrize(
    ("test", "sentence"),
    [
        ({"coefficients": (1, 1)}, "coefficients: there are 2, but 1 models"),
        ({"crops": 10}, "10 crops"),
        ({"groups": {"slow": ("left", "up")}}, "groups.slow: no head has all of these classes .'up' is missing"),
    ],
)
def test_what_cannot_be_tested_is_refused(evaluate, tsm, tmp_path, test, sentence):
    with pytest.raises(ConfigError, match=sentence):
        evaluate(tmp_path, tsm, test=ClipTestOptions(**test))
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_no_checkpoint_of_this_room_is_refused(evaluate, tsm, tmp_path):
    from kinoflow.tasks.recognition.scoring import read_checkpoint
    from kinoflow.training import checkpoint

    checkpoint.save(tmp_path / "other.safetensors", read_checkpoint(tsm).network, {"room": "alignment"})
    with pytest.raises(DataError, match="no checkpoint of a recognition run"):
        evaluate(tmp_path, tmp_path / "other.safetensors")


# ---------------------------------------------------------------- as servers read it


def test_predictions_as_a_server_reads_labels(evaluate, tsm, tmp_path):
    evaluate(tmp_path, tsm, published=tmp_path / "sent.csv")
    lines = (tmp_path / "sent.csv").read_text().splitlines()
    assert lines[:2] == ["v32;left", "v33;right"] and len(lines) == 8


def test_predictions_as_a_server_reads_five_numbers(evaluate, tsm, train, tmp_path):
    names = ["left", "right", "a", "b", "c"]
    model = train(tmp_path, options(1, heads={"verb": {"classes": names}}))
    evaluate(tmp_path, model, test=ClipTestOptions(published="top5"), published=tmp_path / "sent.csv")
    name, *numbers = (tmp_path / "sent.csv").read_text().splitlines()[0].split(";")
    assert name == "v32" and sorted(numbers) == ["0", "1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="top5 needs five classes"):
        evaluate(tmp_path, tsm, test=ClipTestOptions(published="top5"), published=tmp_path / "sent.csv")


def test_videos_of_a_split_without_labels_are_clips_whose_classes_nobody_knows(bars, evaluate, tsm, tested, tmp_path):
    table = changed(bars, tmp_path / "table", lambda row: None)  # the split is left in the table of videos alone
    test = ClipTestOptions(published="label")
    found = evaluate(tmp_path, tsm, segments=table, test=test, published=tmp_path / "sent.csv")
    assert metrics(found)["verb"] == {"classes": 2, "clips": 0, "unlabelled": 8}
    whole = [row for row in rows(found / "predictions.csv") if row["head"] == "verb"]
    before = [row for row in rows(tested / "predictions.csv") if row["head"] == "verb"]
    assert [row["segment"] for row in whole] == [f"{row['video']}#0000" for row in before]
    told = ("video", "predicted", "probability")
    assert [[row[key] for key in told] for row in whole] == [[row[key] for key in told] for row in before]
    assert {row["label"] for row in whole} == {""}
    lines = (tmp_path / "sent.csv").read_text().splitlines()
    assert lines == [f"{row['video'].removesuffix('.mp4')};{row['predicted']}" for row in before]


def test_a_split_that_is_not_there_is_refused_all_the_same(evaluate, tsm, tmp_path):
    with pytest.raises(ConfigError, match="no segment is in the split 'later'"):
        evaluate(tmp_path, tsm, splits=["test", "later"])


def test_clips_of_one_video_are_told_apart_by_their_segments():
    rows = [Segment(segment=f"a/b.webm#{i}", video="a/b.webm", start=i, end=i + 1) for i in range(2)]
    assert published_ids(rows[:1]) == ["b"]
    assert published_ids(rows) == ["a/b.webm#0", "a/b.webm#1"]


# ---------------------------------------------------------------- numbers


def test_the_likelier_class_comes_first_and_the_lower_number_of_equals():
    assert ranked(np.array([[0.1, 0.5, 0.5, 0.2]]), 3).tolist() == [[1, 2, 3]]


def test_probabilities_are_shares_of_one():
    scores = np.array([[1.0, 3.0, 2.0]])
    assert np.allclose(probabilities(scores, already=False), np.exp(scores) / np.exp(scores).sum())
    assert np.allclose(probabilities(np.array([[0.2, 0.6]]), already=True), [[0.25, 0.75]])
