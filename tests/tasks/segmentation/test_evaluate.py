"""Tests of trained segmentations: every way to decode, scores beside baselines, files of others, what is refused."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.tasks.segmentation import tiny

from kinoflow.errors import ConfigError, DataError
from kinoflow.store.shards import Shard
from kinoflow.store.tables import Video, read, read_csv, write
from kinoflow.tasks.segmentation.evaluate import Found, segmentation_evaluate
from kinoflow.tasks.segmentation.options import SegmentationTestOptions

BASELINES = {"uniform", "clock", "kmeans", "mixture", "majority", "sample", "gaussian", "truth"}


@pytest.fixture
def test(films, tmp_path):
    """Return a function that tests a checkpoint: test(checkpoint, **options) -> the measures and the rows found."""

    def run(checkpoint, of=films, files=(), **options):
        out = tmp_path / "metrics.json", tmp_path / "predictions.csv"
        given = dict(files) | {"device": "cpu"}
        values = {"by_task": False, **options}
        segmentation_evaluate(
            checkpoint, **of.tables, features=of.features, metrics=out[0], predictions=out[1],
            options=SegmentationTestOptions.model_validate(values), **given,
        )  # fmt: skip
        return json.loads(out[0].read_bytes()), read(out[1], Found)

    return run


def test_a_model_without_labels_is_scored_beside_its_baselines(test, unlabelled):
    found, rows = test(unlabelled)
    assert (found["videos"], found["scored"], found["unannotated"], found["impossible"]) == (4, 3, 1, 0)
    assert set(found["baselines"]) == BASELINES and found["states"] == 5
    assert found["baselines"]["truth"]["pooled"]["mof"] == 1
    assert found["pooled"]["mof"] > found["baselines"]["uniform"]["pooled"]["mof"]
    assert found["nll"]["per_row"] < found["nll"]["gaussian_per_row"] and "per_row" in found["nll"]["validation"]
    assert found["pooled"] == found["oracle"]["pooled"]
    assert {row.video for row in rows} == {f"test{k:02d}.npy" for k in range(4)}
    assert all(0 < row.posterior <= 1 and row.start < row.end for row in rows)
    assert {row.step for row in rows} & {"pour", "BKG"} and all(
        row.step == "" for row in rows if row.video == "test03.npy"
    )


def test_a_model_with_labels_tells_steps(test, labelled):
    found, rows = test(labelled, average_recall=True)
    assert found["pooled"]["mof"] > 0.9 and found["pooled"]["f1_50"] > 0.9 and found["average_recall"]["pooled"] > 0.8
    assert found["oracle"]["pooled"]["mof"] >= found["pooled"]["mof"]
    tea = [row.step for row in rows if row.video == "test01.npy"]
    assert tea == ["BKG", "boil", "BKG", "pour", "BKG"]
    assert set(tea) <= {"BKG", "boil", "pour"}


def test_each_task_is_scored_by_itself_with_an_assignment_of_its_own(test, unlabelled):
    one, _ = test(unlabelled, by_task=False)
    each, _ = test(unlabelled, by_task=True)
    assert set(each["tasks"]) == {"coffee", "tea"} and "tasks" not in one
    assert each["pooled"]["mof"] >= one["pooled"]["mof"]
    assert each["averaged"]["mof"] == pytest.approx(np.mean([each["tasks"][t]["mof"] for t in ("coffee", "tea")]))


@pytest.mark.parametrize("decode", ["viterbi", "posterior"])
def test_results_depend_on_how_many_videos_are_decoded_at_once_by_rounding_alone(test, unlabelled, decode):
    one, rows = test(unlabelled, decode=decode, videos=1)
    many, others = test(unlabelled, decode=decode, videos=4)
    assert one["pooled"] == many["pooled"]
    assert [replace(row, posterior=0) for row in rows] == [replace(row, posterior=0) for row in others]
    assert [row.posterior for row in rows] == pytest.approx([row.posterior for row in others], abs=1e-5)


def test_what_is_known_of_test_videos_helps_and_trains_nothing_again(test, labelled, films):
    before = labelled.read_bytes()
    free, _ = test(labelled)
    files = {"narration": films.narration, "steps": films.steps}
    for known in ({"ordering": "video"}, {"narration": "table"}, {"narration": "drawn", "narration_share": 1.0}):
        found, rows = test(labelled, files=files, constraints=known)
        assert found["pooled"]["mof"] >= free["pooled"]["mof"] - 0.05
        assert ("narration" in found["baselines"]) == ("narration" in known) and "canonical" in found["baselines"]
    assert [row.step for row in rows if row.video == "test01.npy"][1] == "boil"
    assert labelled.read_bytes() == before


def test_the_order_of_a_tasks_steps_is_kept(test, train, films, tmp_path):
    labels = {"background": "previous", "task_specific": True}
    options = tiny.options(**tiny.LABELLED, labels=labels, learn="closed_form")
    path = train(tmp_path / "r" / "seed-0", options, steps=films.steps)
    found, rows = test(path, files={"steps": films.steps}, constraints={"ordering": "task"})
    told = [row.step for row in rows if row.video == "test00.npy"]
    assert told == [
        *("coffee BKG_FIRST", "coffee fill", "coffee BKG_fill", "coffee press"),
        *("coffee BKG_press", "coffee pour", "coffee BKG_pour"),
    ]
    assert found["pooled"]["mof"] > 0.9 and found["impossible"] == 0


def test_a_model_of_each_task_is_tested_on_its_own_task(test, train, tmp_path):
    path = train(tmp_path / "r" / "seed-0", tiny.options(models="per_task"))
    found, _ = test(path, by_task=True)
    assert set(found["tasks"]) == {"coffee", "tea"}


def test_predictions_hold_for_all_rows_where_only_some_are_read(test, train, tmp_path):
    path = train(tmp_path / "r" / "seed-0", tiny.options(rows={"subsample": 2}))
    found, _ = test(path)
    assert found["baselines"]["truth"]["pooled"]["mof"] < 1  # changes between two rows that are read are not seen
    whole, _ = test(train(tmp_path / "w" / "seed-0", tiny.options()))
    assert found["rows"] * 2 == pytest.approx(whole["rows"], abs=4)


def test_rows_without_a_step_are_not_scored_where_they_are_removed(test, train, tmp_path):
    path = train(tmp_path / "r" / "seed-0", tiny.options(labels={"background": "removed"}, model={"states": 4}))
    found, _ = test(path)
    assert found["pooled"]["true_background"] == 0 and "mof_non_bg" in found["pooled"]


def test_texts_are_written_as_published_and_read_back_as_those_of_others(test, labelled, tmp_path):
    folder = tmp_path / "texts"
    found, _ = test(labelled, files={"texts_folder": folder})
    lines = (folder / "test01.npy.txt").read_text().splitlines()
    assert lines[0] == "### Recognized sequence: ###" and lines[4] == "### Frame level recognition: ###"
    assert lines[1] == "tea:<BKG> tea:boil tea:<BKG> tea:pour tea:<BKG>"
    again, _ = test(labelled, files={"outside": folder})
    assert again["outside"]["pooled"] == found["pooled"]


def rows_of(films):
    """Return {video: rows} of the scored test videos."""
    shards = [Shard(path) for path in films.features]
    return {
        f"test{k:02d}.npy": len(s.rows(f"test{k:02d}.npy")) for k in range(3) for s in shards if f"test{k:02d}.npy" in s
    }


def test_predictions_of_others_may_tell_of_all_rows_where_only_some_are_read(test, train, films, tmp_path):
    options = tiny.options(**tiny.LABELLED, learn="closed_form", rows={"subsample": 2})
    path, folder = train(tmp_path / "r" / "seed-0", options), tmp_path / "texts"
    found, _ = test(path, files={"texts_folder": folder})
    for name, length in rows_of(films).items():
        file = folder / f"{name}.txt"
        lines = file.read_text().splitlines()
        read = lines[5].split()
        assert len(read) == -(-length // 2)
        file.write_text("\n".join([*lines[:5], " ".join(read[row // 2] for row in range(length))]))
    again, _ = test(path, files={"outside": folder})
    assert again["outside"]["pooled"] == found["pooled"]


@pytest.mark.parametrize("form", ["npy", "one-hot", "json"])
def test_predictions_of_others_are_scored(test, labelled, films, tmp_path, form):
    folder = tmp_path / "others"
    folder.mkdir()
    for video, length in rows_of(films).items():
        name, numbers = video.removesuffix(".npy"), np.full(length, -1)
        numbers[4:6] = 0
        if form == "npy":
            np.save(folder / f"{name}.npy", numbers)
        elif form == "one-hot":
            steps = 2 if name == "test01" else 3
            np.save(folder / f"{name}.npy", (numbers[:, None] == np.arange(steps)).astype(np.float32))
        else:
            (folder / f"{name}.json").write_text(json.dumps({"y_pred": numbers.tolist(), "y_true": []}))
    found, _ = test(labelled, files={"outside": folder})
    assert 0 < found["outside"]["pooled"]["mof"] < 1
    np.save(folder / "test00.npy", np.zeros(3, int))
    with pytest.raises(DataError, match=r"test00\.npy: it has 3 rows, the features of 'test00\.npy' have"):
        test(labelled, files={"outside": folder})
    good = (folder / "test00.npy").read_bytes()
    for content in (b"", b"PK\x03\x04", good[:40], good[:-1], good.replace(b"{", b"(")):
        (folder / "test00.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"no prediction of 'test00\.npy'"):
            test(labelled, files={"outside": folder})
    for path in folder.glob("test00.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"no prediction of 'test00\.npy'"):
        test(labelled, files={"outside": folder})


def test_classifiers_are_trained_where_they_are_asked_for(test, labelled):
    found, _ = test(labelled, classifiers=30)
    assert BASELINES | {"linear", "mlp", "tagger"} <= set(found["baselines"])
    assert all(found["baselines"][kind]["pooled"]["mof"] > 0.5 for kind in ("linear", "mlp", "tagger"))


def test_the_same_test_gives_the_same_bytes(test, unlabelled, tmp_path):
    test(unlabelled)
    before = [(tmp_path / name).read_bytes() for name in ("metrics.json", "predictions.csv")]
    test(unlabelled)
    assert [(tmp_path / name).read_bytes() for name in ("metrics.json", "predictions.csv")] == before


# ---------------------------------------------------------------- what is refused, what is ruled


def test_nothing_is_known_of_states_that_stand_for_no_labels(test, unlabelled):
    with pytest.raises(ConfigError, match="states stand for no labels"):
        test(unlabelled, constraints={"ordering": "video"})
    with pytest.raises(ConfigError, match="states stand for no labels; take hungarian"):
        test(unlabelled, assignment="identity")


def test_a_missing_table_of_windows_is_said(test, labelled):
    with pytest.raises(ConfigError, match="table of windows is missing"):
        test(labelled, constraints={"narration": "table"})


def test_a_video_that_the_windows_do_not_name_is_free(test, labelled, films, tmp_path):
    lines = films.narration.read_text().splitlines()
    some = tmp_path / "some.csv"
    some.write_text("\n".join(line for line in lines if not line.startswith("test00")) + "\n")
    found, rows = test(labelled, files={"narration": some}, constraints={"narration": "table"})
    assert found["impossible"] == 0 and [row.step for row in rows if row.video == "test00.npy"][1] == "fill"


def test_other_columns_than_those_of_the_training_are_refused(test, unlabelled, tmp_path):
    other = tiny.make(tmp_path / "other")
    tiny.write_features(other.folder, {f"test{k:02d}.npy": np.zeros((9, 4), np.float32) for k in range(4)}, "{}")
    with pytest.raises(DataError, match="trained on other columns"):
        test(unlabelled, of=other)


def test_videos_shorter_than_one_segment_are_cut_too(test, train, tmp_path):
    short = tiny.make(tmp_path / "films")
    rng = np.random.default_rng(0)
    rows = {
        row["video"]: rng.normal(0, 1, (1 + k % 3, tiny.WIDTH)).astype(np.float32)
        for k, (_, row) in enumerate(read_csv(short.videos, ()))
    }
    tiny.write_features(short.folder, rows)
    path = train(tmp_path / "r" / "seed-0", tiny.options(training={"epochs": 1}), of=short)
    found, told = test(path, of=short)
    assert found["videos"] == 4 and np.isfinite(found["nll"]["per_row"]) and len(told) >= 4


def test_segments_of_videos_of_other_rates_leave_no_gap_and_end_with_their_video(test, labelled, tmp_path):
    films = tiny.make(tmp_path / "films")
    tiny.stretch(films, "test01.npy", 2.5)
    times = {video: s.times(video) for s in map(Shard, films.features) for video in s.videos}
    ends = {"test00.npy": times["test00.npy"][-1] + 0.1, "test01.npy": 90.0}
    write(films.videos, [replace(row, duration=ends.get(row.video)) for row in read(films.videos, Video)], Video)
    found: dict[str, list[Found]] = {}
    for row in test(labelled, of=films)[1]:
        found.setdefault(row.video, []).append(row)
    for video, own in found.items():
        half = (times[video][1] - times[video][0]) / 2
        assert own[0].start == 0 and all(one.end == other.start for one, other in pairwise(own))
        assert own[-1].end == pytest.approx(min(times[video][-1] + half, ends.get(video, np.inf)))


def test_labels_that_end_behind_the_features_are_cut_and_said(test, train, films, tmp_path, caplog):
    caplog.set_level("WARNING", logger="kinoflow")
    long = tiny.make(tmp_path / "films")
    with open(long.segments, "a") as file:
        file.write("extra,test00.npy,900.0,901.0,pour,,,,,,\n")
    path = train(tmp_path / "r" / "seed-0", tiny.options(training={"epochs": 1}), of=long)
    assert "'test00.npy': steps that begin behind its last row are left out" in caplog.text
    assert test(path, of=long)[0]["scored"] == 3
    strict = tiny.options(training={"epochs": 1}, labels={"max_difference": 50})
    path = train(tmp_path / "s" / "seed-0", strict, of=long)
    assert "labels of another length" in caplog.text
    assert test(path, of=long)[0]["videos"] == 3
