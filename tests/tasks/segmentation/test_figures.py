"""The report's section: what it holds, that it does not depend on the order of files, and what is refused."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.tasks.segmentation import tiny

from kinoflow.errors import DataError
from kinoflow.features.origin import Origin
from kinoflow.report import section as sections
from kinoflow.report.section import Callout, Figure, Heading, Table
from kinoflow.store import shards
from kinoflow.tasks.segmentation.drawing import durations
from kinoflow.tasks.segmentation.evaluate import segmentation_evaluate
from kinoflow.tasks.segmentation.figures import _finding as finding_of
from kinoflow.tasks.segmentation.figures import _likelihoods as figures_of
from kinoflow.tasks.segmentation.figures import _opening as opening_of
from kinoflow.tasks.segmentation.figures import _summary as summary_of
from kinoflow.tasks.segmentation.figures import segmentation_section
from kinoflow.tasks.segmentation.options import SegmentationSectionOptions, SegmentationTestOptions
from kinoflow.tasks.segmentation.pictures import Pictures, sheet
from kinoflow.tasks.segmentation.results import read_runs
from kinoflow.tasks.segmentation.speed import segmentation_speed

FILES = ("metrics.json", "history.csv", "predictions.csv", "model.safetensors")


@pytest.fixture(scope="module")
def study(films, train, tmp_path_factory):
    """Three runs, one of them with two seeds, and frames of all videos."""
    root = tmp_path_factory.mktemp("study") / "results/s/segmentation"
    runs = {
        "low5": tiny.options(),
        "low3": tiny.options(model={"states": 3, "rank": 1}, follow_on=["test"]),
        "counted": tiny.options(**tiny.LABELLED, learn="closed_form"),
    }
    for name, options in runs.items():
        for seed in range(2 if name == "low5" else 1):
            place = root / name / f"seed-{seed}"
            model = train(place, options, seed=seed)
            out = {
                n: place / f"{n}.{'json' if n == 'metrics' else 'csv'}" for n in ("metrics", "predictions", "states")
            }
            test = SegmentationTestOptions(by_task=False)
            of = films.tables | out | {"features": films.features, "options": test, "device": "cpu"}
            segmentation_evaluate(model, **of, texts_folder=root.parent / f"texts {name}")
            if name == "counted":  # what it has written is also what another one says
                segmentation_evaluate(model, **of, outside=root.parent / "texts counted")
    rng = np.random.default_rng(0)
    with shards.writing(root / "frames.h5", {"store": "raw", "options": "{}"}, frames=True) as writer:
        for name in (f"test{k:02d}.npy" for k in range(4)):
            writer.add(name, rng.integers(0, 256, (40, 24, 32, 3), np.uint8), np.arange(40) / 2)
    return root


@pytest.fixture(scope="module")
def whole(study, films, tmp_path_factory):
    """The section with everything in it."""
    return made(study, films, tmp_path_factory.mktemp("section"))


def made(study, films, tmp_path, frames=True, reverse=False, **options):
    files = [sorted(study.rglob(name), reverse=reverse) for name in FILES]
    segmentation_section(
        *files,
        films.videos,
        films.segments,
        tmp_path / "section.json",
        SegmentationSectionOptions(**options),
        frames=[study / "frames.h5"] if frames else None,
        states_tables=sorted(study.rglob("states.csv")),
    )
    return sections.read(tmp_path / "section.json")


def table(found, start):
    (one,) = [block for block in found.blocks if isinstance(block, Table) and block.caption.startswith(start)]
    return {str(row[0]): row[1:] for row in one.rows}


def figures(found, part):
    return [block for block in found.blocks if isinstance(block, Figure) and part in block.alt]


def test_runs_stand_beside_their_baselines(whole):
    found = whole
    assert found.title == "Segmentation: tiny" and found.order == 40 and "counted puts" in found.summary
    assert {"counted", "low5", "low3", "kmeans", "uniform", "majority"} <= set(table(found, "Rows and segments"))
    models = table(found, "Models")
    assert models["low5"][:2] == ("5 states, rank 3", 2) and models["counted"][0] == "5 states, dense, closed form"
    assert all(block.tone == "finding" for block in found.blocks if isinstance(block, Callout))


def test_the_finding_names_the_best_baseline(study):
    run = next(run for run in read_runs(*(sorted(study.rglob(name)) for name in FILES)) if run.name == "low3")
    assert finding_of(worse(run, uniform=0.429, clock=0.396, kmeans=0.189, mixture=0.1)) == (
        "low3 puts 21.9% of the rows into the right step, less than the best baseline, uniform: 42.9% (kmeans: 18.9%)."
    )
    assert finding_of(worse(run, uniform=0.1, kmeans=0.189, truth=1.0)) == (
        "low3 puts 21.9% of the rows into the right step, more than the best baseline, kmeans: 18.9%."
    )
    assert "as many as the best baseline, clock: 21.9%" in finding_of(worse(run, clock=0.219))
    assert not run.trained.labelled  # so what learnt from labels is no rival
    assert "more than the best baseline, clock: 10.0%" in finding_of(worse(run, clock=0.1, gaussian=0.9))
    assert finding_of(worse(run)) == "low3 puts 21.9% of the rows into the right step."


def worse(run, **baselines):
    """Return a run that puts 21.9 % of the rows into the right step, beside baselines."""
    metrics = {"pooled": {"mof": 0.219}, "baselines": {n: {"pooled": {"mof": k}} for n, k in baselines.items()}}
    return replace(run, seeds={0: replace(run.seeds[0], metrics=metrics)})


def test_baselines_are_explained_below_their_table(whole):
    (accuracies,) = [b for b in whole.blocks if isinstance(b, Table) and b.caption.startswith("Rows and segments")]
    said = " ".join(accuracies.notes)
    names = {str(row[0]) for row in accuracies.rows} - {"counted", "low3", "low5"}
    assert {"uniform", "clock", "mixture", "truth", "outside"} <= names and all(f"{name}: " in said for name in names)
    assert "tagger" not in said


def test_numbers_of_one_stand_before_one(study, films, tmp_path):
    runs = read_runs(*(sorted((study / "low3").rglob(name)) for name in FILES))
    metrics = dict(runs[0].seeds[0].metrics) | {"videos": 1, "rows": 1, "unannotated": 0}
    one = replace(runs[0], seeds={0: replace(runs[0].seeds[0], metrics=metrics)})
    assert opening_of([one], one, {})[0].text == "1 hidden semi-Markov model, tested on 1 video (1 row of features)."
    assert summary_of([one], None) == "1 run; no tested video has a label."


def test_predictions_of_others_stand_beside_and_are_named(whole):
    (accuracies,) = [b for b in whole.blocks if isinstance(b, Table) and b.caption.startswith("Rows and segments")]
    rows = {str(row[0]): row[2:] for row in accuracies.rows}
    assert rows["outside"] == rows["counted"] and any("others made" in note for note in accuracies.notes)


def test_a_curve_of_followed_videos_stands_beside_that_of_validation(whole):
    assert len(figures(whole, "NLL of a validation row during training")) == 1
    (followed,) = figures(whole, "NLL of a row of test during training")
    assert "low3" in followed.svg and "low5" not in followed.svg


def test_likelihood_is_drawn_against_states_and_rank(whole):
    (one,) = figures(whole, "against states and rank")
    assert "rank 3" in one.svg and "rank 1" in one.svg and "dense" not in one.svg


def test_likelihoods_of_other_features_stand_in_a_figure_of_their_own(study):
    runs = read_runs(*(sorted(study.rglob(name)) for name in FILES))
    trained = replace(runs[1].trained, origin=Origin(attrs={"extractor": "other"}))
    found = figures_of(runs), figures_of([runs[0], replace(runs[1], trained=trained), runs[2]])
    assert [run.name for run in runs] == ["counted", "low3", "low5"]
    assert [len(own) for own in found] == [1, 2] and "same features" not in found[0][0].caption
    assert "(low3, which" in found[1][0].caption and "(low5, which" in found[1][1].caption
    assert "rank 1" in found[1][0].svg and "rank 1" not in found[1][1].svg


def test_timelines_show_true_and_found_steps_with_frames(whole):
    lines = figures(whole, "true steps, and those that counted")
    assert len(lines) == 3 and all("boil" in block.svg or "fill" in block.svg for block in lines)
    assert len(figures(whole, "Middle frames")) == 3
    assert lines[0].caption.startswith("test00.npy (coffee), counted, seed 0: ")
    assert figures(whole, "Middle frames")[0].caption.startswith("test00.npy: middle frames of its longest segments")
    assert all(block.svg.count("<image") == 2 for block in lines)  # frames below the true and below the found segments


def test_what_is_not_asked_for_is_left_out(study, films, tmp_path):
    bare = made(study, films, tmp_path, frames=False, timelines=1, states=1)
    assert len(figures(bare, "true steps, and those")) == 1 and not figures(bare, "Middle frames")
    assert len(table(bare, "States of counted, seed 0: the most frequent")) == 1 and not figures(bare, "nearest")


def test_every_state_has_its_row_and_the_frames_nearest_to_it(whole):
    found = whole
    states = table(found, "States of counted")
    assert 3 <= len(states) <= 5 and sum(row[0] for row in states.values()) == pytest.approx(1, abs=1e-6)
    assert all(row[4] in ("BKG", "boil", "fill", "pour", "press") for row in states.values())
    for part in ("how long its segments last", "its mean segment", "the frames nearest to its mean"):
        assert len(figures(found, part)) == len(states)
    pages = [block.text for block in found.blocks if isinstance(block, Heading) and block.text.startswith("State ")]
    assert sorted(pages) == sorted(f"State {number}: {row[4]}" for number, row in states.items())


def test_the_mean_segment_is_the_mean_of_its_frames(study, whole, tmp_path):
    run = next(run for run in read_runs(*(sorted(study.rglob(name)) for name in FILES)) if run.name == "counted")
    pictures = Pictures([study / "frames.h5"])
    state = int(next(iter(table(whole, "States of counted"))))
    own = [row for row in run.seeds[0].predictions if row.state == state]
    first = [pictures.at(row.video, [row.start + 0.1 * (row.end - row.start)])[0] for row in own]
    mean = np.round(np.mean(np.stack(first).astype(np.float64), axis=0)).astype(np.uint8)
    (shown,) = figures(whole, f"State {state}: {own[0].step}: its mean segment, and")
    with Image.open(io.BytesIO(shown.image)) as opened:
        found = np.asarray(opened.convert("RGB"))
    wanted = np.asarray(Image.open(io.BytesIO(sheet([[mean] * 5]))).convert("RGB"))
    assert (found[: wanted.shape[0] - 3, : wanted.shape[1] // 6] == wanted[:-3, : wanted.shape[1] // 6]).all()


def test_the_model_s_durations_stand_beside_those_found():
    with_model = durations([1.0, 1.0, 2.5], [(0.5, 0.2), (1.0, 0.8)], 0.5)
    assert with_model.count("<path") > durations([1.0, 1.0, 2.5], [], 0.5).count("<path")
    assert "and longer" in durations([100.0], [], 0.5) and "and longer" not in with_model


def test_the_section_does_not_depend_on_the_order_of_its_files(study, films, tmp_path, whole):
    assert made(study, films, tmp_path, reverse=True) == whole


def test_a_seed_that_lacks_a_file_is_named(study, films, tmp_path):
    with pytest.raises(DataError, match="history: there is no file of the run 'counted', seed 0"):
        segmentation_section(
            sorted(study.rglob("metrics.json")), [], sorted(study.rglob("predictions.csv")), [], films.videos,
            films.segments, tmp_path / "s.json", SegmentationSectionOptions(),
        )  # fmt: skip


def test_the_cost_is_measured_and_drawn(study, tmp_path, monkeypatch):
    from kinoflow.tasks.segmentation import speed

    monkeypatch.setattr(speed, "STATES", (4, 8))
    monkeypatch.setattr(speed, "DENSE", (4,))
    monkeypatch.setattr(speed, "FRAMES", 30)
    segmentation_speed(sorted(study.rglob("model.safetensors")), tmp_path / "speed.json")
    found = sections.read(tmp_path / "speed.json")
    (one,) = [block for block in found.blocks if isinstance(block, Table)]
    assert [(row[0], row[1]) for row in one.rows] == [("low rank (16)", 4), ("low rank (16)", 8), ("dense", 4)]
    assert all(row[2] > 0 for row in one.rows)
