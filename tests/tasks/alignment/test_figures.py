"""The report's section on alignment runs, made from what real runs have left."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.tasks.alignment.discs import options

from kinoflow.errors import DataError
from kinoflow.media.demux import opened
from kinoflow.report import section as sections
from kinoflow.report import style
from kinoflow.report.section import Callout, Figure, Table, Text, Video
from kinoflow.tasks.alignment import data, results, showcase, shown, training_views
from kinoflow.tasks.alignment.augment import vary
from kinoflow.tasks.alignment.comparison import told
from kinoflow.tasks.alignment.data import Clip
from kinoflow.tasks.alignment.evaluate import alignment_evaluate
from kinoflow.tasks.alignment.figures import alignment_section
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
from kinoflow.tasks.alignment.options import AlignmentSectionOptions
from kinoflow.tasks.alignment.panes import Shown, montage


@pytest.fixture(scope="module")
def study(train, scl, discs, tmp_path_factory):
    """Two runs, one with two seeds, tested."""
    folder = tmp_path_factory.mktemp("study") / "alignment"
    wanted = {"scl": options(), "one_hot": options(scl={"variance": 0.01})}
    for run, seed in (("scl", 0), ("scl", 1), ("one_hot", 0)):
        place = folder / run / f"seed-{seed}"
        train(place, wanted[run], seed=seed)
        shutil.rmtree(place / "events", ignore_errors=True)
        outputs = [place / name for name in ("metrics.json", "predictions.csv", "embeddings.h5", "first.h5")]
        tested = AlignmentTestOptions(tasks=("kendalls_tau", "retrieval", "classification"))
        alignment_evaluate(
            place / "model.safetensors",
            discs.videos,
            discs.segments,
            *outputs,
            tested,
            discs.shards,
            code="x",
            device="cpu",
        )
    return folder


def made(study, discs, folder, frames=True, **more):
    names = ("metrics.json", "history.csv", "model.safetensors", "embeddings.h5")
    files = [sorted(study.rglob(name)) for name in names]
    given = {"options": AlignmentSectionOptions(), "frames": discs.shards if frames else None} | more
    alignment_section(*files, discs.videos, discs.segments, folder / "s.json", **given)
    return sections.read(folder / "s.json")


def table(found, start):
    (one,) = [block for block in found.blocks if isinstance(block, Table) and block.caption.startswith(start)]
    return one, {str(row[0]): row[1:] for row in one.rows}


@pytest.fixture(scope="module")
def section(study, discs, tmp_path_factory):
    return made(study, discs, tmp_path_factory.mktemp("section"))


def test_runs_stand_beside_their_baselines(section, study):
    one, rows = table(section, "How well 4 test clips are aligned")
    best = results.best_run(
        results.read_runs(
            *[sorted(study.rglob(n)) for n in ("metrics.json", "history.csv", "model.safetensors", "embeddings.h5")]
        )
    )
    assert set(rows) == {"scl", "one_hot", "clock", "raw pixels", f"untrained {best.name}"}
    assert [column.name for column in one.columns][2:] == ["Kendall's tau", "AP@5", "phases (100 %)"]
    metrics = [json.loads((study / "scl" / f"seed-{k}" / "metrics.json").read_text()) for k in (0, 1)]
    assert rows["scl"][1] == told([each["tau"]["test"] for each in metrics])
    assert not any(
        "-" in block.text for block in section.blocks if isinstance(block, Callout)
    )  # minus signs are true ones
    assert section.order == 50 and section.title == "Alignment: discs" and "untrained" in section.summary


def test_one_test_clip_and_one_step_are_told_as_what_they_are(study, discs, tmp_path, monkeypatch):
    shutil.copytree(study, tmp_path / "alignment")
    for file in tmp_path.rglob("metrics.json"):
        file.write_text(json.dumps({"clips": 1}))
    for file in tmp_path.rglob("history.csv"):
        file.write_text("\n".join(file.read_text().splitlines()[:2]) + "\n")
    drawn, svg = [], style.svg
    monkeypatch.setattr(
        style, "svg", lambda draw, *size: svg(lambda figure: (draw(figure), drawn.append(figure)), *size)
    )
    found = made(tmp_path / "alignment", discs, tmp_path, frames=False)
    assert found.summary.startswith("One test clip: ") and found.summary.endswith("two are needed.")
    assert Callout(found.summary, "warning") in found.blocks and "tested on 1 other." in found.blocks[0].text
    assert not [block for block in found.blocks if isinstance(block, Table) and block.caption.startswith("How well")]
    assert {line.get_marker() for line in drawn[0].axes[0].lines} == {"o"}


def test_notes_are_of_the_columns_that_there_are(study, discs, tmp_path):
    shutil.copytree(study, tmp_path / "alignment")
    for file in tmp_path.rglob("metrics.json"):
        file.write_text(json.dumps({"clips": 3, "probe": {"100": {"train": 0.5, "test": 0.25}}}))
    found = made(tmp_path / "alignment", discs, tmp_path, frames=False)
    one, _ = table(found, "How well 3 test clips")
    assert len(one.notes) == 1 and "FineGym" in one.notes[0] and "Tau" not in one.notes[0]
    assert found.summary.endswith(": probe (100 %) 0.25.")


def test_what_differs_between_runs_is_told_with_what_it_costs(section):
    (one,) = [b for b in section.blocks if isinstance(b, Table) and b.caption.startswith("What makes a difference to")]
    (row,) = one.rows
    assert "scl.variance" in row[1] and len(row) == 5


def test_what_labels_the_backbone_has_seen_is_told(section):
    _, rows = table(section, "The networks")
    assert rows["scl"][-1] == "none" and rows["scl"][0] == "SCL, transformer of 1 layer, no positions"


def test_a_clock_that_scores_high_is_a_warning(section):
    assert any(isinstance(b, Callout) and b.tone == "warning" and b.text.startswith("A clock") for b in section.blocks)


def test_the_similarity_the_video_and_the_strips_are_shown(section, tmp_path):
    figures = [block for block in section.blocks if isinstance(block, Figure)]
    assert [figure.alt.split()[0] for figure in figures] == ["Losses", "Similarity", "Frames"]
    shown, aligned = [block for block in section.blocks if isinstance(block, Video)]
    for video in (shown, aligned):
        (tmp_path / "v.mp4").write_bytes(video.mp4)
        with opened(tmp_path / "v.mp4") as (_, stream):
            context = stream.codec_context
            assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert len(video.mp4) < 3_000_000
    assert "v00.mp4" in shown.caption and shown.alt == "2 views of a training clip" and "v08.mp4" in aligned.caption


def test_views_are_shown_as_training_varies_them(discs):
    wanted = options(sampling={"frames": 40})
    source = data.sources(wanted, discs.shards, [], None).read
    clip = data.clips(discs.segments, discs.videos, source, wanted)["train"][0]
    heading, video = training_views.blocks([clip], source, wanted, True, "scl")
    assert heading.text == "What training shows" and video.caption.endswith("Black: padding.")
    one = data.clips(discs.segments, discs.videos, source, wanted)["train"][0]
    assert training_views.blocks([one], source, wanted, True, "scl")[1].mp4 == video.mp4
    assert training_views.blocks([], source, wanted, True, "scl") == []
    rng = [np.random.default_rng(3) for _ in range(2)]
    frames = source.frames(clip.video, np.arange(5))
    plain = wanted.augment.model_copy(update={"values": "plain"})
    expected = vary(torch.from_numpy(np.ascontiguousarray(frames)), plain, rng[0]).permute(0, 2, 3, 1) * 0.226 + 0.45
    found = shown.varied(frames, plain, rng[1])
    assert np.abs(found - 255 * expected.numpy()).max() <= 0.51


def test_seeds_that_are_all_alike_have_no_range():
    assert told([0.47, 0.47]) == "0.470" and told([0.25, 0.5], 2) == "0.38 (0.25–0.50)" and told([]) == "–"


def test_the_same_files_give_the_same_bytes(study, discs, tmp_path):
    made(study, discs, tmp_path)
    before = (tmp_path / "s.json").read_bytes()
    made(study, discs, tmp_path)
    assert (tmp_path / "s.json").read_bytes() == before


def test_without_frames_there_is_the_matrix_alone(study, discs, tmp_path):
    found = made(study, discs, tmp_path, frames=False)
    assert not any(isinstance(block, Video) for block in found.blocks)
    assert [b.alt.split()[0] for b in found.blocks if isinstance(b, Figure)] == ["Losses", "Similarity"]


def test_what_labels_features_had_seen_is_told(study, discs, tmp_path):
    given = AlignmentSectionOptions(seen={"one_hot": "actions of kitchen"})
    texts = [block.text for block in made(study, discs, tmp_path, options=given).blocks if isinstance(block, Text)]
    assert any("features are read: actions of kitchen." in text for text in texts), texts


def test_a_seed_without_its_files_is_told(study):
    metrics = sorted(study.rglob("metrics.json"))
    with pytest.raises(DataError, match="histories: there is no file of the run 'one_hot', seed 0"):
        results.read_runs(metrics, sorted(study.rglob("history.csv"))[1:], [], [])
    with pytest.raises(DataError, match="models: there is no checkpoint of the run 'one_hot'"):
        results.read_runs(metrics, sorted(study.rglob("history.csv")), [], [])


# ---------------------------------------------------------------- parts


def test_the_pair_that_is_shown_is_neither_the_best_nor_the_worst():
    line = np.arange(6.0)[:, None]
    noisy = line[[0, 2, 1, 3, 5, 4]]
    clips = [Clip(str(i), "v", 0, line[:, 0], ("",) * 6) for i in range(3)]
    assert showcase.Example(clips, [line, noisy, line[::-1]]).pair() in {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert showcase.Example(clips[:2], [np.zeros((6, 1))] * 2).pair() == (0, 1)


def test_a_video_for_the_page_is_made_small_enough(monkeypatch):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 64, 64, 3), np.uint8)
    pane = Shown("a", lambda wanted: noise[wanted], np.arange(8), np.arange(8) / 10)
    whole = len(showcase.encoded([pane], 64, 10))
    monkeypatch.setattr(showcase, "MAX_VIDEO", whole - 1)
    assert 0 < len(showcase.encoded([pane], 64, 10)) < whole
    monkeypatch.setattr(showcase, "MAX_VIDEO", 10)
    assert showcase.encoded([pane], 64, 10) == b""


def test_panes_of_any_size_stand_in_rows_of_three():
    pictures = [np.zeros((20, 30, 3), np.uint8), np.zeros((40, 20, 3), np.uint8)] * 2
    found = montage(pictures, ["a", "b\n", "a very long name that has no room here", "d"], 32)
    assert found.shape[0] % 2 == found.shape[1] % 2 == 0
    assert found.shape[0] == 2 * (32 + 16 + 4) + 4 and found.shape[1] == 48 + 16 + 48 + 4 * 4
